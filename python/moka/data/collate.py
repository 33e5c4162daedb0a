"""How samples become a batch."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from moka import _C
from moka._C import Tensor

__all__ = ["default_collate"]


def default_collate(batch: Sequence[Any]) -> Any:
    """Join samples of the same structure.

    Tensors and arrays are stacked along a new first dimension, numbers become a tensor (float64 or int64),
    strings a list; tuples, lists and dicts are joined entry by entry.
    """
    first = batch[0]
    if isinstance(first, Tensor):
        _check_shapes(batch)
        return _C.stack(list(batch), 0)
    if isinstance(first, np.ndarray):
        _check_shapes(batch)
        return _C.from_numpy(np.stack(batch))
    if isinstance(first, np.generic):
        return _C.from_numpy(np.array(batch))
    if isinstance(first, bool):
        return _C.tensor(list(batch))
    if isinstance(first, float):
        return _C.tensor(list(batch), dtype=_C.float64)
    if isinstance(first, int):
        return _C.tensor(list(batch), dtype=_C.int64)
    if isinstance(first, (str, bytes)):
        return list(batch)
    if isinstance(first, Mapping):
        return {key: default_collate([sample[key] for sample in batch]) for key in first}
    if isinstance(first, (tuple, list)):
        sizes = {len(sample) for sample in batch}
        if len(sizes) != 1:
            raise ValueError(f"default_collate: samples have different numbers of entries: {sorted(sizes)}")
        joined = [default_collate(list(entries)) for entries in zip(*batch, strict=True)]
        return type(first)(*joined) if hasattr(first, "_fields") else joined
    raise TypeError(
        "default_collate: samples must be made of tensors, arrays, numbers, strings, dicts, tuples "
        "or lists, but "
        f"{type(first).__name__} came; give the loader a collate_fn"
    )


def _check_shapes(batch: Sequence[Any]) -> None:
    shape = tuple(batch[0].shape)
    for place, sample in enumerate(batch):
        if tuple(sample.shape) != shape:
            raise ValueError(
                f"default_collate: sample {place} of the batch has shape {list(sample.shape)}, the first one "
                f"{list(shape)}; make them equal in the dataset or give the loader a collate_fn"
            )
