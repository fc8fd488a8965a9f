// The units an attention reads: a rank's own keys and values, followed by the rows its plan fetches. Where nothing is
// fetched they are the rank's own memory, not a copy.
#pragma once

#include "ops/plan.h"

namespace smartbird {

// kv [T, G, 2D] of this rank -> units [U, 2D] (mine, halo, global keys, picked rows). Collective, differentiable.
[[nodiscard]] at::Tensor gather_units(const StepContext& context, const at::Tensor& kv, const Plan& plan);

// The same without autograd, and its adjoint: the gradient of kv from that of the units. Collective. `turn` is added to the
// names under which bytes are counted.
[[nodiscard]] at::Tensor bring_units(Communicator& group, const at::Tensor& kv, const Plan& plan, const char* turn);
[[nodiscard]] at::Tensor send_units_home(Communicator& group, const at::Tensor& grad_units, const Plan& plan);

}  // namespace smartbird
