// Inverted dropout whose numbers are counter-based by meaning: element c of a row is kept iff
//   u = uniform(Philox(counter (sample, position, place, c / 4), key)[c % 4]) >= rate,  and then multiplied by 1 / (1 - rate)
// so it depends on which row it is, not on where it lies. The upper half of a sample's number goes into the key.
#pragma once

#include <cstdint>

#include "core/philox.h"
#include "kernels/device_stream.h"

namespace smartbird::kernels {

struct Dropout {
  double rate = 0;
  PhiloxKey key;
  uint32_t place = 0;  // tells the uses in a model apart
};

// factor [rows, width]: 0 or 1 / (1 - rate). sample, position [rows].
template <class T>
void dropout_factors(const Dropout& options, const int64_t* sample, const int64_t* position, int64_t rows,
                     int64_t width, T* factor);

// On a GPU, with pointers to its memory; the same bits.
void dropout_factors(Stream stream, const Dropout& options, const int64_t* sample, const int64_t* position,
                     int64_t rows, int64_t width, float* factor);

// Of columns c ... c + 3 of a row.
constexpr PhiloxCounter dropout_numbers(const Dropout& options, int64_t sample, int64_t position, int64_t c) {
  PhiloxKey key = options.key;
  key.high ^= static_cast<uint32_t>(static_cast<uint64_t>(sample) >> 32);
  return philox(
      {static_cast<uint32_t>(sample), static_cast<uint32_t>(position), options.place, static_cast<uint32_t>(c / 4)},
      key);
}

}  // namespace smartbird::kernels
