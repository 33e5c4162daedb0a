// Writes moka/functional.h: a typed C++ function for every operator, made from the registry when Moka is built.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <set>
#include <string>

#include "moka/nn/start.h"
#include "moka/schema/frame.h"
#include "moka/schema/given.h"
#include "moka/schema/op.h"

namespace moka {
namespace {

const std::set<std::string_view> keywords = {
    "and",     "and_eq",   "auto",    "bool",     "break",    "case",     "char",     "class",  "const",
    "default", "delete",   "do",      "double",   "else",     "enum",     "explicit", "export", "extern",
    "false",   "float",    "for",     "friend",   "goto",     "if",       "int",      "long",   "new",
    "not",     "or",       "private", "public",   "register", "return",   "short",    "signed", "sizeof",
    "static",  "struct",   "switch",  "template", "this",     "throw",    "true",     "try",    "typedef",
    "union",   "unsigned", "using",   "virtual",  "void",     "volatile", "while",    "xor"};
std::string spelled(std::string_view name) {
  return keywords.count(name) ? std::string(name) + "_" : std::string(name);
}

std::string value_type(const ArgType& type) {
  if (type.list) {
    if (type.kind == Kind::Int) return type.list_size ? cat("Ints<", type.list_size, ">") : "Ints<>";
    return type.kind == Kind::Float ? "Floats" : "Tensors";
  }
  switch (type.kind) {
    case Kind::Tensor: return "Tensor";
    case Kind::Operand: return "Operand";
    case Kind::Number: return "Number";
    case Kind::Int: return "int64_t";
    case Kind::Float: return "double";
    case Kind::Bool: return "bool";
    case Kind::String: return "std::string_view";
    case Kind::DType: return "DType";
    case Kind::Device: return "Device";
    case Kind::Generator: return "Generator*";
    case Kind::Any: return "Any";
  }
  return "Any";
}

// None is an undefined tensor, a null generator, std::nullopt of anything else.
bool has_empty_value(const ArgType& type) {
  return !type.list && (type.kind == Kind::Tensor || type.kind == Kind::Generator || type.kind == Kind::Any);
}

std::string parameter_type(const ArgType& type) {
  const std::string value = value_type(type);
  if (type.optional && type.list) return cat("const Maybe<", value, ">&");
  if (type.optional && !has_empty_value(type)) return cat("const std::optional<", value, ">&");
  const bool small =
      !type.list && (type.kind == Kind::Int || type.kind == Kind::Float || type.kind == Kind::Bool ||
                     type.kind == Kind::String || type.kind == Kind::DType || type.kind == Kind::Device ||
                     type.kind == Kind::Generator);
  return small ? value : cat("const ", value, "&");
}

std::string real(double v) {
  if (std::isnan(v)) return "std::numeric_limits<double>::quiet_NaN()";
  if (std::isinf(v)) return cat(v < 0 ? "-" : "", "std::numeric_limits<double>::infinity()");
  char text[40];
  std::snprintf(text, sizeof text, "%.17g", v);
  for (int digits = 1; digits < 17; digits++) {  // the shortest that reads back
    char shorter[40];
    std::snprintf(shorter, sizeof shorter, "%.*g", digits, v);
    if (std::strtod(shorter, nullptr) != v) continue;
    std::copy(shorter, shorter + sizeof shorter, text);
    break;
  }
  const std::string out = text;
  return out.find_first_of(".e") == out.npos ? out + ".0" : out;
}

std::string default_text(const ArgDef& def) {
  const Arg a = def.default_value.arg();
  switch (a.tag) {
    case Tag::None: return "{}";
    case Tag::Bool: return a.b ? "true" : "false";
    case Tag::Int: return cat(a.i);
    case Tag::Float: return real(a.f);
    case Tag::String: return cat('"', a.as_string(), '"');
    case Tag::Ints: {
      std::string out = "{";
      for (int64_t i : a.as_ints()) out += cat(out.size() > 1 ? ", " : "", i);
      return out + "}";
    }
    case Tag::Floats: {
      std::string out = "{";
      for (double v : a.as_floats()) out += (out.size() > 1 ? ", " : "") + real(v);
      return out + "}";
    }
    case Tag::DType: return cat("static_cast<DType>(", static_cast<int>(a.dtype), ")");
    default: return "{}";
  }
}

// The text as comment lines of at most 118 columns.
std::string comment(std::string_view text) {
  std::string out, line = "//";
  while (!text.empty()) {
    const size_t end = text.find_first_of(" \n");
    const std::string_view word = text.substr(0, end);
    if (line.size() + word.size() > 117) {
      out += line + "\n";
      line = "//";
    }
    if (!word.empty()) line += cat(' ', word);
    text = end == text.npos ? "" : text.substr(end + 1);
  }
  return out + line + "\n";
}

struct Signature {
  std::string parameters, arguments;
};
Signature signature(const Schema& s, bool in_place) {
  Signature out;
  size_t first_default = s.args.size();  // C++ wants all that follow to have one
  while (first_default > 0 &&
         (s.args[first_default - 1].has_default || s.args[first_default - 1].type.optional))
    first_default--;
  for (size_t i = 0; i < s.args.size(); i++) {
    const ArgDef& def = s.args[i];
    const std::string name = spelled(def.name);
    const std::string type = in_place && i == 0 ? "const Tensor&" : parameter_type(def.type);
    out.parameters += cat(i ? ", " : "", type, type.back() == '&' || type.back() == '*' ? " " : " ", name);
    if (i >= first_default && !(in_place && i == 0)) out.parameters += cat(" = ", default_text(def));
    out.arguments += cat(i ? ", " : "", "argument(", name, ")");
  }
  return out;
}

// The struct that holds the results of an operator with several; their names where the schema has some.
std::string results_struct(const Schema& s, const std::string& name) {
  std::string out = cat("struct ", name, "_results {\n  Tensor ");
  for (size_t i = 0; i < s.outs.size(); i++)
    out += cat(i ? ", " : "", s.outs[i].name.empty() ? cat("output", i) : spelled(s.outs[i].name));
  return out + ";\n};\n";
}

void write_function(std::string& out, const Op& op) {
  const Schema& s = info(op).schema;
  std::string name = s.name;
  std::replace(name.begin(), name.end(), '.', '_');
  name = spelled(name);
  const std::string found = cat("  static const Op& op = operator_named(\"", s.name, "\");\n");
  const std::string doc = comment(op.doc);
  if (writes_first(op)) {
    const bool list = s.args[0].type.list;
    const Signature sig = signature(s, !list);
    if (list)
      out += cat(doc, "inline void ", name, "(", sig.parameters, ") {\n", found, "  call_several(op, {",
                 sig.arguments, "});\n}\n");
    else
      out += cat(doc, "inline const Tensor& ", name, "(", sig.parameters, ") {\n", found,
                 "  return call_in_place(op, ", spelled(s.args[0].name), ", {", sig.arguments, "});\n}\n");
    return;
  }
  const Signature sig = signature(s, false);
  if (s.outs.empty()) {
    out += cat(doc, "inline void ", name, "(", sig.parameters, ") {\n", found, "  call_several(op, {",
               sig.arguments, "});\n}\n");
  } else if (s.outs.size() == 1 && s.outs[0].type.list) {
    out += cat(doc, "inline std::vector<Tensor> ", name, "(", sig.parameters, ") {\n", found,
               "  return call_several(op, {", sig.arguments, "});\n}\n");
  } else if (s.outs.size() == 1) {
    out += cat(doc, "inline Tensor ", name, "(", sig.parameters, ") {\n", found, "  return call_one(op, {",
               sig.arguments, "});\n}\n");
  } else {
    std::string parts;
    for (size_t i = 0; i < s.outs.size(); i++) parts += cat(i ? ", " : "", "std::move(out[", i, "])");
    out += cat(results_struct(s, name), doc, "inline ", name, "_results ", name, "(", sig.parameters, ") {\n",
               found, "  std::vector<Tensor> out = call_several(op, {", sig.arguments, "});\n  return {",
               parts, "};\n}\n");
  }
  if (has_in_place_form(op) && s.outs.size() == 1 && !find_op(s.base + "_") && s.name == s.base) {
    const Signature own = signature(s, true);
    out += cat("// The same, written into ", s.args[0].name, ".\ninline const Tensor& ", s.base, "_(",
               own.parameters, ") {\n", found, "  return call_in_place(op, ", spelled(s.args[0].name), ", {",
               own.arguments, "});\n}\n");
  }
}

std::string header() {
  std::string out =
      "// A typed function for every operator, made from the operator table when Moka was built. Arguments "
      "have\n"
      "// the names of torch; an overload's name follows the operator's, as in median_dim; None is an "
      "undefined Tensor or\n"
      "// std::nullopt. Errors are moka::Error.\n"
      "// SPDX-License-Identifier: Apache-2.0\n"
      "#pragma once\n\n#include <cstdint>\n#include <limits>\n#include <optional>\n#include <string_view>\n"
      "#include <utility>\n#include <vector>\n\n#include \"moka/nn/arguments.h\"\n\nnamespace "
      "moka::functional {\n\n";
  std::vector<const Op*> ops = all_ops();
  std::sort(ops.begin(), ops.end(),
            [](const Op* a, const Op* b) { return info(*a).schema.name < info(*b).schema.name; });
  for (const Op* op : ops)
    if (!info(*op).schema.base.starts_with("_")) {
      write_function(out, *op);
      out += "\n";
    }
  return out + "}  // namespace moka::functional\n";
}

}  // namespace
}  // namespace moka

int main(int count, char** words) {
  if (count != 2) {
    std::fprintf(stderr, "usage: write_functions FILE\n");
    return 2;
  }
  moka::nn::start();
  std::ofstream file(words[1], std::ios::binary);
  file << moka::header();
  file.close();
  if (file.good()) return 0;
  std::fprintf(stderr, "%s: cannot be written\n", words[1]);
  return 1;
}
