// The verbose log.
// SPDX-License-Identifier: Apache-2.0
#include "moka/schema/log.h"

#include <cstdio>
#include <cstdlib>

#include "moka/schema/frame.h"

namespace moka {

namespace {
constexpr std::string_view topics[] = {"kernels", "passes", "backends", "plan"};

unsigned enabled_topics() {
  unsigned mask = 0;
  const char* text = std::getenv("MOKA_LOG");
  if (!text) return 0;
  std::string_view rest = text;
  while (!rest.empty()) {
    size_t comma = rest.find(',');
    std::string_view word = rest.substr(0, comma);
    bool known = word == "all";
    if (known) mask = ~0u;
    for (unsigned i = 0; i < std::size(topics); i++)
      if (topics[i] == word) {
        mask |= 1u << i;
        known = true;
      }
    if (!known)
      std::fprintf(stderr,
                   "moka: MOKA_LOG: unknown topic '%.*s'; known: kernels, passes, backends, plan, all\n",
                   static_cast<int>(word.size()), word.data());
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
  }
  return mask;
}
}  // namespace

bool log_enabled(Log topic) {
  static const unsigned mask = enabled_topics();
  return mask >> static_cast<int>(topic) & 1;
}

void log_line(Log topic, std::string_view text) {
  std::string_view name = topics[static_cast<int>(topic)];
  std::fprintf(stderr, "moka: %.*s: %.*s\n", static_cast<int>(name.size()), name.data(),
               static_cast<int>(text.size()), text.data());
}

void log_kernel(const Frame& frame, const KernelRow* chosen) {
  std::string text = cat(frame.name(), "(");
  for (int i = 0; i < frame.count; i++) {
    if (i) text += ", ";
    append_text(text, frame.args[i]);
  }
  std::string why;
  choose_kernel(frame, &why);
  text += cat(") -> ", chosen ? chosen->name : std::string_view("none"), why);
  log_line(Log::Kernels, text);
}

}  // namespace moka
