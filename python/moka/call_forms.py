"""Call forms of torch that rearrange arguments: lists of tensors given one by one, results as tuples."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import _C
from ._C import Tensor

__all__ = [
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "block_diag",
    "broadcast_shapes",
    "broadcast_tensors",
    "cartesian_prod",
    "concat",
    "concatenate",
    "gather",
    "meshgrid",
    "nonzero",
    "resize_as_",
    "where",
]


def _list(tensors: tuple[Any, ...]) -> list[Tensor]:
    """The tensors of f(a, b) and of f([a, b])."""
    if len(tensors) == 1 and isinstance(tensors[0], list | tuple):
        return list(tensors[0])
    return list(tensors)


def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    """All tensors expanded to the one shape to which they broadcast."""
    given = _list(tensors)
    return tuple(_unless_same(t, r) for t, r in zip(given, _C.broadcast_tensors(given), strict=True))


def broadcast_shapes(*shapes: int | Sequence[int]) -> _C.Size:
    """The shape to which tensors of these shapes broadcast."""
    sizes = [(s,) if isinstance(s, int) else tuple(s) for s in shapes]
    result = [1] * max((len(s) for s in sizes), default=0)
    for shape in sizes:
        for d in range(-len(shape), 0):
            if shape[d] < 0:
                raise RuntimeError(f"broadcast_shapes: negative size {shape[d]} in {shape}")
            if shape[d] == 1 or shape[d] == result[d]:
                continue
            if result[d] != 1:
                raise RuntimeError(f"broadcast_shapes: the shapes {sizes} do not broadcast to one shape")
            result[d] = shape[d]
    return _C.Size(result)


def block_diag(*tensors: Any) -> Tensor:
    """The matrix with the given blocks on its diagonal."""
    return _C.block_diag(_list(tensors)) if tensors else _C.empty(1, 0)


def cartesian_prod(*tensors: Any) -> Tensor:
    """All tuples with one element of each vector, a row each."""
    return _C.cartesian_prod(_list(tensors))


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """The coordinates of all points of a grid, a tensor for each axis; "xy" exchanges the first two."""
    return tuple(_C.meshgrid(_list(tensors), indexing))


def _atleast(function: Any, tensors: tuple[Any, ...]) -> Any:
    if len(tensors) == 1 and isinstance(tensors[0], Tensor):
        return _unless_same(tensors[0], function(tensors[0]))
    return tuple(_unless_same(t, function(t)) for t in _list(tensors))


def _unless_same(tensor: Tensor, result: Tensor) -> Tensor:
    return tensor if tensor.shape == result.shape else result


def atleast_1d(*tensors: Any) -> Any:
    """The tensor with at least 1 dimension; of several tensors a tuple."""
    return _atleast(_C.atleast_1d, tensors)


def atleast_2d(*tensors: Any) -> Any:
    """The tensor with at least 2 dimensions; of several tensors a tuple."""
    return _atleast(_C.atleast_2d, tensors)


def atleast_3d(*tensors: Any) -> Any:
    """The tensor with at least 3 dimensions; of several tensors a tuple."""
    return _atleast(_C.atleast_3d, tensors)


def concat(tensors: Sequence[Tensor], dim: int = 0, *, out: Tensor | None = None) -> Tensor:
    """cat by another name."""
    return _C.cat(tensors, dim, out=out)


def concatenate(
    tensors: Sequence[Tensor], axis: int = 0, *, dim: int | None = None, out: Tensor | None = None
) -> Tensor:
    """cat, in NumPy's words."""
    return _C.cat(tensors, axis if dim is None else dim, out=out)


def nonzero(input: Tensor, *, out: Tensor | None = None, as_tuple: bool = False) -> Any:
    """The indices of elements that are not zero: a row each; `as_tuple`: a vector for each dimension."""
    if as_tuple and out is not None:
        raise RuntimeError("nonzero: out= takes one tensor, but as_tuple=True gives one for each dimension")
    if not as_tuple:
        found = _C.nonzero(input)
        if out is None:
            return found
        if out.dtype != found.dtype:
            raise RuntimeError(f"nonzero: out must have scalar type Long ({found.dtype}), got {out.dtype}")
        return (out if out.shape == found.shape else out.resize_(found.shape)).copy_(found)
    return tuple((input.reshape(1) if input.dim() == 0 else input).nonzero().unbind(1))


def where(condition: Tensor, input: Any = None, other: Any = None, *, out: Tensor | None = None) -> Any:
    """`input` where the condition holds, else `other`; of the condition alone nonzero(as_tuple=True)."""
    if input is None and other is None:
        return nonzero(condition, as_tuple=True)
    if out is not None:
        return _C.where(condition, input, other, out=out)
    return _C.where(condition, input, other)


def gather(
    input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False, out: Tensor | None = None
) -> Tensor:
    """result[i][j] = input[index[i][j]][j] for dim 0 ...; with `sparse_grad` its gradient is sparse."""
    if sparse_grad and out is None and input.requires_grad and _C.is_grad_enabled():
        from .nn.functions.sparse_embedding import gather_elements

        return gather_elements(input, dim, index)
    return _C.gather(input, dim, index) if out is None else _C.gather(input, dim, index, out=out)


def _method_where(self: Tensor, condition: Tensor, other: Any) -> Tensor:
    return _C.where(condition, self, other)


def _method_nonzero(self: Tensor, *, as_tuple: bool = False) -> Any:
    return nonzero(self, as_tuple=as_tuple) if as_tuple else _C.nonzero(self)


def resize_as_(input: Tensor, the_template: Tensor, *, memory_format: str | None = None) -> Tensor:
    """input.resize_ to the shape of another tensor; preserve_format takes its memory format too."""
    if memory_format == "preserve_format":
        order = {4: "channels_last", 5: "channels_last_3d"}.get(the_template.dim(), "contiguous_format")
        plain = the_template.is_contiguous() or not the_template.is_contiguous(memory_format=order)
        memory_format = "contiguous_format" if plain else order
    return input.resize_(the_template.shape, memory_format=memory_format)


def _new_tensor(
    self: Tensor, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A tensor with a copy of the data, of this tensor's type unless dtype is given."""
    return _C.tensor(
        data, dtype=dtype or self.dtype, device=device or self.device, requires_grad=requires_grad
    )


def _new(self: Tensor, *args: Any, size: Any = None, device: Any = None) -> Tensor:
    """Empty of these sizes, or with this data, of this tensor's type: the older new_empty and new_tensor."""
    options = {"dtype": self.dtype, "device": device or self.device}
    if size is not None:
        return _C.empty(size, **options)
    if len(args) == 1 and not isinstance(args[0], (int, _C.Size)):
        if isinstance(args[0], Tensor):
            return args[0].detach().to(**options)
        return _C.tensor(args[0], **options)
    return _C.empty(*args, **options) if args else _C.empty(0, **options)


def install() -> None:
    """Add the methods whose arguments stand in another order than the function's."""
    for name, method in {
        "gather": gather,
        "where": _method_where,
        "nonzero": _method_nonzero,
        "new": _new,
        "new_tensor": _new_tensor,
        "resize_as_": resize_as_,
    }.items():
        setattr(Tensor, name, method)
