# moka_layer(): one static library, and one test program, for one folder under moka/.
# SPDX-License-Identifier: Apache-2.0
include(GoogleTest)
enable_testing()
set_property(GLOBAL PROPERTY MOKA_STATIC_LAYERS "")
set_property(GLOBAL PROPERTY MOKA_EXTERNAL_LIBRARIES "")
add_custom_target(moka_unit_tests)

# Tests compile faster with less optimisation; all with the same flags, for their precompiled headers.
function(moka_test_options target)
  set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  target_compile_options(${target} PRIVATE -fPIC $<$<CONFIG:Dev>:-O1>)
endfunction()

# Makes the test program `name` of the given sources, linked to the given targets, one ctest test a case.
function(moka_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "LABEL" "SOURCES;LINKS")
  if(NOT MOKA_TESTS OR NOT GTest_FOUND OR NOT arg_SOURCES)
    return()
  endif()
  if(NOT TARGET moka_test_headers)
    add_library(moka_test_headers OBJECT "${PROJECT_SOURCE_DIR}/cmake/empty.cpp")
    target_link_libraries(moka_test_headers PRIVATE moka_base GTest::gtest)
    moka_test_options(moka_test_headers)
    moka_precompile(moka_test_headers <gtest/gtest.h> <moka/tensor/tensor.h>)
  endif()
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE moka_options ${arg_LINKS} GTest::gtest GTest::gtest_main)
  moka_test_options(${name})
  moka_precompile_as(${name} moka_test_headers)
  add_dependencies(moka_unit_tests ${name})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests")
  # Cases are listed when ctest starts, not while building: a crash at start-up is then a failed test.
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60
                       TEST_PREFIX "${arg_LABEL}." PROPERTIES LABELS "${arg_LABEL}" TIMEOUT 300)
endfunction()

# moka_layer(<name> [USES <layers>...] [LIBRARIES <targets>...] [PRIVATE_LIBRARIES <targets>...] [WITHOUT <folders>...]
#            [PRECOMPILE <headers>...])
#
# Sources are all *.cpp (and *.cu with CUDA) of the folder and its subfolders; *_test.cpp become the layer's test
# program. USES is the layer table of the architecture: tools/check_layers.py reads it here and checks every include.
# A layer without sources is an INTERFACE target. WITHOUT names subfolders that another target builds. PRECOMPILE: the
# headers that most of its files read, where graph's are not enough or not fit.
function(moka_layer name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "USES;LIBRARIES;PRIVATE_LIBRARIES;WITHOUT;PRECOMPILE")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "moka_layer(${name}): unknown arguments ${arg_UNPARSED_ARGUMENTS}")
  endif()
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS "*.cpp")
  if(MOKA_CUDA)
    file(GLOB_RECURSE device_sources CONFIGURE_DEPENDS "*.cu")
    list(APPEND sources ${device_sources})
  endif()
  foreach(folder IN LISTS arg_WITHOUT)
    list(FILTER sources EXCLUDE REGEX "^${CMAKE_CURRENT_SOURCE_DIR}/${folder}/")
  endforeach()
  set(tests ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cpp$")
  list(FILTER sources EXCLUDE REGEX "_test\\.cpp$")

  set(used ${arg_USES})
  if(MOKA_PREDICTOR_ONLY)  # a layer may be allowed to use layers that this build leaves out
    list(FILTER used INCLUDE REGEX "^(base|tensor|schema|graph|ops|passes|runtime|formats|backends)$")
  endif()
  list(TRANSFORM used PREPEND moka_)
  if(sources)
    add_library(moka_${name} STATIC ${sources})
    target_link_libraries(moka_${name} PUBLIC moka_options ${used} ${arg_LIBRARIES} PRIVATE ${arg_PRIVATE_LIBRARIES})
    if(MOKA_CUDA)
      target_link_libraries(moka_${name} PUBLIC CUDA::cudart)
      target_compile_definitions(moka_${name} PUBLIC MOKA_CUDA=1)
    endif()
    if(NOT name MATCHES "^(base|tensor|schema)$")  # those are small, and below the common headers
      if(arg_PRECOMPILE)
        moka_precompile(moka_${name} ${arg_PRECOMPILE})
      else()
        moka_precompile_as(moka_${name} moka_graph)
      endif()
    endif()
    set_property(GLOBAL APPEND PROPERTY MOKA_STATIC_LAYERS moka_${name})
    set_property(GLOBAL APPEND PROPERTY MOKA_EXTERNAL_LIBRARIES ${arg_LIBRARIES} ${arg_PRIVATE_LIBRARIES})
  else()
    add_library(moka_${name} INTERFACE)
    target_link_libraries(moka_${name} INTERFACE moka_options ${used} ${arg_LIBRARIES})
  endif()
  moka_test(${name}_test LABEL ${name} SOURCES ${tests} LINKS moka_${name})
endfunction()
