"""The Python array API standard, version 2024.12, for Moka's tensors: what `x.__array_namespace__()` gives.

https://data-apis.org/array-api/2024.12. Tensors keep torch's own attributes and operators; where the two
differ the functions here follow the standard.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from typing import Any

from moka import bool as bool
from moka import complex64 as complex64
from moka import complex128 as complex128
from moka import float32 as float32
from moka import float64 as float64
from moka import int8 as int8
from moka import int16 as int16
from moka import int32 as int32
from moka import int64 as int64
from moka import uint8 as uint8
from moka import uint16 as uint16
from moka import uint32 as uint32
from moka import uint64 as uint64

from . import fft as fft
from . import linalg as linalg
from .creation import *  # noqa: F403
from .creation import __all__ as _creation
from .dtypes import *  # noqa: F403
from .dtypes import __all__ as _dtypes
from .elementwise import *  # noqa: F403
from .elementwise import __all__ as _elementwise
from .info import __array_namespace_info__ as __array_namespace_info__
from .linalg import matmul as matmul
from .linalg import matrix_transpose as matrix_transpose
from .linalg import tensordot as tensordot
from .linalg import vecdot as vecdot
from .manipulation import *  # noqa: F403
from .manipulation import __all__ as _manipulation
from .reductions import *  # noqa: F403
from .reductions import __all__ as _reductions

__array_api_version__ = "2024.12"
e, inf, nan, pi, newaxis = math.e, math.inf, math.nan, math.pi, None

__all__ = sorted(
    [
        *("__array_api_version__", "__array_namespace_info__", "bool", "complex128", "complex64", "e"),
        *("fft", "float32", "float64", "inf", "int16", "int32", "int64", "int8", "linalg", "matmul"),
        *("matrix_transpose", "nan", "newaxis", "pi", "tensordot", "uint16", "uint32", "uint64", "uint8"),
        "vecdot",
        *_creation,
        *_dtypes,
        *_elementwise,
        *_manipulation,
        *_reductions,
    ]
)


def __dir__() -> list[Any]:
    return __all__
