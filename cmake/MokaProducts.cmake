# What is made of the layers: libmoka.so or libmoka_predictor.so, libmoka_onednn.so, and the moka command.
# SPDX-License-Identifier: Apache-2.0
set(MOKA_LIBRARY_FOLDER "${PROJECT_BINARY_DIR}/lib")
if(MOKA_PREDICTOR_ONLY)
  set(product moka_predictor)
  set(export_name predictor)
  set(exports "${PROJECT_SOURCE_DIR}/cmake/exports_predictor.map")
else()
  set(product moka)
  set(export_name moka)
  set(exports "${PROJECT_SOURCE_DIR}/cmake/exports.map")
endif()
set(MOKA_PRODUCT lib${product})

# Every object of every layer goes in, whether something refers to it or not: callers come later.
get_property(static_layers GLOBAL PROPERTY MOKA_STATIC_LAYERS)
get_property(external_libraries GLOBAL PROPERTY MOKA_EXTERNAL_LIBRARIES)
list(REMOVE_DUPLICATES external_libraries)
list(TRANSFORM static_layers REPLACE "(.+)" "$<TARGET_OBJECTS:\\1>" OUTPUT_VARIABLE objects)
add_library(${MOKA_PRODUCT} SHARED "${PROJECT_SOURCE_DIR}/cmake/empty.cpp" ${objects})
target_link_libraries(${MOKA_PRODUCT} PRIVATE moka_options ${external_libraries})
target_link_options(${MOKA_PRODUCT} PRIVATE -Wl,--as-needed -Wl,-Bsymbolic-functions -Wl,--version-script=${exports})
target_include_directories(${MOKA_PRODUCT} INTERFACE
  "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>" "$<INSTALL_INTERFACE:include>")
target_compile_features(${MOKA_PRODUCT} INTERFACE cxx_std_20)
set_target_properties(${MOKA_PRODUCT} PROPERTIES
  OUTPUT_NAME ${product} EXPORT_NAME ${export_name}
  LINK_DEPENDS "${exports}"
  LIBRARY_OUTPUT_DIRECTORY "${MOKA_LIBRARY_FOLDER}" INSTALL_RPATH "$ORIGIN")
if(NOT SKBUILD)  # a wheel turns links into copies
  set_target_properties(${MOKA_PRODUCT} PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR})
endif()
if(NOT MOKA_SANITIZE)  # sanitizer run times are resolved by the executable
  target_link_options(${MOKA_PRODUCT} PRIVATE -Wl,-z,defs)
endif()

# moka/functional.h, typed functions for C++, is written by a program that reads the operator table.
if(NOT MOKA_PREDICTOR_ONLY AND (NOT CMAKE_CROSSCOMPILING OR CMAKE_CROSSCOMPILING_EMULATOR))
  set(functions_header "${PROJECT_BINARY_DIR}/include/moka/functional.h")
  add_executable(write_functions "${PROJECT_SOURCE_DIR}/tools/write_functions.cpp")
  target_link_libraries(write_functions PRIVATE moka_options ${MOKA_PRODUCT})
  add_custom_command(OUTPUT "${functions_header}"
    COMMAND "${CMAKE_COMMAND}" -E make_directory "${PROJECT_BINARY_DIR}/include/moka"
    COMMAND write_functions "${functions_header}"
    DEPENDS write_functions ${MOKA_PRODUCT} VERBATIM)
  add_custom_target(moka_functions_header ALL DEPENDS "${functions_header}")
  target_include_directories(${MOKA_PRODUCT} INTERFACE "$<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/include>")
endif()

# The oneDNN back end is opened at run time, so that the library works where oneDNN is missing.
file(GLOB_RECURSE onednn_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/moka/backends/onednn/*.cpp")
set(onednn_tests ${onednn_sources})
list(FILTER onednn_tests INCLUDE REGEX "_test\\.cpp$")
list(FILTER onednn_sources EXCLUDE REGEX "_test\\.cpp$")
if(MOKA_ONEDNN_FOUND AND onednn_sources)
  add_library(moka_onednn MODULE ${onednn_sources})
  target_link_libraries(moka_onednn PRIVATE moka_options moka_dnnl ${MOKA_PRODUCT})
  if(OpenMP_CXX_FOUND)
    target_link_libraries(moka_onednn PRIVATE OpenMP::OpenMP_CXX)
  endif()
  # Installed as a wheel, Moka lies in lib/pythonX.Y/site-packages/moka/lib and oneDNN four folders up, in lib.
  set_target_properties(moka_onednn PROPERTIES LIBRARY_OUTPUT_DIRECTORY "${MOKA_LIBRARY_FOLDER}"
    INSTALL_RPATH "$ORIGIN;$ORIGIN/../../../..")
  moka_test(onednn_test LABEL onednn SOURCES ${onednn_tests} LINKS ${MOKA_PRODUCT})
  if(TARGET onednn_test)
    add_dependencies(onednn_test moka_onednn)
  endif()
endif()

file(GLOB_RECURSE command_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/moka/predictor/command/*.cpp")
list(FILTER command_sources EXCLUDE REGEX "_test\\.cpp$")
if(command_sources)
  add_executable(moka_command ${command_sources})
  if(MOKA_PREDICTOR_ONLY)  # one file to copy, without what the model server does not reach
    target_link_libraries(moka_command PRIVATE moka_predictor)
  else()
    target_link_libraries(moka_command PRIVATE moka_options ${MOKA_PRODUCT})
  endif()
  if(TARGET moka_onednn)
    add_dependencies(moka_command moka_onednn)
  endif()
  set_target_properties(moka_command PROPERTIES OUTPUT_NAME moka
    RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin")
endif()
