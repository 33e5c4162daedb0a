// Eigenvalues and singular values.
// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "moka/ops/eager_body.h"
#include "moka/ops/kernels/given_output.h"
#include "moka/ops/linalg/linalg.h"
#include "moka/ops/linalg/matrices.h"
#include "moka/ops/linalg/tensors.h"
#include "moka/ops/linear/linear.h"
#include "moka/ops/shaping/shaping.h"

namespace moka::ops {

namespace {
using lapack::Int;

template <class T>
size_t room(T asked) {
  return static_cast<size_t>(std::max(1.0, double(std::real(asked)) + 1));
}

void check_converged(const Frame& f, Int info, int64_t i, const char* values) {
  if (info == 0) return;
  fail(f.name(), ": ", f.tensor(0).dim() > 2 ? cat("(Batch element ", i, "): ") : std::string(),
       "The algorithm failed to converge because the input matrix is ill-conditioned, has too many repeated ",
       values, ", or holds NaN (LAPACK's code ", info, ")");
}

// ---- Hermitian
bool lower_of(const Frame& f) {
  std::string_view which = f.string(1);
  MOKA_CHECK(which == "L" || which == "U" || which == "l" || which == "u", f.name(),
             ": Expected UPLO to be 'L' or 'U', got '", which, "'");
  return which == "L" || which == "l";
}
void eigh_shape(Frame& f) {
  const Tensor& a = square_argument(f, 0);
  lower_of(f);
  exact_output(f, 0, joined(batch_of(a), {a.size(-1)}), real_dtype(a.dtype()));
  exact_output(f, 1, a.sizes(), a.dtype());
}
void eigvalsh_shape(Frame& f) {
  const Tensor& a = square_argument(f, 0);
  lower_of(f);
  exact_output(f, 0, joined(batch_of(a), {a.size(-1)}), real_dtype(a.dtype()));
}
template <class T>
Int hermitian(const lapack::Routines<T>& l, bool vectors, bool lower, Int n, T* a, lapack::Real<T>* w) {
  using R = lapack::Real<T>;
  Int info = 0;
  const char *jobz = vectors ? "V" : "N", *uplo = lower ? "L" : "U";
  auto run = [&](T* work, Int lwork, R* reals, Int lreals, Int* ints, Int lints) {
    if constexpr (lapack::is_complex_number<T>)
      reinterpret_cast<void (*)(lapack::Text, lapack::Text, const Int*, T*, const Int*, R*, T*, const Int*,
                                R*, const Int*, Int*, const Int*, Int*, size_t, size_t)>(l.syevd)(
          jobz, uplo, &n, a, &n, w, work, &lwork, reals, &lreals, ints, &lints, &info, 1, 1);
    else
      reinterpret_cast<void (*)(lapack::Text, lapack::Text, const Int*, T*, const Int*, R*, T*, const Int*,
                                Int*, const Int*, Int*, size_t, size_t)>(l.syevd)(
          jobz, uplo, &n, a, &n, w, work, &lwork, ints, &lints, &info, 1, 1);
  };
  T work_size{};
  R real_size{};
  Int int_size = 0;
  run(&work_size, -1, &real_size, -1, &int_size, -1);
  std::vector<T> work(room(work_size));
  std::vector<R> reals(room(real_size));
  std::vector<Int> ints(static_cast<size_t>(std::max(1, int_size)));
  run(work.data(), Int(work.size()), reals.data(), Int(reals.size()), ints.data(), Int(ints.size()));
  return info;
}
template <bool Vectors>
void eigh_kernel(Frame& f) {
  Columns a(f.tensor(0));
  bool lower = lower_of(f);
  const Int n = a.rows();
  with_type(a.tensor().dtype(), [&]<class T>(T) {
    const auto& l = lapack::routines<T>(f.name());
    auto* w = f.outs[0].data<lapack::Real<T>>();
    for_matrices(a.count(), 9.0 * n * n * n, [&](int64_t i) {
      check_finite(f.name(), a.at<T>(i), int64_t(n) * n);
      Int info = n ? hermitian<T>(l, Vectors, lower, n, a.at<T>(i), w + i * n) : 0;
      check_converged(f, info, i, "eigenvalues");
    });
  });
  if (Vectors && f.outs[1].numel()) copy_elements(a.tensor(), f.outs[1]);
}

// ---- general
void eig_shape(Frame& f) {
  const Tensor& a = square_argument(f, 0);
  f.output(0, joined(batch_of(a), {a.size(-1)}), complex_dtype(a.dtype()));
  f.output(1, a.sizes(), complex_dtype(a.dtype()));
}
void eigvals_shape(Frame& f) {
  const Tensor& a = square_argument(f, 0);
  f.output(0, joined(batch_of(a), {a.size(-1)}), complex_dtype(a.dtype()));
}
template <class T>
Int general(const lapack::Routines<T>& l, bool vectors, Int n, T* a, std::complex<lapack::Real<T>>* w,
            std::complex<lapack::Real<T>>* v) {
  using R = lapack::Real<T>;
  using C = std::complex<R>;
  Int info = 0, one = 1, ask = -1;
  const char* job = vectors ? "V" : "N";
  T work_size{};
  if constexpr (lapack::is_complex_number<T>) {
    auto geev =
        reinterpret_cast<void (*)(lapack::Text, lapack::Text, const Int*, T*, const Int*, T*, T*, const Int*,
                                  T*, const Int*, T*, const Int*, R*, Int*, size_t, size_t)>(l.geev);
    std::vector<R> reals(size_t(2) * size_t(n));
    geev("N", job, &n, a, &n, w, nullptr, &one, v, &n, &work_size, &ask, reals.data(), &info, 1, 1);
    std::vector<T> work(room(work_size));
    Int lwork = Int(work.size());
    geev("N", job, &n, a, &n, w, nullptr, &one, v, &n, work.data(), &lwork, reals.data(), &info, 1, 1);
  } else {
    auto geev =
        reinterpret_cast<void (*)(lapack::Text, lapack::Text, const Int*, T*, const Int*, R*, R*, T*,
                                  const Int*, T*, const Int*, T*, const Int*, Int*, size_t, size_t)>(l.geev);
    std::vector<R> re(static_cast<size_t>(n)), im(static_cast<size_t>(n)),
        vr(vectors ? size_t(n) * size_t(n) : 1);
    geev("N", job, &n, a, &n, re.data(), im.data(), nullptr, &one, vr.data(), &n, &work_size, &ask, &info, 1,
         1);
    std::vector<T> work(room(work_size));
    Int lwork = Int(work.size());
    geev("N", job, &n, a, &n, re.data(), im.data(), nullptr, &one, vr.data(), &n, work.data(), &lwork, &info,
         1, 1);
    for (Int k = 0; k < n; k++) w[k] = C(re[size_t(k)], im[size_t(k)]);
    // Conjugate pairs share two columns: real part, imaginary part.
    for (Int k = 0; vectors && k < n; k++) {
      const R* x = vr.data() + int64_t(k) * n;
      C* to = v + int64_t(k) * n;
      if (im[size_t(k)] == 0) {
        for (Int r = 0; r < n; r++) to[r] = C(x[r], 0);
      } else if (k + 1 < n) {
        for (Int r = 0; r < n; r++) {
          to[r] = C(x[r], x[n + r]);
          to[n + r] = C(x[r], -x[n + r]);
        }
        k++;
      }
    }
  }
  return info;
}
template <bool Vectors>
void eig_kernel(Frame& f) {
  Columns a(f.tensor(0)), v;
  const Int n = a.rows();
  if (Vectors) v = Columns(batch_of(f.tensor(0)), n, n, complex_dtype(a.tensor().dtype()));
  with_type(a.tensor().dtype(), [&]<class T>(T) {
    using C = std::complex<lapack::Real<T>>;
    const auto& l = lapack::routines<T>(f.name());
    C* w = f.outs[0].data<C>();
    for_matrices(a.count(), 25.0 * n * n * n, [&](int64_t i) {
      MOKA_CHECK(all_finite(a.at<T>(i), int64_t(n) * n),
                 "torch.linalg.eig: input tensor should not contain infs or NaNs");
      Int info = n ? general<T>(l, Vectors, n, a.at<T>(i), w + i * n, Vectors ? v.at<C>(i) : nullptr) : 0;
      check_converged(f, info, i, "eigenvalues");
    });
  });
  if (Vectors && f.outs[1].numel()) copy_elements(v.tensor(), f.outs[1]);
}

// ---- singular values
void svd_shape(Frame& f) {
  const Tensor& a = matrix_argument(f, 0);
  bool full = f.flag(1);
  int64_t m = a.size(-2), n = a.size(-1), k = std::min(m, n);
  f.output(0, joined(batch_of(a), {m, full ? m : k}), a.dtype());
  f.output(1, joined(batch_of(a), {k}), real_dtype(a.dtype()));
  f.output(2, joined(batch_of(a), {full ? n : k, n}), a.dtype());
}
void svdvals_shape(Frame& f) {
  const Tensor& a = matrix_argument(f, 0);
  exact_output(f, 0, joined(batch_of(a), {std::min(a.size(-1), a.size(-2))}), real_dtype(a.dtype()));
}
template <class T>
Int singular(const lapack::Routines<T>& l, const char* job, Int m, Int n, T* a, lapack::Real<T>* s, T* u,
             T* vt, Int ldvt) {
  using R = lapack::Real<T>;
  Int info = 0, lda = std::max(1, m), ldu = std::max(1, m), ask = -1, k = std::min(m, n);
  std::vector<Int> ints(size_t(8) * size_t(std::max(1, k)));
  std::vector<R> reals;
  if (lapack::is_complex_number<T>) {
    size_t mx = size_t(std::max(m, n)), mn = size_t(std::max(1, k));
    reals.resize(std::max(5 * mn * mn + 7 * mn, 2 * mx * mn + 2 * mn * mn + mn));
  }
  auto run = [&](T* work, const Int* lwork) {
    if constexpr (lapack::is_complex_number<T>)
      reinterpret_cast<void (*)(lapack::Text, const Int*, const Int*, T*, const Int*, R*, T*, const Int*, T*,
                                const Int*, T*, const Int*, R*, Int*, Int*, size_t)>(l.gesdd)(
          job, &m, &n, a, &lda, s, u, &ldu, vt, &ldvt, work, lwork, reals.data(), ints.data(), &info, 1);
    else
      reinterpret_cast<void (*)(lapack::Text, const Int*, const Int*, T*, const Int*, R*, T*, const Int*, T*,
                                const Int*, T*, const Int*, Int*, Int*, size_t)>(l.gesdd)(
          job, &m, &n, a, &lda, s, u, &ldu, vt, &ldvt, work, lwork, ints.data(), &info, 1);
  };
  T work_size{};
  run(&work_size, &ask);
  std::vector<T> work(room(work_size));
  Int lwork = Int(work.size());
  run(work.data(), &lwork);
  return info;
}
template <bool Vectors>
void svd_kernel(Frame& f) {
  const Tensor& x = f.tensor(0);
  bool full = Vectors && f.flag(1);
  Columns a(x), u, vt;
  const Int m = a.rows(), n = a.columns(), k = std::min(m, n), vrows = full ? n : k;
  if (Vectors)
    u = Columns(batch_of(x), m, full ? m : k, x.dtype()), vt = Columns(batch_of(x), vrows, n, x.dtype());
  const Tensor& values = f.outs[Vectors ? 1 : 0];
  with_type(x.dtype(), [&]<class T>(T) {
    const auto& l = lapack::routines<T>(f.name());
    auto* s = values.data<lapack::Real<T>>();
    auto set_identity = [](T* p, Int size) {
      for (int64_t e = 0; e < int64_t(size) * size; e++) p[e] = T(e % (size + 1) == 0);
    };
    for_matrices(a.count(), 20.0 * m * n * k, [&](int64_t i) {
      if (!k) {
        if (Vectors && full) set_identity(u.at<T>(i), m), set_identity(vt.at<T>(i), n);
        return;
      }
      check_finite(f.name(), a.at<T>(i), int64_t(m) * n);
      Int info = singular<T>(l,
                             !Vectors ? "N"
                             : full   ? "A"
                                      : "S",
                             m, n, a.at<T>(i), s + i * k, Vectors ? u.at<T>(i) : nullptr,
                             Vectors ? vt.at<T>(i) : nullptr, std::max(1, vrows));
      check_converged(f, info, i, "singular values");
    });
  });
  if (!Vectors) return;
  if (f.outs[0].numel()) copy_elements(u.tensor(), f.outs[0]);
  if (f.outs[2].numel()) copy_elements(vt.tensor(), f.outs[2]);
}

constexpr auto no_format = [] { return none("ONNX has no operator for it"); };
constexpr auto no_netdef = [] { return none("Caffe2 has no operator for it"); };
}  // namespace

constinit const Op linalg_eigh_op{
    .schema = "linalg_eigh(Tensor A, str UPLO='L') -> (Tensor eigenvalues, Tensor eigenvectors)",
    .doc =
        "Eigenvalues, ascending, and orthonormal eigenvectors of Hermitian matrices, of which one triangle "
        "is read.",
    .method = "function",
    .shape = eigh_shape,
    .kernels = {KernelRow{.name = "lapack", .run = eigh_kernel<true>}},
    .derivative = {wrt<2>(
        "A", [](auto dw, auto dv, auto, auto, auto w, auto v) { return eigh_backward(dw, dv, w, v); })},
    .onnx = no_format(),
    .netdef = no_netdef(),
    .autocast = Autocast::Float32,
    .samples = {shape(3, 3).no_gradient(), shape(2, 1, 1), shape(0, 0).no_gradient()},
};
constinit const Op linalg_eigvalsh_op{
    .schema = "linalg_eigvalsh(Tensor A, str UPLO='L') -> Tensor",
    .doc = "Eigenvalues of Hermitian matrices, ascending.",
    .method = "function",
    .shape = eigvalsh_shape,
    .kernels = {KernelRow{.name = "lapack", .run = eigh_kernel<false>}},
    .derivative = {wrt("A",
                       [](auto dy, auto A, auto UPLO) {
                         auto v = op_results(linalg_eigh, A, UPLO)[1];
                         return matmul(v * unsqueeze(dy, -2), conj(transpose(v, -2, -1)));
                       })},
    .onnx = no_format(),
    .netdef = no_netdef(),
    .autocast = Autocast::Float32,
    .samples = {shape(3, 3).no_gradient(), shape(2, 1, 1), shape(0, 0).no_gradient()},
};
constinit const Op linalg_eig_op{
    .schema = "linalg_eig(Tensor A) -> (Tensor eigenvalues, Tensor eigenvectors)",
    .doc = "Eigenvalues and eigenvectors of square matrices, as complex numbers.",
    .method = "function",
    .shape = eig_shape,
    .kernels = {KernelRow{.name = "lapack", .run = eig_kernel<true>}},
    .derivative = {wrt<2>("A",
                          [](auto dw, auto dv, auto, auto w, auto v) { return eig_backward(dw, dv, w, v); })},
    .onnx = no_format(),
    .netdef = no_netdef(),
    .autocast = Autocast::Float32,
    .samples = {shape(3, 3).no_gradient(), shape(2, 2, 2).no_gradient()},
};
constinit const Op linalg_eigvals_op{
    .schema = "linalg_eigvals(Tensor A) -> Tensor",
    .doc = "Eigenvalues of square matrices, as complex numbers.",
    .method = "function",
    .shape = eigvals_shape,
    .kernels = {KernelRow{.name = "lapack", .run = eig_kernel<false>}},
    .derivative = {wrt("A",
                       [](auto dy, auto A) {
                         auto adjoint = conj(transpose(op_results(linalg_eig, A)[1], -2, -1));
                         return linalg_solve(adjoint, unsqueeze(dy, -1) * adjoint);
                       })},
    .onnx = no_format(),
    .netdef = no_netdef(),
    .autocast = Autocast::Float32,
    .samples = {shape(3, 3).no_gradient(), shape(2, 2, 2).no_gradient()},
};
constinit const Op linalg_svd_op{
    .schema =
        "linalg_svd(Tensor A, bool full_matrices=True, *, str? driver=None) -> (Tensor U, Tensor S, Tensor "
        "Vh)",
    .doc = "A = U diag(S) Vh with orthonormal columns of U and rows of Vh; S descending.",
    .method = "function",
    .shape = svd_shape,
    .kernels = {KernelRow{.name = "lapack", .run = svd_kernel<true>}},
    .derivative = {wrt<3>("A", [](auto du, auto ds, auto dvh, auto, auto, auto, auto U, auto S,
                                  auto Vh) { return svd_backward(du, ds, dvh, U, S, Vh); })},
    .onnx = no_format(),
    .netdef = no_netdef(),
    .autocast = Autocast::Float32,
    .samples = {shape(3, 3).no_gradient(), shape(2, 4, 3).with("full_matrices", false).no_gradient(),
                shape(0, 3).no_gradient()},
};
constinit const Op svd_op{
    .schema = "svd(Tensor input, bool some=True, bool compute_uv=True) -> (Tensor U, Tensor S, Tensor V)",
    .doc = "input = U diag(S) V^H: linalg.svd with V instead of its adjoint.",
    .body = eager_body([](const Any* in, Any* out) {
      const Tensor& a = in[0].tensor();
      bool some = in[1].to_bool();
      if (in[2].to_bool()) {
        Outputs r = op_results(linalg_svd, a, !some);
        out[0] = Any(r[0]), out[1] = Any(r[1]), out[2] = Any(matrix::mH(r[2]));
        return;
      }
      out[1] = Any(linalg_svdvals(a));
      for (int k : {0, 2}) {
        int64_t n = a.size(k ? -1 : -2);
        Tensor zero = new_tensor(joined(batch_of(a), {n, n}), a.dtype());
        std::memset(zero.raw_data(), 0, zero.bytes());
        out[k] = Any(zero);
      }
    }),
    .onnx = no_format(),
    .netdef = no_netdef(),
    .autocast = Autocast::Float32,
    .samples = {shape(3, 3).no_gradient(), shape(2, 4, 3).no_gradient()},
};
constinit const Op linalg_svdvals_op{
    .schema = "linalg_svdvals(Tensor A, *, str? driver=None) -> Tensor",
    .doc = "Singular values, descending.",
    .method = "function",
    .shape = svdvals_shape,
    .kernels = {KernelRow{.name = "lapack", .run = svd_kernel<false>}},
    .derivative = {wrt("A",
                       [](auto dy, auto A) {
                         auto parts = op_results(linalg_svd, A, false);
                         return matmul(parts[0] * unsqueeze(dy, -2), parts[2]);
                       })},
    .onnx = no_format(),
    .netdef = no_netdef(),
    .autocast = Autocast::Float32,
    .samples = {shape(3, 3), shape(2, 4, 3), shape(0, 3).no_gradient()},
};

}  // namespace moka::ops
