// Reading, checking and giving out the code that packages bring.
// SPDX-License-Identifier: Apache-2.0
#include "moka/backends/llvm/bundle.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <mutex>
#include <unordered_map>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "moka/backends/llvm/bundle_layout.h"
#include "moka/backends/llvm/object.h"
#include "moka/base/cpu.h"
#include "moka/base/sha256.h"
#include "moka/ops/fused/region.h"
#include "moka/schema/log.h"

namespace moka::llvm {

namespace {
struct Code {
  std::string object;
  int spare_rows = 0;
  void* function = nullptr;  // once it is loaded
};
struct Table {
  std::mutex mutex;
  std::unordered_map<std::string, Code> codes;  // by key_of
};
Table& table() {
  static Table* t = new Table;  // plans may be made until the process ends
  return *t;
}
void log(const std::string& text) {
  if (log_enabled(Log::Backends)) log_line(Log::Backends, cat("package: ", text));
}

#if defined(__x86_64__)
// What x86-64-v3 has beside AVX2 and FMA. Compilers do not agree on the levels' names, nor on those of all their parts.
bool has_rest_of_v3() {
  constexpr unsigned movbe = 1u << 22, f16c = 1u << 29, lzcnt = 1u << 5;
  unsigned a, b, c = 0, d, extended = 0;
  return __get_cpuid(1, &a, &b, &c, &d) && (c & movbe) && (c & f16c) &&
         __get_cpuid(0x80000001, &a, &b, &extended, &d) && (extended & lzcnt) &&
         __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
}
#endif

// Targets whose code this processor runs, the best first.
std::vector<std::string_view> fitting_targets() {
  std::vector<std::string_view> out;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (isa() == Isa::Baseline || !has_rest_of_v3()) return out;
  if (isa() == Isa::Avx512 && __builtin_cpu_supports("avx512cd")) out.push_back("x86-64-v4");
  out.push_back("x86-64-v3");
#elif defined(__aarch64__)
  out.push_back("aarch64");
#endif
  return out;
}

// Cuts records off the front of a text.
class Cutter {
 public:
  explicit Cutter(std::string_view text) : text_(text) {}
  template <class T>
  bool record(T& out) {
    if (text_.size() < sizeof out) return false;
    std::memcpy(&out, text_.data(), sizeof out);
    text_.remove_prefix(sizeof out);
    return true;
  }
  bool bytes(uint64_t count, std::string& out) {
    if (count > text_.size()) return false;
    out = text_.substr(0, count);
    text_.remove_prefix(count);
    return true;
  }
  std::string_view rest() const { return text_; }

 private:
  std::string_view text_;
};
}  // namespace

std::string key_of(std::string_view program, std::span<const Tensor> inputs) {
  const std::shared_ptr<const RegionPlan> plan = region_plan(program, inputs);
  std::string out;
  for (size_t k = 0; k < inputs.size(); k++)
    out += cat(info(inputs[k].dtype()).name, inputs[k].dim() ? "" : " 0-d",
               plan->values[k].line ? " line" : "", ",");
  return cat(out, "\n", program);
}

Digest mark_of(std::string_view key, std::string_view target, std::string_view entries) {
  return hmac_sha256(key, cat("moka code ", code_version, " for ", target, "\n", entries));
}

std::string read_code_key(const std::string& path) {
  struct stat s;
  const auto refuse = [&](std::string_view why) {
    fail_kind(ErrorKind::File, path, ": as a code key, ", why);
  };
  if (stat(path.c_str(), &s)) refuse(cat("it cannot be read: ", std::strerror(errno)));
  if (!S_ISREG(s.st_mode)) refuse("it is no file");
  if (s.st_uid != geteuid() && s.st_uid != 0) refuse("it belongs to another user");
  if (s.st_mode & 077) refuse("others may read or write it; chmod 600 mends that");
  if (s.st_size < 16 || s.st_size > 4096) refuse(cat("it must have 16 to 4,096 bytes, not ", s.st_size));
  return std::string(Bytes::of_file(path).text());
}

std::string use_bundle(std::string_view content, std::string_view target, std::string_view key) {
  Cutter in(content);
  BundleHead head;
  if (!in.record(head) || std::memcmp(head.magic, bundle_magic, sizeof head.magic))
    return "is no compiled code";
  if (head.version != code_version)
    return cat("has version ", head.version, " of compiled code, this library runs ", code_version,
               "; build it again");
  if (!same_digest(head.mark, mark_of(key, target, in.rest()))) return "was not built with this key";
  std::unordered_map<std::string, Code> codes;
  for (uint32_t i = 0; i < head.count; i++) {
    BundleEntry entry;
    std::string name;
    Code code;
    if (!in.record(entry) || !in.bytes(entry.key_bytes, name) || !in.bytes(entry.object_bytes, code.object) ||
        entry.spare_rows > most_spare_rows)
      return "is cut off";
    code.spare_rows = static_cast<int>(entry.spare_rows);
    codes.emplace(std::move(name), std::move(code));
  }
  if (!in.rest().empty()) return "has bytes behind its end";
  Table& t = table();
  std::lock_guard lock(t.mutex);
  t.codes.merge(codes);
  return {};
}

void use_package_code(const std::map<std::string, Bytes>& files, const std::string& key_file) {
  std::string held;
  for (const auto& [name, content] : files)
    if (name.starts_with(code_folder) && content.text().starts_with(std::string_view(bundle_magic, 8)))
      held += cat(held.empty() ? "" : ", ", name.substr(code_folder.size()));
  if (held.empty()) return;
  const char* variable = std::getenv("MOKA_CODE_KEY");
  const std::string path = !key_file.empty() ? key_file : variable ? variable : "";
  if (path.empty()) return log(cat("its code for ", held, " is not run: no key is given (MOKA_CODE_KEY)"));
  const std::string key = read_code_key(path);
  std::string fitting;
  for (const std::string_view target : fitting_targets()) {
    fitting += cat(fitting.empty() ? "" : ", ", target);
    const auto file = files.find(cat(code_folder, target));
    if (file == files.end()) continue;
    const std::string why = use_bundle(file->second.text(), target, key);
    return log(why.empty() ? cat("its code for ", target, " is used") : cat(file->first, " ", why));
  }
  log(cat("its code is for ", held, ", this processor runs ", fitting.empty() ? "none" : fitting));
}

void bundled_for_plan(std::span<const runtime::RegionUse> regions) {
  Table& t = table();
  std::lock_guard lock(t.mutex);
  if (t.codes.empty()) return;
  for (const runtime::RegionUse& r : regions) {
    const std::shared_ptr<const RegionPlan> plan = region_plan(r.program, r.inputs);
    if (plan->code.load(std::memory_order_relaxed)) continue;
    const auto at = t.codes.find(key_of(r.program, r.inputs));
    if (at == t.codes.end()) {
      log("a region has no code in it");
      continue;
    }
    Code& code = at->second;
    std::string why;
    if (!code.function) code.function = load_object(code.object, "region", why);
    if (!code.function) {
      log(cat("a region's object file: ", why));
      continue;
    }
    plan->tried.store(true);
    plan->spare_rows.store(code.spare_rows);
    plan->code.store(reinterpret_cast<RegionPlan::Code>(code.function), std::memory_order_release);
    log("a region's code is loaded");
  }
}

}  // namespace moka::llvm
