// The routines of LAPACK and BLAS that Moka calls, for float, double and their complex numbers. The library is opened
// when the first operator needs it; without one those operators say what is missing.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <complex>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace moka::lapack {

template <class T>
struct RealOf {
  using type = T;
};
template <class T>
struct RealOf<std::complex<T>> {
  using type = T;
};
template <class T>
using Real = typename RealOf<T>::type;
template <class T>
inline constexpr bool is_complex_number = !std::is_same_v<T, Real<T>>;

using Int = int32_t;
using Text = const char*;
using Length = size_t;  // of each text, after all arguments, as gfortran passes them

// Matrices lie by columns. Names and arguments are LAPACK's, without the letter of the type.
template <class T>
struct Routines {
  using R = Real<T>;
  void (*getrf)(const Int* m, const Int* n, T* a, const Int* lda, Int* pivots, Int* info);
  void (*getrs)(Text trans, const Int* n, const Int* nrhs, const T* a, const Int* lda, const Int* pivots,
                T* b, const Int* ldb, Int* info, Length);
  void (*potrf)(Text uplo, const Int* n, T* a, const Int* lda, Int* info, Length);
  void (*potrs)(Text uplo, const Int* n, const Int* nrhs, const T* a, const Int* lda, T* b, const Int* ldb,
                Int* info, Length);
  void (*trsm)(Text side, Text uplo, Text trans, Text diag, const Int* m, const Int* n, const T* alpha,
               const T* a, const Int* lda, T* b, const Int* ldb, Length, Length, Length, Length);
  void (*geqrf)(const Int* m, const Int* n, T* a, const Int* lda, T* tau, T* work, const Int* lwork,
                Int* info);
  void (*orgqr)(const Int* m, const Int* n, const Int* k, T* a, const Int* lda, const T* tau, T* work,
                const Int* lwork, Int* info);
  void (*ormqr)(Text side, Text trans, const Int* m, const Int* n, const Int* k, const T* a, const Int* lda,
                const T* tau, T* c, const Int* ldc, T* work, const Int* lwork, Int* info, Length, Length);
  // hetrf and hetrs take Hermitian matrices; of real numbers they are sytrf and sytrs.
  using Factor = void (*)(Text uplo, const Int* n, T* a, const Int* lda, Int* pivots, T* work,
                          const Int* lwork, Int* info, Length);
  using Solve = void (*)(Text uplo, const Int* n, const Int* nrhs, const T* a, const Int* lda,
                         const Int* pivots, T* b, const Int* ldb, Int* info, Length);
  Factor sytrf, hetrf;
  Solve sytrs, hetrs;
  // The last arguments of these differ between real and complex numbers; callers cast.
  void (*syevd)();
  void (*geev)();
  void (*gesdd)();
  void (*gelsd)();
};

// The routines, or an error that names `op` and says how to get them.
template <class T>
const Routines<T>& routines(std::string_view op);

// Threads that the library may use inside one call: all of Moka's for one large matrix, else one, because stacks of
// matrices are shared out by Moka itself. Set for the time of a scope.
class Threads {
 public:
  explicit Threads(bool many);
  ~Threads();
  Threads(const Threads&) = delete;

 private:
  bool many_;
};

// Whether a library was found, and which or why not.
bool available(std::string* which);

}  // namespace moka::lapack
