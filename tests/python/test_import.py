"""What `import moka` costs, prints, and offers."""
# SPDX-License-Identifier: Apache-2.0

import subprocess
import sys

import pytest

import moka


def run(code):
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return result.stdout


def test_importing_prints_nothing():
    assert run("import moka") == ""


def test_importing_loads_few_modules_of_its_own():
    code = "import sys, numpy; a = set(sys.modules); import moka; print(*sorted(set(sys.modules) - a))"
    new = run(code).split()
    assert len([name for name in new if name.startswith("moka")]) <= 16
    assert len(new) <= 32, new


def test_submodules_come_when_they_are_used():
    code = (
        "import sys, moka; print('moka.nn' in sys.modules); moka.nn.Linear(1, 1); moka.optim.SGD; "
        "moka.data.DataLoader;"
        "moka.save; moka.load; moka.progress; moka.jit.trace; moka.safetensors.load; print('moka.nn' "
        "in sys.modules)"
    )
    assert run(code) == "False\nTrue\n"


def test_every_public_name_exists():
    for name in moka.__all__:
        assert getattr(moka, name) is not None or name == "none"
    assert set(moka.__all__) <= set(dir(moka))


def test_an_unknown_name_gets_a_hint():
    with pytest.raises(AttributeError, match="did you mean moka.manual_seed?"):
        getattr(moka, "manuel_seed")  # noqa: B009
    assert run(  # looked for only when the error is read
        "import sys, moka; print(hasattr(moka, 'manuel_seed'), 'difflib' in sys.modules)"
    ) == "False False\n"


def test_modules_say_what_is_public():
    from moka import autograd, checkpoint, data, jit, nn, optim, safetensors

    for module in (autograd, checkpoint, data, jit, nn, nn.functional, nn.init, nn.utils, optim, safetensors):
        assert module.__all__ and all(hasattr(module, name) for name in module.__all__), module.__name__
