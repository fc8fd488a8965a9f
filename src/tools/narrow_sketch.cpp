// Singular values of the product, brought back to the coordinates of queries and keys.
#include "tools/narrow_sketch.h"

namespace smartbird {

at::Tensor narrowed(const at::Tensor& w_q, const at::Tensor& w_k, int64_t width) {
  const at::Tensor q = w_q.detach().to(at::kCPU, at::kDouble), k = w_k.detach().to(at::kCPU, at::kDouble);
  if (width >= q.size(0)) return at::eye(q.size(0), q.options());
  const auto [u, s, vh] = at::linalg_svd(at::matmul(q.t(), k), false);
  const int64_t kept = std::min(width, s.size(0));
  const at::Tensor cut = at::matmul(u.narrow(1, 0, kept) * s.narrow(0, 0, kept), vh.narrow(0, 0, kept));
  return at::matmul(at::matmul(at::linalg_pinv(q.t()), cut), at::linalg_pinv(k));
}

}  // namespace smartbird
