"""torch.storage: the memory of a tensor as an object of its own."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

from moka._C import Tensor
from moka.storage import TypedStorage, UntypedStorage

__all__ = ["TypedStorage", "UntypedStorage"]

_StorageBase = UntypedStorage
_LegacyStorage = TypedStorage


def _warn_typed_storage_removal(*_: Any, **__: Any) -> None:
    """Nothing is warned of."""


def _get_dtype_from_pickle_storage_type(pickle_storage_type: str) -> Any:
    from . import root

    return getattr(root, pickle_storage_type.replace("Storage", "Tensor")).dtype


_Tensor = Tensor
