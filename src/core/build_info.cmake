# Writes build_info.cpp with what the binary is built from; leaves it alone when nothing changed.
execute_process(COMMAND git -C ${SOURCE} describe --always --dirty=+changes --abbrev=12
  OUTPUT_VARIABLE COMMIT OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT COMMIT)
  set(COMMIT "unknown")
endif()
configure_file(${CMAKE_CURRENT_LIST_DIR}/build_info.cpp.in ${OUTPUT} @ONLY)
