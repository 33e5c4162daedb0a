"""The command of the package: python -m moka, also installed as `moka`."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["main"]

_HERE = Path(__file__).absolute().parent  # (not resolved: a build links the package into a tree of its own)
_NATIVE = ("run", "test", "profile", "info", "build", "convert")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="moka",
        description="Models at the command line; run, test, profile, info, build and convert are native.",
        epilog="Example:  moka run model.moka --input images.npy --output logits.npy",
    )
    parser.add_argument("--version", action="store_true", help="print the version")
    parser.add_argument("--cmake-dir", action="store_true", help="print the folder for CMake's Moka_DIR")
    commands = parser.add_subparsers(dest="command", metavar="command")
    commands.add_parser("run", help="run a model (.moka, .onnx, NetDef) on .npy files", add_help=False)
    commands.add_parser("test", help="run models on the test data beside them", add_help=False)
    commands.add_parser("profile", help="say where the time of a model goes, step by step", add_help=False)
    commands.add_parser("info", help="say what is in a model, a checkpoint or a weights file", add_help=False)
    commands.add_parser("build", help="put compiled code and plans into a package", add_help=False)
    commands.add_parser("convert", help="write a model or weights in another format", add_help=False)
    commands.add_parser("diff", help="run two models and name the first value that differs", add_help=False)
    commands.add_parser(
        "annotate", help="show a program's lines with time, shapes and kernels", add_help=False
    )
    doctor = commands.add_parser("doctor", help="check this installation and say what is wrong")
    doctor.add_argument("--json", action="store_true", help="print JSON")
    commands.add_parser("coverage", help="what every operator supports", add_help=False)
    return parser


def _native_program() -> Path | None:
    path = _HERE / "bin" / "moka"
    return path if path.is_file() and os.access(path, os.X_OK) else None


def _run_native(arguments: Sequence[str]) -> int:
    program = _native_program()
    if program is None:
        print(
            f"moka: the native program is not in {_HERE / 'bin'}; build or install it with Moka",
            file=sys.stderr,
        )
        return 2
    sys.stdout.flush()
    os.execv(program, [str(program), *arguments])


def _info(path: str) -> int:
    """Weights files, which the native program does not read."""
    from . import safetensors

    try:
        with open(path, "rb") as file:
            entries, metadata, _ = safetensors.read_header(file, path)
    except (OSError, ValueError) as error:
        print(f"moka info: {error}", file=sys.stderr)
        return 1
    kind = "checkpoint of moka.save" if "moka.format" in metadata else "safetensors file"
    size = sum(entry.end - entry.begin for entry in entries.values())
    print(f"{path}: {kind}, {len(entries)} tensors, {size / 1e6:.2f} MB")
    width = max((len(name) for name in entries), default=0)
    for name in sorted(entries):
        entry = entries[name]
        print(f"  {name:<{width}}  {entry.dtype:<5} {list(entry.shape)}")
    return 0


def _is_weights(path: str) -> bool:
    """Whether a file begins as safetensors do: eight bytes of length, then "{"."""
    try:
        with open(path, "rb") as file:
            head = file.read(9)
    except OSError:
        return False
    return len(head) == 9 and head[8:] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["info"] and len(words) == 2 and _is_weights(words[1]):
        return _info(words[1])
    if words[:1] == ["convert"]:
        from . import conversion

        if conversion.serves(words[1:]):
            return conversion.main(words[1:])
    if words[:1] == ["diff"]:
        from .onnx import difference

        return difference.main(words[1:])
    if words[:1] == ["annotate"]:
        from . import annotate

        return annotate.main(words[1:])
    if words and words[0] in _NATIVE:
        return _run_native(words)
    if words[:1] == ["coverage"]:
        from . import coverage

        return coverage.main(words[1:])
    parser = _parser()
    options = parser.parse_args(words)
    if options.version:
        from . import __version__

        print(f"moka {__version__}")
    elif options.cmake_dir:
        folder = _HERE / "lib" / "cmake" / "Moka"
        if not (folder / "MokaConfig.cmake").is_file():
            print(
                f"moka: there is no MokaConfig.cmake in {folder}; this is not an installed package",
                file=sys.stderr,
            )
            return 1
        print(folder)
    elif options.command == "doctor":
        from . import doctor

        return doctor.main(json_output=options.json)
    else:
        parser.print_help()
        return 0 if not words else 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
