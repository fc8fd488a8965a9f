// Reduce, clip, update, gather.
#include "train/optimizer.h"

#include <cmath>

#include "kernels/adamw.h"
#include "kernels/row_sums.h"
#include "model/heads.h"
#include "ops/device_tensors.h"
#include "ops/tensors.h"
#include "train/schedule.h"

namespace smartbird {
namespace {

double peak_rate(const TrainOptions& options, const Parameter& p) {
  if (p.sketch) return options.sketch_learning_rate;
  if (options.freeze == "model") return 0;
  return is_label_head(p.name) && options.head_learning_rate > 0 ? options.head_learning_rate : options.learning_rate;
}

}  // namespace

Optimizer::Optimizer(const World& world, Parameters& parameters, const TrainOptions& options)
    : world_(world), parameters_(parameters), options_(options) {
  const int64_t ranks = world.everyone().size(), me = world.everyone().rank(), size = parameters.size();
  for (int64_t r = 0; r < ranks; ++r) counts_.push_back((r + 1) * size / ranks - r * size / ranks);
  shard_.begin = me * size / ranks, shard_.end = (me + 1) * size / ranks;
  shard_.m = at::zeros({shard_.end - shard_.begin}, parameters.flat().options());
  shard_.v = at::zeros_like(shard_.m);
  gradient_ = at::empty_like(shard_.m);
}

GradNorms Optimizer::step(int64_t step, double sketch_scale, StageTimer& timer) {
  {
    const auto timing = timer.measure("reduce");
    world_.everyone_tensors().reduce_scatter("gradients", parameters_.flat_grad().const_data_ptr(),
                                             gradient_.mutable_data_ptr(), counts_, dtype_of(gradient_));
  }
  const auto timing = timer.measure("optimizer");
  const int64_t split = std::clamp(parameters_.sketch_begin(), shard_.begin, shard_.end) - shard_.begin;
  double squares[2];
  if (on_device(gradient_)) {
    const auto of = [&](int64_t first, int64_t count) {
      return at::linalg_vector_norm(gradient_.narrow(0, first, count), 2, {}, false, at::kDouble).square();
    };
    const at::Tensor both = at::stack({of(0, split), of(split, gradient_.size(0) - split)}).cpu();
    std::copy_n(both.const_data_ptr<double>(), 2, squares);
  } else {
    with_float_type(gradient_, [&](auto t) {
      using T = decltype(t);
      const T* all = gradient_.const_data_ptr<T>();
      squares[0] = kernels::sum_of_squares<T>(all, split);
      squares[1] = kernels::sum_of_squares<T>(all + split, gradient_.size(0) - split);
    });
  }
  world_.everyone().all_reduce("gradient_norm", squares, 2, DType::f64);
  const GradNorms norms{std::sqrt(squares[0]), std::sqrt(squares[1]) * sketch_scale};
  SB_CHECK(std::isfinite(norms.model) && std::isfinite(norms.sketch), NonFinite, "step ", step,
           ": the gradient norm is not finite (model ", norms.model, ", sketch ", norms.sketch,
           "); no weight was changed; lower train.learning_rate or resume from the last checkpoint");
  update(step, norms, sketch_scale);
  const at::Tensor mine = parameters_.flat().narrow(0, shard_.begin, shard_.end - shard_.begin).clone();
  world_.everyone_tensors().all_gather("parameters", mine.const_data_ptr(), parameters_.flat().mutable_data_ptr(),
                                       counts_, dtype_of(mine));
  return norms;
}

void Optimizer::update(int64_t step, const GradNorms& norms, double sketch_scale) {
  const auto clip = [](double limit, double norm) { return limit > 0 && norm > limit ? limit / norm : 1.0; };
  const double factor = schedule_factor(options_, step);
  for (const Parameter& p : parameters_.list()) {
    const int64_t begin = std::max(p.offset, shard_.begin), end = std::min(p.offset + p.count, shard_.end);
    if (begin >= end) continue;
    const kernels::AdamW adam{.learning_rate = factor * peak_rate(options_, p),
                              .beta1 = options_.beta1,
                              .beta2 = options_.beta2,
                              .epsilon = options_.epsilon,
                              .decay = p.decay ? options_.weight_decay : 0.0,
                              .grad_scale = p.sketch ? sketch_scale * clip(options_.sketch_clip_norm, norms.sketch)
                                                     : clip(options_.clip_norm, norms.model),
                              .step = step};
    with_float_type(gradient_, [&](auto t) {
      using T = decltype(t);
      const int64_t at = begin - shard_.begin;
      const T* gradient = data_of<T>(gradient_) + at;
      T *weight = data_of<T>(parameters_.flat()) + begin, *m = data_of<T>(shard_.m) + at,
        *v = data_of<T>(shard_.v) + at;
      if (on_device(gradient_))
        kernels::adamw<T>(stream_of(gradient_), adam, end - begin, gradient, weight, m, v);
      else
        kernels::adamw<T>(adam, end - begin, gradient, weight, m, v);
    });
  }
}

}  // namespace smartbird
