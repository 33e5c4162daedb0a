"""Sequences of different lengths in one tensor: padded, or packed step by step."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

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
    says
    how many there are of each step. The sequences are sorted by length; `sorted_indices` says where each came
    from, `unsorted_indices` the reverse.
    """

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
        return self if data is self.data else self._replace(data=data)

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
    if permutation is None:
        return None
    places = permutation.tolist()
    inverse = [0] * len(places)
    for place, value in enumerate(places):
        inverse[value] = place
    return _C.tensor(inverse, dtype=_C.int64)


def pack_padded_sequence(
    input: Tensor, lengths: Tensor | Sequence[int], batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Pack sequences that are padded to one length.

    Args:
        input: [time, batch, ...], or [batch, time, ...] with `batch_first`.
        lengths: of each sequence, above zero.
        enforce_sorted: the lengths must already fall; else the sequences are sorted.
    """
    sizes = [int(n) for n in (lengths.tolist() if isinstance(lengths, Tensor) else lengths)]
    if batch_first:
        input = input.transpose(0, 1)
    steps, batch = input.shape[0], input.shape[1]
    if len(sizes) != batch:
        raise RuntimeError(
            f"pack_padded_sequence: {len(sizes)} lengths came for a batch of {batch} sequences"
        )
    if not sizes or min(sizes) <= 0 or max(sizes) > steps:
        raise RuntimeError(
            f"pack_padded_sequence: lengths must be in 1 to {steps} (the steps of the input), but are {sizes}"
        )
    falling = all(a >= b for a, b in zip(sizes, sizes[1:], strict=False))
    sorted_indices = None
    if enforce_sorted and not falling:
        raise RuntimeError(
            f"pack_padded_sequence: lengths must be sorted in decreasing order when enforce_sorted is True, "
            f"but are {sizes}. You can pass `enforce_sorted=False`"
        )
    if not enforce_sorted:
        order = sorted(range(batch), key=lambda i: -sizes[i])
        sorted_indices = _C.tensor(order, dtype=_C.int64)
        input = input.index_select(1, sorted_indices)
        sizes = [sizes[i] for i in order]
    batch_sizes = [sum(size > step for size in sizes) for step in range(sizes[0])]
    data = _C.cat([input[step, :count] for step, count in enumerate(batch_sizes)], 0)
    return PackedSequence(data, _C.tensor(batch_sizes, dtype=_C.int64), sorted_indices)


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """The reverse of pack_padded_sequence: the padded tensor and the lengths, in the first order."""
    counts = sequence.batch_sizes.tolist()
    steps = len(counts)
    if total_length is not None and total_length < steps:
        raise ValueError(
            "pad_packed_sequence: Expected total_length to be at least the length of the longest sequence in "
            f"input, {steps}, but it is {total_length}"
        )
    wanted = steps if total_length is None else total_length
    batch = counts[0]
    # A row of padding stands behind the data; every place of the result takes a row.
    rest = tuple(sequence.data.shape[1:])
    padding = _C.full((1, *rest), padding_value, dtype=sequence.data.dtype)
    rows = _C.cat([sequence.data, padding], 0)
    last = sequence.data.shape[0]
    places, start = [], 0
    for count in counts + [0] * (wanted - steps):
        places += [start + i if i < count else last for i in range(batch)]
        start += count
    padded = rows.index_select(0, _C.tensor(places, dtype=_C.int64)).reshape((wanted, batch, *rest))
    lengths = _C.tensor([sum(count > i for count in counts) for i in range(batch)], dtype=_C.int64)
    if sequence.unsorted_indices is not None:
        padded = padded.index_select(1, sequence.unsorted_indices)
        lengths = lengths.index_select(0, sequence.unsorted_indices)
    return (padded.transpose(0, 1) if batch_first else padded), lengths


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
