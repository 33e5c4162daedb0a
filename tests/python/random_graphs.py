"""Random programs over the operator table: calls, views, writes in place, weights and states."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import moka
from moka import _C, nn

from .call_programs import Program, Ref, Step

__all__ = ["random_program"]

_UNSPECIFIED = ("empty", "new_empty", "string_", "lookup", "decode_image", "ngram_counts", "_unique")
_BLOCKED = ("block_channels", "unblock_channels", "pack_filters", "conv2d_blocked", "max_pool2d_blocked",
            "pack_winograd", "conv2d_winograd")
# Their results are not determined (order of equal values, bases of spaces, signs of factors).
_FREE = (
    *("bucketize", "searchsorted"),  # of boundaries in no order
    *("linalg_qr", "qr", "linalg_eig", "linalg_eigh", "linalg_svd", "svd", "geqrf", "lstsq_parts"),
    *("fractional_max_pool2d", "fractional_max_pool3d", "native_dropout", "resize_"),
    "permute_inverse",  # a derivative's own
    "linalg_inv_ex",  # ONNX has no inverse of singular matrices
)
_MOST = 1e4  # values beyond it are not kept: they hide what later operators do
_LARGEST = 4096  # elements


def _usable(op: dict[str, Any]) -> bool:
    name = op["base"]
    return not (
        op["random"]
        or not op["samples"]
        or name.startswith(_UNSPECIFIED)
        or name in _BLOCKED
        or name in _FREE
        or name.endswith("_backward")
        or any(a["type"].startswith("str") or a["type"] == "Any?" for a in op["args"])
    )


_TABLE = [op for op in _C._op_table() if _usable(op)]
_POINTWISE = [op for op in _TABLE if op["kind"] == "formula" and not op["base"].endswith("_")]
_VIEWS = [op for op in _TABLE if op["kind"] == "view"]


def random_program(seed: int, largest: int = 30) -> Program:
    """A valid program of 1 to `largest` calls; the same for the same seed."""
    return _Maker(seed).make(largest)


class _Maker:
    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng([2, seed])
        self.program = Program().eval()
        self.values: list[Any] = []
        self.weights: list[Ref] = []

    def pick(self, items: Any) -> Any:
        return items[int(self.rng.integers(len(items)))]

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def make(self, largest: int) -> Program:
        program = self.program
        program.inputs = [moka.tensor(self.input_array(i)) for i in range(int(self.rng.integers(1, 4)))]
        count = int(self.rng.integers(1, largest + 1))
        self.largest = count
        self.values = self.copies()
        attempts = 0
        while len(program.steps) < count and attempts < 10 * count:
            attempts += 1
            self.add_step()
        program.results = [Ref(len(self.values) - 1)]
        program.results += [
            Ref(int(self.rng.integers(len(self.values)))) for _ in range(int(self.rng.integers(4)))
        ]
        if self.weights and self.chance(0.05):
            program.results.append(self.pick(self.weights))
        return program

    def copies(self) -> list[Any]:
        return [value.clone() for value in self.program.inputs]

    def input_array(self, i: int) -> np.ndarray:
        shape = tuple(int(n) for n in self.rng.integers(1, 6, int(self.rng.integers(1, 5))))
        kind = self.rng.random() if i else 1.0
        if kind < 0.1:
            return self.rng.integers(-4, 5, shape)
        if kind < 0.15:
            return self.rng.integers(0, 2, shape).astype(bool)
        return self.rng.normal(size=shape).astype(np.float64 if kind < 0.2 else np.float32)

    def weight(self, *shape: int, positive: bool = False) -> Ref:
        """A parameter of the program; one that is there may serve again."""
        same = [ref for ref in self.weights if tuple(self.of(ref).shape) == shape]
        if same and not positive and self.chance(0.2):
            return self.pick(same)
        array = self.rng.normal(size=shape) / np.sqrt(max(1, int(np.prod(shape[1:], dtype=int))))
        array = np.abs(array) + 0.5 if positive else array
        ref = Ref(-1, f"weight{len(self.weights)}")
        setattr(self.program, ref.weight, nn.Parameter(moka.tensor(array.astype(np.float32))))
        self.weights.append(ref)
        return ref

    # ---- one step

    def add_step(self) -> None:
        if self.chance(0.02):
            way: Callable[[], None] = self.state_step
            return self.attempt(way)
        kind = self.rng.random()
        way = (
            self.table_step
            if kind < 0.45
            else self.pointwise_step
            if kind < 0.65
            else self.network_step
            if kind < 0.82
            else self.view_step
            if kind < 0.9
            else self.written_step
        )
        self.attempt(way)

    def attempt(self, way: Callable[[], None]) -> None:
        """A step that turns out not to be valid leaves nothing behind."""
        before = len(self.program.steps), len(self.values)
        try:
            way()
        except (
            _Unfit,
            RuntimeError,
            ValueError,
            TypeError,
            IndexError,
            NotImplementedError,
            ArithmeticError,
        ):
            del self.program.steps[before[0] :], self.values[before[1] :]
            if way in (self.written_step, self.state_step):
                self.refresh()

    def refresh(self) -> None:
        """The values as they are at the end of the program."""
        with moka.no_grad():
            self.program.reset()
            self.values = self.program.values_of(self.copies())

    def do(self, text: str, call: Callable[..., Any], *args: Any, **kwargs: Any) -> list[Ref]:
        """Run a step; it stays only if all its results are fit for further use."""
        step = Step(text, call, list(args), kwargs)
        with moka.no_grad():
            made = list(step.run(self.program, self.values))
        if not made or len(self.program.steps) == self.largest:
            raise _Unfit
        for value in made:
            if not _fit(value):
                raise _Unfit
        self.program.steps.append(step)
        first = len(self.values)
        self.values += made
        return [Ref(first + i) for i in range(len(made))]

    def operator(self, name: str, *args: Any, **kwargs: Any) -> Ref:
        return self.do(name, _C._operators[name], *args, **kwargs)[0]

    def value(self, fits: Callable[[Any], bool] = lambda value: True) -> Ref:
        """A value, later ones more likely."""
        places = [i for i, value in enumerate(self.values) if fits(value)]
        if not places:
            raise _Unfit
        back = min(int(self.rng.geometric(0.25)) - 1, len(places) - 1)
        return Ref(places[-1 - back] if self.chance(0.7) else self.pick(places))

    def of(self, ref: Ref) -> Any:
        return getattr(self.program, ref.weight) if ref.weight else self.values[ref.index]

    def floats(self) -> Ref:
        return self.value(lambda value: value.dtype in (moka.float32, moka.float64))

    def literal(self, array: np.ndarray) -> Ref:
        """A constant that the program makes itself."""
        return self.do(f"constant {list(array.shape)}", lambda: moka.tensor(array))[0]

    # ---- operators of the table, on values as they are or made to measure

    def table_step(self) -> None:
        op = self.pick(_TABLE)
        sample = self.pick(op["samples"])
        free = self.chance(0.4)
        shapes = [None if t is None else tuple(t[0]) for t in sample["tensors"]]
        tensors: list[Any] = []
        for i, wanted in enumerate(sample["tensors"]):
            if wanted is None:
                tensors.append(None)
            elif free and wanted[1] in ("real", "distinct", "integer", "positive") and i == 0:
                tensors.append(self.value())
            elif free and wanted[1] in ("real", "distinct", "integer", "positive") and shapes[i] == shapes[0]:
                shape = tuple(self.of(tensors[0]).shape)
                tensors.append(self.value(lambda value, shape=shape: tuple(value.shape) == shape))
            else:
                tensors.append(self.measured(*wanted))
        self.call_op(op, sample, tensors)

    def call_op(self, op: dict[str, Any], sample: dict[str, Any], tensors: list[Any]) -> None:
        settings = dict(sample["settings"])
        rest: list[Any] = [tensors] if sample["list"] else list(tensors)
        args: list[Any] = []
        for a in op["args"]:
            if a["keyword_only"]:
                continue
            if a["name"] in settings:
                args.append(settings.pop(a["name"]))
            elif (a["tensor"] or sample["list"]) and rest:
                args.append(rest.pop(0))
            else:
                break
        if rest:
            raise _Unfit
        call = _C._operators[op["base"]]
        if op["base"].endswith("_") or op["base"] == "copy_":
            args[0] = self.operator("clone", args[0])
        self.do(op["name"], call, *args, **settings)

    def measured(self, shape: tuple[int, ...], domain: str, limit: int) -> Ref:
        """A tensor of this shape and domain: a weight, a constant, or made of another value."""
        size = int(np.prod(shape, dtype=int))
        if domain == "index":
            return self.literal(self.rng.integers(0, max(limit, 1), shape))
        if domain == "boolean":
            return self.operator("gt", self.measured(shape, "real", limit), 0.0)
        if size == 0 or self.chance(0.2):
            return self.literal(self.ranged(self.rng.normal(size=shape), domain).astype(np.float32))
        same = [i for i, v in enumerate(self.values) if tuple(v.shape) == shape and v.dtype == moka.float32]
        if same and self.chance(0.5):
            source = Ref(self.pick(same))
        else:
            source = self.value(lambda value: value.numel() > 0 and value.dtype in (moka.float32, moka.int64))
            if self.of(source).dtype != moka.float32:
                source = self.operator("to", source, dtype=moka.float32)
            source = self.operator("reshape", source, [-1])
            have = self.of(source).numel()
            if have < size:
                source = self.operator("repeat", source, [-(-size // have)])
                have = self.of(source).numel()
            if have > size:
                source = self.operator("narrow", source, 0, int(self.rng.integers(have - size + 1)), size)
            source = self.operator("reshape", source, list(shape))
        if domain == "positive":
            return self.operator("add", self.operator("abs", source), 0.3)
        if domain == "unit":
            return self.operator("mul", self.operator("tanh", source), 0.9)
        if domain == "probability":
            return self.operator("add", self.operator("mul", self.operator("sigmoid", source), 0.9), 0.05)
        if domain == "integer":
            return self.operator("clamp", self.operator("round", source), -3.0, 3.0)
        return source

    @staticmethod
    def ranged(x: np.ndarray, domain: str) -> np.ndarray:
        if domain == "positive":
            return np.abs(x) + 0.3
        if domain == "unit":
            return 0.9 * np.tanh(x)
        if domain == "probability":
            return 0.05 + 0.9 / (1 + np.exp(-x))
        return np.clip(np.round(x), -3, 3) if domain == "integer" else x

    def pointwise_step(self) -> None:
        """A formula over whatever broadcasts."""
        op = self.pick(_POINTWISE)
        sample = self.pick(op["samples"])
        first = self.value()
        tensors, shape = [first], tuple(self.of(first).shape)
        for _ in sample["tensors"][1:]:
            tensors.append(self.value(lambda value: _broadcast(tuple(value.shape), shape)))
        self.call_op(op, sample, tensors)

    def view_step(self) -> None:
        op = self.pick(_VIEWS)
        sample = self.pick(op["samples"])
        if len(sample["tensors"]) != 1:
            raise _Unfit
        self.call_op(op, sample, [self.value() if self.chance(0.6) else self.measured(*sample["tensors"][0])])

    # ---- what networks are made of: what the passes look for

    def network_step(self) -> None:
        self.pick(
            (self.convolution, self.linear, self.norm, self.residual, self.attention, self.heads, self.joined)
        )()

    def pictures(self) -> Ref:
        """Four dimensions."""
        if self.chance(0.7):
            return self.value(lambda v: v.dim() == 4 and v.dtype == moka.float32 and v.numel() > 0)
        return self.measured((2, self.pick((1, 3, 4, 8, 16)), 5, 6), "real", 2)

    def activated(self, ref: Ref) -> Ref:
        name = self.pick(
            ("relu", "sigmoid", "tanh", "silu", "gelu", "hardswish", "relu6", "clamp", "none", "none")
        )
        if name == "none":
            return ref
        return self.operator(name, ref, 0.0, 6.0) if name == "clamp" else self.operator(name, ref)

    def convolution(self) -> None:
        x = self.pictures()
        channels = self.of(x).shape[1]
        groups = self.pick([g for g in range(1, channels + 1) if channels % g == 0])
        out = groups * int(self.rng.integers(1, 4))
        kernel = [int(n) for n in self.rng.integers(1, 4, 2)]
        weight = self.weight(out, channels // groups, *kernel)
        bias = self.weight(out) if self.chance(0.5) else None
        stride, padding = [int(n) for n in self.rng.integers(1, 3, 2)], [k // 2 for k in kernel]
        y = self.operator("conv2d", x, weight, bias, stride, padding, [1, 1], groups)
        if self.chance(0.5):
            y = self.batch_norm(y)
        if self.chance(0.3):
            shape = tuple(self.of(y).shape)
            y = self.operator("add", y, self.value(lambda v: tuple(v.shape) == shape))
        y = self.activated(y)
        if self.chance(0.3):
            self.operator(self.pick(("max_pool2d", "avg_pool2d")), y, [2, 2], [1, 1], [1, 1])

    def batch_norm(self, x: Ref) -> Ref:
        channels = self.of(x).shape[1]
        weights = [self.weight(channels), self.weight(channels), self.weight(channels)]
        return self.operator("batch_norm", x, *weights, self.weight(channels, positive=True))

    def linear(self) -> None:
        x = self.value(lambda v: v.dim() >= 1 and v.dtype == moka.float32 and v.numel() > 0)
        out = int(self.rng.integers(1, 9))
        y = self.operator(
            "linear",
            x,
            self.weight(out, self.of(x).shape[-1]),
            self.weight(out) if self.chance(0.5) else None,
        )
        self.activated(y)

    def norm(self) -> None:
        x = self.value(lambda v: v.dim() >= 2 and v.dtype == moka.float32 and v.numel() > 0)
        last = self.of(x).shape[-1]
        kind = self.pick(("layer_norm", "rms_norm", "batch_norm", "softmax", "by hand"))
        if kind == "layer_norm":
            self.operator("layer_norm", x, [last], self.weight(last), self.weight(last))
        elif kind == "rms_norm":
            self.operator("rms_norm", x, [last], self.weight(last))
        elif kind == "batch_norm":
            self.activated(self.batch_norm(x))
        elif kind == "softmax":
            self.operator("softmax", x, int(self.rng.integers(self.of(x).dim())))
        else:
            centred = self.operator("sub", x, self.operator("mean", x, [-1], True))
            spread = self.operator("mean", self.operator("mul", centred, centred), [-1], True)
            self.operator("mul", centred, self.operator("rsqrt", self.operator("add", spread, 1e-3)))

    def residual(self) -> None:
        x = self.floats()
        shape = tuple(self.of(x).shape)
        self.activated(self.operator("add", x, self.value(lambda v: tuple(v.shape) == shape)))

    def attention(self) -> None:
        q = self.measured((2, 3, 4, 8), "real", 2)
        k, v = self.measured((2, 3, 5, 8), "real", 2), self.measured((2, 3, 5, 8), "real", 2)
        scores = self.operator("matmul", q, self.operator("transpose", k, -2, -1))
        scores = self.operator("mul", scores, 8**-0.5)
        self.operator("matmul", self.operator("softmax", scores, -1), v)

    def heads(self) -> None:
        x = self.value(lambda v: v.dim() == 3 and v.dtype == moka.float32 and v.numel() > 0)
        batch, length, width = self.of(x).shape
        split = self.pick([n for n in range(1, width + 1) if width % n == 0])
        y = self.operator("reshape", x, [batch, length, split, width // split])
        y = self.operator("transpose", y, 1, 2)
        if self.chance(0.5):
            y = self.operator("contiguous", y)
        self.operator("reshape", self.operator("transpose", y, 1, 2), [batch, length, width])

    def joined(self) -> None:
        x = self.value(lambda v: v.dim() >= 1)
        shape, dtype = tuple(self.of(x).shape), self.of(x).dtype
        dim = int(self.rng.integers(len(shape)))
        other = self.value(
            lambda v: (
                v.dtype == dtype
                and v.dim() == len(shape)
                and all(a == b for d, (a, b) in enumerate(zip(v.shape, shape, strict=True)) if d != dim)
            )
        )
        self.operator("cat", [x, other], dim)

    # ---- writes in place

    def written_step(self) -> None:
        """A write into a value or a part of it; everything that shows that memory changes."""
        x = self.value(lambda v: v.is_floating_point())
        if x.index < len(self.program.inputs) or self.chance(0.4):
            x = self.operator("clone", x)
        target = x
        if self.of(x).dim() and self.chance(0.6):
            dim = int(self.rng.integers(self.of(x).dim()))
            size = self.of(x).shape[dim]
            if size < 1:
                raise _Unfit
            start = int(self.rng.integers(size))
            kind = self.pick(("select", "narrow", "transpose", "diagonal"))
            if kind == "select":
                target = self.operator("select", x, dim, start)
            elif kind == "narrow":
                target = self.operator("narrow", x, dim, start, int(self.rng.integers(1, size - start + 1)))
            elif kind == "transpose":
                target = self.operator("transpose", x, dim, 0)
            elif self.of(x).dim() >= 2:
                target = self.operator("diagonal", x)
        shape = tuple(self.of(target).shape)
        other: Any = 0.5
        if self.chance(0.6):
            other = self.value(lambda v: _broadcast(tuple(v.shape), shape, into=True) and not v.is_complex())
        name = self.pick(("add_", "mul_", "sub_", "copy_", "relu_", "zero_", "fill_", "tanh_", "clamp_"))
        method = _method(name)
        if name in ("relu_", "zero_", "tanh_"):
            self.do(name, method, target)
        elif name == "fill_":
            self.do(name, method, target, 0.25)
        elif name == "clamp_":
            self.do(name, method, target, -0.5, 0.5)
        elif name == "copy_" and not isinstance(other, Ref):
            raise _Unfit
        else:
            self.do(name, method, target, other)
        self.refresh()
        if not all(_fit(value) for value in self.values):
            raise _Unfit

    def state_step(self) -> None:
        """A buffer that every run reads and writes."""
        x = self.floats()
        shape = tuple(self.of(x).shape)
        name = f"state{len(self.program.states)}"
        first = moka.tensor(self.rng.normal(size=shape).astype(np.float32))
        self.program.register_buffer(name, first.clone())
        self.program.states[name] = first
        state = Ref(-1, name)
        self.do("mul_", _method("mul_"), state, 0.5)
        self.do("add_", _method("add_"), state, x)
        self.operator("mul", x, state)
        self.refresh()
        if not all(_fit(value) for value in self.values):
            raise _Unfit


def _fit(value: Any) -> bool:
    """Small and finite."""
    if value.numel() > _LARGEST:
        return False
    return value.dtype == moka.bool or not value.numel() or bool((value.abs() < _MOST).all())


def _method(name: str) -> Callable[..., Any]:
    return lambda x, *args: getattr(x, name)(*args)


def _broadcast(a: tuple[int, ...], b: tuple[int, ...], into: bool = False) -> bool:
    if into and len(a) > len(b):
        return False
    pairs = zip(reversed(a), reversed(b), strict=False)
    return all(x == y or x == 1 or (y == 1 and not into) for x, y in pairs)


class _Unfit(Exception):
    """A step that cannot be made of what there is."""
