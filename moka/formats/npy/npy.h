// One array in a .npy file (NumPy's format, versions 1 to 3).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "moka/formats/files.h"

namespace moka::npy {

// Numbers and bools of any byte order, C or Fortran order (then a transposed view). Objects, records, texts
// and dates are refused: nothing is unpickled.
Tensor read(const std::string& path, const Limits& limits = {});
Tensor read(const Bytes& bytes, std::string_view what, const Limits& limits = {});

// Types that NumPy lacks are errors; bfloat16 is written as float32, which holds every value of it. Atomic.
void write(const std::string& path, const Tensor& tensor);
std::string to_bytes(const Tensor& tensor);

}  // namespace moka::npy
