// What filled_scan.h adds to pass A, on a GPU: raises c_i from B by Newton's method, which comes to the same c_i from below. Each
// round counts the keys with c_i p_ij >= 1 and sums their p_ij; of whatever set of keys, (B - m) / (1 - the sum of their p_ij) is
// at most the c_i at which probabilities sum to B.
#pragma once

#include "kernels/draw.h"
#include "kernels/sketch_scan_device.h"

namespace smartbird::kernels {

inline constexpr int kFillRounds = 8;
// What the keys that are not certain are taken to share, at the least: below that, 1 minus a sum of floats says nothing. The
// probabilities of a row of which this holds sum to less than the budget.
inline constexpr double kLeastLeft = 1e-4;

// lse [Q]: from sketch_scan of the same input; filled [Q]: lowered by log(c / B); before [Q] and memory
// [sketch_scan_floats(tiles)] to work in. Tiles whose rows have what they can get are not looked at again.
template <class Element>
void fill_budget(Stream stream, const DeviceScanInput<Element>& input, const DrawOptions& options, const double* lse,
                 float* memory, double* before, double* filled);

}  // namespace smartbird::kernels
