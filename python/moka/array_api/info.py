"""What the namespace can do and which types and devices it has."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

import moka

from .dtypes import KINDS

__all__ = ["__array_namespace_info__"]


class __array_namespace_info__:  # noqa: N801 - the standard's name
    """Inspection of the namespace, as the standard has it."""

    def capabilities(self) -> dict[str, Any]:
        """Masks as indices and shapes that depend on data are there; so are 64 dimensions."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> Any:
        """The device of new tensors."""
        return moka.device("cpu")

    def default_dtypes(self, *, device: Any = None) -> dict[str, Any]:
        """Types of new tensors by kind."""
        floating = moka.get_default_dtype()
        return {
            "real floating": floating,
            "complex floating": moka.complex128 if floating == moka.float64 else moka.complex64,
            "integral": moka.int64,
            "indexing": moka.int64,
        }

    def devices(self) -> list[Any]:
        """All devices."""
        return [moka.device("cpu")]

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, Any]:
        """Types by name: of one kind, of several, or all."""
        if kind is None:
            kind = ("bool", "numeric")
        if isinstance(kind, tuple):
            return {name: dtype for one in kind for name, dtype in self.dtypes(kind=one).items()}
        if kind not in KINDS:
            raise ValueError(f"dtypes: unknown kind {kind!r}; there are {', '.join(KINDS)}")
        return {name: getattr(moka, name) for name in KINDS[kind]}
