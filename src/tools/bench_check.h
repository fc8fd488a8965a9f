// The plain formulas in double for a few rows and keys of a benchmark: what its answers are checked against before
// anything is timed. Errors: ErrorKind::Shape with the place and both values.
#pragma once

#include "tools/bench_input.h"

namespace smartbird {

// q, o, grad_o, grad_q [N, H, D]; kv, grad_kv [N, H, 2D].
struct BenchAnswer {
  const char* name = "";
  at::Tensor o, grad_q, grad_kv;
};

// o and grad_q of 8 (row, head) pairs, grad_kv of 2 (key, head) pairs, each row attending what the plan says.
void check_answer(const BenchInput& input, const Plan& plan, const BenchAnswer& answer);

}  // namespace smartbird
