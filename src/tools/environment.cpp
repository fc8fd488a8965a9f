// Reading the environment.
#include "tools/environment.h"

#include <cstdlib>

#include "core/error.h"
#include "kernels/instruction_set.h"

namespace smartbird {

void choose_instruction_set() {
  const char* name = std::getenv("SMARTBIRD_INSTRUCTION_SET");
  if (name == nullptr || *name == '\0') return;
  try {
    kernels::use_instruction_set(name);
  } catch (const Error& e) {
    fail(e.kind(), "SMARTBIRD_INSTRUCTION_SET: ", e.what());
  }
}

}  // namespace smartbird
