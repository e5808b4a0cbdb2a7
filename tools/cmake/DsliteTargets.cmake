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
endfunction()
