"""The layers as plain functions: no state, all tensors as arguments. Each family is a file of `functions`."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from .functions import activation as _activation
from .functions import attention as _attention
from .functions import convolution as _convolution
from .functions import dropout as _dropout
from .functions import embedding as _embedding
from .functions import grouped as _grouped
from .functions import loss as _loss
from .functions import normalization as _normalization
from .functions import pooling as _pooling
from .functions import vision as _vision
from .functions.activation import *  # noqa: F403
from .functions.attention import *  # noqa: F403
from .functions.convolution import *  # noqa: F403
from .functions.dropout import *  # noqa: F403
from .functions.embedding import *  # noqa: F403
from .functions.grouped import *  # noqa: F403
from .functions.loss import *  # noqa: F403
from .functions.normalization import *  # noqa: F403
from .functions.pooling import *  # noqa: F403
from .functions.vision import *  # noqa: F403

_FAMILIES = (
    _activation,
    _attention,
    _convolution,
    _dropout,
    _embedding,
    _grouped,
    _loss,
    _normalization,
    _pooling,
    _vision,
)

__all__ = [name for family in _FAMILIES for name in family.__all__]
