"""What distributions share: parameters of one shape, probabilities and logits, lazy attributes, triangles."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import functools
from collections.abc import Callable
from numbers import Number
from typing import Any

import moka
from moka import Tensor
from moka.overrides import is_tensor_like

__all__ = [
    "broadcast_all",
    "clamp_probs",
    "lazy_property",
    "logits_to_probs",
    "probs_to_logits",
    "tril_matrix_to_vec",
    "vec_to_tril_matrix",
]


def broadcast_all(*values: Any) -> tuple[Tensor, ...]:
    """The values as tensors of one shape; numbers take type and device of the first tensor.

    Raises ValueError for anything but tensors and numbers.
    """
    for value in values:
        if not is_tensor_like(value) and not isinstance(value, Number):
            raise ValueError(
                f"broadcast_all: Input arguments must all be instances of Number or Tensor, but one is "
                f"{type(value).__name__}"
            )
    like = next((value for value in values if isinstance(value, Tensor)), None)
    options: dict[str, Any] = {"dtype": moka.get_default_dtype()}
    if like is not None:
        options = {"dtype": like.dtype, "device": like.device}
    tensors = [v if is_tensor_like(v) else moka.tensor(v, **options) for v in values]
    return tuple(moka.broadcast_tensors(*tensors))


def one_of(name: str, probs: Any, logits: Any) -> bool:
    """Whether probs were given (True) or logits; ValueError unless it is just one of the two."""
    if (probs is None) == (logits is None):
        raise ValueError(f"{name}: Either `probs` or `logits` must be specified, but not both.")
    return probs is not None


def one_of_matrices(name: str, **matrices: Any) -> str:
    """The name of the one matrix that was given; ValueError unless it is just one."""
    given = [key for key, value in matrices.items() if value is not None]
    if len(given) != 1:
        raise ValueError(
            f"{name}: Exactly one of {', '.join(matrices)} must be specified, but {len(given)} came"
        )
    return given[0]


def fails(valid: Tensor) -> bool:
    """Whether a check does not hold everywhere; never while a trace records, whose graph holds no checks."""
    return not moka.jit.is_tracing() and not valid.all().item()


def sum_last(values: Tensor, count: int) -> Tensor:
    """The sum over the last `count` dimensions."""
    return values.sum(list(range(-count, 0))) if count else values


def clamp_probs(probs: Tensor) -> Tensor:
    """Probabilities kept one rounding step away from 0 and 1, so that logarithms are finite."""
    step = moka.finfo(probs.dtype).eps
    return probs.clamp(min=step, max=1 - step)


def logits_to_probs(logits: Tensor, is_binary: bool = False) -> Tensor:
    """Probabilities of log-odds (is_binary), or of log-probabilities up to a constant in each row."""
    return moka.sigmoid(logits) if is_binary else moka.softmax(logits, -1)


def probs_to_logits(probs: Tensor, is_binary: bool = False) -> Tensor:
    """Log-odds (is_binary) or log-probabilities, finite also for probabilities of 0 and 1."""
    inside = clamp_probs(probs)
    return inside.log() - (-inside).log1p() if is_binary else inside.log()


def standard_normal(shape: Any, like: Tensor) -> Tensor:
    """Draws of mean 0 and deviation 1 with type and device of `like`."""
    return moka.randn(tuple(shape), dtype=like.dtype, device=like.device)


class lazy_property:
    """A property that is computed at its first use and stays as an attribute of the instance."""

    def __init__(self, wrapped: Callable[[Any], Any]) -> None:
        self.wrapped = wrapped
        functools.update_wrapper(self, wrapped)  # type: ignore[arg-type]

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return _LazyOfClass(self.wrapped)
        with moka.enable_grad():
            value = self.wrapped(instance)
        setattr(instance, self.wrapped.__name__, value)
        return value


class _LazyOfClass(lazy_property, property):
    """What a lazy property is when asked of the class: a property, as documentation tools expect."""

    def __init__(self, wrapped: Callable[[Any], Any]) -> None:
        property.__init__(self, wrapped)
        lazy_property.__init__(self, wrapped)


def _below(size: int, diag: int) -> list[int]:
    """Places in a flattened size x size matrix on and below the diagonal `diag`, row after row."""
    return [row * size + col for row in range(size) for col in range(min(row + 1 + diag, size))]


# Both choose by constant places rather than by masks, so that traces hold them.
def tril_matrix_to_vec(mat: Tensor, diag: int = 0) -> Tensor:
    """[..., n, n] to [..., k]: the entries on and below the diagonal `diag`, row after row."""
    size = mat.shape[-1]
    if not -size <= diag < size:
        raise ValueError(f"tril_matrix_to_vec: diag ({diag}) must lie in [{-size}, {size - 1}]")
    places = moka.tensor(_below(size, diag), dtype=moka.int64, device=mat.device)
    return mat.reshape((*mat.shape[:-2], size * size)).index_select(-1, places)


def vec_to_tril_matrix(vec: Tensor, diag: int = 0) -> Tensor:
    """[..., k] to [..., n, n]: the entries on and below the diagonal `diag`, zero above."""
    count, size = vec.shape[-1], max(0, -diag)
    while len(_below(size, diag)) < count:
        size += 1
    places = _below(size, diag)
    if len(places) != count:
        raise ValueError(
            f"vec_to_tril_matrix: the last dimension has size {count}, which is no lower triangle "
            f"with diag = {diag}"
        )
    source = [count] * (size * size)  # a zero stands behind the entries
    for index, place in enumerate(places):
        source[place] = index
    wide = moka.cat([vec, vec.new_zeros((*vec.shape[:-1], 1))], -1)
    chosen = wide.index_select(-1, moka.tensor(source, dtype=moka.int64, device=vec.device))
    return chosen.reshape((*vec.shape[:-1], size, size))
