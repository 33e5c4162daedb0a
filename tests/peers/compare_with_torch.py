#!/usr/bin/env python3
"""Runs torch's own operator samples through Moka and torch and compares values, types, errors and gradients.

It needs an environment with both, which ./dev peers makes. Not part of the test run: torch is asked for the
truth while operators are written, and is never a dependency.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import argparse
import collections
import csv
import dataclasses
import json
import sys
import traceback
import types
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

import moka

Counts = collections.Counter
FLOATS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}
TOLERANCE = {"float16": 4e-3, "bfloat16": 3e-2, "float32": 2e-5, "complex64": 2e-5}


# ---- between the two


def moka_dtype(dtype: torch.dtype) -> Any:
    return getattr(moka, str(dtype).removeprefix("torch."))


def to_moka(value: Any, requires_grad: bool = False) -> Any:
    """The same value made of Moka's objects; strides of tensors are kept."""
    if isinstance(value, torch.Tensor):
        plain = value.detach().resolve_conj().resolve_neg()
        if plain.dtype == torch.bfloat16:
            made = moka.from_numpy(plain.float().numpy().copy(order="K")).to(moka.bfloat16)
        elif 0 in plain.shape or any(s == 0 for s in plain.stride()):
            made = moka.from_numpy(plain.contiguous().numpy().copy())
        else:
            made = moka.from_numpy(plain.numpy().copy(order="K"))
        if requires_grad and (value.dtype in FLOATS or value.dtype.is_complex):
            made.requires_grad_(True)
        return made
    if isinstance(value, torch.dtype):
        return moka_dtype(value)
    if isinstance(value, torch.device):
        return str(value)
    if isinstance(value, torch.memory_format | torch.layout):
        return getattr(moka, str(value).removeprefix("torch."))
    if isinstance(value, torch.Size):
        return tuple(value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return tuple(to_moka(v, requires_grad) for v in value)
    if isinstance(value, list | tuple):
        return type(value)(to_moka(v, requires_grad) for v in value)
    if isinstance(value, dict):
        return {k: to_moka(v, requires_grad) for k, v in value.items()}
    return value


def tensors_in(value: Any, kind: type) -> list:
    if isinstance(value, kind):
        return [value]
    if isinstance(value, list | tuple):
        return [t for v in value for t in tensors_in(v, kind)]
    if isinstance(value, dict):
        return [t for v in value.values() for t in tensors_in(v, kind)]
    return []


def with_grad(value: Any) -> Any:
    """torch's sample with fresh leaves that require grad."""
    if isinstance(value, torch.Tensor):
        made = value.detach().clone()
        return made.requires_grad_(True) if made.dtype in FLOATS or made.dtype.is_complex else made
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return type(value)(with_grad(v) for v in value)
    if isinstance(value, dict):
        return {k: with_grad(v) for k, v in value.items()}
    return value


def array(t: Any) -> np.ndarray:
    if isinstance(t, torch.Tensor):
        t = t.detach().resolve_conj().resolve_neg()
        return (t.float() if t.dtype == torch.bfloat16 else t).numpy()
    t = t.detach()
    return (t.float() if t.dtype == moka.bfloat16 else t).numpy()


def difference(ours: Any, theirs: Any, loose: float = 1.0, values: bool = True) -> str:
    """Empty where two results agree; else what differs."""
    if isinstance(theirs, torch.Tensor):
        if not isinstance(ours, moka.Tensor):
            return f"expected a Tensor, got {type(ours).__name__}"
        want = str(theirs.dtype).removeprefix("torch.")
        if str(ours.dtype).removeprefix("moka.").removeprefix("torch.") != want:
            return f"dtype {ours.dtype}, expected {want}"
        if tuple(ours.shape) != tuple(theirs.shape):
            return f"shape {tuple(ours.shape)}, expected {tuple(theirs.shape)}"
        if not values or not theirs.numel():
            return ""
        tolerance = TOLERANCE.get(want, 1e-9) * loose
        a, b = array(ours), array(theirs)
        if not np.allclose(a, b, rtol=tolerance * 10, atol=tolerance, equal_nan=True):
            return f"values differ: {a.reshape(-1)[:4]} expected {b.reshape(-1)[:4]}"
        return ""
    if isinstance(theirs, list | tuple):
        if not isinstance(ours, list | tuple) or len(ours) != len(theirs):
            return f"expected {len(theirs)} results, got {type(ours).__name__}"
        pairs = zip(ours, theirs, strict=True)
        return next((d for d in (difference(a, b, loose, values) for a, b in pairs) if d), "")
    if isinstance(theirs, float | complex):
        return "" if not values or np.isclose(ours, theirs, equal_nan=True) else f"{ours}, expected {theirs}"
    return "" if not values or ours == theirs or isinstance(theirs, torch.dtype) else f"{ours} != {theirs}"


def resolve(path: str) -> Any:
    """Moka's function of that name, or the call of its own that its OpInfo makes."""
    if own := _own_calls.get(path):
        return own
    if path.startswith("__"):
        return getattr(moka.Tensor, path)
    found: Any = moka
    for part in path.split("."):
        found = getattr(found, part)
    return found


_own_calls: dict[str, Any] = {}


def _call(operator: Any, *args: Any, **kwargs: Any) -> Any:
    return operator(*args, **kwargs)


def use_own_call(op: Any) -> None:
    """Some OpInfos order arguments their own way: their function runs with moka in torch's place."""
    own = op.op
    if isinstance(own, types.FunctionType) and own.__module__.startswith("torch.testing"):
        names = {**own.__globals__, "torch": moka, "wrapper_set_seed": _call}
        _own_calls[op.name] = types.FunctionType(
            own.__code__, names, own.__name__, own.__defaults__, own.__closure__
        )
        _own_calls[op.name].__kwdefaults__ = own.__kwdefaults__
    else:
        _own_calls.pop(op.name, None)


def draws_random_numbers(op: Any) -> bool:
    """OpInfos that set a seed before every call look repeatable; their numbers are torch's own."""
    own = op.op
    return isinstance(own, types.FunctionType) and "wrapper_set_seed" in own.__code__.co_names


# ---- one operator


@dataclasses.dataclass
class Report:
    name: str
    passed: Counts = dataclasses.field(default_factory=Counts)
    total: Counts = dataclasses.field(default_factory=Counts)
    first: dict[str, str] = dataclasses.field(default_factory=dict)

    def check(self, kind: str, sample: Any, run: Any) -> None:
        """Counts one case; `run` returns what is wrong, or an empty text."""
        self.total[kind] += 1
        try:
            wrong = run()
        except Exception as error:  # noqa: BLE001  (any failure of ours is a finding)
            wrong = f"{type(error).__name__}: {error}"
            if isinstance(error, AttributeError) and "--trace" in sys.argv:
                traceback.print_exc()
        if not wrong:
            self.passed[kind] += 1
        elif kind not in self.first:
            self.first[kind] = f"{wrong}  [{describe(sample)}]"[:420]

    @property
    def good(self) -> bool:
        return bool(self.total) and self.passed == self.total

    def line(self) -> str:
        counts = " ".join(f"{k} {self.passed[k]}/{n}" for k, n in self.total.items())
        return f"{'ok  ' if self.good else 'FAIL'} {self.name}: {counts or 'no samples'}"


def describe(sample: Any) -> str:
    def short(v: Any) -> str:
        if isinstance(v, torch.Tensor):
            return f"{str(v.dtype)[6:]}{list(v.shape)}"
        if isinstance(v, list | tuple):
            return "(" + ", ".join(map(short, v)) + ")"
        return repr(v)[:60]

    words = [short(sample.input), *map(short, sample.args)]
    return ", ".join(words + [f"{k}={short(v)}" for k, v in sample.kwargs.items()])


def is_repeatable(op: Any, sample: Any) -> bool:
    torch.manual_seed(1)
    first = op(clone(sample.input), *clone(sample.args), **sample.kwargs)
    torch.manual_seed(2)
    second = op(clone(sample.input), *clone(sample.args), **sample.kwargs)
    pairs = zip(tensors_in(first, torch.Tensor), tensors_in(second, torch.Tensor), strict=True)
    return all(torch.equal(torch.nan_to_num(a), torch.nan_to_num(b)) for a, b in pairs)


def clone(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return type(value)(clone(v) for v in value)
    return value


def compare_operator(op: Any, options: argparse.Namespace) -> Report:
    name = op.name + (f" ({op.variant_test_name})" if op.variant_test_name else "")
    report = Report(name)
    use_own_call(op)
    random = draws_random_numbers(op)
    for dtype in op.dtypes:
        short = str(dtype).removeprefix("torch.")
        if short not in options.dtypes:
            continue
        samples = op.sample_inputs("cpu", dtype, requires_grad=False)
        for number, sample in enumerate(samples):
            if number >= options.samples:
                break
            try:
                expected = op(clone(sample.input), *clone(sample.args), **sample.kwargs)
                values = not random and is_repeatable(op, sample) and "empty" not in op.name
            except Exception:  # noqa: BLE001  (torch refuses its own sample: nothing to compare)
                continue
            compare_sample(report, op, sample, short, expected, values, options)
    if options.errors and op.error_inputs_func:
        for case in op.error_inputs("cpu"):
            report.check("error", case.sample_input, lambda case=case: wrong_error(op, case))
    return report


def compare_sample(
    report: Report, op: Any, sample: Any, short: str, expected: Any, values: bool, options: argparse.Namespace
) -> None:
    def given() -> tuple[Any, tuple, dict]:
        return to_moka(sample.input), to_moka(sample.args), to_moka(sample.kwargs)

    def function() -> str:
        x, args, keywords = given()
        return difference(resolve(op.name)(x, *args, **keywords), expected, values=values)

    report.check(short, sample, function)
    if op.method_variant and isinstance(sample.input, torch.Tensor):
        method = getattr(op.method_variant, "__name__", "")

        def as_method() -> str:
            x, args, keywords = given()
            return difference(getattr(x, method)(*args, **keywords), expected, values=values)

        if hasattr(torch.Tensor, method):
            report.check("method", sample, as_method)
    fits = isinstance(expected, torch.Tensor) and isinstance(sample.input, torch.Tensor)
    if op.inplace_variant and fits and expected.dtype == sample.input.dtype:
        in_place = getattr(op.inplace_variant, "__name__", "")
        if expected.shape == sample.input.shape and hasattr(torch.Tensor, in_place):

            def as_in_place() -> str:
                x, args, keywords = given()
                result = getattr(x, in_place)(*args, **keywords)
                same = result is x
                return difference(x, expected, values=values) if same else "is not the tensor itself"

            report.check("in_place", sample, as_in_place)
    if op.supports_out and isinstance(expected, torch.Tensor):

        def as_out() -> str:
            x, args, keywords = given()
            out = moka.empty(tuple(expected.shape), dtype=moka_dtype(expected.dtype))
            result = resolve(op.name)(x, *args, **keywords, out=out)
            same = result is out
            return difference(out, expected, values=values) if same else "is not the tensor given"

        report.check("out", sample, as_out)
    if short in ("float64", "complex128") and op.supports_autograd and values:
        report.check("gradient", sample, lambda: wrong_gradient(op, sample))


def wrong_gradient(op: Any, sample: Any) -> str:
    given = (sample.input, sample.args, sample.kwargs)
    theirs = [with_grad(v) for v in given]
    everywhere = True
    try:
        results = op(theirs[0], *theirs[1], **theirs[2])
    except RuntimeError as error:
        if "not differentiable with respect to argument" not in str(error):
            raise
        everywhere = False  # torch differentiates this operator by its first argument alone
        theirs = [with_grad(sample.input), *map(clone, given[1:])]
        results = op(theirs[0], *theirs[1], **theirs[2])
    outs = [t for t in tensors_in(results, torch.Tensor) if t.requires_grad]
    if not outs or sample.kwargs.get("sparse"):  # gradients that torch keeps sparse
        return ""
    weights = [torch.randn_like(t) for t in outs]
    leaves = [t for t in tensors_in(theirs, torch.Tensor) if t.requires_grad]
    try:
        expected = torch.autograd.grad(outs, leaves, weights, allow_unused=True)
    except RuntimeError as error:
        if "is not implemented" in str(error):  # torch has none: nothing to compare
            return ""
        raise
    # torch's zeros without memory become numbers
    expected = [None if e is None else e + torch.zeros_like(e) for e in expected]
    ours = [to_moka(v, everywhere or k == 0) for k, v in enumerate(given)]
    results = tensors_in(resolve(op.name)(ours[0], *ours[1], **ours[2]), moka.Tensor)
    made = [t for t in results if t.requires_grad]
    if len(made) != len(outs):
        return f"{len(made)} results require grad, expected {len(outs)}"
    inputs = [t for t in tensors_in(ours, moka.Tensor) if t.requires_grad]
    got = moka.autograd.grad(made, inputs, [to_moka(w) for w in weights], allow_unused=True)
    for g, e in zip(got, expected, strict=True):
        if e is None or g is None:
            given = g if e is None else e
            if given is not None and float(given.abs().sum()) != 0:
                return f"gradient is {g}, expected {e}"
        elif wrong := difference(g, e, loose=100):
            return f"gradient: {wrong}"
    return ""


def wrong_error(op: Any, case: Any) -> str:
    sample = case.sample_input
    try:
        x, args, keywords = to_moka(sample.input), to_moka(sample.args), to_moka(sample.kwargs)
        resolve(op.name)(x, *args, **keywords)
    except case.error_type:
        return ""
    except (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError) as error:
        wanted = case.error_type if isinstance(case.error_type, tuple) else (case.error_type,)
        names = "/".join(t.__name__ for t in wanted)
        return f"{type(error).__name__} ({error}), expected {names}: {case.error_regex}"
    return f"no error, expected {case.error_regex}"


# ---- the command


def operators(options: argparse.Namespace) -> list[Report]:
    from torch.testing._internal.common_methods_invocations import op_db

    wanted = set(options.names)
    if options.table:
        with options.table.open() as file:
            for row in csv.DictReader(file, delimiter="\t"):
                if row["core400"] != "yes" and not options.all:
                    continue
                if row["family"] in (options.family or [row["family"]]):
                    wanted.add(row["opinfo"])
                    wanted.add(row["name"].removeprefix("torch."))
    reports = []
    for op in op_db:
        if wanted and op.name not in wanted:
            continue
        report = compare_operator(op, options)
        reports.append(report)
        print(report.line(), flush=True)
        for kind, text in report.first.items():
            print(f"       {kind}: {text}", flush=True)
    return reports


def main() -> None:
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    parser.add_argument("names", nargs="*", help="operators by torch's OpInfo name; none: all")
    parser.add_argument("--table", type=Path, help="torch_core_ops.tsv: its core 400")
    parser.add_argument("--all", action="store_true", help="with --table: every row of it")
    parser.add_argument("--family", action="append", help="with --table: only this family")
    parser.add_argument("--dtypes", default="float32,float64,int64,bool", type=lambda s: s.split(","))
    parser.add_argument("--samples", type=int, default=40, help="at most so many an operator and dtype")
    parser.add_argument("--no-errors", dest="errors", action="store_false", help="without bad inputs")
    parser.add_argument("--trace", action="store_true", help="print tracebacks of AttributeErrors")
    parser.add_argument("--output", type=Path, help="write the counts here as JSON")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    reports = operators(options)
    good = sum(r.good for r in reports)
    cases = sum(sum(r.passed.values()) for r in reports), sum(sum(r.total.values()) for r in reports)
    print(f"{good} of {len(reports)} operators agree in everything; {cases[0]} of {cases[1]} cases")
    if options.output:
        told = {r.name: {"passed": r.passed, "total": r.total, "first": r.first} for r in reports}
        options.output.write_text(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
