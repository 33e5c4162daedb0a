"""torch.return_types: the types of results with several named tensors."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from functools import cache
from typing import Any

__all__: list[str] = []

_TWO = "max min sort topk cummax cummin mode median nanmedian kthvalue aminmax frexp qr eigh slogdet".split()


@cache
def __getattr__(name: str) -> Any:
    if name not in _TWO:
        raise AttributeError(name)
    import moka

    x = moka.ones(1, 1)
    if name == "kthvalue":
        return type(moka.kthvalue(x, 1))
    if name == "topk":
        return type(moka.topk(x, 1))
    if name in ("qr", "eigh", "slogdet"):
        return type(getattr(moka.linalg, name)(x))
    if name in ("sort", "aminmax", "frexp"):
        return type(getattr(moka, name)(x))
    return type(getattr(moka, name)(x, 0))
