"""ExponentialFamily: densities of the form exp(t(x) . n - F(n) + k(x))."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

import moka
from moka import Tensor

from .distribution import Distribution

__all__ = ["ExponentialFamily"]


class ExponentialFamily(Distribution):
    """Densities exp(t(x) . n - F(n) + k(x)) with natural parameters n and log-normalizer F.

    Subclasses give `_natural_params`, `_log_normalizer` and the mean of k as `_mean_carrier_measure`; the
    entropy and divergences within a family follow from them (Nielsen, Nock: Entropies and cross-entropies of
    exponential families, ICIP 2010).
    """

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        raise NotImplementedError(f"{type(self).__name__} has no natural parameters")

    def _log_normalizer(self, *natural_params: Any) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no log-normalizer")

    @property
    def _mean_carrier_measure(self) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no carrier measure")

    def entropy(self) -> Tensor:
        """F(n) - n . F'(n) - E k(x)."""
        with moka.enable_grad():
            natural = [value.detach().requires_grad_() for value in self._natural_params]
            normalizer = self._log_normalizer(*natural)
            slopes = moka.autograd.grad(normalizer.sum(), natural, create_graph=True)
        result = normalizer - self._mean_carrier_measure
        for value, slope in zip(natural, slopes, strict=True):
            result = result - (value * slope).reshape((*self._batch_shape, -1)).sum(-1)
        return result
