# Build types, compiler cache, and moka_options, the flags that every Moka target is compiled with.
# SPDX-License-Identifier: Apache-2.0
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_CXX_SCAN_FOR_MODULES OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
# libmoka.so exports namespace moka by cmake/exports.map, so no declaration carries an export macro; calls inside the
# library are still direct (-Bsymbolic-functions). The predictor exports its C interface alone.
if(MOKA_PREDICTOR_ONLY)
  set(CMAKE_CXX_VISIBILITY_PRESET hidden)
endif()
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Dev, Release, Sanitize or MinSizeRel" FORCE)
endif()
# Dev keeps assertions; -g1 gives line numbers in backtraces at a fifth of the disk that -g takes.
foreach(language IN ITEMS CXX CUDA)
  set(CMAKE_${language}_FLAGS_DEV "-O2 -g1")
  set(CMAKE_${language}_FLAGS_SANITIZE "-O1 -g1")
endforeach()

find_program(MOKA_CCACHE ccache)
if(MOKA_CCACHE AND NOT DEFINED CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${PROJECT_SOURCE_DIR}/cmake/compile.sh" "${MOKA_CCACHE}")
  set(CMAKE_CUDA_COMPILER_LAUNCHER "${MOKA_CCACHE}")
endif()

# Headers that most files of a target read are compiled once: about a quarter of the build. The predictor's build goes
# without, and so finds the file that does not include what it uses.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND NOT MOKA_PREDICTOR_ONLY)
  set(precompile_default ON)
else()
  set(precompile_default OFF)
endif()
option(MOKA_PRECOMPILE "compile the common headers once for each target" ${precompile_default})
# moka_precompile(<target> <headers>...): the named headers, and the standard ones that we use everywhere.
function(moka_precompile target)
  if(MOKA_PRECOMPILE)
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-fpch-preprocess>)  # for ccache
    target_precompile_headers(${target} PRIVATE
      <algorithm> <array> <atomic> <cmath> <cstdint> <cstring> <functional> <limits> <map> <memory> <mutex> <optional>
      <set> <span> <string> <string_view> <unordered_map> <utility> <vector> ${ARGN})
  endif()
endfunction()
# moka_precompile_as(<target> <other>): those of another target with the same flags.
function(moka_precompile_as target other)
  if(MOKA_PRECOMPILE)
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-fpch-preprocess>)
    target_precompile_headers(${target} REUSE_FROM ${other})
  endif()
endfunction()

add_library(moka_options INTERFACE)
target_include_directories(moka_options INTERFACE "${PROJECT_SOURCE_DIR}")
# No -march: kernels choose their instruction set at run time, one binary runs on every x86-64 machine.
# Frame pointers stay so that users' profilers see us.
target_compile_options(moka_options INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Werror=return-type;-Wno-psabi;-Wno-missing-field-initializers;-fno-omit-frame-pointer;-fno-semantic-interposition>)
if(MOKA_PREDICTOR_ONLY)
  target_compile_definitions(moka_options INTERFACE MOKA_PREDICTOR=1)
  target_compile_options(moka_options INTERFACE -Os -ffunction-sections -fdata-sections)
  target_link_options(moka_options INTERFACE -Wl,--gc-sections)
endif()
# Kernels of later instruction sets can be left out: sanitizers' builds need a third less time.
set(known_isas baseline avx2 avx512)
list(FIND known_isas "${MOKA_MOST_ISA}" most_isa)
if(most_isa EQUAL -1)
  message(FATAL_ERROR "MOKA_MOST_ISA: expected baseline, avx2 or avx512, got '${MOKA_MOST_ISA}'")
elseif(most_isa LESS 2)
  target_compile_definitions(moka_options INTERFACE MOKA_MOST_ISA=${most_isa})
endif()
if(MOKA_SANITIZE)
  target_compile_options(moka_options INTERFACE -fsanitize=${MOKA_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(moka_options INTERFACE -fsanitize=${MOKA_SANITIZE})
endif()
if(MOKA_FUZZERS)
  if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "MOKA_FUZZERS needs clang for libFuzzer, but the compiler is ${CMAKE_CXX_COMPILER_ID}; "
                        "configure with -DCMAKE_CXX_COMPILER=clang++, or run ./dev fuzz")
  endif()
  target_compile_options(moka_options INTERFACE -fsanitize=fuzzer-no-link)
endif()
