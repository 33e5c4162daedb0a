// The table of device types.
// SPDX-License-Identifier: Apache-2.0
#include "moka/tensor/device.h"

#include <atomic>
#include <charconv>
#include <mutex>

#include "moka/base/error.h"
#include "moka/tensor/allocator.h"
#include "moka/tensor/meta.h"

namespace moka {

namespace {
struct DeviceType {
  std::string name;
  Allocator* (*allocator)(int);
};
// Gives no memory.
class NoMemory final : public Allocator {
 public:
  void* allocate(size_t) override {
    meta_in_use.store(true, std::memory_order_relaxed);
    return nullptr;
  }
  void deallocate(void*, size_t) noexcept override {}
  AllocatorStats stats() override { return {}; }
  void release_cache() noexcept override {}
};
DeviceType& entry(int i) {
  static NoMemory* none = new NoMemory;  // tensors may outlive the program's last line
  static DeviceType table[64] = {{"cpu", [](int) { return &cpu_allocator(); }},
                                 {"meta", [](int) -> Allocator* { return none; }}};
  return table[i];
}
std::atomic<int> types{meta_device_type + 1};
}  // namespace

std::atomic<bool> meta_in_use{false};
thread_local int meta_bodies = 0;

void check_sizes_known(const Tensor& t, std::string_view op) {
  MOKA_CHECK_KIND(NotImplemented, !is_meta(t), op,
                  ": the sizes of its result depend on values, which meta tensors do not have");
}

void check_has_values(const Tensor& t, std::string_view what) {
  if (is_meta(t))
    fail_kind(ErrorKind::NotImplemented, what, ": Cannot copy out of meta tensor; no data! Its shape is ",
              t.sizes(), "; to_empty() gives a module on meta memory of its own");
}

uint8_t register_device_type(std::string_view name, Allocator* (*allocator)(int index)) {
  static std::mutex mutex;
  std::lock_guard lock(mutex);
  int n = types.load();
  for (int i = 0; i < n; i++)
    MOKA_CHECK_KIND(Value, entry(i).name != name, "register_device_type: '", name, "' is taken");
  MOKA_CHECK(n < 64, "register_device_type: all 64 device types are taken");
  entry(n) = {std::string(name), allocator};
  types.store(n + 1);
  return static_cast<uint8_t>(n);
}

std::string_view device_type_name(uint8_t type) {
  MOKA_ASSERT(type < types.load());
  return entry(type).name;
}

Device parse_device(std::string_view text) {
  size_t colon = text.find(':');
  std::string_view name = text.substr(0, colon);
  int index = 0;
  if (colon != std::string_view::npos) {
    auto [end, error] = std::from_chars(text.data() + colon + 1, text.data() + text.size(), index);
    MOKA_CHECK(error == std::errc() && end == text.data() + text.size() && index >= 0 && index < 256,
               "device: expected 'type' or 'type:index', got '", text, "'");
  }
  std::string known;
  for (int i = 0; i < types.load(); i++) {
    if (entry(i).name == name) {
      MOKA_CHECK(i != 0 || index == 0, "device: there is one cpu, cpu:0; got '", text, "'");
      return {static_cast<uint8_t>(i), static_cast<uint8_t>(index)};
    }
    known += (i ? ", " : "") + entry(i).name;
  }
  fail("device: no device type '", name, "' in this build; known: ", known);
}

void append_text(std::string& out, Device device) {
  out.append(device_type_name(device.type));
  if (device.type > meta_device_type) {
    out.push_back(':');
    append_text(out, static_cast<uint64_t>(device.index));
  }
}

Allocator& allocator(Device device) {
  if (device.type == 0) return cpu_allocator();
  return *entry(device.type).allocator(device.index);
}

}  // namespace moka
