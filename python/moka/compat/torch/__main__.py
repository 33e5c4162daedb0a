"""python -m moka.compat.torch program.py arguments...: runs a program in which `import torch` gives Moka."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

from . import install

USAGE = """usage: python -m moka.compat.torch PROGRAM [ARGUMENT ...]
       python -m moka.compat.torch -m MODULE [ARGUMENT ...]

Runs a Python program in which `import torch` gives Moka."""


def _hand_down() -> None:
    """Let processes that the program starts find Moka as torch too."""
    shim = str(Path(__file__).resolve().parent / "shim")
    sys.path.append(shim)  # processes that multiprocessing spawns take sys.path over
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = f"{shim}{os.pathsep}{before}" if before else shim


def main() -> int:
    """Run the program that the command line names, as its main module."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE)
        return 0 if arguments else 2
    install()
    _hand_down()
    if arguments[0] == "-m":
        if len(arguments) < 2:
            print("moka.compat.torch: -m needs the name of a module", file=sys.stderr)
            return 2
        sys.argv = arguments[1:]
        sys.path.insert(0, "")
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        return 0
    program = Path(arguments[0])
    if not program.is_file():
        print(f"moka.compat.torch: there is no program {str(program)!r}", file=sys.stderr)
        return 2
    sys.argv = arguments
    sys.path.insert(0, str(program.resolve().parent))
    runpy.run_path(str(program), run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main())
