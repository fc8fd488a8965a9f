// What this GPU can do at most, measured: the floors of kernels follow from it.
#pragma once

namespace smartbird::gpu {

struct Ceilings {
  double copy_bytes_per_s = 0;    // read and written, within the GPU's memory
  double exp2_per_s = 0;          // ex2.approx.ftz
  double gather_bytes_per_s = 0;  // rows of 256 bytes at random from 16 MiB, which the L2 cache holds
};
Ceilings measure_ceilings();

}  // namespace smartbird::gpu
