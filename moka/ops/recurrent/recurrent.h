// The recurrent family.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/reading.h"

// clang-format off
#define MOKA_RECURRENT_OPS(OP) \
  OP(rnn_layer) OP(rnn_layer_backward) OP(pack_recurrent) OP(rnn_layer_packed) \
  OP(packed_step_sizes) OP(packed_lengths) OP(packed_rows) OP(packed_places) OP(packed_last_rows)
// clang-format on
MOKA_RECURRENT_OPS(MOKA_DECLARE_OP)
