// A build without kernels for a GPU.
#include "core/error.h"
#include "ops/open_gpu.h"

namespace smartbird {

c10::Device open_gpu(int /*place_on_host*/) {
  fail(ErrorKind::Environment,
       "run.device = cuda, but this build has no kernels for a GPU; leave it at cpu, or build with the cuda preset");
}

}  // namespace smartbird
