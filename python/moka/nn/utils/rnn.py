"""Sequences of different lengths in one tensor: padded, or packed step by step."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from moka import _C
from moka._C import Tensor

__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]


class _Packed(NamedTuple):
    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


class PackedSequence(_Packed):
    """Sequences laid out step by step without padding; pack_sequence and pack_padded_sequence make it.

    `data` holds step 0 of all sequences, then step 1 of those that are longer, ...; `batch_sizes` (int64)
    says how many there are of each step. The sequences are sorted by length; `sorted_indices` says where
    each came from, `unsorted_indices` the reverse.
    """

    _batch: int | None = None  # how many sequences there are, where the maker knew it

    def __new__(
        cls,
        data: Tensor,
        batch_sizes: Tensor | None = None,
        sorted_indices: Tensor | None = None,
        unsorted_indices: Tensor | None = None,
    ) -> PackedSequence:
        if batch_sizes is None:
            raise ValueError("PackedSequence: batch_sizes is needed; make it with pack_sequence")
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The same with converted or moved data; itself where nothing changes."""
        data = self.data.to(*args, **kwargs)
        if data is self.data:
            return self
        moved = self._replace(data=data)
        moved._batch = self._batch
        return moved

    def pin_memory(self) -> PackedSequence:
        """The same with data in pinned memory."""
        return self._replace(data=self.data.pin_memory())

    def is_pinned(self) -> bool:
        """Whether the data is in pinned memory."""
        return self.data.is_pinned()

    def cpu(self) -> PackedSequence:
        """The same on the CPU."""
        return self.to("cpu")

    def double(self) -> PackedSequence:
        """The same in float64."""
        return self.to(_C.float64)

    def float(self) -> PackedSequence:
        """The same in float32."""
        return self.to(_C.float32)

    def half(self) -> PackedSequence:
        """The same in float16."""
        return self.to(_C.float16)

    def bfloat16(self) -> PackedSequence:
        """The same in bfloat16."""
        return self.to(_C.bfloat16)

    def long(self) -> PackedSequence:
        """The same in int64."""
        return self.to(_C.int64)

    def int(self) -> PackedSequence:
        """The same in int32."""
        return self.to(_C.int32)

    def short(self) -> PackedSequence:
        """The same in int16."""
        return self.to(_C.int16)

    def char(self) -> PackedSequence:
        """The same in int8."""
        return self.to(_C.int8)

    def byte(self) -> PackedSequence:
        """The same in uint8."""
        return self.to(_C.uint8)

    @property
    def is_cuda(self) -> bool:
        """Whether the data is on a CUDA device."""
        return self.data.is_cuda


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation that undoes another; None for None."""
    return None if permutation is None else permutation.argsort()


def pack_padded_sequence(
    input: Tensor, lengths: Tensor | Sequence[int], batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Pack sequences that are padded to one length.

    Args:
        input: [time, batch, ...], or [batch, time, ...] with `batch_first`.
        lengths: of each sequence, above zero.
        enforce_sorted: the lengths must already fall; else the sequences are sorted.
    """
    dim = 0 if batch_first else 1
    steps, batch = input.shape[1 - dim], input.shape[dim]
    if not isinstance(lengths, Tensor):
        lengths = _C.tensor([int(n) for n in lengths], dtype=_C.int64)
    lengths = lengths.to(_C.int64)
    if not _C._is_tracing():  # a graph checks them in every run
        _check_lengths(lengths.tolist(), steps, batch, enforce_sorted)
    sorted_indices = None
    if not enforce_sorted:
        lengths, sorted_indices = lengths.sort(descending=True, stable=True)
        input = input.index_select(dim, sorted_indices)
    step_sizes = _C._operators["packed_step_sizes"](lengths)
    rows = _C._operators["packed_rows"](step_sizes, steps, batch, batch_first)
    packed = PackedSequence(input.flatten(0, 1).index_select(0, rows), step_sizes, sorted_indices)
    packed._batch = batch
    return packed


def _check_lengths(sizes: list[int], steps: int, batch: int, enforce_sorted: bool) -> None:
    if len(sizes) != batch:
        raise RuntimeError(
            f"pack_padded_sequence: {len(sizes)} lengths came for a batch of {batch} sequences"
        )
    if not sizes:
        raise RuntimeError("pack_padded_sequence: Cannot pack empty tensors: the batch has no sequences")
    if min(sizes) <= 0 or max(sizes) > steps:
        raise RuntimeError(
            f"pack_padded_sequence: lengths must be in 1 to {steps} (the steps of the input), but are {sizes}"
        )
    if enforce_sorted and any(a < b for a, b in itertools.pairwise(sizes)):
        raise RuntimeError(
            f"pack_padded_sequence: lengths must be sorted in decreasing order when enforce_sorted is True, "
            f"but are {sizes}. You can pass `enforce_sorted=False`"
        )


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """The reverse of pack_padded_sequence: the padded tensor and the lengths, in the first order."""
    step_sizes, rest = sequence.batch_sizes, tuple(sequence.data.shape[1:])
    lengths = _C._operators["packed_lengths"](step_sizes)
    places = _C._operators["packed_places"](step_sizes, total_length, batch_first)
    # A row of padding stands behind the data.
    padding = _C.full((1, *rest), padding_value, dtype=sequence.data.dtype)
    padded = _C.cat([sequence.data, padding], 0)[places]
    if sequence.unsorted_indices is not None:
        padded = padded.index_select(0 if batch_first else 1, sequence.unsorted_indices)
        lengths = lengths.index_select(0, sequence.unsorted_indices)
    return padded, lengths


def pad_sequence(
    sequences: Iterable[Tensor],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Sequences [length, ...] of different lengths as one tensor [longest, batch, ...] (or [batch, longest,
    ...]).
    """
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"pad_sequence: padding_side must be 'left' or 'right', not {padding_side!r}")
    if isinstance(sequences, Tensor):
        sequences = sequences.unbind(0)
    if not isinstance(sequences, Iterable):
        raise RuntimeError(
            "pad_sequence: Expected iterable for input sequences, but got arg of type "
            f"{type(sequences).__name__}"
        )
    listed = list(sequences)
    if not listed:
        raise RuntimeError("pad_sequence: at least one sequence is needed")
    longest = max(sequence.shape[0] for sequence in listed)
    padded = []
    for sequence in listed:
        missing = longest - sequence.shape[0]
        if missing:
            shape = (missing, *sequence.shape[1:])
            filler = _C.full(shape, padding_value, dtype=sequence.dtype)
            pair = [sequence, filler] if padding_side == "right" else [filler, sequence]
            sequence = _C.cat(pair, 0)
        padded.append(sequence)
    return _C.stack(padded, 0 if batch_first else 1)


def unpad_sequence(
    padded_sequences: Tensor, lengths: Tensor | Sequence[int], batch_first: bool = False
) -> list[Tensor]:
    """The reverse of pad_sequence: each sequence by itself."""
    if not batch_first:
        padded_sequences = padded_sequences.transpose(0, 1)
    sizes = lengths.tolist() if isinstance(lengths, Tensor) else lengths
    return [row[: int(size)] for row, size in zip(padded_sequences.unbind(0), sizes, strict=True)]


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Pack a list of sequences [length, ...]."""
    lengths = [sequence.shape[0] for sequence in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The reverse of pack_sequence."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
