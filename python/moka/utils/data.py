"""moka.data under its name in the torch API."""
# SPDX-License-Identifier: Apache-2.0

from moka.data import *  # noqa: F403
from moka.data import __all__ as __all__
