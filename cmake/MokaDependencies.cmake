# Looks for everything optional, and prints one table: what was found, and what its lack costs.
# SPDX-License-Identifier: Apache-2.0
set_property(GLOBAL PROPERTY MOKA_SUMMARY "")

# Notes one row of the table. `found` is a condition's value; `gives` what it brings, `lack` what is lost without it.
function(moka_note name found gives lack)
  if(found)
    set(row "  yes  ${name}: ${gives}")
  else()
    set(row "  no   ${name}: ${lack}")
  endif()
  set_property(GLOBAL APPEND_STRING PROPERTY MOKA_SUMMARY "${row}\n")
endfunction()

function(moka_print_summary)
  get_property(summary GLOBAL PROPERTY MOKA_SUMMARY)
  message(STATUS "Moka ${PROJECT_VERSION}, ${CMAKE_BUILD_TYPE}, ${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}\n"
                 "${summary}")
endfunction()

moka_note("ccache" "${MOKA_CCACHE}" "${MOKA_CCACHE}" "rebuilds compile everything again (apt: ccache)")

# A virtual environment beside the sources, made by ./dev setup, is preferred over the system's Python.
if(NOT DEFINED Python_EXECUTABLE AND EXISTS "${PROJECT_SOURCE_DIR}/.venv/bin/python")
  set(Python_EXECUTABLE "${PROJECT_SOURCE_DIR}/.venv/bin/python")
endif()
find_package(Python 3.9 QUIET COMPONENTS Interpreter OPTIONAL_COMPONENTS Development.Module)

if(MOKA_PYTHON)
  if(NOT nanobind_DIR AND Python_EXECUTABLE)
    execute_process(COMMAND "${Python_EXECUTABLE}" -m nanobind --cmake_dir
                    OUTPUT_VARIABLE nanobind_DIR OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  endif()
  if(Python_Development.Module_FOUND AND nanobind_DIR)
    find_package(nanobind CONFIG QUIET)
  endif()
  moka_note("Python extension" "${nanobind_FOUND}" "Python ${Python_VERSION}, nanobind ${nanobind_VERSION}"
            "no moka package: nanobind (pip) or Python headers (apt: python3-dev) are missing; run ./dev setup")
endif()

if(MOKA_OPENMP)
  find_package(OpenMP QUIET COMPONENTS CXX)
endif()
moka_note("OpenMP" "${OpenMP_CXX_FOUND}" "${OpenMP_CXX_FLAGS}" "parallel loops run on one thread (g++ brings it)")
find_package(Threads REQUIRED)

# protozero is header-only, and so is its whole configuration.
find_path(MOKA_PROTOZERO_INCLUDE protozero/pbf_reader.hpp)
add_library(moka_protozero INTERFACE)
if(MOKA_PROTOZERO_INCLUDE)
  target_include_directories(moka_protozero SYSTEM INTERFACE "${MOKA_PROTOZERO_INCLUDE}")
else()
  message(FATAL_ERROR "protozero/pbf_reader.hpp was not found; ONNX and NetDef files are read with it. "
                      "Install libprotozero-dev (Debian), or run ./dev setup")
endif()

# oneDNN comes as a wheel (onednn-devel-cpu-gomp): found where pip put it, in an isolated build too.
if(MOKA_ONEDNN AND Python_EXECUTABLE)
  set(find_wheel "from importlib.metadata import files"
      "place = lambda name, end: next(f.locate().resolve() for f in files(name) if str(f).endswith(end))"
      "print(place('onednn-devel-cpu-gomp', 'oneapi/dnnl/dnnl.h').parents[2], end='\;')"
      "print(place('onednn-cpu-gomp', 'libdnnl.so').parent)")
  list(JOIN find_wheel "\n" find_wheel)
  execute_process(COMMAND "${Python_EXECUTABLE}" -c "${find_wheel}" OUTPUT_VARIABLE onednn_folders
                  OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
if(MOKA_ONEDNN)
  find_path(MOKA_ONEDNN_INCLUDE oneapi/dnnl/dnnl.h HINTS ${onednn_folders})
  find_library(MOKA_ONEDNN_LIBRARY NAMES dnnl HINTS ${onednn_folders})
endif()
if(MOKA_ONEDNN_INCLUDE AND MOKA_ONEDNN_LIBRARY)
  set(MOKA_ONEDNN_FOUND ON)
  add_library(moka_dnnl INTERFACE)
  target_include_directories(moka_dnnl SYSTEM INTERFACE "${MOKA_ONEDNN_INCLUDE}")
  target_link_libraries(moka_dnnl INTERFACE "${MOKA_ONEDNN_LIBRARY}")
endif()
moka_note("oneDNN" "${MOKA_ONEDNN_FOUND}" "${MOKA_ONEDNN_LIBRARY}"
          "convolution and matmul use Moka's own kernels (pip: onednn-devel-cpu-gomp)")

# LAPACK is opened at run time (moka/ops/linalg/lapack.h), so it is needed to run, not to build: the wheel depends on
# scipy-openblas32, and a build folder gets a link to what pip installed.
if(Python_EXECUTABLE AND NOT MOKA_LAPACK_LIBRARY)
  set(find_lapack "from importlib.metadata import files"
      "print(next(f.locate().resolve() for f in files('scipy-openblas32') if f.name == 'libscipy_openblas.so'))")
  list(JOIN find_lapack "\n" find_lapack)
  execute_process(COMMAND "${Python_EXECUTABLE}" -c "${find_lapack}" OUTPUT_VARIABLE lapack_place
                  OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(lapack_place)
    set(MOKA_LAPACK_LIBRARY "${lapack_place}" CACHE FILEPATH "LAPACK that programs of this build folder open")
  endif()
endif()
if(MOKA_LAPACK_LIBRARY AND NOT SKBUILD)
  file(MAKE_DIRECTORY "${PROJECT_BINARY_DIR}/lib")
  file(CREATE_LINK "${MOKA_LAPACK_LIBRARY}" "${PROJECT_BINARY_DIR}/lib/libscipy_openblas.so" SYMBOLIC)
endif()
moka_note("LAPACK" "${MOKA_LAPACK_LIBRARY}" "${MOKA_LAPACK_LIBRARY}, opened at run time"
          "factorizations, solvers and eigenvalues need one at run time (pip: scipy-openblas32, apt: liblapack3)")

if(MOKA_CUDA)
  if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX} AND EXISTS /usr/local/cuda/bin/nvcc)
    set(CMAKE_CUDA_COMPILER /usr/local/cuda/bin/nvcc)
  endif()
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80-real 90)
  endif()
  enable_language(CUDA)
  set(CMAKE_CUDA_STANDARD 20)
  find_package(CUDAToolkit REQUIRED)
endif()
moka_note("CUDA" "${MOKA_CUDA}" "${CMAKE_CUDA_COMPILER} ${CMAKE_CUDA_COMPILER_VERSION}"
          "no GPU kernels (preset cuda turns them on)")

if(MOKA_TESTS)
  find_package(GTest QUIET)
  moka_note("GoogleTest" "${GTest_FOUND}" "${GTest_VERSION}" "no C++ unit tests (apt: libgtest-dev)")
endif()
