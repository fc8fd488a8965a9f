// Forward and gradient of the chunked cross-entropy.
#include "ops/chunked_loss.h"

#include <torch/csrc/autograd/custom_function.h>

#include "ops/tensors.h"

namespace smartbird {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::Variable;
using torch::autograd::variable_list;

struct ChunkedLoss : Function<ChunkedLoss> {
  static Variable forward(AutogradContext* ctx, const Variable& h, const Variable& w, const Variable& target,
                          int64_t chunk, bool with_gradient, int64_t* correct) {
    at::Tensor sum = at::zeros({}, h.options());
    at::Tensor grad_h = with_gradient ? at::empty_like(h) : at::Tensor(),
               grad_w = with_gradient ? at::zeros_like(w) : at::Tensor();
    for (int64_t begin = 0; begin < h.size(0); begin += chunk) {
      const int64_t rows = std::min(chunk, h.size(0) - begin);
      const at::Tensor x = h.narrow(0, begin, rows), t = target.narrow(0, begin, rows);
      const at::Tensor counted = t >= 0, index = t.clamp_min(0).unsqueeze(1);
      at::Tensor logits = at::mm(x, w.t());
      *correct += (at::logical_and(logits.argmax(1) == t, counted)).sum().item<int64_t>();
      at::Tensor log_p = at::log_softmax(logits, 1);
      sum -= at::where(counted, log_p.gather(1, index).squeeze(1), at::zeros({}, h.options())).sum();
      if (!with_gradient) continue;
      at::Tensor p = log_p.exp_();
      p.scatter_add_(1, index, at::full_like(index, -1, p.options()));
      p.masked_fill_(counted.logical_not().unsqueeze(1), 0);
      grad_h.narrow(0, begin, rows).copy_(at::mm(p, w));
      grad_w.addmm_(p.t(), x);
    }
    if (with_gradient) ctx->save_for_backward({grad_h, grad_w});
    return sum;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    return {saved[0] * grads[0], saved[1] * grads[0], {}, {}, {}, {}};
  }
};

}  // namespace

LossSum chunked_loss(const at::Tensor& h, const at::Tensor& w, const at::Tensor& target, int64_t chunk_rows) {
  SB_CHECK(h.dim() == 2 && w.dim() == 2 && h.size(1) == w.size(1) && target.dim() == 1 && target.size(0) == h.size(0),
           Shape, "chunked_loss: h ", h.sizes(), ", w ", w.sizes(), ", target ", target.sizes(),
           ", expected [T, C], [V, C], [T]");
  LossSum out;
  const bool with_gradient = at::GradMode::is_enabled() && (h.requires_grad() || w.requires_grad());
  out.loss = ChunkedLoss::apply(h.contiguous(), w, target, chunk_rows, with_gradient, &out.correct);
  out.counted = (target >= 0).sum().item<int64_t>();
  return out;
}

}  // namespace smartbird
