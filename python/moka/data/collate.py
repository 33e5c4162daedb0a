"""How samples become a batch."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from moka import _C
from moka._C import Tensor

__all__ = ["collate", "default_collate", "default_collate_fn_map", "default_convert"]

# Types of samples that programs add: type -> function(batch, collate_fn_map=...) that joins them.
default_collate_fn_map: dict[Any, Callable[..., Any]] = {}


def default_collate(batch: Sequence[Any]) -> Any:
    """Join samples of the same structure.

    Tensors and arrays are stacked along a new first dimension, numbers become a tensor (float64 or int64),
    strings a list; tuples, lists and dicts are joined entry by entry. `default_collate_fn_map` may say how
    further types are joined.
    """
    return collate(batch, collate_fn_map=default_collate_fn_map)


def collate(batch: Sequence[Any], *, collate_fn_map: Mapping[Any, Callable[..., Any]] | None = None) -> Any:
    """default_collate with functions for further types: of the type itself, else of the first base."""
    first = batch[0]
    if collate_fn_map:
        join = collate_fn_map.get(type(first))
        if join is None:
            join = next((join for kind, join in collate_fn_map.items() if isinstance(first, kind)), None)
        if join is not None:
            return join(batch, collate_fn_map=collate_fn_map)
    if isinstance(first, Tensor):
        _check_shapes(batch)
        return _C.stack(list(batch), 0)
    if isinstance(first, np.ndarray):
        _check_shapes(batch)
        return _C.from_numpy(np.stack(batch))
    if isinstance(first, (str, bytes)):  # strings of NumPy too
        return batch
    if isinstance(first, np.generic):
        return _C.from_numpy(np.array(batch))
    if isinstance(first, bool):
        return _C.tensor(list(batch))
    if isinstance(first, float):
        return _C.tensor(list(batch), dtype=_C.float64)
    if isinstance(first, int):
        return _C.tensor(list(batch), dtype=_C.int64)
    if isinstance(first, Mapping):
        return {
            key: collate([sample[key] for sample in batch], collate_fn_map=collate_fn_map) for key in first
        }
    if isinstance(first, Sequence):
        sizes = {len(sample) for sample in batch}
        if len(sizes) != 1:
            raise RuntimeError(f"default_collate: samples have different numbers of entries: {sorted(sizes)}")
        joined = [collate(list(part), collate_fn_map=collate_fn_map) for part in zip(*batch, strict=True)]
        return type(first)(*joined) if hasattr(first, "_fields") else joined
    raise TypeError(
        "default_collate: samples must be made of tensors, arrays, numbers, strings, dicts, tuples "
        "or lists, but "
        f"{type(first).__name__} came; give the loader a collate_fn"
    )


def default_convert(data: Any) -> Any:
    """Arrays as tensors, inside lists, tuples and dicts too; everything else as it is."""
    if isinstance(data, (np.ndarray, np.generic)):
        return data if data.dtype.kind in "SUO" else _C.from_numpy(np.asarray(data))
    if isinstance(data, Mapping):
        return {key: default_convert(value) for key, value in data.items()}
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*map(default_convert, data))
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return [default_convert(value) for value in data]
    return data


def _check_shapes(batch: Sequence[Any]) -> None:
    shape = tuple(batch[0].shape)
    for place, sample in enumerate(batch):
        if not isinstance(sample, (Tensor, np.ndarray)):
            raise TypeError(
                f"default_collate: sample {place} of the batch is of type {type(sample).__name__}, the first "
                f"one of type {type(batch[0]).__name__}"
            )
        if tuple(sample.shape) != shape:
            raise RuntimeError(
                f"default_collate: sample {place} of the batch has shape {list(sample.shape)}, the first one "
                f"{list(shape)}; make them equal in the dataset or give the loader a collate_fn"
            )
