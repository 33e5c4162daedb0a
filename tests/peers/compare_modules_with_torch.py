#!/usr/bin/env python3
"""Runs torch's own module samples through Moka's modules and torch's: state, results and gradients
must agree.

It needs an environment with both, as compare_with_torch.py, whose conversions and comparisons it uses.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import argparse
import functools
import warnings
from pathlib import Path
from typing import Any

import torch
from compare_with_torch import Report, difference, tensors_in, to_moka

import moka


def record_arguments() -> None:
    """Let torch's modules remember what they were made with, for those that take other modules."""
    for cls in (torch.nn.TransformerEncoderLayer, torch.nn.TransformerDecoderLayer, torch.nn.LayerNorm):
        made = cls.__init__

        @functools.wraps(made)
        def init(self: Any, *args: Any, made: Any = made, **keywords: Any) -> None:
            made(self, *args, **keywords)
            self.__dict__.setdefault("made_with", (args, keywords))

        cls.__init__ = init


def convert(value: Any, grad: bool = False) -> Any:
    """The same value made of Moka's objects; modules and functions by their names."""
    if isinstance(value, torch.nn.Module):
        args, keywords = value.made_with
        return getattr(moka.nn, type(value).__name__)(*convert(args), **convert(keywords))
    if isinstance(value, torch.nn.utils.rnn.PackedSequence):
        return moka.nn.utils.rnn.PackedSequence(*(convert(v, grad) for v in value))
    if isinstance(value, torch.nn.Parameter):
        return moka.nn.Parameter(to_moka(value))
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return type(value)(convert(v, grad) for v in value)
    if isinstance(value, dict):
        return {k: convert(v, grad) for k, v in value.items()}
    if callable(value) and getattr(torch.nn.functional, getattr(value, "__name__", ""), None) is value:
        return getattr(moka.nn.functional, value.__name__)
    if isinstance(value, torch.Tensor):
        return to_moka(value, grad and value.requires_grad)
    return to_moka(value)


def fresh(value: Any) -> Any:
    """The same sample with leaves of its own."""
    if isinstance(value, torch.nn.utils.rnn.PackedSequence):
        return type(value)(*(fresh(v) for v in value))
    if isinstance(value, torch.Tensor):
        return value.detach().clone().requires_grad_(value.requires_grad)
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return type(value)(fresh(v) for v in value)
    if isinstance(value, dict):
        return {k: fresh(v) for k, v in value.items()}
    return value


def plain(value: Any) -> Any:
    """Results as tuples and tensors."""
    if isinstance(value, torch.nn.utils.rnn.PackedSequence | moka.nn.utils.rnn.PackedSequence):
        return value.data
    if isinstance(value, list | tuple):
        return tuple(plain(v) for v in value)
    return value


class Pair:
    """One sample in both libraries."""

    def __init__(self, info: Any, sample: Any, training: bool) -> None:
        made, self.given = sample.constructor_input, sample.forward_input
        torch.manual_seed(0)
        self.theirs = info.module_cls(*made.args, **made.kwargs).train(training)
        cls = getattr(moka.nn, info.module_cls.__name__)
        self.ours = cls(*convert(made.args), **convert(made.kwargs)).train(training)
        self.lazy = any(
            isinstance(p, torch.nn.parameter.UninitializedParameter) for p in self.theirs.parameters()
        )

    def run_theirs(self, given: Any) -> Any:
        return self.theirs(*given.args, **given.kwargs)

    def compare(self) -> str:
        if not self.lazy:
            state = {k: to_moka(v) for k, v in self.theirs.state_dict().items()}
            self.ours.load_state_dict(state)
        before = {k: v.clone() for k, v in self.theirs.state_dict().items()} if not self.lazy else None
        args, keywords = fresh(self.given.args), fresh(self.given.kwargs)
        torch.manual_seed(1)
        first = plain(self.theirs(*args, **keywords))
        values = True
        if before is not None:
            self.theirs.load_state_dict(before)
            args, keywords = fresh(self.given.args), fresh(self.given.kwargs)
            torch.manual_seed(2)
            again = plain(self.theirs(*args, **keywords))
            pairs = zip(tensors_in(first, torch.Tensor), tensors_in(again, torch.Tensor), strict=True)
            values = all(torch.allclose(a, b, equal_nan=True) for a, b in pairs)
            first = again
        our_args, our_keywords = convert(self.given.args, True), convert(self.given.kwargs, True)
        if self.lazy:
            self.ours(*our_args, **our_keywords)
            state = {k: to_moka(v) for k, v in self.theirs.state_dict().items()}
            self.ours.load_state_dict(state)
        results = plain(self.ours(*our_args, **our_keywords))
        if wrong := difference(results, first, loose=10, values=values):
            return wrong
        if not values:
            return ""
        for name, buffer in self.theirs.named_buffers():
            if wrong := difference(dict(self.ours.named_buffers())[name], buffer, loose=10):
                return f"buffer {name}: {wrong}"
        return self.gradients(first, results, (args, keywords), (our_args, our_keywords))

    def gradients(self, first: Any, results: Any, given: Any, our_given: Any) -> str:
        outs = [t for t in tensors_in(first, torch.Tensor) if t.requires_grad]
        made = [t for t in tensors_in(results, moka.Tensor) if t.requires_grad]
        if len(outs) != len(made):
            return f"{len(made)} results require grad, expected {len(outs)}"
        if not outs:
            return ""
        weights = [torch.randn_like(t) for t in outs]
        leaves = [(f"input {i}", t) for i, t in enumerate(tensors_in(given, torch.Tensor)) if t.requires_grad]
        ours = [t for t in tensors_in(our_given, moka.Tensor) if t.requires_grad]
        leaves += [(n, p) for n, p in self.theirs.named_parameters() if p.requires_grad]
        ours += [p for p in self.ours.parameters() if p.requires_grad]
        if len(leaves) != len(ours):
            return f"{len(ours)} leaves require grad, expected {len(leaves)}"
        expected = torch.autograd.grad(outs, [t for _, t in leaves], weights, allow_unused=True)
        got = moka.autograd.grad(made, ours, [to_moka(w) for w in weights], allow_unused=True)
        for (name, _), g, e in zip(leaves, got, expected, strict=True):
            if e is None or g is None:
                rest = g if e is None else e
                if rest is not None and float(rest.abs().sum()) != 0:
                    return f"gradient of {name} is {g}, expected {e}"
            elif wrong := difference(g, e, loose=1000):
                return f"gradient of {name}: {wrong}"
        return ""


class Sample:
    """What Report.check describes."""

    def __init__(self, sample: Any) -> None:
        self.input = sample.desc or ""
        self.args = (*sample.constructor_input.args, *sample.forward_input.args)
        self.kwargs = {**sample.constructor_input.kwargs, **sample.forward_input.kwargs}


def compare_module(info: Any, options: argparse.Namespace) -> Report:
    report = Report(info.name.removeprefix("nn."))
    for name in options.dtypes:
        dtype = getattr(torch, name)
        if dtype not in info.dtypes:
            continue
        for training in (True, False):
            kind = f"{name} {'train' if training else 'eval'}"
            samples = info.module_inputs_func(info, "cpu", dtype, True, training)
            for sample in samples[: options.samples]:
                if sample.forward_input is None:
                    continue
                try:
                    torch.manual_seed(0)
                    made = sample.constructor_input
                    module = info.module_cls(*made.args, **made.kwargs).train(training)
                    given = fresh(sample.forward_input.args), fresh(sample.forward_input.kwargs)
                    module(*given[0], **given[1])
                except Exception:  # noqa: BLE001  (torch refuses its own sample: nothing to compare)
                    continue
                report.check(kind, Sample(sample), lambda s=sample, t=training: Pair(info, s, t).compare())
    return report


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="modules by name, Conv2d; none: all")
    parser.add_argument("--dtypes", default="float64,float32", type=lambda s: s.split(","))
    parser.add_argument("--samples", type=int, default=40, help="at most so many a module, dtype and mode")
    parser.add_argument("--output", type=Path, help="write the lines here too")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    record_arguments()
    from torch.testing._internal.common_modules import module_db

    reports = []
    for info in module_db:
        if options.names and info.name.removeprefix("nn.") not in options.names:
            continue
        report = compare_module(info, options)
        reports.append(report)
        print(report.line(), flush=True)
        for kind, text in report.first.items():
            print(f"       {kind}: {text}", flush=True)
    good = sum(r.good for r in reports)
    cases = sum(sum(r.passed.values()) for r in reports), sum(sum(r.total.values()) for r in reports)
    print(f"{good} of {len(reports)} modules agree in everything; {cases[0]} of {cases[1]} cases")
    if options.output:
        options.output.write_text("\n".join(r.line() for r in reports) + "\n")


if __name__ == "__main__":
    main()
