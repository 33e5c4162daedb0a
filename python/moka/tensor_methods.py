"""Methods of Tensor that are easier said in Python; `import moka` adds them to the extension's class."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from . import _C
from ._C import Tensor
from .tensor_placing import METHODS, PROPERTIES

__all__ = ["install"]


def _repr(self: Tensor) -> str:
    from .tensor_text import text

    return text(self)


def _html(self: Tensor) -> str:
    from .tensor_text import html

    return html(self)


def _format(self: Tensor, spec: str) -> str:
    if spec and self.dim() == 0:
        return format(self.item(), spec)
    return format(str(self), spec)


def _iterate(self: Tensor) -> Iterator[Tensor]:
    if self.dim() == 0:
        raise TypeError("iter: a 0-d tensor cannot be iterated over")
    return (self[i] for i in range(self.shape[0]))


def _contains(self: Tensor, value: Any) -> bool:
    return bool((self == value).any().item())


def _deepcopy(self: Tensor, memo: dict[int, Any]) -> Tensor:
    if not self.is_leaf:
        raise RuntimeError(
            "deepcopy: only tensors that no recorded operation made can be copied; use detach().clone()"
        )
    known = memo.get(id(self))
    if known is None:
        known = memo[id(self)] = self.detach().clone().requires_grad_(self.requires_grad)
        if self.grad is not None:
            known.grad = self.grad.detach().clone()
    return known


def _lu(self: Tensor, pivot: bool = True, get_infos: bool = False) -> Any:
    from .linalg import _packed_lu

    return _packed_lu(self, pivot, get_infos)


def _array_namespace(self: Tensor, api_version: str | None = None) -> Any:
    from . import array_api

    if api_version not in (None, "2021.12", "2022.12", "2023.12", "2024.12"):
        raise ValueError(f"__array_namespace__: version {api_version!r} is not there; 2024.12 is the latest")
    return array_api


def _to_device(self: Tensor, device: Any, /, *, stream: Any = None) -> Tensor:
    if stream is not None:
        raise ValueError(f"to_device: no streams are there, but {stream!r} came")
    return self.to(device)


def _histogram(self: Tensor, *args: Any, **keywords: Any) -> Any:
    from .histograms import histogram

    return histogram(self, *args, **keywords)


def _reduce(self: Tensor, protocol: int) -> Any:
    plain = self.detach().contiguous()
    carrier = {"bfloat16": "int16", "float8_e4m3fn": "uint8", "float8_e5m2": "uint8"}.get(self.dtype.name)
    array = plain.view(getattr(_C, carrier)).numpy() if carrier else plain.numpy()
    return _rebuild, (array, self.dtype.name, self.requires_grad)


def _rebuild(array: Any, dtype: str, requires_grad: bool) -> Tensor:
    tensor = _C.from_numpy(array.copy())
    if tensor.dtype.name != dtype:
        tensor = tensor.view(getattr(_C, dtype))
    return tensor.requires_grad_(requires_grad)


def install() -> None:
    """Add the methods that the extension's class does not have itself."""
    for name, method in {
        "__repr__": _repr,
        "__str__": _repr,
        "_repr_html_": _html,
        "__format__": _format,
        "__iter__": _iterate,
        "__contains__": _contains,
        "__deepcopy__": _deepcopy,
        "__reduce_ex__": _reduce,
        "__array_namespace__": _array_namespace,
        "histogram": _histogram,
        "lu": _lu,
        "to_device": _to_device,
        **METHODS,
        **{name: property(read) for name, read in PROPERTIES.items()},
    }.items():
        if name not in Tensor.__dict__:
            setattr(Tensor, name, method)
