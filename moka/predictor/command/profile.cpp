// `moka profile`: where the time of a model goes, step by step, against what the machine can do.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>

#include "moka/base/parallel.h"
#include "moka/formats/files.h"
#include "moka/formats/json.h"
#include "moka/predictor/command/command.h"
#include "moka/runtime/machine.h"
#include "moka/runtime/trace.h"

namespace moka::command {

namespace {

using runtime::Trace;

void append_rows(std::string& out, const char* key, const std::vector<Trace::Row>& rows, int repeat) {
  out += cat(",\"", key, "\":[");
  const double each = 1e-9 / repeat;
  for (size_t i = 0; i < rows.size(); i++) {
    const Trace::Row& r = rows[i];
    out += i ? ",{\"operator\":" : "{\"operator\":";
    append_json_string(out, r.name);
    out += ",\"kernel\":";
    append_json_string(out, r.kernel);
    if (key == std::string_view("steps")) {
      out += ",\"place\":";
      append_json_string(out, r.place);
      out += ",\"shapes\":";
      append_json_string(out, r.shapes);
    }
    out += cat(",\"calls\":", r.calls / repeat, ",\"seconds\":", static_cast<double>(r.total) * each,
               ",\"self_seconds\":", static_cast<double>(r.self) * each, ",\"flop\":", r.flop / repeat,
               ",\"bytes\":", r.bytes / repeat, ",\"made_bytes\":", r.made / repeat, "}");
  }
  out += "]";
}

}  // namespace

int profile(const ProfileArgs& args) {
  if (args.threads) set_num_threads(args.threads);
  LoadOptions load_options;
  load_options.optimize = !args.no_optimize;
  const Predictor predictor(load(args.model), load_options);
  const std::vector<Any> inputs = read_inputs(args, predictor.inputs(), "profile");
  predictor.run_values(inputs);  // plans, packs weights, fills caches
  std::vector<double> laps;
  Trace trace;
  RunOptions watched;
  watched.trace = &trace;
  {
    Progress progress(cat("running ", args.model.path), 2 * args.repeat);
    for (int i = 0; i < args.repeat; i++) {
      const int64_t start = runtime::trace_clock();
      predictor.run_values(inputs);
      laps.push_back(static_cast<double>(runtime::trace_clock() - start) * 1e-9);
      progress.advance(1);
    }
    for (int i = 0; i < args.repeat; i++) {
      predictor.run_values(inputs, watched);
      progress.advance(1);
    }
  }
  std::sort(laps.begin(), laps.end());
  if (!args.trace.empty()) write_file(args.trace, trace.chrome_json());
  const runtime::MachineLimits limits = runtime::machine_limits();
  if (args.json) {
    std::string out = cat("{\"runs\":", args.repeat, ",\"threads\":", num_threads(),
                          ",\"median_seconds\":", laps[laps.size() / 2], ",\"least_seconds\":", laps.front(),
                          ",\"machine\":{\"flop_per_second\":", limits.flop_per_second,
                          ",\"bytes_per_second\":", limits.bytes_per_second, "}");
    append_rows(out, "steps", trace.rows(Trace::By::Step), args.repeat);
    append_rows(out, "operators", trace.rows(Trace::By::Operator), args.repeat);
    std::printf("%s}\n", out.c_str());
    return 0;
  }
  const auto top = static_cast<size_t>(std::max<int64_t>(0, args.top));
  std::printf("steps\n%s\noperators\n%s", trace.table(Trace::By::Step, nullptr, top).c_str(),
              trace.table(Trace::By::Operator, &limits, top).c_str());
  std::printf("%d runs without profiling: median %.3f ms, least %.3f ms; %d threads\n", args.repeat,
              1e3 * laps[laps.size() / 2], 1e3 * laps.front(), num_threads());
  return 0;
}

}  // namespace moka::command
