# Writes build_info.cpp with what the binary is built from; leaves it alone when nothing changed. Results of benchmarks are not built from.
execute_process(COMMAND git -C ${SOURCE} describe --always --abbrev=12
  OUTPUT_VARIABLE COMMIT OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT COMMIT)
  set(COMMIT "unknown")
else()
  execute_process(COMMAND git -C ${SOURCE} diff --quiet HEAD -- . ":(exclude)configs/benchmarks/results" RESULT_VARIABLE CHANGED)
  if(NOT CHANGED EQUAL 0)
    string(APPEND COMMIT "+changes")
  endif()
endif()
configure_file(${CMAKE_CURRENT_LIST_DIR}/build_info.cpp.in ${OUTPUT} @ONLY)
