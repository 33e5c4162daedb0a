"""Special functions by the names of torch.special: operators `moka.special_NAME`, aliases of others."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

from . import _C
from .nn.functions.activation import log_softmax as log_softmax
from .nn.functions.activation import softmax as softmax

# name here: the operator's own name
_ALIASES = {
    "digamma": "digamma",
    "erf": "erf",
    "erfc": "erfc",
    "erfinv": "erfinv",
    "exp2": "exp2",
    "expit": "sigmoid",
    "expm1": "expm1",
    "gammainc": "igamma",
    "gammaincc": "igammac",
    "gammaln": "lgamma",
    "i0": "i0",
    "log1p": "log1p",
    "logit": "logit",
    "logsumexp": "logsumexp",
    "modified_bessel_i0": "i0",
    "modified_bessel_i1": "special_i1",
    "multigammaln": "mvlgamma",
    "polygamma": "polygamma",
    "psi": "digamma",
    "round": "round",
    "sinc": "sinc",
    "xlog1py": "xlog1py",
    "xlogy": "xlogy",
}
_OPERATORS: dict[str, Any] = {name: getattr(_C, operator) for name, operator in _ALIASES.items()}
_OPERATORS |= {
    name.removeprefix("special_"): getattr(_C, name)
    for name in dir(_C)
    if name.startswith("special_") and not name.endswith("_")
}
globals().update(_OPERATORS)

__all__ = sorted([*_OPERATORS, "log_softmax", "softmax"])
