// What this binary was built from: version, commit, compiler, libraries, and what is not built in. For --version and
// RUN/build.txt.
#pragma once

#include <string>

namespace smartbird {

[[nodiscard]] std::string build_text();

}  // namespace smartbird
