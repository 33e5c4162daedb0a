// The tables of opset_changes.h, from ONNX's changelog (docs/Changelog.md of its repository).
// SPDX-License-Identifier: Apache-2.0
#include "moka/formats/onnx/opset_changes.h"

#include <algorithm>

#include "moka/formats/spelling/conversions.h"
#include "moka/formats/spelling/table.h"

namespace moka::onnx {

namespace {

constexpr Moved moved[] = {
    {"Reshape", 5, 1, "shape"},
    {"Upsample", 9, 1, "scales", Moved::Floats},
    {"Slice", 10, 1, "starts"},
    {"Slice", 10, 2, "ends"},
    {"Slice", 10, 3, "axes"},
    {"TopK", 10, 1, "k", Moved::Int},
    {"Pad", 11, 1, "pads"},
    {"Pad", 11, 2, "value", Moved::Number, true, true},
    {"Clip", 11, 1, "min", Moved::Number, true, true},
    {"Clip", 11, 2, "max", Moved::Number, true, true},
    {"Dropout", 12, 1, "ratio", Moved::Number, true},
    {"Squeeze", 13, 1, "axes"},
    {"Unsqueeze", 13, 1, "axes"},
    {"ReduceSum", 13, 1, "axes"},
    {"Split", 13, 1, "split"},
    {"ReduceL1", 18, 1, "axes"},
    {"ReduceL2", 18, 1, "axes"},
    {"ReduceLogSum", 18, 1, "axes"},
    {"ReduceLogSumExp", 18, 1, "axes"},
    {"ReduceMax", 18, 1, "axes"},
    {"ReduceMean", 18, 1, "axes"},
    {"ReduceMin", 18, 1, "axes"},
    {"ReduceProd", 18, 1, "axes"},
    {"ReduceSumSquare", 18, 1, "axes"},
    {"DFT", 20, 2, "axis", Moved::Int, true},
};

constexpr Added added[] = {
    {"AveragePool", "count_include_pad", 7},
    {"MaxPool", "storage_order", 8},
    {"AveragePool", "ceil_mode", 10},
    {"MaxPool", "ceil_mode", 10},
    {"MaxPool", "dilations", 10, 1},
    {"DepthToSpace", "mode", 11, 0, "DCR"},
    {"TopK", "largest", 11, 1},
    {"TopK", "sorted", 11, 1},
    {"ArgMax", "select_last_index", 12},
    {"ArgMin", "select_last_index", 12},
    {"Dropout", "seed", 12, INT64_MIN},
    {"GatherND", "batch_dims", 12},
    {"DequantizeLinear", "axis", 13, 1},
    {"QuantizeLinear", "axis", 13, 1},
    {"ReduceSum", "noop_with_empty_axes", 13},
    {"BatchNormalization", "training_mode", 14},
    {"GRU", "layout", 14},
    {"LSTM", "layout", 14},
    {"RNN", "layout", 14},
    {"Reshape", "allowzero", 14},
    {"Shape", "end", 15, INT64_MIN},
    {"Shape", "start", 15},
    {"ScatterElements", "reduction", 16, 0, "none"},
    {"ScatterND", "reduction", 16, 0, "none"},
    {"LpPool", "ceil_mode", 18},
    {"LpPool", "dilations", 18, 1},
    {"ReduceL1", "noop_with_empty_axes", 18},
    {"ReduceL2", "noop_with_empty_axes", 18},
    {"ReduceLogSum", "noop_with_empty_axes", 18},
    {"ReduceLogSumExp", "noop_with_empty_axes", 18},
    {"ReduceMax", "noop_with_empty_axes", 18},
    {"ReduceMean", "noop_with_empty_axes", 18},
    {"ReduceMin", "noop_with_empty_axes", 18},
    {"ReduceProd", "noop_with_empty_axes", 18},
    {"ReduceSumSquare", "noop_with_empty_axes", 18},
    {"Resize", "antialias", 18},
    {"Resize", "axes", 18, INT64_MIN},
    {"Resize", "keep_aspect_ratio_policy", 18, 0, "stretch"},
    {"AveragePool", "dilations", 19, 1},
    {"Cast", "saturate", 19, 1},
    {"CastLike", "saturate", 19, 1},
    {"QuantizeLinear", "saturate", 19, 1},
    {"DequantizeLinear", "block_size", 21},
    {"QuantizeLinear", "block_size", 21},
    {"QuantizeLinear", "output_dtype", 21},
    {"DequantizeLinear", "output_dtype", 23},
    {"QuantizeLinear", "precision", 23},
    {"Cast", "round_mode", 24, 0, "up"},
    {"CastLike", "round_mode", 24, 0, "up"},
    {"Attention", "left_window_size", 25, -1},
    {"Attention", "right_window_size", 25, -1},
    {"Range", "stash_type", 27, 1},
    {"SpaceToDepth", "mode", 28, 0, "DCR"},
};

constexpr Dropped dropped[] = {
    {"BatchNormalization", "is_test", 7, 1},
    {"Dropout", "is_test", 7, 1},
    {"Gemm", "broadcast", 7, 1},
    {"BatchNormalization", "spatial", 9, 1},
    {"Add", "broadcast", 7, 0},
    {"Sub", "broadcast", 7, 0},
    {"Mul", "broadcast", 7, 0},
    {"Div", "broadcast", 7, 0},
    {"Pow", "broadcast", 7, 0},
    {"And", "broadcast", 7, 0},
    {"Or", "broadcast", 7, 0},
    {"Xor", "broadcast", 7, 0},
    {"Equal", "broadcast", 7, 0},
    {"Less", "broadcast", 7, 0},
    {"Greater", "broadcast", 7, 0},
    {"RNN", "output_sequence", 7, 0},
    {"GRU", "output_sequence", 7, 0},
    {"LSTM", "output_sequence", 7, 0},
};

constexpr Changed changed[] = {
    {"GlobalLpPool", 2},  {"LpPool", 2},
    {"Pad", 2},           {"Split", 2},
    {"GRU", 3},           {"Concat", 4},
    {"Cast", 6},          {"Tile", 6},
    {"PRelu", 7},         {"Upsample", 7},
    {"Scan", 9},          {"Slice", 10, 4},
    {"Resize", 11},       {"Constant", 12},
    {"Dropout", 12, 2},   {"Hardmax", 13},
    {"LogSoftmax", 13},   {"Softmax", 13},
    {"RoiAlign", 16},     {"Pad", 18, 3},
    {"GridSample", 20},   {"GroupNormalization", 21},
    {"Attention", 24, 6},
};

struct Names {
  int opset;
  std::string_view names;  // each between spaces
};
constexpr Names firsts[] = {
    {1,
     " Abs Add And ArgMax ArgMin AveragePool BatchNormalization Cast Ceil Clip Concat Constant Conv "
     "ConvTranspose DepthToSpace Div Dropout Elu Equal Exp Flatten Floor GRU Gather Gemm GlobalAveragePool "
     "GlobalLpPool GlobalMaxPool Greater HardSigmoid Hardmax Identity If InstanceNormalization LRN LSTM "
     "LeakyRelu Less Log LogSoftmax Loop LpNormalization LpPool MatMul Max MaxPool MaxRoiPool Mean Min Mul "
     "Neg Not Or PRelu Pad Pow RNN RandomNormal RandomNormalLike RandomUniform RandomUniformLike Reciprocal "
     "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum "
     "ReduceSumSquare Relu Reshape Selu Shape Sigmoid Size Slice Softmax Softplus Softsign SpaceToDepth "
     "Split Sqrt Squeeze Sub Sum Tanh Tile TopK Transpose Unsqueeze Upsample Xor "},
    {7, " Acos Asin Atan Cos Multinomial Sin Tan "},
    {8, " Expand Scan "},
    {9,
     " Acosh Asinh Atanh Compress ConstantOfShape Cosh Erf EyeLike IsNaN MaxUnpool "
     "MeanVarianceNormalization NonZero OneHot Scatter Shrink Sign Sinh TfIdfVectorizer Where "},
    {10,
     " ConvInteger DequantizeLinear IsInf MatMulInteger Mod NonMaxSuppression QLinearConv QLinearMatMul "
     "QuantizeLinear Resize ReverseSequence RoiAlign StringNormalizer ThresholdedRelu "},
    {11,
     " BitShift ConcatFromSequence CumSum Det DynamicQuantizeLinear GatherElements GatherND Range Round "
     "ScatterElements ScatterND SequenceAt SequenceConstruct SequenceEmpty SequenceErase SequenceInsert "
     "SequenceLength SplitToSequence Unique "},
    {12, " Celu Einsum GreaterOrEqual LessOrEqual NegativeLogLikelihoodLoss SoftmaxCrossEntropyLoss "},
    {14, " HardSwish Trilu "},
    {15, " Bernoulli CastLike Optional OptionalGetElement OptionalHasElement "},
    {16, " GridSample "},
    {17, " BlackmanWindow DFT HammingWindow HannWindow LayerNormalization MelWeightMatrix STFT SequenceMap "},
    {18, " BitwiseAnd BitwiseNot BitwiseOr BitwiseXor CenterCropPad Col2Im GroupNormalization Mish "},
    {19, " DeformConv "},
    {20, " AffineGrid Gelu ImageDecoder RegexFullMatch StringConcat StringSplit "},
    {23, " Attention RMSNormalization RotaryEmbedding "},
    {24, " Swish TensorScatter "},
    {26, " BitCast CumProd "},
    {27, " CausalConvWithState LinearAttention "},
    {28, " SwiGLU "},
};

}  // namespace

std::span<const Moved> moved_attributes() { return moved; }
std::span<const Added> added_attributes() { return added; }
std::span<const Dropped> dropped_attributes() { return dropped; }
std::span<const Changed> changed_meanings() { return changed; }

bool attribute_of(const Moved& moved, const Tensor& input, Any& attribute) {
  Dims all;
  Any number;
  switch (moved.form) {
    case Moved::Ints:
      if (!spelling::to_ints(Any(input), all)) return false;
      attribute = Any(all);
      return true;
    case Moved::Int:
      if (!spelling::to_ints(Any(input), all) || all.size() != 1) return false;
      attribute = Any(all[0]);
      return true;
    case Moved::Floats: {
      if (input.dim() != 1 || !is_floating(input.dtype())) return false;
      std::vector<double> floats;
      for (int64_t i = 0; i < input.numel(); i++) floats.push_back(element_as_double(input, i));
      attribute = Any(std::span<const double>(floats));
      return true;
    }
    case Moved::Number:
      if (!spelling::to_number(Any(input), number)) return false;
      attribute = Any(number.to_double());
      return true;
  }
  return false;
}

Tensor input_of(const Moved& moved, const Any& attribute, DType dtype) {
  if (moved.form == Moved::Ints) return spelling::ints_tensor(attribute.ints());
  if (moved.form == Moved::Floats) {
    const std::span<const double> floats = attribute.arg().as_floats();
    const int64_t count = static_cast<int64_t>(floats.size());
    Tensor out = new_tensor(std::span(&count, 1), DType::F32);
    for (size_t i = 0; i < floats.size(); i++)
      static_cast<float*>(out.raw_data())[i] = static_cast<float>(floats[i]);
    return out;
  }
  if (moved.form == Moved::Number) return spelling::number_tensor(attribute, dtype);
  return moved.scalar ? spelling::number_tensor(attribute, DType::I64)
                      : spelling::ints_tensor(Dims{attribute.to_int()});
}

bool says_nothing(const Added& added, const Any& given) {
  if (given.tag() == Tag::String) return given.string() == added.text;
  if (given.arg().is_number()) return given.to_double() == static_cast<double>(added.otherwise);
  Dims all;
  if (!spelling::to_ints(given, all)) return false;
  for (int64_t v : all)
    if (v != added.otherwise) return false;
  return true;
}

namespace {
bool listed(const Any& value, Dims& out) {
  if (value.tag() == Tag::Int) out = {value.to_int()};
  else if (value.tag() == Tag::Ints) out = Dims(value.ints());
  else return false;
  return true;
}
}  // namespace

Way way_between(int from, int to, const NodeProto& n) {
  const bool up = to > from;
  const int low = std::min(from, to), high = std::max(from, to);
  auto crossed = [&](int since) { return since > low && since <= high; };
  if (const int gone = gone_since(n.op); gone && (up ? to : from) >= gone && crossed(gone))
    return Way::ByGraph;
  if (!up && first_opset(n.op) > to) return Way::ByGraph;
  size_t inputs = n.inputs.size();
  while (inputs && n.inputs[inputs - 1].empty()) inputs--;
  for (const Changed& c : changed_meanings()) {
    if (c.op != n.op || !crossed(c.since)) continue;
    if (c.inputs_before == 0 && n.op == "Constant") {
      if (!up && !n.attribute("value")) return Way::ByGraph;
    } else if (c.inputs_before == 0 || (!up && inputs > static_cast<size_t>(c.inputs_before))) {
      return Way::ByGraph;
    }
  }
  bool moved = false;
  for (const Added& a : added_attributes())
    if (!up && a.op == n.op && crossed(a.since))
      if (const AttributeProto* given = n.attribute(a.attribute)) {
        if (!given->reference.empty() || !says_nothing(a, given->value)) return Way::ByGraph;
        moved = true;
      }
  if (up)
    for (const AttributeProto& a : n.attributes)
      if (a.name == "consumed_inputs") moved = true;
  for (const Dropped& d : dropped_attributes())
    if (up && d.op == n.op && crossed(d.since))
      if (const AttributeProto* given = n.attribute(d.attribute)) {
        if (given->kind != AttributeKind::Int || given->value.to_int() != d.harmless) return Way::ByGraph;
        moved = true;
      }
  for (const Moved& m : moved_attributes()) {
    if (m.op != n.op || !crossed(m.since)) continue;
    const bool has =
        up ? n.attribute(m.attribute) != nullptr : n.inputs.size() > m.input && !n.inputs[m.input].empty();
    moved |= has;
  }
  if (n.op == "Split" && crossed(18) && n.inputs.size() < 2 && !n.attribute("split")) moved = true;
  // Dimensions counted from the end came with opset 11.
  if (!up && to < 11)
    for (const char* name : {"axis", "axes"})
      if (const AttributeProto* a = n.attribute(name)) {
        Dims all;
        if (listed(a->value, all) && std::any_of(all.begin(), all.end(), [](int64_t d) { return d < 0; }))
          return Way::ByGraph;
      }
  return moved ? Way::Moved : Way::Same;
}

int first_opset_of_type(DType dtype) {
  switch (dtype) {
    case DType::BF16: return 13;
    case DType::F8E4M3FN:
    case DType::F8E4M3FNUZ:
    case DType::F8E5M2:
    case DType::F8E5M2FNUZ: return 19;
    case DType::U4:
    case DType::I4: return 21;
    case DType::F4E2M1: return 23;
    case DType::F8E8M0: return 24;
    case DType::U2:
    case DType::I2: return 25;
    case DType::F6E2M3:
    case DType::F6E3M2: return 28;
    default: return 1;
  }
}

int first_opset(std::string_view op) {
  const std::string word = cat(" ", op, " ");
  for (const Names& row : firsts)
    if (row.names.find(word) != std::string_view::npos) return row.opset;
  return 0;
}
int gone_since(std::string_view op) { return op == "Upsample" ? 10 : op == "Scatter" ? 11 : 0; }

}  // namespace moka::onnx
