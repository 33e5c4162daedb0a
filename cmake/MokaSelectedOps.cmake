# MOKA_OPS_LIST: registers only the operators that a file lists, so that the linker drops all others.
# SPDX-License-Identifier: Apache-2.0
#
# The file has one operator a line, as `moka info --ops MODEL` prints them ("conv2d", "max.dim"); # starts a comment.
# Operators that the listed ones are made of, or that graph rewrites build, come along by reference.
function(moka_select_ops target list)
  get_filename_component(list "${list}" ABSOLUTE BASE_DIR "${PROJECT_SOURCE_DIR}")
  file(STRINGS "${list}" wanted REGEX "^[^#]")
  file(GLOB_RECURSE pages CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/moka/ops/*.cpp")
  file(GLOB_RECURSE lists CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/moka/ops/*.h")
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${list}" ${pages})
  # The name of each Op value, by the name in its schema: the same unless its page says otherwise.
  foreach(header IN LISTS lists)
    file(READ "${header}" text)
    string(REGEX MATCHALL "OP\\([a-z0-9_]+\\)" found "${text}")
    foreach(entry IN LISTS found)
      string(REGEX REPLACE "OP\\((.*)\\)" "\\1" name "${entry}")
      set("name_of_${name}" "${name}")
    endforeach()
  endforeach()
  foreach(page IN LISTS pages)
    file(READ "${page}" text)
    string(REPLACE ";" "," text "${text}")
    string(REGEX MATCHALL "const Op [a-z0-9_]+_op{[ \n]*\\.schema = \"[^(\"]+\\(" found "${text}")
    foreach(definition IN LISTS found)
      string(REGEX MATCH "const Op ([a-z0-9_]+)_op{[ \n]*\\.schema = \"([^(\"]+)\\(" _ "${definition}")
      set("name_of_${CMAKE_MATCH_2}" "${CMAKE_MATCH_1}")
    endforeach()
  endforeach()

  set(declarations "")
  set(entries "")
  foreach(op IN LISTS wanted)
    string(STRIP "${op}" op)
    if(NOT DEFINED "name_of_${op}")
      message(FATAL_ERROR "MOKA_OPS_LIST: ${list} lists '${op}', which no family under moka/ops has")
    endif()
    string(APPEND declarations "extern const Op ${name_of_${op}}_op;\n")
    string(APPEND entries "    &ops::${name_of_${op}}_op,\n")
  endforeach()
  file(CONFIGURE OUTPUT "${CMAKE_CURRENT_BINARY_DIR}/selected_ops.cpp" @ONLY CONTENT
"// The operators that MOKA_OPS_LIST selects. Made by cmake/MokaSelectedOps.cmake from @list@.
#include <mutex>

#include \"moka/ops/all.h\"
#include \"moka/ops/pointwise/driver.h\"
#include \"moka/schema/formula_runner.h\"
#include \"moka/schema/frame.h\"

namespace moka {
namespace ops {
@declarations@}  // namespace ops

void register_all_ops() {
  static std::once_flag once;
  static const Op* const table[] = {
@entries@  };
  std::call_once(once, [] {
    formula_runner = run_formula;
    register_ops(table, sizeof table / sizeof *table);
  });
}
}  // namespace moka
")
  get_target_property(sources ${target} SOURCES)
  list(FILTER sources EXCLUDE REGEX "/ops/all\\.cpp$")
  set_property(TARGET ${target} PROPERTY SOURCES ${sources} "${CMAKE_CURRENT_BINARY_DIR}/selected_ops.cpp")
endfunction()
