"""torch.nested: refused when it is used."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from .refusing import refused_function

__all__: list[str] = []

_WHY = "tensors of Moka have one size along each dimension; pad them, see nn.utils.rnn.pad_sequence"

_NAMES = "as_nested_tensor masked_select narrow nested_tensor nested_tensor_from_jagged to_padded_tensor"

for _name in _NAMES.split():
    globals()[_name] = refused_function(f"torch.nested.{_name}", _WHY)
    __all__.append(_name)
