// The gated unit of SwiGLU (Shazeer, 2020) and its gradient, element by element: any split gives the same bits.
//   act = silu(gate) · up,  silu(x) = x s(x),  s(x) = 1 / (1 + exp(-x))
//   dgate = dact · up · s (1 + gate (1 - s)),  dup = dact · silu(gate)
#pragma once

#include <cstdint>

namespace smartbird::kernels {

// act may be gate or up.
template <class T>
void swiglu(const T* gate, const T* up, int64_t count, T* act);

// In place: gate becomes dgate, up becomes dup, dact becomes act.
template <class T>
void swiglu_gradient(T* gate, T* up, T* dact, int64_t count);

}  // namespace smartbird::kernels
