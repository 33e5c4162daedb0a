"""Helpers under the names of the torch API: moka.utils.data is moka.data; checkpointing."""
# SPDX-License-Identifier: Apache-2.0

from . import checkpoint, data

__all__ = ["checkpoint", "data"]
