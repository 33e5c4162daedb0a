// The steps of a recurrent layer; T is float or double.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

namespace moka {

struct Frame;

enum class CellKind { Lstm, Gru, Tanh, Relu };

struct RnnShape {
  CellKind kind = CellKind::Lstm;
  int64_t hidden = 0, projected = 0;  // `projected`: the size of h; hidden without projection
  bool project = false, reverse = false;
  std::vector<int64_t> batch;  // rows of each step, not increasing
  std::vector<int64_t> start;  // first row of each step, and behind the last one
  int64_t gates() const { return kind == CellKind::Lstm ? 4 : kind == CellKind::Gru ? 3 : 1; }
  int64_t state() const { return projected + (kind == CellKind::Lstm ? hidden : 0); }  // h, and c beside it
  int64_t kept() const { return kind == CellKind::Lstm || kind == CellKind::Gru ? 4 * hidden : 0; }
  int64_t rows() const { return start.back(); }
};

// Reads and checks arguments `first`.. of a layer: gates, h0, c0, weight_hh, bias_hh, weight_hr, batch_sizes, mode,
// reverse, step_sizes. With packed weights (pack_recurrent) there is no weight_hr.
RnnShape rnn_shape(const Frame& f, int first, bool packed = false);

// Packed weights hold the units in blocks of so many.
inline constexpr int64_t packed_units = 16;

template <class T>
struct RnnInputs {
  const T *gates, *h0, *c0, *weight, *bias, *projection;  // c0, bias and projection may be null
};
template <class T>
struct RnnGradients {
  T *gates, *h0, *c0, *weight, *bias, *projection;  // null where there is no such input
};

// states [rows, state()] and what the gradient needs, kept [rows, kept()].
template <class T>
void run_layer(const RnnShape& s, const RnnInputs<T>& in, T* states, T* kept);
template <class T>
void run_layer_backward(const RnnShape& s, const RnnInputs<T>& in, const T* dstates, const T* states,
                        const T* kept, const RnnGradients<T>& out);

}  // namespace moka
