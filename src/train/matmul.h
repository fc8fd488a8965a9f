// run.matmul: in which precision LibTorch multiplies float32 matrices on a CPU.
#pragma once

#include "config/options.h"

namespace smartbird {

// bfloat16: factors are rounded to 8 significant bits, sums are float32 (oneDNN, AVX512-BF16 or AMX). The products of the
// sketch's forward pass (ops/sketch_rows.h) stay in float32, so that picks depend on weights alone; those of its gradients and of the
// exact attention it learns from are LibTorch's, and rounded. Holds for this process; a
// processor without those instructions is an error (ErrorKind::Config).
void set_matmul(const Options& options);

// Whether this processor has them.
[[nodiscard]] bool multiplies_bfloat16();

}  // namespace smartbird
