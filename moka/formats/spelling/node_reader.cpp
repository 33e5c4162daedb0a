// Typed access to attributes and constant inputs, with errors that name them.
// SPDX-License-Identifier: Apache-2.0
#include "moka/formats/spelling/node_reader.h"

#include "moka/formats/spelling/conversions.h"
#include "moka/graph/builtins.h"

namespace moka::spelling {

graph::Value* NodeReader::operator[](int i) const {
  MOKA_CHECK_KIND(File, has(i), "input ", i, " is missing");
  return node.inputs[static_cast<size_t>(i)];
}

int64_t NodeReader::integer(std::string_view name, int64_t otherwise) const {
  const Any* a = attribute(name);
  Any number;
  if (!a) return otherwise;
  MOKA_CHECK_KIND(File, to_number(*a, number), "attribute '", name, "' is ", *a, ", an integer was expected");
  return number.arg().as_int();
}

double NodeReader::number(std::string_view name, double otherwise) const {
  const Any* a = attribute(name);
  Any number;
  if (!a) return otherwise;
  MOKA_CHECK_KIND(File, to_number(*a, number), "attribute '", name, "' is ", *a, ", a number was expected");
  return number.arg().as_double();
}

std::string_view NodeReader::text(std::string_view name, std::string_view otherwise) const {
  const Any* a = attribute(name);
  if (!a) return otherwise;
  MOKA_CHECK_KIND(File, a->tag() == Tag::String, "attribute '", name, "' is ", *a, ", a text was expected");
  return a->string();
}

std::optional<Dims> NodeReader::ints(std::string_view name) const {
  const Any* a = attribute(name);
  Dims out;
  if (!a) return {};
  if (a->is_none()) return out;  // an empty list leaves no trace in a NetDef
  MOKA_CHECK_KIND(File, to_ints(*a, out), "attribute '", name, "' is ", *a,
                  ", a list of integers was expected");
  return out;
}

std::optional<Dims> NodeReader::known_ints(int input) const {
  if (!has(input)) return {};
  const Any* known = build.known((*this)[input]);
  Dims out;
  if (!known || !to_ints(*known, out)) return {};
  return out;
}

std::optional<Any> NodeReader::known_number(int input) const {
  if (!has(input)) return {};
  const Any* known = build.known((*this)[input]);
  Any out;
  if (!known || !to_number(*known, out)) return {};
  return out;
}

std::optional<Dims> NodeReader::ints_of(std::string_view name, int input) const {
  if (attribute(name)) return ints(name);
  return known_ints(input);
}

graph::Value* NodeReader::builtin(std::string_view name, std::vector<graph::Value*> args) const {
  graph::Node* n = build.graph.create_named(graph::NodeKind::Builtin, std::string(name), build.at, args, 1);
  n->source = build.source;
  graph::infer_types(*n);
  return n->output();
}

Argument NodeReader::ints_argument(int input) const {
  if (auto known = known_ints(input)) return Argument(*known);
  if (const auto* elements = build.elements((*this)[input])) return Argument(list(*elements));
  return Argument(builtin("ints", {(*this)[input]}));
}

Argument NodeReader::int_argument(int input, int64_t element) const {
  if (auto known = known_ints(input)) {
    MOKA_CHECK_KIND(File, element < static_cast<int64_t>(known->size()), "input ", input, " has ",
                    known->size(), " elements, more were expected");
    return Argument((*known)[static_cast<size_t>(element)]);
  }
  if (const auto* elements = build.elements((*this)[input]);
      elements && element < static_cast<int64_t>(elements->size()))
    return Argument((*elements)[static_cast<size_t>(element)]);
  return Argument(builtin("index", {builtin("ints", {(*this)[input]}), build.constant(Any(element))}));
}

Argument NodeReader::number_argument(int input) const {
  if (auto known = known_number(input)) return Argument(*known);
  if (const auto* elements = build.elements((*this)[input]); elements && elements->size() == 1)
    return Argument((*elements)[0]);
  return Argument(builtin("item", {(*this)[input]}));
}

graph::Value* NodeReader::list(std::vector<graph::Value*> items) const {
  graph::Node* n = build.graph.create(graph::NodeKind::List, build.at, items, 1);
  n->source = build.source;
  n->output()->type = graph::Type::list(graph::TypeKind::Int);
  graph::infer_types(*n);
  return n->output();
}

int NodeReader::rank_of(int input) const {
  const int r = rank((*this)[input]);
  MOKA_CHECK_KIND(NotImplemented, r >= 0, "the number of dimensions of input ", input,
                  " is not known when the model is read");
  return r;
}

}  // namespace moka::spelling
