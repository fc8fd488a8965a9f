// Which instruction set the kernels run on. They are compiled for several; the best that the processor has is taken unless
// another is asked for, before any kernel runs on another thread.
#pragma once

#include <string>
#include <vector>

namespace smartbird::kernels {

// Highway's names ("AVX3" is AVX-512) of those that are compiled and run here, best first.
[[nodiscard]] std::vector<std::string> instruction_sets();
[[nodiscard]] std::string instruction_set();  // in use
// ErrorKind::Config when it is none of instruction_sets(); letter case does not matter.
void use_instruction_set(const std::string& name);

}  // namespace smartbird::kernels
