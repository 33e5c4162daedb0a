"""All parameters as one vector, and back."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Iterable

from moka import _C
from moka._C import Tensor
from moka.autograd import no_grad

__all__ = ["parameters_to_vector", "vector_to_parameters"]


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """The elements of all parameters, one after the other, in one dimension."""
    return _C.cat([parameter.reshape(-1) for parameter in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Copy consecutive pieces of `vec` into the parameters; its length must be their number of elements."""
    listed = list(parameters)
    needed = sum(parameter.numel() for parameter in listed)
    if vec.dim() != 1 or vec.numel() != needed:
        raise ValueError(
            f"vector_to_parameters: a vector of {needed} elements is needed, but the shape is "
            f"{list(vec.shape)}"
        )
    start = 0
    with no_grad():
        for parameter in listed:
            end = start + parameter.numel()
            parameter.copy_(vec[start:end].reshape(tuple(parameter.shape)))
            start = end
