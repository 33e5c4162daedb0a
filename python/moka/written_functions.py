"""Functions of torch that are written with other operators: segments, mantissas, files as memory."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from . import _C
from ._C import Tensor
from .creation import frombuffer

__all__ = [
    "constant_pad_nd",
    "frexp",
    "from_file",
    "grid_sampler",
    "pairwise_distance",
    "segment_reduce",
]


class FrexpResult(NamedTuple):
    """mantissa * 2^exponent is the input."""

    mantissa: Tensor
    exponent: Tensor


# The integers of the same size, and the width of the fraction.
_LAYOUTS = {"float32": ("int32", 23, 127), "float64": ("int64", 52, 1023)}


def frexp(input: Tensor, *, out: tuple[Tensor, Tensor] | None = None) -> FrexpResult:
    """Mantissas with 0.5 <= |mantissa| < 1 and int32 exponents; zeros, infinities and NaN have exponent 0."""
    if not input.is_floating_point():
        raise RuntimeError(f"frexp: only supports floating-point dtypes, got {input.dtype}")
    wide = input if input.dtype.name in _LAYOUTS else input.to(_C.float32)
    word, width, bias = _LAYOUTS[wide.dtype.name]
    whole = getattr(_C, word)

    def field(x: Tensor) -> Tensor:
        return (x.detach().contiguous().view(whole) >> width) & (2 * bias + 1)

    small = field(wide) == 0  # zero or subnormal: looked at after a step up
    above = field(_C.where(small, wide.detach() * 2.0 ** (width + 1), wide.detach()))
    plain = (wide.detach() != 0) & wide.detach().isfinite()
    exponent = _C.where(plain, above - (bias - 1) - small.to(whole) * (width + 1), 0)
    half = exponent // 2  # in two steps: 2^-exponent itself may be too large
    mantissa = wide
    for part in (half, exponent - half):
        mantissa = mantissa * ((bias - part) << width).view(wide.dtype)
    result = FrexpResult(mantissa.to(input.dtype), exponent.to(_C.int32))
    if out is None:
        return result
    for given, value in zip(out, result, strict=True):
        given.resize_(value.shape).copy_(value)
    return FrexpResult(*out)


def constant_pad_nd(input: Tensor, pad: Sequence[int], value: float = 0) -> Tensor:
    """nn.functional.pad with a constant."""
    from .nn import functional

    return functional.pad(input, list(pad), "constant", value)


def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """nn.functional.pairwise_distance."""
    from .nn import functional

    return functional.pairwise_distance(x1, x2, p, eps, keepdim)


def grid_sampler(
    input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Tensor:
    """nn.functional.grid_sample with numbers for its modes: bilinear, nearest, bicubic; zeros, border,
    reflection.
    """
    from .nn import functional

    modes, borders = ("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection")
    if not (0 <= interpolation_mode < 3 and 0 <= padding_mode < 3):
        raise ValueError(
            f"grid_sampler: modes are numbers from 0 to 2, got {interpolation_mode} and {padding_mode}"
        )
    return functional.grid_sample(
        input, grid, modes[interpolation_mode], borders[padding_mode], align_corners
    )


def from_file(
    filename: str,
    shared: bool | None = None,
    size: int | None = 0,
    *,
    dtype: Any = None,
    device: Any = None,
    layout: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """A vector of `size` elements on a file's bytes; with `shared`, writes go to the file, which is made
    or grows where it is too short.
    """
    import mmap

    kind = dtype or _C.get_default_dtype()
    length = (size or 0) * kind.itemsize
    if not length:
        return _C.empty(0, dtype=kind)
    with open(filename, "a+b" if shared else "rb") as file:
        held = file.seek(0, 2)
        if held < length and not shared:
            raise RuntimeError(f"from_file: {filename} has {held} bytes, but {length} are needed")
        if held < length:
            file.truncate(length)
        access = mmap.ACCESS_WRITE if shared else mmap.ACCESS_COPY
        memory = mmap.mmap(file.fileno(), length, access=access)
    return frombuffer(memory, dtype=kind, requires_grad=requires_grad)


_STARTS = {"sum": 0.0, "mean": 0.0, "prod": 1.0, "max": float("-inf"), "min": float("inf")}


def segment_reduce(
    data: Tensor,
    reduce: str,
    *,
    lengths: Tensor | None = None,
    indices: Tensor | None = None,
    offsets: Tensor | None = None,
    axis: int = 0,
    unsafe: bool = False,
    initial: float | None = None,
) -> Tensor:
    """The sum, mean, product, maximum or minimum of each run of elements along `axis`.

    Args:
        lengths: of the runs, [*data.shape[:axis], runs]; or `offsets`, where they begin and end, one more.
        unsafe: do not check that the lengths fill the axis.
        initial: what a reduction begins with; the neutral number where not given (NaN: the mean of nothing).
    """
    if reduce not in _STARTS:
        raise RuntimeError(f"segment_reduce: reduce must be one of {', '.join(_STARTS)}, got {reduce!r}")
    if indices is not None or (lengths is None) == (offsets is None):
        raise RuntimeError("segment_reduce: expected exactly one of lengths and offsets")
    axis = axis + data.dim() if axis < 0 else axis
    given = lengths if lengths is not None else offsets
    assert given is not None
    if given.is_floating_point() or given.is_complex() or given.dtype == _C.bool:
        raise RuntimeError(f"segment_reduce: lengths and offsets must be integers, got {given.dtype}")
    if given.dim() != axis + 1 or given.shape[:axis] != data.shape[:axis]:
        raise RuntimeError(
            f"segment_reduce: expected the first {axis} sizes of data {list(data.shape)} and one more, got "
            f"{list(given.shape)}"
        )
    ends = (given.cumsum(-1) if offsets is None else given.narrow(-1, 1, given.shape[-1] - 1)).to(_C.int64)
    sizes = given if offsets is None else given.diff(dim=-1)
    if not unsafe:
        if bool((sizes < 0).any()):
            raise RuntimeError("segment_reduce: lengths contains negative value!")
        if sizes.numel() and bool((sizes.sum(-1) != data.shape[axis]).any()):
            raise RuntimeError(
                f"segment_reduce: Expected all rows of lengths along axis to sum to data.size({axis}) = "
                f"{data.shape[axis]}"
            )
    runs, count, batch = ends.shape[-1], data.shape[axis], data.shape[:axis]
    rest = data.shape[axis + 1 :]
    places = _C.arange(0, count).expand((*batch, count)).contiguous()
    run = _C.searchsorted(ends.contiguous(), places, right=True)
    run = run.reshape((*run.shape, *(1 for _ in rest))).expand(data.shape)
    ranks = reduce in ("max", "min")
    start = _STARTS[reduce] if initial is None or ranks else initial
    out = _C.full((*batch, runs + 1, *rest), start, dtype=data.dtype)
    names = {"mean": "sum", "max": "amax", "min": "amin"}
    gaps = data.isnan() if (ranks or reduce == "prod") and data.requires_grad else None
    if gaps is not None and gaps.any():  # slopes at NaN: the product of the others, or 1
        lost = out.new_zeros(out.shape).scatter_add(axis, run, _C.where(gaps, data, 0))
        rest_of_run = _C.where(gaps, _STARTS[reduce], data)
        out = out.scatter_reduce(axis, run, rest_of_run, names.get(reduce, reduce), include_self=True)
        out = _C.where(lost.isnan(), lost if ranks else out * lost, out)
    else:
        out = out.scatter_reduce(axis, run, data, names.get(reduce, reduce), include_self=True)
    out = out.narrow(axis, 0, runs)
    if ranks and initial is not None:  # elements that equal it count
        out = _C.where(out < initial if reduce == "max" else out > initial, initial, out)  # NaN stays
    if reduce == "mean":
        shares = sizes.reshape((*sizes.shape, *(1 for _ in rest))).to(data.dtype)
        out = _C.where(shares > 0, out / shares, float("nan") if initial is None else out)
    return out
