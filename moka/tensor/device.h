// Where a tensor lives: a registered device type and an index. The CPU is nothing special.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace moka {

struct Device {
  uint8_t type;   // 0 is "cpu"; register_device_type hands out others
  uint8_t index;
  friend bool operator==(Device, Device) = default;
};

class Allocator;

// Makes a device type known: its name ("cuda") and the allocator for index 0, 1, ...
uint8_t register_device_type(std::string_view name, Allocator* (*allocator)(int index));
std::string_view device_type_name(uint8_t type);
// Reads "cpu", "cuda", "cuda:1"; an unknown type is an error that lists the known ones.
Device parse_device(std::string_view text);
void append_text(std::string& out, Device device);
Allocator& allocator(Device device);

}  // namespace moka
