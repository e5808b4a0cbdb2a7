# Helpers that turn folders into targets.

# Compiles through ccache where it is installed; worktrees of one clone share their objects.
macro(dslite_use_ccache)
  find_program(DSLITE_CCACHE ccache)
  if(DSLITE_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
    set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
        CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${DSLITE_CCACHE})
    add_compile_options($<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess>)
  endif()
endmacro()

# dslite_library(NAME [TORCH] [LINK targets...]): the folder of the caller becomes library dslite_NAME.
# TORCH: may include ATen; shares the project's precompiled header.
function(dslite_library name)
  cmake_parse_arguments(arg "TORCH" "" "LINK" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cpp")
  if(NOT sources)
    add_library(dslite_${name} INTERFACE)
    target_link_libraries(dslite_${name} INTERFACE ${arg_LINK})
    return()
  endif()
  add_library(dslite_${name} ${sources})
  target_link_libraries(dslite_${name} PUBLIC ${arg_LINK})
  if(arg_TORCH)
    target_link_libraries(dslite_${name} PUBLIC dslite_torch)
    target_precompile_headers(dslite_${name} REUSE_FROM dslite_precompiled)
  endif()
endfunction()

# dslite_test(NAME [TORCH] [LINK targets...]): tests/NAME/*.cpp become one binary, one CTest entry.
function(dslite_test name)
  cmake_parse_arguments(arg "TORCH" "" "LINK" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cpp")
  if(NOT sources)
    return()
  endif()
  add_executable(test_${name} ${sources})
  target_link_libraries(test_${name} PRIVATE ${arg_LINK} dslite_test_support GTest::gmock GTest::gtest_main)
  target_compile_definitions(test_${name} PRIVATE DSLITE_SOURCE_DIR="${CMAKE_SOURCE_DIR}" DSLITE_BINARY_DIR="${CMAKE_BINARY_DIR}")
  if(arg_TORCH)
    target_link_libraries(test_${name} PRIVATE dslite_torch)
    target_precompile_headers(test_${name} REUSE_FROM dslite_precompiled)
  endif()
  add_test(NAME ${name} COMMAND test_${name} --gtest_output=xml:${CMAKE_BINARY_DIR}/reports/test_${name}.xml)
  # Passive waiting: libgomp's idle threads spin, which makes everything slow on a machine with other work.
  set_tests_properties(${name} PROPERTIES ENVIRONMENT
                       "OMP_WAIT_POLICY=passive;LSAN_OPTIONS=print_suppressions=0:suppressions=${CMAKE_SOURCE_DIR}/tests/support/lsan_suppressions.txt")
endfunction()

# dslite_commit(VARIABLE): the short hash of the checkout, "unknown" outside git; a new commit configures again.
function(dslite_commit variable)
  set(commit unknown)
  find_package(Git QUIET)
  if(Git_FOUND)
    execute_process(COMMAND ${GIT_EXECUTABLE} rev-parse --short HEAD WORKING_DIRECTORY ${CMAKE_SOURCE_DIR} OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    execute_process(COMMAND ${GIT_EXECUTABLE} rev-parse --git-path logs/HEAD WORKING_DIRECTORY ${CMAKE_SOURCE_DIR} OUTPUT_VARIABLE log OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    get_filename_component(log "${log}" ABSOLUTE BASE_DIR ${CMAKE_SOURCE_DIR})
    if(EXISTS "${log}")
      set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${log}")
    endif()
  endif()
  if(NOT commit)
    set(commit unknown)
  endif()
  set(${variable} "${commit}" PARENT_SCOPE)
endfunction()
