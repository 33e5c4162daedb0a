"""Makes `import torch` and `import torch.*` resolve to Moka, in this process and from this import on.

>>> import moka.compat.torch
>>> import torch
>>> torch.ones(2).sum()

Names that Moka lacks raise AttributeError. `python -m moka.compat.torch program.py arguments...` runs a
whole program
that way.
"""
# SPDX-License-Identifier: Apache-2.0

from .modules import MissingName, install, uninstall

__all__ = ["MissingName", "install", "uninstall"]

install()
