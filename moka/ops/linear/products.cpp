// Batched products: batch dimensions are folded into one large product where strides allow.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/linear/products.h"

#include <complex>
#include <cstring>

#include "moka/base/parallel.h"
#include "moka/ops/kernels/arguments.h"
#include "moka/ops/kernels/scratch.h"
#include "moka/ops/linear/gemm.h"
#include "moka/tensor/scalar_name.h"

namespace moka {

namespace {
// Integers wrap, as everywhere.
void multiply(int64_t m, int64_t n, int64_t k, MatrixView<int64_t> a, MatrixView<int64_t> b, int64_t* c,
              int64_t ldc, bool add) {
  int64_t grain = (1 << 15) / (n * k + 1) + 1;
  parallel_for(0, m, grain, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; i++) {
      int64_t* row = c + i * ldc;
      if (!add) std::memset(row, 0, static_cast<size_t>(n) * sizeof(int64_t));
      for (int64_t p = 0; p < k; p++) {
        uint64_t left = static_cast<uint64_t>(a.data[i * a.row + p * a.column]);
        const int64_t* right = b.data + p * b.row;
        for (int64_t j = 0; j < n; j++)
          row[j] = static_cast<int64_t>(static_cast<uint64_t>(row[j]) +
                                        left * static_cast<uint64_t>(right[j * b.column]));
      }
    }
  });
}
// Complex numbers: large products are four real ones, whose operands are the parts where they lie.
template <class R>
void multiply(int64_t m, int64_t n, int64_t k, const MatrixView<std::complex<R>>& a,
              const MatrixView<std::complex<R>>& b, std::complex<R>* c, int64_t ldc, bool add) {
  if (m * n * k < 2048) {
    for (int64_t i = 0; i < m; i++)
      for (int64_t j = 0; j < n; j++) {
        R re = 0, im = 0;
        for (int64_t p = 0; p < k; p++) {
          std::complex<R> x = a.data[i * a.row + p * a.column], y = b.data[p * b.row + j * b.column];
          re += x.real() * y.real() - x.imag() * y.imag();
          im += x.real() * y.imag() + x.imag() * y.real();
        }
        std::complex<R>& to = c[i * ldc + j];
        to = add ? to + std::complex<R>(re, im) : std::complex<R>(re, im);
      }
    return;
  }
  auto part = [](const MatrixView<std::complex<R>>& v, int which) {
    return MatrixView<R>{reinterpret_cast<const R*>(v.data) + which, 2 * v.row, 2 * v.column};
  };
  Scratch<R> re(m * n), minus(m * n), im(m * n);
  gemm<R>(m, n, k, part(a, 0), part(b, 0), re.data(), n);
  gemm<R>(m, n, k, part(a, 1), part(b, 1), minus.data(), n);
  gemm<R>(m, n, k, part(a, 0), part(b, 1), im.data(), n);
  gemm<R>(m, n, k, part(a, 1), part(b, 0), im.data(), n, {.accumulate = true});
  for (int64_t i = 0; i < m; i++)
    for (int64_t j = 0; j < n; j++) {
      std::complex<R> sum(re[i * n + j] - minus[i * n + j], im[i * n + j]), &to = c[i * ldc + j];
      to = add ? to + sum : sum;
    }
}
template <class T>
void multiply(int64_t m, int64_t n, int64_t k, const MatrixView<T>& a, const MatrixView<T>& b, T* c,
              int64_t ldc, bool add) {
  gemm<T>(m, n, k, a, b, c, ldc, {.accumulate = add});
}

struct Problem {
  Dims batch;
  int64_t m, n, k;
  Matrices a, b, result;
};

// Drops batch dimensions of size 1 and joins neighbours that lie evenly in all three operands.
void collapse(Problem& p) {
  Dims batch, a, b, r;
  for (size_t i = 0; i < p.batch.size(); i++) {
    int64_t n = p.batch[i], sa = p.a.batch_strides[i], sb = p.b.batch_strides[i],
            sr = p.result.batch_strides[i];
    if (n == 1) continue;
    if (!batch.empty() && a.back() == sa * n && b.back() == sb * n && r.back() == sr * n) {
      batch.back() *= n;
      a.back() = sa, b.back() = sb, r.back() = sr;
    } else {
      batch.push_back(n), a.push_back(sa), b.push_back(sb), r.push_back(sr);
    }
  }
  p.batch = batch;
  p.a.batch_strides = a, p.b.batch_strides = b, p.result.batch_strides = r;
  if (batch.size() != 1) return;
  // One dimension left: it may lengthen rows or the sum.
  if (b[0] == 0 && a[0] == p.m * p.a.row && r[0] == p.m * p.result.row) p.m *= batch[0];
  else if (r[0] == 0 && a[0] == p.k * p.a.column && b[0] == p.k * p.b.row) p.k *= batch[0];
  else return;
  p.batch.clear();
  p.a.batch_strides.clear(), p.b.batch_strides.clear(), p.result.batch_strides.clear();
}

// One product; at: where its operands and its result start.
template <class T>
void run_one(const Matrices& a, const Matrices& b, const Matrices& result, int64_t m, int64_t n, int64_t k,
             const int64_t (&at)[3], bool add) {
  multiply(m, n, k, MatrixView<T>{static_cast<const T*>(a.data) + at[0], a.row, a.column},
           MatrixView<T>{static_cast<const T*>(b.data) + at[1], b.row, b.column},
           static_cast<T*>(result.data) + at[2], result.row, add);
}

template <class T>
void run(const Problem& p) {
  int64_t count = 1;
  bool sums = false;
  for (size_t i = 0; i < p.batch.size(); i++) {
    count *= p.batch[i];
    sums = sums || p.result.batch_strides[i] == 0;
  }
  auto one = [&](int64_t index, bool add) {
    int64_t at[3] = {0, 0, 0};
    for (size_t i = p.batch.size(); i-- > 0; index /= p.batch[i]) {
      int64_t x = index % p.batch[i];
      at[0] += x * p.a.batch_strides[i], at[1] += x * p.b.batch_strides[i],
          at[2] += x * p.result.batch_strides[i];
    }
    run_one<T>(p.a, p.b, p.result, p.m, p.n, p.k, at, add);
  };
  if (sums) {
    // Results that are met again are added to. Those met for the first time are where every repeated index is 0.
    for (int64_t index = 0; index < count; index++) {
      bool first = true;
      int64_t rest = index;
      for (size_t i = p.batch.size(); i-- > 0; rest /= p.batch[i])
        if (p.result.batch_strides[i] == 0 && rest % p.batch[i] != 0) first = false;
      one(index, !first);
    }
    return;
  }
  double work = double(p.m) * double(p.n) * double(p.k);
  if (count == 1 || work > 4e6) {
    for (int64_t index = 0; index < count; index++) one(index, false);
    return;
  }
  parallel_for(0, count, static_cast<int64_t>(1e5 / (work + 100)) + 1, [&](int64_t first, int64_t last) {
    for (int64_t index = first; index < last; index++) one(index, false);
  });
}
template <class Run>
void in_type(DType dtype, Run run) {
  switch (dtype) {
    case DType::F32: return run(float());
    case DType::F64: return run(double());
    case DType::I64: return run(int64_t());
    case DType::C64: return run(std::complex<float>());
    case DType::C128: return run(std::complex<double>());
    default: MOKA_ASSERT(!"a product of this type");
  }
}
}  // namespace

void batched_product(DType dtype, std::span<const int64_t> batch, int64_t m, int64_t n, int64_t k,
                     const Matrices& a, const Matrices& b, const Matrices& result) {
  if (m == 0 || n == 0) return;
  if (batch.empty())
    return in_type(dtype, [&]<class T>(T) { run_one<T>(a, b, result, m, n, k, {0, 0, 0}, false); });
  Problem p{Dims(batch), m, n, k, a, b, result};
  for (int64_t size : batch)
    if (size == 0) {
      // Nothing to add up: results that the empty dimension repeats are zero; others are empty themselves.
      int64_t rows = m;
      for (size_t i = 0; i < batch.size(); i++) {
        if (batch[i] == 0 && result.batch_strides[i] != 0) return;
        if (batch[i] != 0 && result.batch_strides[i] != 0) rows *= batch[i];
      }
      std::memset(result.data, 0, static_cast<size_t>(rows * n) * item_size(dtype));
      return;
    }
  collapse(p);
  in_type(dtype, [&]<class T>(T) { run<T>(p); });
}

Matrices as_matrices(const Tensor& t, size_t batch_dims, bool as_column) {
  Matrices m;
  m.data = t.raw_data();
  m.batch_strides.resize(batch_dims, 0);
  if (t.dim() == 1) {
    if (as_column) m.row = t.stride(0), m.column = 1;
    else m.row = t.size(0), m.column = t.stride(0);
    return m;
  }
  m.row = t.stride(-2);
  m.column = t.stride(-1);
  size_t own = static_cast<size_t>(t.dim()) - 2;
  for (size_t i = 0; i < own; i++) {
    int d = static_cast<int>(i);
    m.batch_strides[batch_dims - own + i] = t.size(d) == 1 ? 0 : t.stride(d);
  }
  return m;
}

Matrices transposed(Matrices m) {
  std::swap(m.row, m.column);
  return m;
}

void check_factors(const Frame& f, int a, int b) {
  const DType x = tensor_argument(f, a).dtype(), y = tensor_argument(f, b).dtype();
  if (x != y) {
    std::string first = scalar_name(x), second = scalar_name(y);
    for (std::string* name : {&first, &second}) (*name)[0] |= 0x20;  // "float", as C++ has it
    fail(f.name(), ": expected m1 and m2 to have the same dtype, but got: ", first, " != ", second, ": ",
         argument_name(f, a), " has type ", x, " and ", argument_name(f, b), " has type ", y,
         "; convert one of them");
  }
  const DTypeClass kind = family(x);
  MOKA_CHECK(kind == DTypeClass::Float || kind == DTypeClass::Signed || kind == DTypeClass::Unsigned ||
                 kind == DTypeClass::Complex,
             f.name(), ": takes floating, complex and integer tensors, got ", x);
}

}  // namespace moka
