"""How elements lie in memory: memory formats and layouts, by torch's names."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from . import _C

__all__ = [
    "channels_last",
    "channels_last_3d",
    "contiguous_format",
    "layout",
    "memory_format",
    "preserve_format",
    "strided",
]


class memory_format(str):
    """An order of dimensions in memory. It is its own name, which operators take as text."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{repr(_C.float32).partition('.')[0]}.{str.__str__(self)}"

    __str__ = __repr__

    def __reduce__(self) -> tuple:
        return memory_format, (str.__str__(self),)


class layout(str):
    """A kind of storage; tensors of this build are strided."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{repr(_C.float32).partition('.')[0]}.{str.__str__(self)}"

    __str__ = __repr__

    def __reduce__(self) -> tuple:
        return layout, (str.__str__(self),)


contiguous_format = memory_format("contiguous_format")
preserve_format = memory_format("preserve_format")
channels_last = memory_format("channels_last")
channels_last_3d = memory_format("channels_last_3d")
strided = layout("strided")
