"""How tensors look: values that can be pasted back when there are few,
shape and statistics when there are many.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import dataclasses
import sys
from html import escape
from typing import Any

import numpy as np

from . import _C
from ._C import Tensor, _forward_levels, _is_tracing, _tangent, _untraced, _vmap_level

__all__ = ["html", "set_printoptions", "text"]

_EXACT = 16  # so few numbers are written so that they read back equal, until a precision is asked for


@dataclasses.dataclass
class _Options:
    precision: int | None = None  # digits after the point; None: 4, or all that few numbers need
    threshold: float = 1000  # so many are written at all; of more, only the ends of each dimension
    edgeitems: int = 3
    linewidth: int = 100
    sci_mode: bool | None = None


_options = _Options()
_PROFILES = {
    "default": _Options(),
    "short": _Options(precision=2, edgeitems=2),
    "full": _Options(threshold=float("inf")),
}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """How tensors are printed: digits, when to leave elements out, line width, exponents; or a profile
    ("default", "short", "full"). What is not given stays as it is.
    """
    global _options
    if profile is not None:
        if profile not in _PROFILES:
            raise ValueError(f"set_printoptions: profile must be one of {sorted(_PROFILES)}, got {profile!r}")
        _options = dataclasses.replace(_PROFILES[profile])
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    given["sci_mode"] = sci_mode
    _options = dataclasses.replace(_options, **{k: v for k, v in given.items() if v is not None})


_PLAIN = {"float32", "int64", "bool", "complex64"}  # what moka.tensor makes of such numbers by itself


def _values(tensor: Tensor) -> np.ndarray:
    plain = tensor.detach()
    kind = plain.dtype
    if kind.is_floating_point and kind.itemsize < 4:
        plain = plain.float()
    elif kind.is_complex and kind.itemsize < 8:
        plain = plain.to(_C.complex64)
    elif kind.name in ("int4", "uint4", "int2", "uint2"):  # NumPy has no integers below a byte
        plain = plain.to(_C.int16)
    return plain.numpy()


def text(tensor: Tensor, contents: str | None = None) -> str:
    """tensor([...]) with dtype, device and history where they are not the usual ones; `contents` in
    place of the numbers.

    Big tensors end with their shape and a line of statistics, in which NaN and infinities are counted.
    """
    if _is_tracing():
        return _untraced(text, tensor)
    if level := _vmap_level(tensor):
        shape = list(tensor.shape)
        return f"tensor(<one of a batch, vmap level {level}>, shape={shape}, dtype={tensor.dtype!r})"
    if contents is not None:
        return f"tensor({contents}, shape={list(tensor.shape)}, dtype={tensor.dtype!r})"
    if tensor.device.type == "meta":
        return f"tensor(..., shape={list(tensor.shape)}, dtype={tensor.dtype!r}, device='meta')"
    values = _values(tensor)
    count = values.size
    o = _options
    style: dict[str, Any] = {"separator": ", ", "prefix": "tensor(", "max_line_width": o.linewidth}
    digits = 4 if o.precision is None else o.precision
    if o.sci_mode and values.dtype.kind == "f":
        style["formatter"] = {"float_kind": lambda x: f"{x:.{digits}e}"}
    elif o.sci_mode is False or o.precision is not None and values.dtype.kind == "f":
        style["suppress_small"] = o.sci_mode is False
        style["floatmode"] = "fixed" if o.precision is not None else "maxprec"
    if count <= _EXACT and values.dtype.kind in "fc" and o.precision is None and not o.sci_mode:
        shown = np.array2string(values, **{**style, "floatmode": "unique"})
    else:
        threshold = sys.maxsize if o.threshold == float("inf") else int(o.threshold)
        shown = np.array2string(
            values, precision=digits, threshold=threshold, edgeitems=o.edgeitems, **style
        )
    parts = [shown]
    if count == 0 and tensor.dim() != 1 or count > o.threshold:
        parts.append(f"shape={list(tensor.shape)}")
    if tensor.dtype.name not in _PLAIN or count == 0 and tensor.dtype.name != "float32":
        parts.append(f"dtype={tensor.dtype!r}")
    if str(tensor.device) != "cpu":
        parts.append(f"device={str(tensor.device)!r}")
    if tensor.grad_fn is not None:
        parts.append(f"grad_fn={tensor.grad_fn!r}")
    elif tensor.requires_grad:
        parts.append("requires_grad=True")
    level = _forward_levels()
    tangent = _tangent(tensor, level) if level else None
    if tangent is not None:
        parts.append(f"tangent={tangent!r}")
    body = f"tensor({', '.join(parts)})"
    return f"{body}\n{_statistics(tensor, values)}" if count > o.threshold else body


writer = text  # what repr() of tensors gives; programs for torch have one of their own


def _statistics(tensor: Tensor, values: np.ndarray) -> str:
    """One line such as `# float32 [100, 100]: min -3.1, max 4.2, mean 0.01, 2 NaN`, over what is finite."""
    head = f"# {tensor.dtype.name} {list(tensor.shape)}: "
    if values.dtype.kind == "b":
        return f"{head}{int(values.sum())} true of {values.size}"
    if values.dtype.kind == "c":
        return f"{head}{values.size} complex numbers"
    parts = []
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    if finite.size:
        mean = finite.mean(dtype=np.float64)
        parts.append(f"min {finite.min():.4g}, max {finite.max():.4g}, mean {mean:.4g}")
    if values.dtype.kind == "f":
        for name, number in (("NaN", np.isnan(values).sum()), ("infinite", np.isinf(values).sum())):
            if number:
                parts.append(f"{number} {name}")
    return head + ", ".join(parts)


def html(tensor: Tensor) -> str:
    """For notebooks: the text, with shape, dtype and statistics above it."""
    head: list[Any] = [list(tensor.shape), tensor.dtype.name, str(tensor.device)]
    if tensor.requires_grad:
        head.append("requires grad")
    line = " · ".join(escape(str(part)) for part in head)
    return f"<div><b>tensor</b> {line}<pre>{escape(writer(tensor))}</pre></div>"
