"""torch._six: types of Python's, as old programs import them."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import collections.abc as container_abcs
import math

__all__ = ["container_abcs", "inf", "int_classes", "nan", "string_classes"]

inf, nan = math.inf, math.nan
string_classes = (str, bytes)
int_classes = int
