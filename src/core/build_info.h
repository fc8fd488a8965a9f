// What this binary was built from: version, commit, compiler, libraries. For --version and RUN/build.txt.
#pragma once

#include <string>

namespace smartbird {

[[nodiscard]] std::string build_text();
[[nodiscard]] std::string build_commit();  // as git describes it, or "unknown"

}  // namespace smartbird
