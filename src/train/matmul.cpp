// The precision is a setting of LibTorch's global context.
#include "train/matmul.h"

#include <ATen/Context.h>

#include "core/error.h"

namespace smartbird {

bool multiplies_bfloat16() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return at::hasMKLDNN() && __builtin_cpu_supports("avx512bf16") != 0;
#else
  return false;
#endif
}

void set_matmul(const Options& o) {
  const bool rounds = o.run.matmul == "bfloat16";
  SB_CHECK(!rounds || multiplies_bfloat16(), Config,
           "run.matmul = bfloat16: this processor has no instructions for products of bfloat16 (AVX512-BF16); use "
           "run.matmul = float32");
  at::globalContext().setFloat32Precision(at::Float32Backend::MKLDNN, at::Float32Op::MATMUL,
                                          rounds ? at::Float32Precision::BF16 : at::Float32Precision::IEEE);
}

}  // namespace smartbird
