// Adapters of ai.onnx.ml: encoders, scalers and linear models as compositions.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "moka/formats/onnx/ml_internal.h"
#include "moka/tensor/strings.h"

namespace moka::onnx {

using graph::Value;
using spelling::named;

Tensor vector_of(const Any& numbers, DType dtype, std::string_view what) {
  if (numbers.is_tensor()) {
    const Tensor& t = numbers.tensor();
    MOKA_CHECK_KIND(File, t.dtype() != DType::String, "attribute '", what,
                    "' holds strings, numbers were expected");
    Tensor flat = new_tensor(Dims{t.numel()}, dtype);
    if (t.numel())
      convert_elements(as_contiguous(t).raw_data(), t.dtype(), flat.raw_data(), dtype, t.numel());
    return flat;
  }
  const bool ints = numbers.tag() == Tag::Ints;
  if (numbers.is_none()) return new_tensor(Dims{0}, dtype);
  if (!ints && numbers.tag() != Tag::Floats)
    fail_kind(ErrorKind::File, "attribute '", what, "' is ", numbers, ", numbers were expected");
  const int64_t count = static_cast<int64_t>(ints ? numbers.ints().size() : numbers.arg().as_floats().size());
  Tensor out = new_tensor(Dims{count}, dtype);
  if (count)
    convert_elements(
        ints ? static_cast<const void*>(numbers.ints().data()) : numbers.arg().as_floats().data(),
        ints ? DType::I64 : DType::F64, out.raw_data(), dtype, count);
  return out;
}

bool given(NodeReader& n, std::string_view name) {
  const Any* a = n.attribute(name);
  if (!a || a->is_none()) return false;
  return a->is_tensor() || a->arg().count > 0;
}

Tensor vector_of(NodeReader& n, std::string_view name, DType dtype) {
  const Any* a = n.attribute(name);
  return a ? vector_of(*a, dtype, name) : new_tensor(Dims{0}, dtype);
}

Value* constant(NodeReader& n, Tensor t) { return n.build.constant(Any(std::move(t))); }

Value* in_rows(NodeReader& n) {
  const int rank = rank_of(n[0], "the input");
  MOKA_CHECK_KIND(File, rank == 1 || rank == 2, "the input has ", rank,
                  " dimensions, [rows, features] was expected");
  const DType dtype = dtype_of(n[0], "the input");
  Value* x = cast_to(n, n[0], dtype == DType::F64 ? DType::F64 : DType::F32);
  return rank == 1 ? n.call("unsqueeze", {x, int64_t(0)}) : x;
}

Value* labels_of(NodeReader& n, std::string_view ints, std::string_view strings) {
  if (given(n, strings)) return constant(n, string_tensor(*n.attribute(strings), strings));
  if (given(n, ints)) return constant(n, vector_of(n, ints, DType::I64));
  return nullptr;
}

Value* post_transformed(NodeReader& n, Value* y, std::string_view how) {
  if (how == "NONE" || how.empty()) return y;
  if (how == "LOGISTIC") return n.call("sigmoid", {y});
  if (how == "SOFTMAX") return n.call("softmax", {y, int64_t(-1)});
  if (how == "SOFTMAX_ZERO") {  // zeros stay zeros
    Value* shifted = n.call("exp", {n.call("sub", {y, n.call("amax", {y, Dims{-1}, true})})});
    Value* zero = n.call("le", {n.call("abs", {y}), 1e-7});
    Value* kept = n.call("where", {zero, 0.0, shifted});
    Value* sum = n.call("sum", {kept, Dims{-1}, true});
    return n.call("where", {n.call("eq", {sum, 0.0}), 0.0,
                            n.call("div", {kept, n.call("where", {n.call("eq", {sum, 0.0}), 1.0, sum})})});
  }
  MOKA_CHECK_KIND(File, how == "PROBIT", "post_transform '", how, "' does not exist");
  return n.call("mul", {n.call("erfinv", {n.call("sub", {n.call("mul", {y, 2.0}), 1.0})}), std::sqrt(2.0)});
}

namespace {

bool array_feature_extractor(NodeReader& n) {
  const int rank = rank_of(n[0], "the input");
  Value* places = n.call("reshape", {n[1], Dims{-1}});
  Value* x = rank == 1 ? n.call("unsqueeze", {n[0], int64_t(0)}) : n[0];
  Value* y = n.call("index_select", {x, int64_t(-1), cast_to(n, places, DType::I64)});
  n.out(promise(y, dtype_of(n[0], "the input"), std::max(rank, 2)));
  return true;
}

bool binarizer(NodeReader& n) {
  n.out(cast_to(n, n.call("gt", {n[0], n.number("threshold", 0)}), dtype_of(n[0], "the input")));
  return true;
}

bool looked_up(NodeReader& n, Value* x, Tensor keys, Tensor values, Tensor otherwise) {
  MOKA_CHECK_KIND(File, keys.numel() == values.numel(), keys.numel(), " keys were given for ", values.numel(),
                  " values");
  const DType dtype = values.dtype();
  Value* y = n.call("lookup", {x, constant(n, keys), constant(n, values), constant(n, otherwise)});
  n.out(spelling::rank(x) >= 0 ? promise(y, dtype, spelling::rank(x)) : y);
  return true;
}

Tensor counted(int64_t count) {
  Tensor t = new_tensor(Dims{count}, DType::I64);
  for (int64_t i = 0; i < count; i++) t.data<int64_t>()[i] = i;
  return t;
}

Tensor one(double v, DType dtype) { return spelling::number_tensor(Any(v), dtype); }
Tensor one(int64_t v) { return spelling::number_tensor(Any(v), DType::I64); }

bool category_mapper(NodeReader& n) {
  const Tensor texts = string_tensor(n.attribute("cats_strings") ? *n.attribute("cats_strings") : Any(),
                                     "cats_strings"),
               numbers = vector_of(n, "cats_int64s", DType::I64);
  if (holds_strings(n[0])) return looked_up(n, n[0], texts, numbers, one(n.integer("default_int64", -1)));
  return looked_up(n, n[0], numbers, texts, string_tensor(n.text("default_string", "_Unused")));
}

bool label_encoder_first(NodeReader& n) {  // opset 1: strings from and to their numbers
  const Tensor texts = string_tensor(n.attribute("classes_strings") ? *n.attribute("classes_strings") : Any(),
                                     "classes_strings");
  if (holds_strings(n[0]))
    return looked_up(n, n[0], texts, counted(texts.numel()), one(n.integer("default_int64", -1)));
  return looked_up(n, n[0], counted(texts.numel()), texts,
                   string_tensor(n.text("default_string", "_Unused")));
}

// The keys or values of a LabelEncoder.
Tensor side(NodeReader& n, const char* of) {
  const std::string tensor = cat(of, "_tensor"), strings = cat(of, "_strings"), ints = cat(of, "_int64s"),
                    floats = cat(of, "_floats");
  if (const Any* t = n.attribute(tensor)) {
    MOKA_CHECK_KIND(File, t->is_tensor() && t->tensor().dim() == 1, tensor, " must have one dimension");
    return t->tensor();
  }
  if (given(n, strings)) return string_tensor(*n.attribute(strings), strings);
  if (given(n, ints)) return vector_of(n, ints, DType::I64);
  MOKA_CHECK_KIND(File, given(n, floats), "there are no ", of);
  return vector_of(n, floats, DType::F32);
}

bool label_encoder(NodeReader& n) {
  Tensor keys = side(n, "keys"), values = side(n, "values"), otherwise;
  if (const Any* t = n.attribute("default_tensor")) {
    MOKA_CHECK_KIND(File, t->is_tensor() && t->tensor().numel() == 1 && t->tensor().dtype() == values.dtype(),
                    "default_tensor must hold one ", info(values.dtype()).name);
    otherwise = t->tensor();
  } else if (values.dtype() == DType::String) {
    otherwise = string_tensor(n.text("default_string", "_Unused"));
  } else if (is_floating(values.dtype())) {
    otherwise = one(n.number("default_float", -0.0), values.dtype());
  } else {
    otherwise = spelling::number_tensor(Any(n.integer("default_int64", -1)), values.dtype());
  }
  Value* x = n[0];
  const DType dtype = dtype_of(x, "the input");
  if (dtype != keys.dtype()) {
    MOKA_CHECK_KIND(File, dtype != DType::String && keys.dtype() != DType::String, "keys are ",
                    info(keys.dtype()).name, ", the input is ", info(dtype).name);
    x = cast_to(n, x, keys.dtype());
  }
  return looked_up(n, x, keys, values, otherwise);
}

bool one_hot_encoder(NodeReader& n) {
  Value* x = n.call("unsqueeze", {n[0], int64_t(-1)});
  const int rank = rank_of(n[0], "the input");
  Value* hit;
  int64_t count;
  if (given(n, "cats_strings")) {
    MOKA_CHECK_KIND(File, holds_strings(n[0]), "categories are strings, the input is not");
    const Tensor cats = string_tensor(*n.attribute("cats_strings"), "cats_strings");
    count = cats.numel();
    hit = n.call("string_equal", {x, constant(n, cats)});
  } else {
    const Tensor cats = vector_of(n, "cats_int64s", DType::I64);
    count = cats.numel();
    hit = n.call("eq", {cast_to(n, x, DType::I64), constant(n, cats)});
  }
  Value* y = promise(cast_to(n, hit, DType::F32), DType::F32, rank + 1);
  y->type.dims.back() = graph::Dim{count, {}};
  if (n.integer("zeros", 1) == 0) {
    std::vector<int64_t> all;
    for (int64_t i = 0; i < rank; i++) all.push_back(i);
    Value* known = n.call("sum", {n.call("amax", {y, Dims{-1}, false}), Dims(all), false});
    Value* every = n.builtin("eq", {n.builtin("item", {known}), n.builtin("numel", {n[0]})});
    n.builtin("check", {every, n.build.constant(Any(true)),
                        n.build.constant(Any(std::string("OneHotEncoder: a category is unknown")))});
  }
  n.out(y);
  return true;
}

bool scaler(NodeReader& n) {
  const DType dtype = dtype_of(n[0], "the input") == DType::F64 ? DType::F64 : DType::F32;
  Value* x = cast_to(n, n[0], dtype);
  if (given(n, "offset")) x = n.call("sub", {x, constant(n, vector_of(n, "offset", dtype))});
  if (given(n, "scale")) x = n.call("mul", {x, constant(n, vector_of(n, "scale", dtype))});
  n.out(cast_to(n, x, DType::F32));
  return true;
}

bool imputer(NodeReader& n) {
  const DType dtype = dtype_of(n[0], "the input");
  const bool floats = is_floating(dtype);
  const Tensor imputed =
      floats ? vector_of(n, "imputed_value_floats", dtype) : vector_of(n, "imputed_value_int64s", dtype);
  MOKA_CHECK_KIND(File, imputed.numel() > 0, floats ? "imputed_value_floats" : "imputed_value_int64s",
                  " is missing");
  const double wanted = n.number("replaced_value_float", 0);
  Value* hit = floats ? std::isnan(wanted) ? n.call("isnan", {n[0]}) : n.call("eq", {n[0], wanted})
                      : n.call("eq", {n[0], n.integer("replaced_value_int64", 0)});
  n.out(n.call("where", {hit, constant(n, imputed), n[0]}));
  return true;
}

bool normalizer(NodeReader& n) {
  const std::string_view norm = n.text("norm", "MAX");
  MOKA_CHECK_KIND(File, norm == "MAX" || norm == "L1" || norm == "L2", "norm '", norm, "' does not exist");
  Value* x = cast_to(n, n[0], dtype_of(n[0], "the input") == DType::F64 ? DType::F64 : DType::F32);
  const Dims last{-1};
  Value* size = norm == "MAX"  ? n.call("amax", {x, last, true})
                : norm == "L1" ? n.call("sum", {n.call("abs", {x}), last, true})
                               : n.call("sqrt", {n.call("sum", {n.call("mul", {x, x}), last, true})});
  Value* y = n.call("div", {x, n.call("where", {n.call("eq", {size, 0.0}), 1.0, size})});
  n.out(cast_to(n, y, DType::F32));
  return true;
}

bool feature_vectorizer(NodeReader& n) {
  std::vector<Value*> parts;
  for (int i = 0; i < n.inputs(); i++) {
    const int rank = rank_of(n[i], "an input");
    MOKA_CHECK_KIND(File, rank == 1 || rank == 2, "input ", i, " has ", rank,
                    " dimensions, at most 2 were expected");
    Value* x = cast_to(n, n[i], DType::F32);
    parts.push_back(rank == 1 ? n.call("unsqueeze", {x, int64_t(0)}) : x);
  }
  n.out(n.call("cat", {parts, int64_t(1)}));
  return true;
}

// Weights [features, targets] of coefficients that list features of one target after another.
Value* product(NodeReader& n, Value* x, int64_t targets) {
  const DType dtype = dtype_of(x, "the input");
  const Tensor coefficients = vector_of(n, "coefficients", dtype);
  MOKA_CHECK_KIND(File, targets > 0 && coefficients.numel() % targets == 0, coefficients.numel(),
                  " coefficients do not divide by ", targets, " targets");
  const int64_t features = coefficients.numel() / targets;
  Value* w = constant(n, strided_view(coefficients, Dims{targets, features}, Dims{features, 1}, 0));
  Value* y = n.call("matmul", {x, n.call("transpose", {w, int64_t(0), int64_t(1)})});
  if (given(n, "intercepts")) {
    const Tensor intercepts = vector_of(n, "intercepts", dtype);
    MOKA_CHECK_KIND(File, intercepts.numel() == targets, intercepts.numel(), " intercepts were given for ",
                    targets, " targets");
    y = n.call("add", {y, constant(n, intercepts)});
  }
  return y;
}

bool linear_regressor(NodeReader& n) {
  Value* y = product(n, in_rows(n), n.integer("targets", 1));
  n.out(cast_to(n, post_transformed(n, y, n.text("post_transform", "NONE")), DType::F32));
  return true;
}

bool linear_classifier(NodeReader& n) {
  Value* labels = labels_of(n, "classlabels_ints", "classlabels_strings");
  const int64_t targets = given(n, "intercepts") ? vector_of(n, "intercepts", DType::F64).numel()
                          : labels               ? labels->constant()->tensor().numel()
                                                 : 1;
  Value* scores = product(n, in_rows(n), targets);
  const std::string_view how = n.text("post_transform", "NONE");
  Decision d;
  d.scores = scores;
  d.classes = targets;
  d.threshold = 0;
  d.negative_is_complement = true;
  decide(n, d, labels, how);
  return true;
}

// ---- maps

bool zip_map(NodeReader& n) {
  Value* labels = labels_of(n, "classlabels_int64s", "classlabels_strings");
  MOKA_CHECK_KIND(File, labels, "there are no class labels");
  n.out(n.builtin("zip_map", {n[0], labels}));
  return true;
}

DType part_type(NodeReader& n, size_t part, const char* what) {
  const graph::Type& t = n[0]->type;
  MOKA_CHECK_KIND(NotImplemented, t.kind == graph::TypeKind::Dict && t.elements[part].has_dtype,
                  "the type of the map's ", what, " is not known when the model is read");
  return t.elements[part].dtype;
}

Value* part_of(NodeReader& n, const char* name, DType dtype) {
  return promise(n.builtin(name, {n[0]}), dtype, 1);
}

bool dict_vectorizer(NodeReader& n) {
  const DType key = part_type(n, 0, "keys"), value = part_type(n, 1, "values");
  const Tensor vocabulary =
      key == DType::String
          ? string_tensor(n.attribute("string_vocabulary") ? *n.attribute("string_vocabulary") : Any(),
                          "string_vocabulary")
          : vector_of(n, "int64_vocabulary", DType::I64);
  const int64_t count = vocabulary.numel();
  Value *keys = part_of(n, "dict_keys", key), *values = part_of(n, "dict_values", value);
  // A look-up by the map's own keys; what it does not have is zero.
  Value* zero = constant(
      n, value == DType::String ? string_tensor("") : spelling::number_tensor(Any(int64_t(0)), value));
  Value* y =
      promise(n.call("lookup", {constant(n, vocabulary), keys, values, zero}), value, Wholes{Whole(count)});
  n.out(n.call("unsqueeze", {y, int64_t(0)}));
  return true;
}

bool cast_map(NodeReader& n) {
  const std::string_view to = n.text("cast_to", "TO_FLOAT"), form = n.text("map_form", "DENSE");
  MOKA_CHECK_KIND(File, to == "TO_FLOAT" || to == "TO_STRING" || to == "TO_INT64", "cast_to '", to,
                  "' does not exist");
  MOKA_CHECK_KIND(File, form == "DENSE" || form == "SPARSE", "map_form '", form, "' does not exist");
  const DType has = part_type(n, 1, "values"), wanted = to == "TO_FLOAT"   ? DType::F32
                                                        : to == "TO_INT64" ? DType::I64
                                                                           : DType::String;
  Value *keys = part_of(n, "dict_keys", DType::I64), *values = part_of(n, "dict_values", has);
  if (has != wanted)
    values = promise(wanted == DType::String ? n.call("string_format", {values})
                     : has == DType::String  ? n.call("string_parse", {values, wanted})
                                             : n.call("to", {values, wanted}),
                     wanted, 1);
  Value* y;
  if (form == "DENSE") {
    y = promise(n.call("index_select", {values, int64_t(0), n.call("argsort", {keys})}), wanted, 1);
  } else {
    const int64_t size = n.integer("max_map", 1);
    MOKA_CHECK_KIND(File, size > 0 && size <= (int64_t(1) << 28), "max_map ", size, " is out of range");
    Value* zero = constant(
        n, wanted == DType::String ? string_tensor("") : spelling::number_tensor(Any(int64_t(0)), wanted));
    y = promise(n.call("lookup", {constant(n, counted(size)), keys, values, zero}), wanted,
                Wholes{Whole(size)});
  }
  n.out(n.call("unsqueeze", {y, int64_t(0)}));
  return true;
}

constexpr Adapter table[] = {
    {"ArrayFeatureExtractor", 1, 0, array_feature_extractor, ml},
    {"Binarizer", 1, 0, binarizer, ml},
    {"CastMap", 1, 0, cast_map, ml},
    {"CategoryMapper", 1, 0, category_mapper, ml},
    {"DictVectorizer", 1, 0, dict_vectorizer, ml},
    {"FeatureVectorizer", 1, 0, feature_vectorizer, ml},
    {"Imputer", 1, 0, imputer, ml},
    {"LabelEncoder", 1, 2, label_encoder_first, ml},
    {"LabelEncoder", 2, 0, label_encoder, ml},
    {"LinearClassifier", 1, 0, linear_classifier, ml},
    {"LinearRegressor", 1, 0, linear_regressor, ml},
    {"Normalizer", 1, 0, normalizer, ml},
    {"OneHotEncoder", 1, 0, one_hot_encoder, ml},
    {"Scaler", 1, 0, scaler, ml},
    {"ZipMap", 1, 0, zip_map, ml},
};

}  // namespace

// Of two labels and one score the second is the positive one.
void decide(NodeReader& n, const Decision& d, Value* labels, std::string_view how) {
  const int64_t count = labels ? labels->constant()->tensor().numel() : 0;
  const DType label_type = labels ? labels->constant()->tensor().dtype() : DType::I64;
  auto label = [&](Value* places) {  // of classes by number
    if (!labels) return places;
    return promise(n.call("index_select", {labels, int64_t(0), places}), label_type, 1);
  };
  Value* y = d.scores;
  if (d.classes > 1) {
    Value* best = promise(n.call("argmax", {d.votes ? d.votes : y, int64_t(-1)}), DType::I64, 1);
    n.out(label(best));
    y = post_transformed(n, y, how);
  } else {
    Value* positive = n.call("gt", {n.call("squeeze.dim", {y, Dims{1}}), d.threshold});
    Value* number = promise(n.call("to", {positive, DType::I64}), DType::I64, 1);
    if (count == 2) n.out(label(number));
    else if (count == 1 && label_type == DType::I64) n.out(n.call("where", {positive, labels, int64_t(0)}));
    else if (count == 1) n.out(n.call("string_where", {positive, labels, constant(n, string_tensor(""))}));
    else n.out(number);
    if (how == "PROBIT" || count != 2) {
      y = post_transformed(n, y, how);
    } else if (d.negative_is_complement) {
      y = post_transformed(n, y, how == "SOFTMAX" || how == "SOFTMAX_ZERO" ? "NONE" : how);
      y = n.call("cat", {std::vector<Value*>{n.call("rsub", {y, 1.0}), y}, int64_t(1)});
    } else {
      y = n.call("cat", {std::vector<Value*>{n.call("neg", {y}), y}, int64_t(1)});
      if (how == "LOGISTIC") y = n.call("sigmoid", {y});
    }
  }
  n.out(cast_to(n, y, DType::F32), 1);
}

std::span<const Adapter> ml_adapters() { return table; }

}  // namespace moka::onnx
