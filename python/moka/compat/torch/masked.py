"""torch.masked: refused when it is used."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from .refusing import refused_class, refused_function

__all__: list[str] = []

_WHY = "there are no masked tensors in Moka; use where() or masked_fill()"

_NAMES = "amax amin argmax argmin as_masked_tensor is_masked_tensor mean median norm prod softmax std sum var"

for _name in _NAMES.split():
    globals()[_name] = refused_function(f"torch.masked.{_name}", _WHY)
    __all__.append(_name)
masked_tensor = refused_function("torch.masked.masked_tensor", _WHY)
MaskedTensor = refused_class("torch.masked.MaskedTensor", _WHY)
