"""Names of torch.utils.data that programs import from inside of it."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import collections.abc as container_abcs
from typing import Any

from moka.data import DataLoader, default_collate, get_worker_info

__all__ = ["container_abcs", "default_collate", "default_convert", "get_worker_info", "string_classes"]

string_classes = (str, bytes)


class _DatasetKind:
    Map = 0
    Iterable = 1


class _BaseDataLoaderIter:
    """The type of torch's own iterators; a DataLoader here makes others."""


class _SingleProcessDataLoaderIter(_BaseDataLoaderIter):
    """As above."""


class _MultiProcessingDataLoaderIter(_BaseDataLoaderIter):
    """As above."""


def default_convert(data: Any) -> Any:
    """Arrays of NumPy as tensors, inside lists and dicts too; everything else as it is."""
    from moka.data.collate import default_convert as convert

    return convert(data)


_InfiniteConstantSampler = type(
    "_InfiniteConstantSampler",
    (),
    {"__iter__": lambda self: iter(lambda: None, 0), "__doc__": "None, forever."},
)
__all__ += ["DataLoader"]
