"""Mixed precision: products in a 16-bit type (autocast), and small gradients kept from zero (GradScaler)."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from .autocast_mode import autocast, custom_bwd, custom_fwd, is_autocast_available
from .grad_scaler import GradScaler

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd", "is_autocast_available"]
