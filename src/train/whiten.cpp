// Moments of the pooled rows, summed over ranks in double, and their eigenvectors.
#include "train/whiten.h"

#include "model/heads.h"
#include "ops/collectives.h"
#include "train/micro_steps.h"

namespace smartbird {
namespace {

struct Moments {
  at::Tensor sum;      // [C] double, in host memory at last
  at::Tensor squares;  // [C, C] double
  int64_t count = 0;
};

// Of no sequence: it was stopped.
Moments pooled_moments(const StepSetup& setup, const Corpus& corpus, const Sampler& sampler, int64_t sequences,
                       const std::function<bool()>& stop) {
  const Options& o = setup.options;
  const at::TensorOptions wide = setup.model.parameters().flat().options().dtype(at::kDouble);
  const int64_t width = pooled_width(setup.model.shape()), end = std::min(sampler.epoch_begin(1), sequences);
  Moments m{at::zeros({width}, wide), at::zeros({width, width}, wide), 0};
  StageTimer timer;
  for (int64_t next = 0; next < end;) {
    if (stop()) return {};
    const std::vector<Sample> batch = sampler.batch(next, o.train.batch_tokens);
    next += static_cast<int64_t>(batch.size()), m.count += static_cast<int64_t>(batch.size());
    for (const MicroStep& micro :
         micro_steps_of(setup, corpus, batch, o.train.micro_tokens, philox_key(0, 0, Purpose::Evaluate))) {
      const StepContext context{setup.world, micro.layout, timer, 0, 0, Phase::Evaluate, setup.link};
      const at::Tensor pooled =
          setup.model.forward(context, micro.stream, {.task = setup.task, .probe_rate = -1}).pooled.to(at::kDouble);
      m.sum += pooled.sum(0), m.squares += at::mm(pooled.t(), pooled);
    }
  }
  all_reduce_(setup.world.everyone_tensors(), "whitening", m.sum, ReduceOp::Sum);
  all_reduce_(setup.world.everyone_tensors(), "whitening", m.squares, ReduceOp::Sum);
  return {m.sum.cpu(), m.squares.cpu(), m.count};
}

}  // namespace

bool whiten_label_head(const StepSetup& setup, const Corpus& corpus, const Sampler& sampler, int64_t sequences,
                       const std::function<bool()>& stop) {
  const at::NoGradGuard no_grad;
  const Moments m = pooled_moments(setup, corpus, sampler, sequences, stop);
  if (m.count == 0) return false;
  const at::Tensor mean = m.sum / m.count, covariance = m.squares / m.count - at::outer(mean, mean);
  const auto [values, vectors] = at::linalg_eigh(covariance);  // ascending
  const at::Tensor largest = values.narrow(0, values.size(0) - 1, 1).clamp_min(1e-12);
  const at::Tensor scale = (values.clamp_min(0) + kWhiteningFloor * largest).rsqrt();
  at::Tensor to_mean = setup.model.parameters().value("classifier.mean"),
             to_whitening = setup.model.parameters().value("classifier.whitening");
  const at::Tensor whitening = at::mm(vectors * scale, vectors.t()).contiguous();
  setup.world.everyone().broadcast("whitening", whitening.mutable_data_ptr(), whitening.numel(), DType::f64,
                                   0);  // hosts may differ in the eigenvectors
  to_mean.copy_(mean);
  to_whitening.copy_(whitening);
  return true;
}

}  // namespace smartbird
