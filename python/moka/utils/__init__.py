"""Helpers under the names of the torch API: moka.utils.data is moka.data."""
# SPDX-License-Identifier: Apache-2.0

from . import data

__all__ = ["data"]
