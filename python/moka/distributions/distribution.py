"""Distribution, the base of all, and Independent, which takes batch dimensions as one event."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

from moka import _C
from moka._C import Tensor
from moka.autograd import no_grad

__all__ = ["Distribution", "Independent", "sum_last", "together"]

Shape = tuple[int, ...]


def together(*values: Any) -> list[Tensor]:
    """Parameters as tensors of one shape; numbers become float tensors."""
    first = next((value for value in values if isinstance(value, Tensor)), None)
    dtype = _C.get_default_dtype() if first is None else first.dtype
    tensors = [v if isinstance(v, Tensor) else _C.tensor(float(v), dtype=dtype) for v in values]
    total = tensors[0]
    for tensor in tensors[1:]:
        total = total + tensor
    return [tensor.expand(total.shape) for tensor in tensors]


def sum_last(values: Tensor, count: int) -> Tensor:
    """The sum over the last `count` dimensions."""
    return values.sum(list(range(-count, 0))) if count else values


class Distribution:
    """A batch of distributions: `batch_shape` of them, each over values of `event_shape`.

    Args:
        validate_args: whether parameters and values are checked (they are unless this is False).
    """

    has_rsample = False
    arg_constraints: dict[str, str] = {}  # name of a parameter -> "positive", "unit"
    _validate = True

    def __init__(
        self, batch_shape: Any = (), event_shape: Any = (), validate_args: bool | None = None
    ) -> None:
        self._batch_shape = tuple(batch_shape)
        self._event_shape = tuple(event_shape)
        self._validate_args = self._validate if validate_args is None else validate_args
        if not self._validate_args:
            return
        for name, rule in self.arg_constraints.items():
            value = self.__dict__.get(name)
            if value is not None and not self._holds(value.detach(), rule):
                raise ValueError(f"{type(self).__name__}: {name} must be {rule} everywhere, but is {value}")

    @staticmethod
    def _holds(value: Tensor, rule: str) -> bool:
        if rule == "positive":
            return (value > 0).all().item()
        if rule == "in 0 to 1":
            return _C.logical_and(value >= 0, value <= 1).all().item()
        return (value == value).all().item()

    @classmethod
    def set_default_validate_args(cls, value: bool) -> None:
        """Whether parameters are checked where validate_args is not given."""
        Distribution._validate = bool(value)

    @property
    def batch_shape(self) -> Any:
        """Shape of the batch of distributions."""
        return _C.Size(self._batch_shape)

    @property
    def event_shape(self) -> Any:
        """Shape of one value."""
        return _C.Size(self._event_shape)

    def _extended(self, sample_shape: Any) -> Shape:
        return (*tuple(sample_shape), *self._batch_shape, *self._event_shape)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draws, `sample_shape` for each distribution, without gradients."""
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draws that pass gradients to the parameters."""
        raise NotImplementedError(f"{type(self).__name__} cannot pass gradients through its draws")

    def sample_n(self, n: int) -> Tensor:
        """The same as sample((n,))."""
        return self.sample((n,))

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density (or probability) of `value`."""
        raise NotImplementedError(f"{type(self).__name__} has no log_prob")

    def cdf(self, value: Tensor) -> Tensor:
        """The probability of at most `value`."""
        raise NotImplementedError(f"{type(self).__name__} has no cdf")

    def icdf(self, value: Tensor) -> Tensor:
        """The value below which this share lies."""
        raise NotImplementedError(f"{type(self).__name__} has no icdf")

    def entropy(self) -> Tensor:
        """The entropy in nats."""
        raise NotImplementedError(f"{type(self).__name__} has no entropy")

    @property
    def mean(self) -> Tensor:
        """The mean."""
        raise NotImplementedError(f"{type(self).__name__} has no mean")

    @property
    def variance(self) -> Tensor:
        """The variance."""
        raise NotImplementedError(f"{type(self).__name__} has no variance")

    @property
    def stddev(self) -> Tensor:
        """The standard deviation."""
        return self.variance.sqrt()

    def perplexity(self) -> Tensor:
        """exp(entropy)."""
        return self.entropy().exp()

    def __repr__(self) -> str:
        parts = [f"{name}: {self.__dict__[name]}" for name in self.arg_constraints if name in self.__dict__]
        return f"{type(self).__name__}({', '.join(parts)})"


class Independent(Distribution):
    """The last `reinterpreted_batch_ndims` batch dimensions of a distribution as parts of one value.

    >>> Independent(Normal(mean, deviation), 1)  # one value is a vector
    """

    def __init__(
        self,
        base_distribution: Distribution,
        reinterpreted_batch_ndims: int,
        validate_args: bool | None = None,
    ) -> None:
        count = reinterpreted_batch_ndims
        batch = tuple(base_distribution.batch_shape)
        if count > len(batch):
            raise ValueError(
                f"Independent: {count} dimensions were asked for, but the batch has shape {list(batch)}"
            )
        self.base_dist = base_distribution
        self.reinterpreted_batch_ndims = count
        split = len(batch) - count
        event = batch[split:] + tuple(base_distribution.event_shape)
        super().__init__(batch[:split], event, validate_args)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """Whether draws pass gradients."""
        return self.base_dist.has_rsample

    @property
    def mean(self) -> Tensor:
        return self.base_dist.mean

    @property
    def variance(self) -> Tensor:
        return self.base_dist.variance

    def sample(self, sample_shape: Any = ()) -> Tensor:
        return self.base_dist.sample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        return self.base_dist.rsample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        return sum_last(self.base_dist.log_prob(value), self.reinterpreted_batch_ndims)

    def entropy(self) -> Tensor:
        return sum_last(self.base_dist.entropy(), self.reinterpreted_batch_ndims)

    def __repr__(self) -> str:
        return f"Independent({self.base_dist}, {self.reinterpreted_batch_ndims})"
