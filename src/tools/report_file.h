// The file of a report (--json=FILE): a regular file is replaced whole, at the end of links; anything else (a terminal, /dev/null) is written
// where it is.
#pragma once

#include <string>

namespace smartbird {

// Before any work; path empty: no report. option: "COMMAND: --name". Io where the file cannot be written.
void check_report_file(const std::string& option, const std::string& path);
void write_report_file(const std::string& path, const std::string& text);

}  // namespace smartbird
