// The file of --json: a regular file is replaced whole, at the end of links; anything else (a terminal, /dev/null) is written
// where it is.
#pragma once

#include <string>

namespace smartbird {

// Before any work; path empty: no report. Io with the command's name where the file cannot be written.
void check_report_file(const std::string& command, const std::string& path);
void write_report_file(const std::string& path, const std::string& text);

}  // namespace smartbird
