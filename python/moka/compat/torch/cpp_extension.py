"""torch.utils.cpp_extension: extensions made for torch cannot be built against Moka."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from .refusing import refused_class, refused_function

__all__ = [
    "BuildExtension",
    "CUDA_HOME",
    "ROCM_HOME",
]

_WHY = "extensions are written against torch's C++ headers, which Moka does not have"
CUDA_HOME = ROCM_HOME = None
BuildExtension = refused_class("torch.utils.cpp_extension.BuildExtension", _WHY)

_REFUSED = (
    "CUDAExtension CppExtension include_paths is_ninja_available library_paths load load_inline "
    "verify_ninja_availability"
).split()
for _name in _REFUSED:
    globals()[_name] = refused_function(f"torch.utils.cpp_extension.{_name}", _WHY)
__all__ += _REFUSED
