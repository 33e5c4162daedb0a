// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "moka/autograd/history.h"
#include "moka/nn/arguments.h"
#include "moka/nn/start.h"
#include "moka/schema/reading.h"

namespace moka::functional {

namespace {
// Copies the arguments, fills defaults and checks; the number that the schema has.
int complete(const Op& op, std::initializer_list<Arg> given, Arg* args) {
  const int count = static_cast<int>(info(op).schema.args.size());
  MOKA_CHECK_KIND(Type, static_cast<int>(given.size()) <= count, info(op).schema.name, ": takes ", count,
                  " arguments, got ", given.size());
  std::copy(given.begin(), given.end(), args);
  check_args(op, args, count);
  return count;
}
}  // namespace

const Op& operator_named(std::string_view name) {
  nn::start();
  return get_op(name);
}

Tensor call_one(const Op& op, std::initializer_list<Arg> given) {
  Arg args[max_args];
  Frame frame(op, args, complete(op, given, args));
  call(frame);
  return std::move(frame.outs[0]);
}

std::vector<Tensor> call_several(const Op& op, std::initializer_list<Arg> given) {
  Arg args[max_args];
  Frame frame(op, args, complete(op, given, args));
  call(frame);
  std::vector<Tensor> out(frame.outs.size());
  for (size_t i = 0; i < out.size(); i++) out[i] = std::move(frame.outs[i]);
  return out;
}

const Tensor& call_in_place(const Op& op, const Tensor& self, std::initializer_list<Arg> given) {
  Arg args[max_args];
  Frame frame(op, args, complete(op, given, args));
  autograd::check_writable(self, info(op).schema.base);
  frame.outs.resize(1);
  frame.outs[0] = self;
  frame.given = 1;
  call(frame);
  return self;
}

}  // namespace moka::functional
