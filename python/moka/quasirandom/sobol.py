"""Sobol's sequence: points whose first 2^m fill the cube evenly, plain or scrambled."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy

import moka

from .. import Tensor

__all__ = ["SobolEngine"]

# How many dimensions have a primitive polynomial of degree 1, 2, ...; the first dimension has none.
_OF_DEGREE = (1, 1, 2, 2, 6, 6, 18, 16, 48, 60, 176, 144, 630, 756, 1800, 2048, 7710, 7776)


def _direction_numbers(dimension: int, bits: int) -> numpy.ndarray[Any, Any]:
    """The numbers v of Bratley and Fox (ACM TOMS 14, 1988, p. 90), [dimension, bits], each of `bits` digits.

    The file has, degree by degree, a row of bits a dimension: the polynomial's coefficients between the first
    and the last, then the first odd numbers m_2, m_3, ... of 1, 2, ... bits beside the last one.
    """
    packed = numpy.frombuffer((Path(__file__).parent / "direction_numbers.bin").read_bytes(), numpy.uint8)
    numbers = numpy.ones((dimension, bits), numpy.int64)  # as they are in the first dimension
    row = 1
    for degree, count in enumerate(_OF_DEGREE, 1):
        if row >= dimension:
            break
        width = (degree - 1) * (degree + 2) // 2
        size = (count * width + 7) // 8
        taken = min(count, dimension - row)
        table = numpy.unpackbits(packed[:size], count=count * width).reshape(count, width)[:taken]
        packed = packed[size:]
        v = numbers[row : row + taken]
        at = degree - 1
        for j in range(2, degree + 1):
            weights = 1 << numpy.arange(j - 1, 0, -1, dtype=numpy.int64)
            v[:, j - 1] = table[:, at : at + j - 1] @ weights + 1
            at += j - 1
        for j in range(degree, bits):
            v[:, j] = v[:, j - degree] ^ v[:, j - degree] << degree
            for k in range(degree - 1):
                v[:, j] ^= table[:, k] * (v[:, j - k - 1] << k + 1)
        row += taken
    return numbers << numpy.arange(bits - 1, -1, -1, dtype=numpy.int64)


class SobolEngine:
    """Points of Sobol's sequence in the unit cube, with Joe and Kuo's direction numbers (criterion D(6)).

    `dimension` is at most `MAXDIM`. With `scramble` random triangular matrices mix the digits, which are then
    shifted (Owen and Matousek), from `seed` if it is given. Every draw goes on where the last one ended.
    """

    MAXBIT = 30
    MAXDIM = 21201

    def __init__(self, dimension: int, scramble: bool = False, seed: int | None = None) -> None:
        if not 1 <= dimension <= self.MAXDIM:
            raise ValueError(
                "Supported range of dimensionality for SobolEngine is "
                f"[1, {self.MAXDIM}], but dimension is {dimension}"
            )
        self.seed = seed
        self.scramble = scramble
        self.dimension = dimension
        numbers = _direction_numbers(dimension, self.MAXBIT)
        if scramble:
            shift, numbers = self._scrambled(numbers)
        else:
            shift = numpy.zeros(dimension, numpy.int64)
        self.sobolstate: Tensor = moka.from_numpy(numbers)
        self.shift: Tensor = moka.from_numpy(shift)
        self.quasi: Tensor = self.shift.clone()
        self._first_point = (self.quasi / 2**self.MAXBIT).reshape(1, -1)
        self.num_generated = 0

    def _scrambled(self, numbers: numpy.ndarray[Any, Any]) -> tuple[Any, Any]:
        generator = None
        if self.seed is not None:
            generator = moka.Generator()
            generator.manual_seed(self.seed)
        bits = self.MAXBIT
        digits = moka.randint(2, (self.dimension, bits), generator=generator).numpy()
        shift = digits @ (1 << numpy.arange(bits, dtype=numpy.int64))
        matrices = moka.randint(2, (self.dimension, bits, bits), generator=generator).tril().numpy()
        places = numpy.arange(bits)
        matrices[:, places, places] = 1
        downwards = places[::-1].astype(numpy.int64)  # the first digit is the highest
        scrambled = numpy.empty_like(numbers)
        for column in range(bits):
            given = numbers[:, column, None] >> downwards & 1
            taken = (matrices @ given[:, :, None])[:, :, 0] & 1
            scrambled[:, column] = taken @ (1 << downwards)
        return shift, scrambled

    def draw(self, n: int = 1, out: Tensor | None = None, dtype: moka.dtype | None = None) -> Tensor:
        """The next n points, [n, dimension], of the default floating type or `dtype`, or in `out`."""
        dtype = moka.get_default_dtype() if dtype is None else dtype
        first = self.num_generated == 0
        steps = n - 1 if first else n
        if steps < 0:
            raise ValueError(f"SobolEngine.draw: n must be non-negative, but got {steps}")
        result = self._points(steps, dtype)
        if first:
            result = moka.cat((self._first_point.to(dtype), result), -2)
        self.num_generated += n
        return result if out is None else out.resize_as_(result).copy_(result)

    def _points(self, n: int, dtype: moka.dtype) -> Tensor:
        """The n points after the last one, which `quasi` keeps."""
        if dtype not in (moka.float32, moka.float64):
            raise NotImplementedError(f"SobolEngine.draw: defined for float32 and float64, not {dtype}")
        start = max(self.num_generated - 1, 0)
        index = numpy.arange(start, start + n)
        places = numpy.log2((index ^ index + 1) + 1).astype(numpy.int64) - 1  # of the lowest zero
        numbers = self.sobolstate.numpy().T[places]
        if n:
            numbers[0] ^= self.quasi.numpy()
            numpy.bitwise_xor.accumulate(numbers, axis=0, out=numbers)
            self.quasi = moka.from_numpy(numbers[-1].copy())
        return moka.from_numpy(numbers).to(dtype) * 2.0**-self.MAXBIT

    def draw_base2(self, m: int, out: Tensor | None = None, dtype: moka.dtype | None = None) -> Tensor:
        """The next 2^m points; with those drawn before they must be a power of two, as the balance needs."""
        n = 2**m
        total = self.num_generated + n
        if total & total - 1:
            raise ValueError(
                "The balance properties of Sobol' points require n to be a power of 2. "
                f"{self.num_generated} points have been previously generated, then: "
                f"n={self.num_generated}+2**{m}={total}; use draw() instead"
            )
        return self.draw(n, out, dtype)

    def reset(self) -> SobolEngine:
        """Back to the first point."""
        self.quasi.copy_(self.shift)
        self.num_generated = 0
        return self

    def fast_forward(self, n: int) -> SobolEngine:
        """Leaves n points out."""
        start = max(self.num_generated - 1, 0)
        end = start + (n if self.num_generated else n - 1)
        changed = (start ^ start >> 1) ^ (end ^ end >> 1)  # digits of the Gray code
        numbers = self.sobolstate.numpy()
        quasi = self.quasi.numpy().copy()
        for place in range(self.MAXBIT):
            if changed >> place & 1:
                quasi ^= numbers[:, place]
        self.quasi = moka.from_numpy(quasi)
        self.num_generated += n
        return self

    def __repr__(self) -> str:
        words = [f"dimension={self.dimension}"]
        if self.scramble:
            words.append("scramble=True")
        if self.seed is not None:
            words.append(f"seed={self.seed}")
        return f"{type(self).__name__}({', '.join(words)})"
