// The units an attention reads: a rank's own keys and values, followed by the rows its plan fetches. Where nothing is
// fetched they are the rank's own memory, not a copy.
#pragma once

#include <string>
#include <vector>

#include "ops/plan.h"

namespace smartbird {

// kv [T, G, 2D] of this rank -> units [U, 2D]: for each kv head my rows, halo, global keys; then picked rows. Where kv
// lies head by head in memory ([G, T, 2D] transposed) and nothing is fetched, no copy. Collective, differentiable.
[[nodiscard]] at::Tensor gather_units(const StepContext& context, const at::Tensor& kv, const Plan& plan);

// An exchange of rows and the memory it goes from and to.
struct RowsInFlight {
  at::Tensor send, receive;
  Pending pending;
};

// Units without autograd, mine in place from the start, those of other ranks maybe still on their way; with plan.overlap off
// all are there at once. Collective; `turn` is added to the names under which bytes are counted. The plan outlives it.
class ArrivingUnits {
 public:
  ArrivingUnits(Communicator& group, const at::Tensor& kv, const Plan& plan, const std::string& turn);
  // [U, 2D]; what is not awaited yet must not be read.
  [[nodiscard]] const at::Tensor& units() const { return units_; }
  [[nodiscard]] bool all_there() const { return all_there_; }
  // Lets messages move, never waits; whether all have arrived.
  bool make_progress();
  // Halo and global keys are in place; these and all picked rows.
  void wait_for_tokens();
  const at::Tensor& wait_for_all();

 private:
  const Plan& plan_;
  at::Tensor units_;
  std::vector<RowsInFlight> tokens_;
  RowsInFlight singles_;
  bool all_there_ = false;
};

// The adjoint in parts: the gradient of kv from that of the units [U, 2D], which must not change after the part was sent.
// Collective: every rank sends the singles, then the tokens, then finishes. The plan outlives it.
class LeavingGradients {
 public:
  LeavingGradients(Communicator& group, const Plan& plan, const at::Tensor& grad_units);
  void send_singles();
  void send_tokens();
  // Lets messages move, never waits.
  void make_progress();
  // [T, G, 2D]: my own part, to which finish() adds in place what other ranks sent, of bfloat16 in float32. Not by heads.
  [[nodiscard]] at::Tensor home() const { return home_.transpose(0, 1); }
  [[nodiscard]] at::Tensor finish();

 private:
  RowsInFlight send(const std::string& what, const at::Tensor& from, const Requests& requests);
  Communicator& group_;
  const Plan& plan_;
  at::Tensor grad_, home_;  // home [G, T, 2D]
  std::vector<RowsInFlight> tokens_;
  RowsInFlight singles_;
};

// All parts at once.
[[nodiscard]] at::Tensor send_units_home(Communicator& group, const at::Tensor& grad_units, const Plan& plan);

}  // namespace smartbird
