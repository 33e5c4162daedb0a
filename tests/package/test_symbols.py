"""What the built library's symbol table says about how it was compiled."""
# SPDX-License-Identifier: Apache-2.0

import re

from .conftest import run

# A formula over packs that became a function of its own: moka::ops::Erf::operator()<moka::Num<float, 8> >.
PACK_ARGUMENT = re.compile(r"\bmoka::(?:ops|detail)?\S*\(.*moka::Num<(?:float|double|int|long), \d+>")


def test_formulas_are_inlined_into_the_loops_that_carry_the_instruction_set(build):
    """A function of its own would be compiled for the baseline, which passes wide packs another way."""
    names = run("nm", "-C", "--defined-only", build / "lib" / "libmoka.so").splitlines()
    functions = [name.split(" ", 2)[-1] for name in names]
    loops = [name for name in functions if "formula_avx2<" in name]
    assert loops, "the library keeps its local symbols"
    outside = [name for name in functions if PACK_ARGUMENT.search(name.split("formula_")[0])]
    assert not outside, "\n".join(sorted(outside))
