// Opening LAPACK: OpenBLAS of PyPI's scipy-openblas32 beside Moka or in its package, else the system's.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/linalg/lapack.h"

#include <dlfcn.h>

#include <cstdlib>
#include <mutex>
#include <string>

#include "moka/base/error.h"
#include "moka/base/parallel.h"

namespace moka::lapack {

namespace {
struct Library {
  void* handle = nullptr;
  std::string name, why;
  const char* prefix = "";
  void (*set_threads)(int) = nullptr;

  void* find(const std::string& routine) const {
    return dlsym(handle, (std::string(prefix) + routine + "_").c_str());
  }
};

bool open_at(Library& l, const std::string& path) {
  l.handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!l.handle) {
    const char* error = dlerror();
    l.why = error ? error : path;
    return false;
  }
  for (const char* prefix : {"scipy_", ""}) {
    l.prefix = prefix;
    if (l.find("dgesdd") && l.find("zgeev") && l.find("strsm")) {
      l.name = path;
      return true;
    }
  }
  l.why = path + " has no LAPACK routines";
  dlclose(l.handle);
  l.handle = nullptr;
  return false;
}

Library open_library() {
  Library l;
  const char* given = std::getenv("MOKA_LAPACK_LIBRARY");
  if (given && *given) {
    if (std::string_view(given) == "0") l.why = "it is switched off by MOKA_LAPACK_LIBRARY=0";
    else open_at(l, given);
  } else {
    std::string folder;
    Dl_info here;
    if (dladdr(reinterpret_cast<void*>(&open_library), &here) && here.dli_fname) {
      std::string_view file = here.dli_fname;
      if (size_t slash = file.rfind('/'); slash != std::string_view::npos) folder = file.substr(0, slash + 1);
    }
    // Beside libmoka (a build folder), in the package that pip puts beside ours, then the system's.
    const std::string places[] = {folder + "libscipy_openblas.so",
                                  folder + "../../scipy_openblas32/lib/libscipy_openblas.so",
                                  folder + "../scipy_openblas32/lib/libscipy_openblas.so",
                                  "libscipy_openblas.so",
                                  "libopenblas.so.0",
                                  "liblapack.so.3"};
    for (const std::string& place : places)
      if (open_at(l, place)) break;
  }
  if (l.handle) {
    for (const char* name : {"scipy_openblas_set_num_threads", "openblas_set_num_threads"})
      if (!l.set_threads) l.set_threads = reinterpret_cast<void (*)(int)>(dlsym(l.handle, name));
    if (l.set_threads) l.set_threads(1);
  }
  return l;
}
const Library& library() {
  // Never destroyed: kernels may run until the process ends.
  static const Library* l = new Library(open_library());
  return *l;
}

template <class T>
inline constexpr char letter = std::is_same_v<T, float>                 ? 's'
                               : std::is_same_v<T, double>              ? 'd'
                               : std::is_same_v<T, std::complex<float>> ? 'c'
                                                                        : 'z';

template <class F>
void take(F& routine, const Library& l, char type, const char* name) {
  void* found = l.find(std::string(1, type) + name);
  if (!found) fail("LAPACK: ", l.name, " lacks the routine ", type, name);
  routine = reinterpret_cast<F>(found);
}

template <class T>
const Routines<T>* load() {
  const Library& l = library();
  if (!l.handle) return nullptr;
  constexpr char t = letter<T>;
  constexpr bool complex = is_complex_number<T>;
  auto* r = new Routines<T>;  // lives as long as the process
  take(r->getrf, l, t, "getrf");
  take(r->getrs, l, t, "getrs");
  take(r->potrf, l, t, "potrf");
  take(r->potrs, l, t, "potrs");
  take(r->trsm, l, t, "trsm");
  take(r->geqrf, l, t, "geqrf");
  take(r->orgqr, l, t, complex ? "ungqr" : "orgqr");
  take(r->ormqr, l, t, complex ? "unmqr" : "ormqr");
  take(r->sytrf, l, t, "sytrf");
  take(r->sytrs, l, t, "sytrs");
  take(r->hetrf, l, t, complex ? "hetrf" : "sytrf");
  take(r->hetrs, l, t, complex ? "hetrs" : "sytrs");
  take(r->syevd, l, t, complex ? "heevd" : "syevd");
  take(r->geev, l, t, "geev");
  take(r->gesdd, l, t, "gesdd");
  take(r->gelsd, l, t, "gelsd");
  return r;
}

std::mutex many_mutex;
}  // namespace

template <class T>
const Routines<T>& routines(std::string_view op) {
  static const Routines<T>* found = load<T>();
  if (!found)
    fail_kind(ErrorKind::NotImplemented, op,
              ": needs LAPACK, which was not found (pip install scipy-openblas32, apt install liblapack3, or "
              "name a "
              "library in MOKA_LAPACK_LIBRARY); ",
              library().why);
  return *found;
}
template const Routines<float>& routines<float>(std::string_view);
template const Routines<double>& routines<double>(std::string_view);
template const Routines<std::complex<float>>& routines<std::complex<float>>(std::string_view);
template const Routines<std::complex<double>>& routines<std::complex<double>>(std::string_view);

Threads::Threads(bool many) : many_(many && !in_parallel() && num_threads() > 1 && library().set_threads) {
  if (!many_) return;
  many_mutex.lock();
  library().set_threads(num_threads());
}
Threads::~Threads() {
  if (!many_) return;
  library().set_threads(1);
  many_mutex.unlock();
}

bool available(std::string* which) {
  if (which) *which = library().handle ? library().name : library().why;
  return library().handle != nullptr;
}

}  // namespace moka::lapack
