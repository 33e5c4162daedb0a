"""torch.version: the version of torch whose names these are, and of Moka behind them."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import moka

__all__ = ["__version__", "cuda", "debug", "git_version", "hip"]

__version__ = f"2.15.0+moka{moka.__version__}"
cuda = None
debug = False
git_version = "none"
hip = None
