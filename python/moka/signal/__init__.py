"""Signal processing: windows."""
# SPDX-License-Identifier: Apache-2.0

from . import windows as windows

__all__ = ["windows"]
