// Forward and gradient of the chunked cross-entropy.
#include "ops/chunked_loss.h"

#include <torch/csrc/autograd/custom_function.h>

#include "kernels/token_loss.h"
#include "ops/chunks.h"
#include "ops/device_tensors.h"
#include "ops/tensors.h"

namespace smartbird {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::Variable;
using torch::autograd::variable_list;

// Losses and hits of rows; with a gradient, the logits become it.
void form_loss(at::Tensor logits, const at::Tensor& target, bool with_gradient, double* losses, uint8_t* hits) {
  with_float_type(logits, [&](auto t) {
    using T = decltype(t);
    const int64_t* wanted = target.const_data_ptr<int64_t>();
    if (with_gradient)
      kernels::token_loss_gradient<T>(logits.mutable_data_ptr<T>(), wanted, logits.size(0), logits.size(1), losses,
                                      hits);
    else
      kernels::token_loss<T>(logits.const_data_ptr<T>(), wanted, logits.size(0), logits.size(1), losses, hits);
  });
}

// Losses of rows and whether the guess was right, on a GPU.
void form_loss_there(at::Tensor logits, const at::Tensor& target, bool with_gradient, at::Tensor losses,
                     at::Tensor hits) {
  with_element("loss", logits, [&](auto t) {
    using Element = decltype(t);
    const int64_t* wanted = data_of<int64_t>(target);
    double* to = data_of<double>(losses);
    uint8_t* right = data_of<uint8_t>(hits);
    if (with_gradient)
      kernels::token_loss_gradient<Element>(stream_of(logits), data_of<Element>(logits), wanted, logits.size(0),
                                            logits.size(1), to, right);
    else
      kernels::token_loss<Element>(stream_of(logits), data_of<Element>(logits), wanted, logits.size(0), logits.size(1),
                                   to, right);
  });
}

// What the rows add up to; on a GPU the host waits once, at the end.
class LossTotals {
 public:
  LossTotals(const at::Tensor& h, int64_t chunk) : there_(on_device(h)) {
    losses_ = at::empty({chunk}, h.options().dtype(at::kDouble).requires_grad(false));
    hits_ = at::empty({chunk}, losses_.options().dtype(at::kByte));
    if (there_) sum_ = at::zeros({2}, losses_.options());
  }
  void add(at::Tensor logits, const at::Tensor& target, bool with_gradient) {
    const int64_t rows = logits.size(0);
    if (there_) {
      form_loss_there(logits, target, with_gradient, losses_, hits_);
      sum_.add_(at::stack({losses_.narrow(0, 0, rows).sum(), hits_.narrow(0, 0, rows).sum().to(at::kDouble)}));
      return;
    }
    form_loss(logits, target, with_gradient, losses_.mutable_data_ptr<double>(), hits_.mutable_data_ptr<uint8_t>());
    for (int64_t i = 0; i < rows; ++i)
      loss_ += losses_.const_data_ptr<double>()[i], hit_count_ += hits_.const_data_ptr<uint8_t>()[i];
  }
  // Of the rows that were added last, to their places.
  void copy_rows(const at::Tensor& place, at::Tensor loss, at::Tensor correct) const {
    loss.index_copy_(0, place, losses_.narrow(0, 0, place.size(0)));
    correct.index_copy_(0, place, hits_.narrow(0, 0, place.size(0)));
  }
  // (loss, hits)
  std::pair<double, int64_t> get() const {
    if (!there_) return {loss_, hit_count_};
    const at::Tensor here = sum_.cpu();
    return {here.const_data_ptr<double>()[0], static_cast<int64_t>(here.const_data_ptr<double>()[1])};
  }

 private:
  const bool there_;
  at::Tensor losses_, hits_, sum_;
  double loss_ = 0;
  int64_t hit_count_ = 0;
};

struct ChunkedLoss : Function<ChunkedLoss> {
  // counted [n] int64: the rows with a target, on the host as target is.
  static Variable forward(AutogradContext* ctx, const Variable& h, const Variable& w_in, const at::Tensor& counted,
                          const at::Tensor& target, int64_t chunk, Factors factors, bool with_gradient, LossSum* out) {
    at::Tensor grad_h = with_gradient ? at::zeros_like(h) : at::Tensor(),
               grad_w = with_gradient ? at::zeros_like(w_in) : at::Tensor();
    const at::Tensor w = factor(w_in, factors), place = counted.to(h.device()),
                     wanted = target.index_select(0, counted).to(h.device());
    const int64_t most = std::min(chunk, counted.size(0));
    const ChunkBuffer buffer(h, most, w.size(0)), back(h, with_gradient ? most : 0, h.size(1));
    LossTotals totals(h, most);
    if (!with_gradient)
      out->row_loss = at::zeros({h.size(0)}, h.options().dtype(at::kDouble)),
      out->row_correct = at::zeros({h.size(0)}, h.options().dtype(at::kByte));
    for_chunks(counted.size(0), chunk, [&](int64_t first, int64_t rows) {
      const at::Tensor here = place.narrow(0, first, rows), x = factor(h.index_select(0, here), factors);
      at::Tensor logits = buffer.of(rows), grad_x = back.of(with_gradient ? rows : 0);
      product_into(logits, {}, x, w.t());
      totals.add(logits, wanted.narrow(0, first, rows), with_gradient);
      if (!with_gradient) return totals.copy_rows(here, out->row_loss, out->row_correct);
      const at::Tensor gradient = factor(logits, factors);
      product_into(grad_x, {}, gradient, w);
      grad_h.index_copy_(0, here, grad_x);
      add_product(grad_w, gradient.t(), x);
    });
    if (with_gradient) ctx->save_for_backward({grad_h, grad_w});
    const auto [sum, hits] = totals.get();
    out->correct = hits;
    return at::full({}, sum, h.options());
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    return {saved[0] * grads[0], saved[1] * grads[0], {}, {}, {}, {}, {}, {}};
  }
};

}  // namespace

LossSum chunked_loss(const at::Tensor& h, const at::Tensor& w, const at::Tensor& target, int64_t chunk_rows,
                     Factors factors) {
  SB_CHECK(h.dim() == 2 && w.dim() == 2 && h.size(1) == w.size(1) && target.dim() == 1 && target.size(0) == h.size(0),
           Shape, "chunked_loss: h ", h.sizes(), ", w ", w.sizes(), ", target ", target.sizes(),
           ", expected [T, C], [V, C], [T]");
  LossSum out;
  const bool with_gradient = at::GradMode::is_enabled() && (h.requires_grad() || w.requires_grad());
  const at::Tensor counted = (target >= 0).nonzero().view({-1});
  out.counted = counted.size(0);
  out.loss = ChunkedLoss::apply(h.contiguous(), w, counted, target, chunk_rows, factors, with_gradient, &out);
  return out;
}

}  // namespace smartbird
