// Peak memory of the fullest rank in a training step, by item and moment. A step is followed through five moments; what an
// item holds in each is a formula of sizes, found by profiling the heap of real steps. The peak is the moment with the
// largest sum. Units: bytes; T rows of the rank, N tokens of its stream, e bytes an element, n parameters.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "tools/plan_case.h"

namespace smartbird {

// Drawing the plan | the last layer's forward pass | the loss | the first layer to go back | the optimizer's update.
enum class Moment { Plan, Forward, Loss, Backward, Update };
inline constexpr std::array kMoments{Moment::Plan, Moment::Forward, Moment::Loss, Moment::Backward, Moment::Update};
[[nodiscard]] const char* name_of(Moment moment);

struct MemoryItem {
  std::string name, formula;
  std::array<double, kMoments.size()> bytes{};  // by moment
  [[nodiscard]] double at(Moment moment) const { return bytes[static_cast<size_t>(moment)]; }
};

struct MemoryPlan {
  std::vector<MemoryItem> items;
  [[nodiscard]] double total(Moment moment) const;
  [[nodiscard]] Moment peak() const;
  [[nodiscard]] double peak_bytes() const { return total(peak()); }
};

// What a process holds before any model exists, measured: programs (LibTorch, MPI), and the data once it is open.
struct HeldBefore {
  double library_bytes = 0, data_bytes = 0;
};
[[nodiscard]] MemoryPlan predict_memory(const PlanCase& plan, const HeldBefore& held);

// Resident bytes of this process that are files or shared, and its private ones.
struct Resident {
  double file_bytes = 0, private_bytes = 0;
  [[nodiscard]] double all() const { return file_bytes + private_bytes; }
};
[[nodiscard]] Resident resident_now();

}  // namespace smartbird
