// Asking Highway what it dispatches to, and telling it.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/instruction_set.cpp"
#include "kernels/instruction_set.h"

#include <algorithm>
#include <cctype>

#include "core/error.h"
#include "kernels/targets.h"
// After targets.h.
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace smartbird::kernels::HWY_NAMESPACE {

const char* target_name() { return hwy::TargetName(HWY_TARGET); }

}  // namespace smartbird::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace smartbird::kernels {
namespace {

HWY_EXPORT(target_name);

std::string in_capitals(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

// Those of the processor, whatever was asked for before.
std::vector<int64_t> targets() {
  hwy::SetSupportedTargetsForTest(0);
  return hwy::SupportedAndGeneratedTargets();
}

}  // namespace

std::vector<std::string> instruction_sets() {
  const std::string now = instruction_set();
  std::vector<std::string> names;
  for (int64_t target : targets()) names.emplace_back(hwy::TargetName(target));
  use_instruction_set(now);
  return names;
}

std::string instruction_set() { return HWY_DYNAMIC_DISPATCH(target_name)(); }

void use_instruction_set(const std::string& name) {
  std::string known;
  for (int64_t target : targets()) {
    known += (known.empty() ? "" : ", ");
    known += hwy::TargetName(target);
    if (in_capitals(name) != in_capitals(hwy::TargetName(target))) continue;
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(target);
    return;
  }
  fail(ErrorKind::Config, "instruction set '", name, "' is none that runs here: ", known);
}

}  // namespace smartbird::kernels
#endif
