// Makes the tables from all registered operators; element type codes; near misses.
// SPDX-License-Identifier: Apache-2.0
#include "moka/formats/spelling/table.h"

#include <algorithm>
#include <memory>
#include <mutex>

#include "moka/ops/all.h"
#include "moka/schema/frame.h"

namespace moka::spelling {

const char* dialect_name(Dialect dialect) { return dialect == Dialect::Onnx ? "ONNX" : "Caffe2"; }

namespace {

struct Code {
  DType dtype;
  int code;
};
// onnx.proto, TensorProto.DataType
constexpr Code onnx_codes[] = {
    {DType::F32, 1},       {DType::U8, 2},          {DType::I8, 3},      {DType::U16, 4},
    {DType::I16, 5},       {DType::I32, 6},         {DType::I64, 7},     {DType::String, 8},
    {DType::Bool, 9},      {DType::F16, 10},        {DType::F64, 11},    {DType::U32, 12},
    {DType::U64, 13},      {DType::C64, 14},        {DType::C128, 15},   {DType::BF16, 16},
    {DType::F8E4M3FN, 17}, {DType::F8E4M3FNUZ, 18}, {DType::F8E5M2, 19}, {DType::F8E5M2FNUZ, 20},
    {DType::U4, 21},       {DType::I4, 22},         {DType::F4E2M1, 23}, {DType::F8E8M0, 24},
    {DType::U2, 25},       {DType::I2, 26},         {DType::F6E2M3, 27}, {DType::F6E3M2, 28}};
// caffe2.proto, TensorProto.DataType; BYTE (3) is read as uint8 too.
constexpr Code netdef_codes[] = {{DType::F32, 1},  {DType::I32, 2},  {DType::String, 4}, {DType::Bool, 5},
                                 {DType::U8, 6},   {DType::I8, 7},   {DType::U16, 8},    {DType::I16, 9},
                                 {DType::I64, 10}, {DType::F16, 12}, {DType::F64, 13},   {DType::U8, 3}};
std::span<const Code> codes(Dialect dialect) {
  if (dialect == Dialect::Onnx) return onnx_codes;
  return netdef_codes;
}

int distance(std::string_view a, std::string_view b) {
  std::vector<int> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); j++) row[j] = static_cast<int>(j);
  for (size_t i = 1; i <= a.size(); i++) {
    int diagonal = row[0];
    row[0] = static_cast<int>(i);
    for (size_t j = 1; j <= b.size(); j++) {
      const int above = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
      diagonal = above;
    }
  }
  return row[b.size()];
}

}  // namespace

int dtype_code(Dialect dialect, DType dtype) {
  for (const Code& c : codes(dialect))
    if (c.dtype == dtype) return c.code;
  return 0;
}

bool find_dtype_code(Dialect dialect, int64_t code, DType& out) {
  for (const Code& c : codes(dialect)) {
    if (c.code != code) continue;
    out = c.dtype;
    return true;
  }
  return false;
}

Table::Table(Dialect dialect) : dialect_(dialect) {
  const std::vector<const Op*> ops = all_ops();
  ops_ = ops.size();
  for (const Op* op : ops) {
    const Format& format = dialect == Dialect::Onnx ? op->onnx : op->netdef;
    for (const Spelling& spelling : format.rows) {
      Row row{op, std::string(spelling.domain), spelling.since, spelling.until, {}};
      try {
        row.mapping = parse_mapping(spelling.map, info(*op).schema);
      } catch (const Error& e) {
        problems_.push_back(e.message());
        continue;
      }
      const int at = static_cast<int>(rows_.size());
      by_name_.emplace(row.mapping.op, at);
      by_op_[op].push_back(at);
      rows_.push_back(std::move(row));
    }
  }
}

// Made again when operators have been registered since; older tables stay for those who hold rows of them.
const Table& Table::of(Dialect dialect) {
  register_all_ops();
  static std::mutex mutex;
  static std::vector<std::unique_ptr<const Table>> made[2];
  std::lock_guard lock(mutex);
  auto& tables = made[static_cast<int>(dialect)];
  if (tables.empty() || tables.back()->ops_ != all_ops().size()) tables.emplace_back(new Table(dialect));
  return *tables.back();
}

std::vector<const Row*> Table::named(std::string_view name, std::string_view domain, int version) const {
  std::vector<const Row*> out;
  auto [from, to] = by_name_.equal_range(name);
  for (auto i = from; i != to; ++i) {
    const Row& row = rows_[static_cast<size_t>(i->second)];
    if (row.domain == domain && row.valid_in(version)) out.push_back(&row);
  }
  return out;
}

std::vector<const Row*> Table::of_op(const Op& op, int version) const {
  std::vector<const Row*> out;
  if (auto i = by_op_.find(&op); i != by_op_.end())
    for (int at : i->second)
      if (rows_[static_cast<size_t>(at)].valid_in(version)) out.push_back(&rows_[static_cast<size_t>(at)]);
  return out;
}

bool Table::knows(std::string_view name, std::string_view domain) const {
  auto [from, to] = by_name_.equal_range(name);
  return std::any_of(from, to,
                     [&](const auto& i) { return rows_[static_cast<size_t>(i.second)].domain == domain; });
}

std::vector<std::string> Table::near(std::string_view name) const {
  std::vector<std::string> by_distance[3];
  const std::string_view start = name.substr(0, 64);  // names come from files and may be long
  for (auto i = by_name_.begin(); i != by_name_.end(); i = by_name_.upper_bound(i->first))
    if (const auto far = distance(start, i->first); far <= 2) by_distance[far].push_back(i->first);
  std::vector<std::string> out;
  for (const std::vector<std::string>& names : by_distance)
    for (const std::string& near : names)
      if (out.size() < 3) out.push_back(near);
  return out;
}

const Any* ForeignNode::attribute(std::string_view wanted) const {
  for (const Attribute& a : attributes)
    if (a.name == wanted) return &a.value;
  return nullptr;
}

Tensor ints_tensor(std::span<const int64_t> ints) {
  const int64_t size = static_cast<int64_t>(ints.size());
  Tensor out = new_tensor(std::span(&size, 1), DType::I64);
  if (size) std::copy(ints.begin(), ints.end(), static_cast<int64_t*>(out.raw_data()));
  return out;
}

Tensor number_tensor(const Any& number, DType dtype) {
  Tensor out = new_tensor({}, dtype);
  if (number.tag() == Tag::Float) {
    const double f = number.arg().f;
    convert_elements(&f, DType::F64, out.raw_data(), dtype, 1);
  } else {
    const int64_t i = number.arg().as_int();
    convert_elements(&i, DType::I64, out.raw_data(), dtype, 1);
  }
  return out;
}

}  // namespace moka::spelling
