"""Names of torch.utils.data that programs import from inside of it."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import collections.abc as container_abcs
import re
from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np

from moka.data import DataLoader, default_collate, default_convert, get_worker_info
from moka.data.collate import collate as collate
from moka.data.collate import default_collate_fn_map as default_collate_fn_map
from moka.data.randomness import draw_as_torch
from moka.data.sampler import EndlessSampler

__all__ = ["container_abcs", "default_collate", "default_convert", "get_worker_info", "string_classes"]

string_classes = (str, bytes)
np_str_obj_array_pattern = re.compile(r"[SaUO]")


_collate_fn_t = Callable[[list[Any]], Any]
_worker_init_fn_t = Callable[[int], None]


def _generate_state(base_seed: int, worker_id: int) -> list[int]:
    """The seed of NumPy's numbers in a worker."""
    entropy = [worker_id, base_seed & 0xFFFFFFFF, base_seed >> 32, 0]
    return np.random.SeedSequence(entropy).generate_state(4).tolist()


def collate_tensor_fn(batch: Any, *, collate_fn_map: Any = None) -> Any:
    """The tensors stacked."""
    return default_collate(batch)


class _DatasetKind:
    Map = 0
    Iterable = 1


class _BaseDataLoaderIter:
    """Batches of anything with the attributes of torch's DataLoader, made when asked for; a DataLoader here
    makes other iterators.
    """

    def __init__(self, loader: Any) -> None:
        self._dataset, self._collate = loader.dataset, loader.collate_fn
        self._together = loader._auto_collation
        self._drop_last = getattr(loader, "drop_last", False)
        streaming = loader._dataset_kind == _DatasetKind.Iterable
        self._stream = iter(loader.dataset) if streaming else None
        self._indices = iter(loader._index_sampler)
        self._base_seed = draw_as_torch(getattr(loader, "generator", None))

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        index = next(self._indices)
        if self._stream is None:
            samples = [self._dataset[i] for i in index] if self._together else self._dataset[index]
            return self._collate(samples)
        if not self._together:
            return self._collate(next(self._stream))
        samples = list(islice(self._stream, len(index)))
        if not samples or (self._drop_last and len(samples) < len(index)):
            raise StopIteration
        return self._collate(samples)


class _SingleProcessDataLoaderIter(_BaseDataLoaderIter):
    """As above."""


class _MultiProcessingDataLoaderIter(_BaseDataLoaderIter):
    """As above."""


_InfiniteConstantSampler = EndlessSampler
__all__ += ["DataLoader"]
