// The GPU of a rank (run.device = cuda). The build chooses the body: cuda_open_gpu.cpp, or no_cuda_open_gpu.cpp, which refuses
// (ErrorKind::Environment).
#pragma once

#include <c10/core/Device.h>

namespace smartbird {

// Loads LibTorch's part for GPUs and makes the GPU of this place among a host's ranks the current one; where there are more
// ranks than GPUs they take turns. ErrorKind::Environment: no such part; ErrorKind::Device: no GPU.
[[nodiscard]] c10::Device open_gpu(int place_on_host);

}  // namespace smartbird
