// The precision is a setting of LibTorch's global context.
#include "train/matmul.h"

#include <ATen/ATen.h>

namespace smartbird {
namespace {

void set_precision(at::Float32Precision precision) {
  at::globalContext().setFloat32Precision(at::Float32Backend::MKLDNN, at::Float32Op::MATMUL, precision);
}

// Whether products are rounded as things are set: of a factor that float32 holds and bfloat16 does not, and of a size that steps
// have. Small ones oneDNN may leave as they are (64 and 128 rows of some processors with AMX).
bool rounds() {
  const at::NoGradGuard no_grad;
  const at::Tensor a = at::full({1024, 64}, 1 + 0x1p-10, at::kFloat), b = at::ones({64, 64}, at::kFloat);
  return at::mm(a, b).min().item<float>() == 64;
}

}  // namespace

bool set_matmul(const Options& o) {
  set_precision(at::Float32Precision::IEEE);
  if (o.run.matmul != "bfloat16" || o.run.device != "cpu") return true;
  set_precision(at::Float32Precision::BF16);
  if (at::hasMKLDNN() && rounds()) return true;
  set_precision(at::Float32Precision::IEEE);
  return false;
}

}  // namespace smartbird
