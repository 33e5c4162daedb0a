"""torch.storage: the memory of a tensor as an object of its own."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

from moka import _C, storage
from moka._C import Tensor
from moka.storage import TypedStorage, UntypedStorage
from moka.torch_files import STORAGES

__all__ = ["TypedStorage", "UntypedStorage", *STORAGES.values()]

StorageBase = _StorageBase = UntypedStorage


for _kind, _class in storage.KINDS.items():
    globals()[_kind] = _class
_storage_classes = {UntypedStorage, TypedStorage, *storage.KINDS.values()}


def _dtype_to_storage_type_map() -> dict[Any, str]:
    """The name of the storage type of each dtype."""
    return {getattr(_C, name): kind for name, kind in STORAGES.items()}


def _warn_typed_storage_removal(*_: Any, **__: Any) -> None:
    """Nothing is warned of."""


def _get_dtype_from_pickle_storage_type(pickle_storage_type: str) -> Any:
    for kind, name in _dtype_to_storage_type_map().items():
        if name == pickle_storage_type:
            return kind
    raise KeyError(f"pickle storage type {pickle_storage_type!r} is not recognized")


_Tensor = Tensor
