# cmake --install: the native library, and in a wheel the Python extension beside it.
# SPDX-License-Identifier: Apache-2.0
#
# Component native: lib/, include/moka/, bin/moka, lib/cmake/Moka/, lib/pkgconfig/. A wheel has the same tree under the
# moka package, plus the extension (component python), so find_package(Moka) works from pip too.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
if(SKBUILD)
  set(CMAKE_INSTALL_LIBDIR lib)
endif()
set(config_folder "${CMAKE_INSTALL_LIBDIR}/cmake/Moka")

if(MOKA_PREDICTOR_ONLY)
  set(export_set MokaPredictorTargets)
  set(header_layers predictor)
  set(pc_name moka_predictor)
else()
  set(export_set MokaTargets)
  set(header_layers ${MOKA_LAYERS})
  set(pc_name moka)
endif()

install(TARGETS ${MOKA_PRODUCT} EXPORT ${export_set}
  LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT native NAMELINK_COMPONENT native)
if(TARGET moka_onednn)
  install(TARGETS moka_onednn LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT native)
endif()
if(TARGET moka_command)
  set_target_properties(moka_command PROPERTIES INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
  install(TARGETS moka_command RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}" COMPONENT native)
endif()
if(TARGET moka_python)
  install(TARGETS moka_python LIBRARY DESTINATION . COMPONENT python EXCLUDE_FROM_ALL)
  # Type stubs, by the package just built; they are a convenience, so that a wheel without them is still a wheel.
  install(CODE "
    execute_process(COMMAND \"${CMAKE_COMMAND}\" -E env \"PYTHONPATH=${PROJECT_BINARY_DIR}/python\"
      \"${Python_EXECUTABLE}\" -m moka.stubs \"\${CMAKE_INSTALL_PREFIX}/..\"
      RESULT_VARIABLE failed OUTPUT_QUIET ERROR_VARIABLE error)
    if(failed)
      message(WARNING \"moka.stubs wrote no type stubs: \${error}\")
    endif()" COMPONENT python EXCLUDE_FROM_ALL)
endif()

foreach(layer IN LISTS header_layers)
  file(GLOB_RECURSE headers RELATIVE "${PROJECT_SOURCE_DIR}" CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/moka/${layer}/*.h")
  # Kernel pages (target_begin.h says what they are) are parts of their sources, not headers.
  list(FILTER headers EXCLUDE REGEX "_internal\\.h$|_target\\.h$|/(each_target|target_begin|target_end)\\.h$|/command/")
  foreach(header IN LISTS headers)
    get_filename_component(folder "${header}" DIRECTORY)
    install(FILES "${header}" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/${folder}" COMPONENT native)
  endforeach()
endforeach()

if(TARGET moka_functions_header)
  install(FILES "${PROJECT_BINARY_DIR}/include/moka/functional.h"
    DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/moka" COMPONENT native)
endif()

install(EXPORT ${export_set} NAMESPACE Moka:: DESTINATION "${config_folder}" COMPONENT native)
configure_package_config_file(cmake/MokaConfig.cmake.in "${PROJECT_BINARY_DIR}/MokaConfig.cmake"
  INSTALL_DESTINATION "${config_folder}")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/MokaConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/MokaConfig.cmake" "${PROJECT_BINARY_DIR}/MokaConfigVersion.cmake"
  DESTINATION "${config_folder}" COMPONENT native)
file(RELATIVE_PATH prefix_from_library "/${CMAKE_INSTALL_LIBDIR}" "/")
configure_file(cmake/moka.pc.in "${PROJECT_BINARY_DIR}/${pc_name}.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/${pc_name}.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig" COMPONENT native)
