"""torch.utils.dlpack: tensors from and to other libraries without a copy."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

import moka

__all__ = ["from_dlpack", "to_dlpack"]

from_dlpack = moka.from_dlpack


def to_dlpack(tensor: Any) -> Any:
    """A capsule that from_dlpack of any library reads."""
    return tensor.__dlpack__()
