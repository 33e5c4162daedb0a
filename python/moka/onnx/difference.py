"""moka diff: two models on the same inputs, and the first value that differs."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .. import _C
from . import _BITS, Model, load

__all__ = ["Difference", "compare", "main"]


@dataclass
class Difference:
    """One value of both models: the largest difference, absolute and relative to the largest value."""

    name: str
    made_by: str
    absolute: float
    relative: float
    note: str = ""

    @property
    def text(self) -> str:
        """For people."""
        maker = f" (made by {self.made_by})" if self.made_by else ""
        return f"{self.name}{maker}: {self.note or f'{self.absolute:.3g}, relative {self.relative:.3g}'}"


def compare(
    a: Model, b: Model, inputs: Mapping[str, Any] | Sequence[Any], tolerance: float = 1e-4
) -> tuple[list[Difference], Difference | None]:
    """The outputs that differ by more than `tolerance` (relative to their largest value), and the first value
    on the way to them that does, among those that have one name in both models."""
    given = list(inputs.values()) if isinstance(inputs, Mapping) else list(inputs)
    if len(a.output_names) != len(b.output_names):
        raise ValueError(
            f"diff: the models have {len(a.output_names)} and {len(b.output_names)} outputs: "
            f"{', '.join(a.output_names)}; {', '.join(b.output_names)}"
        )
    makers = _makers(a)
    outputs = []
    for name, x, y in zip(a.output_names, a.run(given), b.run(given), strict=True):
        found = _difference(name, makers.get(name, ""), x, y)
        if not found.relative <= tolerance:
            outputs.append(found)
    if not outputs:
        return [], None
    skip = set(a.input_names) | set(a.graph.states)
    common = [name for name in a.values if name in b.values and name not in skip]
    # Values come in the order in which they are made: the first that differs is where the models part.
    for start in range(0, len(common), 64):
        names = common[start : start + 64]
        pairs = zip(names, a.run(given, outputs=names), b.run(given, outputs=names), strict=True)
        for name, x, y in pairs:
            found = _difference(name, makers.get(name, ""), x, y)
            if not found.relative <= tolerance:
                return outputs, found
    return outputs, None


def _makers(model: Model) -> dict[str, str]:
    """The operator and place that make a value."""
    out: dict[str, str] = {}
    for node in model.graph.nodes():
        place = f" {node['scope']}" if node["scope"] else ""
        for name in node.get("output_names", ()):
            out[name] = f"{node['op']}{place}"
    return out


def _difference(name: str, maker: str, x: Any, y: Any) -> Difference:
    import numpy as np

    if isinstance(x, list) or isinstance(y, list):
        if not (isinstance(x, list) and isinstance(y, list) and len(x) == len(y)):
            return Difference(name, maker, np.inf, np.inf, "lists of different lengths")
        parts = [_difference(name, maker, p, q) for p, q in zip(x, y, strict=True)]
        return max(parts, key=lambda part: part.relative, default=Difference(name, maker, 0, 0))
    x, y = np.asarray(x), np.asarray(y)
    if x.shape != y.shape:
        return Difference(name, maker, np.inf, np.inf, f"shapes {list(x.shape)} and {list(y.shape)}")
    if x.dtype.kind in "OUS" or y.dtype.kind in "OUS":
        same = bool((x == y).all())
        return Difference(
            name, maker, 0.0 if same else np.inf, 0.0 if same else np.inf, "" if same else "texts"
        )
    if not x.size:
        return Difference(name, maker, 0, 0)
    wide = np.complex128 if x.dtype.kind == "c" or y.dtype.kind == "c" else np.float64
    x, y = x.astype(wide), y.astype(wide)
    with np.errstate(invalid="ignore"):  # inf less inf
        apart = np.where((x == y) | (np.isnan(x) & np.isnan(y)), 0, np.abs(x - y))
    largest = float(np.max(apart)) if not np.isnan(apart).any() else float("inf")
    finite = np.abs(np.where(np.isfinite(x), x, 0))
    return Difference(name, maker, largest, largest / max(float(finite.max()), 1e-12) if largest else 0.0)


def random_inputs(
    model: Model, size: int = 1, seed: int = 0, skip: Container[str] = ()
) -> dict[str, Any]:
    """Arrays of the declared types; sizes that are open become `size`. None is made for those in `skip`."""
    import numpy as np

    rng = np.random.default_rng(seed)
    out = {}
    for name, text in model.inputs.items():
        if name in skip:
            continue
        kind, _, sizes = text.rstrip("]?").partition("[")
        if kind in ("", "tensor") or sizes == "...":
            raise ValueError(
                f"diff: input {name!r} is {text}; give it as an array with --input {name}=FILE.npy"
            )
        shape = [int(s) if re.fullmatch(r"\d+", s) else size for s in sizes.replace(" ", "").split(",") if s]
        out[name] = _random_array(name, kind, shape, rng)
    return out


def _random_array(name: str, kind: str, shape: list[int], rng: Any) -> Any:
    import numpy as np

    if kind == "string":
        raise ValueError(f"diff: input {name!r} is of strings; give it with --input {name}=FILE.npy")
    if kind == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    if kind in _BITS:  # NumPy's own "int4" has 4 bytes
        import ml_dtypes

        dtype = np.dtype(getattr(ml_dtypes, kind))
    else:
        dtype = np.dtype(kind)
    if "int" in kind:
        return rng.integers(0, 2, shape).astype(dtype)
    if dtype.kind == "c":
        return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)


def _load(path: str) -> Model:
    if path.endswith(".moka"):
        return Model(_C._package_load(path)[0])
    return load(path)


def _plain(found: Difference) -> dict[str, Any]:
    """For JSON, which has neither inf nor nan."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in vars(found).items()
    }


def main(arguments: Sequence[str]) -> int:
    """The command: 0 when the models agree, 1 when they differ, 2 for wrong usage."""
    import numpy as np

    parser = argparse.ArgumentParser(
        prog="moka diff",
        description="Run two models (.onnx, .moka) on the same inputs and compare what they give. Where "
        "outputs differ, values between that have one name in both are compared in the order in which they "
        "are made, and the first that differs is named.",
        epilog="Example:  moka diff trained.onnx quantized.onnx --input image=cat.npy --tolerance 1e-2",
    )
    parser.add_argument("a", help="the model to compare with")
    parser.add_argument("b", help="the model that is compared")
    parser.add_argument(
        "-i",
        "--input",
        action="append",
        default=[],
        metavar="[NAME=]FILE",
        help="an input as .npy; else random",
    )
    parser.add_argument("--size", type=int, default=1, help="what open sizes become in random inputs (1)")
    parser.add_argument("--seed", type=int, default=0, help="of random inputs (0)")
    parser.add_argument("--tolerance", type=float, default=1e-4, help="relative to the largest value (1e-4)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    try:
        a, b = _load(options.a), _load(options.b)
        files = [pair.rpartition("=") for pair in options.input]
        if len(files) > len(a.input_names):
            names = ", ".join(a.input_names)
            raise ValueError(f"{len(files)} inputs were given, {options.a} has {len(a.input_names)}: {names}")
        wrong = [name for name, _, _ in files if name and name not in a.input_names]
        if wrong:
            raise ValueError(f"there is no input {wrong[0]!r}; inputs are {', '.join(a.input_names)}")
        given = {
            name or a.input_names[i]: np.load(file, allow_pickle=False)
            for i, (name, _, file) in enumerate(files)
        }
        inputs = random_inputs(a, options.size, options.seed, skip=given) | given
        outputs, first = compare(a, b, [inputs[name] for name in a.input_names], options.tolerance)
    except (OSError, ValueError, TypeError, RuntimeError, MemoryError) as error:
        print(f"moka diff: {error}", file=sys.stderr)
        return 2
    if options.json:
        answer = {"outputs": [_plain(o) for o in outputs], "first": _plain(first) if first else None}
        print(json.dumps(answer))
    elif not outputs:
        print(f"the outputs agree within {options.tolerance:g}: {', '.join(a.output_names)}")
    else:
        for found in outputs:
            print(f"output {found.text}")
        print(
            f"first difference: {first.text}"
            if first
            else "no value between has one name in both models and differs"
        )
    return 1 if outputs else 0
