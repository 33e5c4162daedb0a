// Of boxes that overlap, the one with the highest score.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <vector>

#include "moka/base/parallel.h"
#include "moka/ops/define.h"
#include "moka/ops/kernels/arguments.h"
#include "moka/ops/selecting/selecting.h"
#include "moka/tensor/meta.h"

namespace moka::ops {

namespace {
struct Box {
  double top, left, bottom, right;
  double area() const { return (bottom - top) * (right - left); }
};
Box box_of(const double* v, bool centred) {
  if (centred) return {v[1] - v[3] / 2, v[0] - v[2] / 2, v[1] + v[3] / 2, v[0] + v[2] / 2};
  return {std::min(v[0], v[2]), std::min(v[1], v[3]), std::max(v[0], v[2]), std::max(v[1], v[3])};
}
bool overlap(const Box& a, const Box& b, double limit) {
  const double height = std::min(a.bottom, b.bottom) - std::max(a.top, b.top),
               width = std::min(a.right, b.right) - std::max(a.left, b.left);
  if (!(height > 0 && width > 0) || !(a.area() > 0 && b.area() > 0)) return false;
  const double common = height * width;
  return common / (a.area() + b.area() - common) > limit;
}

void run_suppression(Frame& f) {
  const Tensor &boxes = floating_argument(f, 0), &scores = floating_argument(f, 1);
  MOKA_CHECK(boxes.dim() == 3 && boxes.size(2) == 4, f.name(),
             ": boxes must have shape [batch, boxes, 4], got ", boxes.sizes());
  MOKA_CHECK(scores.dim() == 3 && scores.size(0) == boxes.size(0) && scores.size(2) == boxes.size(1),
             f.name(), ": scores must have shape [", boxes.size(0), ", classes, ", boxes.size(1), "], got ",
             scores.sizes());
  f.sizes_of_values();
  check_sizes_known(boxes, f.name());
  check_sizes_known(scores, f.name());
  const int64_t most = std::max<int64_t>(f.integer(2), 0), batch = boxes.size(0), count = boxes.size(1),
                classes = scores.size(1);
  const double limit = f.number(3);
  const bool bounded = f.has(4), centred = f.flag(5);
  const double least = bounded ? f.number(4) : 0;
  const Tensor b = as_contiguous(to_dtype(boxes, DType::F64)),
               s = as_contiguous(to_dtype(scores, DType::F64));
  std::vector<std::vector<int64_t>> kept(static_cast<size_t>(batch * classes));
  parallel_for(0, batch * classes, 1, [&](int64_t first, int64_t last) {
    std::vector<int64_t> order;
    std::vector<Box> chosen;
    for (int64_t k = first; k < last; k++) {
      const double *own = s.data<double>() + k * count, *all = b.data<double>() + k / classes * count * 4;
      order.clear();
      chosen.clear();
      for (int64_t i = 0; i < count; i++)
        if (!bounded || own[i] > least) order.push_back(i);
      auto score = [&](int64_t i) { return std::isnan(own[i]) ? -INFINITY : own[i]; };
      std::stable_sort(order.begin(), order.end(), [&](int64_t x, int64_t y) { return score(x) > score(y); });
      std::vector<int64_t>& out = kept[static_cast<size_t>(k)];
      for (int64_t i : order) {
        if (static_cast<int64_t>(out.size()) >= most) break;
        const Box box = box_of(all + i * 4, centred);
        if (std::any_of(chosen.begin(), chosen.end(), [&](const Box& c) { return overlap(box, c, limit); }))
          continue;
        chosen.push_back(box);
        out.push_back(i);
      }
    }
  });
  int64_t total = 0;
  for (const auto& part : kept) total += static_cast<int64_t>(part.size());
  f.outs.resize(1);
  f.outs[0] = new_tensor(Dims{total, 3}, DType::I64);
  int64_t* to = f.outs[0].data<int64_t>();
  for (int64_t k = 0; k < batch * classes; k++)
    for (int64_t i : kept[static_cast<size_t>(k)]) {
      *to++ = k / classes;
      *to++ = k % classes;
      *to++ = i;
    }
}
}  // namespace

constinit const Op non_max_suppression_op{
    .schema =
        "non_max_suppression(Tensor boxes, Tensor scores, int max_output, float iou_threshold=0.0, float? "
        "score_threshold=None, bool centred=False) -> Tensor",
    .doc =
        "For each image and class the boxes with the highest scores that overlap no better one by more than "
        "iou_threshold, at most max_output: rows (image, class, box). boxes [batch, boxes, 4] are (y1, x1, "
        "y2, x2) or "
        "(x, y, width, height) around their centre, scores [batch, classes, boxes] count above "
        "score_threshold.",
    .method = "none",
    .view = run_suppression,
    .derivative = none("the result holds indices"),
    .onnx = none("written as NonMaxSuppression by an adapter"),
    .netdef = none("Caffe2's operator takes rotated boxes"),
    .samples = {},
};

}  // namespace moka::ops
