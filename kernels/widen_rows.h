// Rows of bfloat16 as float or double: exact.
#pragma once

#include <cstdint>

namespace smartbird::kernels {

// to [count, width] = rows row[i] of table [., width].
template <class T>
void widen_rows(const uint16_t* table, const int32_t* row, int64_t count, int64_t width, T* to);

}  // namespace smartbird::kernels
