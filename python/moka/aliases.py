"""Second names of operators, as torch has them; `import moka` adds them to the module and to Tensor."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from types import ModuleType

from . import _C
from ._C import Tensor

__all__ = ["ALIASES", "install"]

# alias: the operator's own name
ALIASES = {
    "absolute": "abs",
    "arccos": "acos",
    "arccosh": "acosh",
    "arcsin": "asin",
    "arcsinh": "asinh",
    "arctan": "atan",
    "arctan2": "atan2",
    "arctanh": "atanh",
    "clip": "clamp",
    "divide": "div",
    "fix": "trunc",
    "greater": "gt",
    "greater_equal": "ge",
    "less": "lt",
    "less_equal": "le",
    "multiply": "mul",
    "negative": "neg",
    "not_equal": "ne",
    "subtract": "sub",
    "true_divide": "div",
}


def install(module: ModuleType) -> None:
    """Give every alias, and its in-place form, the operator's object."""
    for alias, name in ALIASES.items():
        for ending in ("", "_"):
            if hasattr(_C, name + ending):
                setattr(module, alias + ending, getattr(_C, name + ending))
            if name + ending in Tensor.__dict__:
                setattr(Tensor, alias + ending, Tensor.__dict__[name + ending])
