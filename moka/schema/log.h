// The verbose log: MOKA_LOG=kernels,passes,... prints one line an event to stderr.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace moka {

struct Frame;
struct KernelRow;
enum class Log { Kernels, Passes, Backends, Plan };

bool log_enabled(Log topic);
void log_line(Log topic, std::string_view text);
void log_kernel(const Frame& frame,
                const KernelRow* chosen);  // op, shapes, chosen row, why the others declined

}  // namespace moka
