"""How programs for torch expect tensors to look: four digits, ends of long dimensions, marks."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from typing import Any

from moka import _C
from moka._C import Tensor

__all__ = ["PRINT_OPTS", "set_printoptions", "text"]


class PRINT_OPTS:
    """The options in force; set_printoptions changes them."""

    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


_PROFILES = {
    "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
    "full": {"precision": 4, "threshold": math.inf, "edgeitems": 3, "linewidth": 80},
}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Digits, when elements are left out, line width, exponents; or a profile. sci_mode that is not given
    is chosen for each tensor.
    """
    if profile is not None:
        for name, value in _PROFILES.get(profile.lower(), {}).items():
            setattr(PRINT_OPTS, name, value)
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    for name, value in given.items():
        if value is not None:
            setattr(PRINT_OPTS, name, value)
    PRINT_OPTS.sci_mode = sci_mode


class _Numbers:
    """How the numbers of one tensor are written: all with one width."""

    def __init__(self, values: list[Any]) -> None:
        self.floating = bool(values) and isinstance(values[0], float)
        self.width, self.whole, self.exponent = 1, True, False
        digits = PRINT_OPTS.precision
        if not self.floating:
            self.width = max([1, *(len(str(value)) for value in values)])
            return
        proper = [value for value in values if value and math.isfinite(value)]
        if not proper:
            self.exponent = bool(PRINT_OPTS.sci_mode)
            return
        sizes = [abs(value) for value in proper]
        least, most = min(sizes), max(sizes)
        self.whole = all(value == math.ceil(value) for value in proper)
        far = most > 1e8 or most / least > 1000.0
        self.exponent = far if self.whole else far or least < 1e-4
        if PRINT_OPTS.sci_mode is not None:
            self.exponent = PRINT_OPTS.sci_mode
        if self.exponent:
            self.width = max(len(f"{value:.{digits}e}") for value in proper)
        elif self.whole:
            self.width = max(len(f"{value:.0f}") + 1 for value in proper)
        else:
            self.width = max(len(f"{value:.{digits}f}") for value in proper)

    def __call__(self, value: Any) -> str:
        if not self.floating:
            return str(value).rjust(self.width)
        if self.exponent:
            return f"{value:.{PRINT_OPTS.precision}e}".rjust(self.width)
        if not self.whole:
            return f"{value:.{PRINT_OPTS.precision}f}".rjust(self.width)
        return (f"{value:.0f}" + ("." if math.isfinite(value) else "")).rjust(self.width)


class _Complex:
    def __init__(self, values: list[complex]) -> None:
        self._real = _Numbers([value.real for value in values])
        self._imaginary = _Numbers([value.imag for value in values])
        self.width = self._real.width + self._imaginary.width + 1

    def __call__(self, value: complex) -> str:
        imaginary = self._imaginary(value.imag).lstrip() + "j"
        return self._real(value.real) + ("" if imaginary[0] in "+-" else "+") + imaginary


def _ends(tensor: Tensor) -> Tensor:
    """The tensor with only the first and last entries of its long dimensions."""
    edge = PRINT_OPTS.edgeitems
    for dim, size in enumerate(tensor.shape):
        if size > 2 * edge:
            kept = [tensor.narrow(dim, 0, edge), tensor.narrow(dim, size - edge, edge)]
            tensor = _C.cat(kept, dim) if edge else tensor.narrow(dim, 0, 0)
    return tensor


def _flat(values: Any) -> list[Any]:
    while values and isinstance(values[0], list):
        values = [one for row in values for one in row]
    return values


def _nested(values: Any, shape: tuple[int, ...], indent: int, short: bool, write: Any) -> str:
    """`values`: the lists of what is shown; `shape`: the sizes that the tensor has."""
    if not shape:
        return str(write(values))
    edge = PRINT_OPTS.edgeitems
    cut = short and shape[0] > 2 * edge
    if len(shape) == 1:
        words = [write(value) for value in values]
        if cut:
            words = [*words[:edge], " ...", *words[edge:]]
        each = write.width + 2
        count = max(1, (PRINT_OPTS.linewidth - indent) // each)
        lines = [", ".join(words[first : first + count]) for first in range(0, len(words), count)]
        return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"
    rows = [_nested(row, shape[1:], indent + 1, short, write) for row in values]
    if cut:
        rows = [*rows[:edge], "...", *rows[edge:]]
    return "[" + ("," + "\n" * (len(shape) - 1) + " " * (indent + 1)).join(rows) + "]"


def numbers(tensor: Tensor, indent: int = 0) -> str:
    """The numbers of a tensor, without what stands around them."""
    if tensor.numel() == 0:
        return "[]"
    short = tensor.numel() > PRINT_OPTS.threshold
    shown = _ends(tensor.detach()) if short else tensor.detach()
    values = shown.tolist()
    flat = [values] if tensor.dim() == 0 else _flat(values)
    write = _Complex(flat) if tensor.dtype.is_complex else _Numbers(flat)
    return _nested(values, tuple(tensor.shape), indent, short, write)


def add_marks(shown: str, marks: list[str], indent: int, new_line: bool = False) -> str:
    """The numbers and what follows them, with line breaks where the line would get too long."""
    parts, length = [shown], len(shown) - shown.rfind("\n") + 1
    for mark in marks:
        if new_line or length + len(mark) + 2 > PRINT_OPTS.linewidth:
            parts.append(",\n" + " " * indent + mark)
            length, new_line = indent + len(mark), False
        else:
            parts.append(", " + mark)
            length += len(mark) + 2
    return "".join(parts) + ")"


_TREATED_AS_PLAIN = "disabled_torch_function_impl"


def text(tensor: Tensor, contents: str | None = None) -> str:
    """tensor(...) as torch prints it; `contents` in place of the numbers."""
    if level := _C._vmap_level(tensor):
        return f"BatchedTensor(lvl={level}, shape={tuple(tensor.shape)})"
    kind = type(tensor)
    own = kind is not Tensor and getattr(kind.__torch_function__, "__name__", "") != _TREATED_AS_PLAIN
    prefix = f"{kind.__name__}(" if own else "tensor("
    marks = [] if tensor.device.type == "cpu" else [f"device='{tensor.device}'"]
    default = _C.get_default_dtype()
    usual = tensor.dtype == default or tensor.dtype.name in ("int64", "bool", "complex64")
    if tensor.numel() == 0 or tensor.device.type == "meta":
        if tensor.dim() != 1 or tensor.numel():
            marks.append(f"size={tuple(tensor.shape)}")
        if tensor.dtype != default:
            marks.append(f"dtype={tensor.dtype}")
    elif not usual:
        marks.append(f"dtype={tensor.dtype}")
    if contents is None:
        contents = "..." if tensor.device.type == "meta" else numbers(tensor, len(prefix))
    if tensor.grad_fn is not None:
        marks.append(f"grad_fn=<{tensor.grad_fn.name()}>")
    elif tensor.requires_grad:
        marks.append("requires_grad=True")
    level = _C._forward_levels()
    if level and (tangent := _C._tangent(tensor, level)) is not None:
        marks.append(f"tangent={tangent!r}")
    return add_marks(prefix + contents, marks, len(prefix))


def named_tuple(value: Any) -> str:
    """Results with names, one on each line."""
    fields = [name for name in type(value).__match_args__]
    lines = ",\n".join(f"{name}={getattr(value, name)!r}" for name in fields)
    return f"torch.return_types.{type(value).__name__}(\n{lines})"
