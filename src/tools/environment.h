// What environment variables change.
#pragma once

namespace smartbird {

// SMARTBIRD_INSTRUCTION_SET: kernels run on it instead of the widest that the processor has. ErrorKind::Config.
void choose_instruction_set();

}  // namespace smartbird
