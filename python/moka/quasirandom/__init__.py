"""Sequences that fill the unit cube more evenly than random numbers do."""
# SPDX-License-Identifier: Apache-2.0

from .sobol import SobolEngine as SobolEngine

__all__ = ["SobolEngine"]
