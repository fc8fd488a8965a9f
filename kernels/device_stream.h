// The stream of a GPU that a kernel is queued on; what its functions take beside pointers to that GPU's memory.
#pragma once

namespace smartbird::kernels {

struct Stream {
  void* handle = nullptr;  // cudaStream_t; null: the default stream
};

}  // namespace smartbird::kernels
