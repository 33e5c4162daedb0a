// What block_channels asks before it rewrites: the convolutions of a graph, and how their pictures had best lie.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <unordered_map>

#include "moka/graph/graph.h"

namespace moka::passes::channels {

// The number of channels of a float32 picture, -1 where it is none or not known.
int64_t channels_of(const graph::Value* v);
// An argument's integers, -1 where they are not known.
Dims ints_of(const graph::Node& n, const char* name);

bool is_convolution(const graph::Node& n);
// What a convolution of the graph asks for, where its filters are known: dense ones, or one for each channel.
struct Convolution {
  Tensor weight;
  int64_t channels = 0, filters = 0;
  bool depthwise = false;
};
std::optional<Convolution> convolution_of(const graph::Node& n);

// A size of the picture, or one that many pictures have where it is open.
int64_t size_of(const graph::Type& t, size_t d);

// Whether somebody has a faster kernel for blocks than the one that every build has.
bool is_served(int64_t block);
using LastBlocks = std::unordered_map<const graph::Node*, int64_t>;
// Whether channels go last, and in which blocks filters lie then. On AVX-512 dense convolutions are about a tenth faster
// that way; for depthwise ones nothing is shown yet (docs/decisions/009-blocked-channels.md).
bool channels_last(graph::Graph& graph, LastBlocks& blocks);

}  // namespace moka::passes::channels
