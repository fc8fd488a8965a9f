// run.matmul on a CPU: in which precision LibTorch multiplies float32 matrices there. (On a GPU ops/products.h rounds.)
#pragma once

#include "config/options.h"

namespace smartbird {

// bfloat16: factors are rounded to 8 significant bits, sums are float32 (oneDNN, on processors with AMX). The products of the
// sketch's forward pass (ops/sketch_rows.h) stay in float32, so that picks depend on weights alone; those of its gradients and of the
// exact attention it learns from are LibTorch's, and rounded. Holds for this process. For LibTorch the setting is a permission:
// returns false where a product shows that it makes no use of it; nothing is rounded then.
[[nodiscard]] bool set_matmul(const Options& options);

// For the user, where it returned false.
inline constexpr const char* kNotRounded =
    "warning: run.matmul = bfloat16: LibTorch does not round the factors of products on this processor (it does on "
    "those with AMX); they stay in float32\n";

}  // namespace smartbird
