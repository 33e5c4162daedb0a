"""What the built library's symbol table says about how it was compiled."""
# SPDX-License-Identifier: Apache-2.0

import re

from .conftest import run

# A formula over packs that became a function of its own: moka::ops::Erf::operator()<moka::Num<float, 8> >.
# Numbers of no lanes are no packs: they write programs (moka/ops/generated).
PACK_ARGUMENT = re.compile(r"\bmoka::(?:ops|detail)?\S*\(.*moka::Num<(?:float|double|int|long), [1-9]\d*>")


def test_formulas_are_inlined_into_the_loops_that_carry_the_instruction_set(build):
    """A function of its own would be compiled for the baseline, which passes wide packs another way."""
    names = run("nm", "-C", "--defined-only", build / "lib" / "libmoka.so").splitlines()
    functions = [name.split(" ", 2)[-1] for name in names]
    loops = [name for name in functions if "formula_avx2<" in name]
    assert loops, "the library keeps its local symbols"
    outside = [name for name in functions if PACK_ARGUMENT.search(name.split("formula_")[0])]
    assert not outside, "\n".join(sorted(outside))


def test_formulas_work_on_whole_vectors(build):
    """g++ falls back to one lane after the other where it has no instruction for what it made of a
    comparison; such a loop is ten times as long and as slow. Comparisons of single floats give it away."""
    text = run("objdump", "-d", "-C", "--no-show-raw-insn", build / "lib" / "libmoka.so")
    slow = []
    for function in text.split("\n\n"):
        name = function.split("\n", 1)[0]
        if not re.search(r"formula_avx(2|512)<", name) or "call " in function:
            continue  # functions of single lanes are called for what has no vector form
        count = len(re.findall(r"\bv(?:u)?comis[sd]\b", function))
        if count > 6:
            slow.append(f"{count} in {name}")
    assert not slow, "\n".join(slow)


def test_thread_local_variables_leave_room_for_others(build):
    """A library that finds any by an offset has all of its own in 1,664 bytes that all libraries opened late
    share. Those of another library must not be found so: once torch has opened libstdc++, its are elsewhere,
    and `import moka` would fail."""
    sizes = {}
    for library in [*(build / "lib").glob("libmoka*.so"), *(build / "python" / "moka").glob("_C*.so")]:
        relocations = run("readelf", "-rW", library).splitlines()
        assert not [line for line in relocations if "_TPOFF64" in line and "@GLIBC" in line], library
        if "STATIC_TLS" in run("readelf", "-dW", library):
            headers = [line.split() for line in run("readelf", "-lW", library).splitlines()]
            sizes[library.name] = sum(int(words[5], 16) for words in headers if words[:1] == ["TLS"])
    assert sum(sizes.values()) <= 640, sizes
