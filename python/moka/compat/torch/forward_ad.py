"""torch.autograd.forward_ad: moka.func.jvp computes such derivatives; tensors carry none outside of it."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any, NamedTuple

from .refusing import refused_function

__all__ = [
    "UnpackedDualTensor",
    "dual_level",
    "enter_dual_level",
    "exit_dual_level",
    "make_dual",
    "unpack_dual",
]

_WHY = "use torch.func.jvp, which computes derivatives in forward direction"


class UnpackedDualTensor(NamedTuple):
    """A tensor and its derivative, which is None."""

    primal: Any
    tangent: Any


def unpack_dual(tensor: Any, *, level: Any = None) -> UnpackedDualTensor:
    """The tensor, without a derivative."""
    return UnpackedDualTensor(tensor, None)


dual_level = refused_function("torch.autograd.forward_ad.dual_level", _WHY)
make_dual = refused_function("torch.autograd.forward_ad.make_dual", _WHY)
enter_dual_level = refused_function("torch.autograd.forward_ad.enter_dual_level", _WHY)
exit_dual_level = refused_function("torch.autograd.forward_ad.exit_dual_level", _WHY)
