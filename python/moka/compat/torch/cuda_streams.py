"""Streams, events and graphs of torch.cuda: types for annotations and checks; none can be made without
CUDA.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from .refusing import refused_class, refused_function

__all__ = [
    "CUDAGraph",
    "Event",
    "ExternalStream",
    "Stream",
    "StreamContext",
    "broadcast",
    "gather",
    "graph",
    "reduce_add",
    "scatter",
    "stream",
]

_WHY = "this build of Moka has no CUDA; ask torch.cuda.is_available() first"

Stream = refused_class("torch.cuda.Stream", _WHY)
Event = refused_class("torch.cuda.Event", _WHY)
ExternalStream = refused_class("torch.cuda.ExternalStream", _WHY, (Stream,))
CUDAGraph = refused_class("torch.cuda.CUDAGraph", _WHY)
StreamContext = refused_class("torch.cuda.StreamContext", _WHY)
graph = refused_class("torch.cuda.graph", _WHY)
broadcast = refused_function("torch.cuda.comm.broadcast", _WHY)
gather = refused_function("torch.cuda.comm.gather", _WHY)
reduce_add = refused_function("torch.cuda.comm.reduce_add", _WHY)
scatter = refused_function("torch.cuda.comm.scatter", _WHY)


def stream(stream: Any) -> AbstractContextManager[None]:
    """A block without a stream, which only None can ask for here."""
    if stream is not None:
        raise RuntimeError(f"torch.cuda.stream: {_WHY}")
    return nullcontext()
