// Loops of batch and layer normalization over contiguous memory; T is float or double, weight and bias may be null.
// Results do not depend on the number of threads.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace moka {

// Images of a batch: [batch, channels, pixels].
struct ChannelShape {
  int64_t batch, channels, pixels;
};

// y = x * scale[c] + shift[c]
template <class T>
void channel_affine(const ChannelShape& s, const T* x, const T* scale, const T* shift, T* y);
// y = (x - mean) * invstd * weight + bias with the mean and biased variance of every channel, computed while a channel is
// in the cache.
template <class T>
void channel_normalize(const ChannelShape& s, const T* x, const T* weight, const T* bias, double eps, T* mean,
                       T* variance, T* invstd, T* y);
// Gradients of channel_normalize; `training`: mean and invstd were computed from x, else they are constants.
template <class T>
void channel_normalize_backward(const ChannelShape& s, bool training, const T* dy, const T* x,
                                const T* weight, const T* mean, const T* invstd, T* dx, T* dweight, T* dbias);

// y = (x - mean) / sqrt(var + eps) * weight + bias over each row of [rows, n].
template <class T>
void layer_normalize(int64_t rows, int64_t n, const T* x, const T* weight, const T* bias, double eps, T* y);
template <class T>
void layer_normalize_backward(int64_t rows, int64_t n, const T* dy, const T* x, const T* weight, double eps,
                              T* dx, T* dweight, T* dbias);

// Images [batch, channels, pixels] whose channels are normalized in groups; weight and bias are those of channels.
template <class T>
void group_normalize(const ChannelShape& s, int64_t groups, const T* x, const T* weight, const T* bias,
                     double eps, T* y);
template <class T>
void group_normalize_backward(const ChannelShape& s, int64_t groups, const T* dy, const T* x, const T* weight,
                              double eps, T* dx, T* dweight, T* dbias);

// y = x / sqrt(mean(x^2) + eps) * weight over each row of [rows, n].
template <class T>
void rms_normalize(int64_t rows, int64_t n, const T* x, const T* weight, double eps, T* y);
template <class T>
void rms_normalize_backward(int64_t rows, int64_t n, const T* dy, const T* x, const T* weight, double eps,
                            T* dx, T* dweight);

// Softmax or its logarithm along `count` of [outer, count, inner].
template <class T>
void softmax_forward(bool logarithm, int64_t outer, int64_t count, int64_t inner, const T* x, T* y);
// log(sum(exp(x))) of each row of [rows, n].
template <class T>
void row_logsumexp(int64_t rows, int64_t n, const T* x, T* out);
template <class T>
void softmax_backward_loop(bool logarithm, int64_t outer, int64_t count, int64_t inner, const T* dy,
                           const T* y, T* dx);

}  // namespace moka
