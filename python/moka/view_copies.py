"""Views as copies: torch's NAME_copy functions, and the "unsafe" forms, whose parts nothing watches."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from . import _C
from ._C import Tensor

# The function is the operator's on the module, or the method where there is none.
_VIEWS = (
    "as_strided",
    "detach",
    "diagonal",
    "expand",
    "permute",
    "select",
    "split",
    "split_with_sizes",
    "squeeze",
    "t",
    "transpose",
    "unbind",
    "unfold",
    "unsqueeze",
    "view",
    "view_as_complex",
    "view_as_real",
)
_UNSAFE = ("chunk", "split", "split_with_sizes")

__all__ = sorted(
    ["alias_copy", "slice_copy", *(f"{n}_copy" for n in _VIEWS), *(f"unsafe_{n}" for n in _UNSAFE)]
)


def _written(result: Any, out: Any) -> Any:
    if isinstance(result, (tuple, list)):
        parts = tuple(t.clone() for t in result)
        if out is None:
            return parts
        if len(out) != len(parts):
            raise RuntimeError(f"a list of {len(parts)} outputs is needed, {len(out)} came")
        for to, part in zip(out, parts, strict=True):
            _written(part, to)
        return None
    if out is None:
        return result.clone()
    return (out if out.shape == result.shape else out.resize_(result.shape)).copy_(result)


def _copying(name: str) -> Callable[..., Any]:
    def function(input: Tensor, *args: Any, out: Any = None, **keywords: Any) -> Any:
        view = getattr(Tensor, name, None) or getattr(_C, name)
        return _written(view(input, *args, **keywords), out)

    function.__name__ = function.__qualname__ = f"{name}_copy"
    function.__doc__ = f"{name} as a copy: the result shares no memory with input."
    return function


def _unsafe(name: str) -> Callable[..., Any]:
    def function(input: Tensor, *args: Any, **keywords: Any) -> Any:
        return getattr(Tensor, name)(input, *args, **keywords)

    function.__name__ = function.__qualname__ = f"unsafe_{name}"
    function.__doc__ = f"{name}; in-place writes into its parts are recorded as for any view."
    return function


def alias_copy(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """A copy of input."""
    return _written(input, out)


def slice_copy(
    input: Tensor,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """The elements start, start + step, ... below end along a dimension, as a copy."""
    place = [slice(None)] * input.dim()
    place[dim] = slice(start, end, step)
    return _written(input[tuple(place)], out)


globals().update({f"{n}_copy": _copying(n) for n in _VIEWS})
globals().update({f"unsafe_{n}": _unsafe(n) for n in _UNSAFE})


def install(module: ModuleType) -> None:
    """Add the functions to the module, and the unsafe ones to Tensor."""
    for name in __all__:
        setattr(module, name, globals()[name])
        if name.startswith("unsafe_"):
            setattr(Tensor, name, globals()[name])
