// Work by stage.
#include "tools/plan_flops.h"

#include <algorithm>

#include "kernels/draw_needs.h"

namespace smartbird {
namespace {

double count(const ModelShape& shape, Pattern pattern) {
  return static_cast<double>(std::count(shape.pattern.begin(), shape.pattern.end(), pattern));
}

}  // namespace

std::vector<WorkStage> predict_work(const PlanCase& plan) {
  const ModelShape& s = plan.shape;
  const PairCounts pairs = count_pairs(plan);
  const double t = static_cast<double>(pairs.tokens), c = static_cast<double>(s.width),
               hd = static_cast<double>(s.heads * s.head_width), gd = static_cast<double>(s.kv_heads * s.head_width),
               f = static_cast<double>(s.mlp_width), layers = static_cast<double>(s.layers),
               sketches = static_cast<double>(s.num_sketches()), m = static_cast<double>(s.sketch_width),
               inner = static_cast<double>(s.sketch_inner), taps = static_cast<double>(s.sketch_taps);
  const double sparse = count(s, Pattern::Sparse), window = count(s, Pattern::Window), dense = count(s, Pattern::Dense);
  const double again = s.recompute_layers ? 1 : 0;  // forward work of layers in the backward pass
  const auto layer = [&](const char* name, Rate rate, double forward, double backward) {
    return WorkStage{name, rate, forward, backward + again * forward};
  };
  std::vector<WorkStage> out;
  const double projections = layers * 2 * t * c * (2 * hd + 2 * gd), mlp = layers * 6 * t * c * f;
  out.push_back(layer("projections", Rate::Gemm, projections, 2 * projections));
  const double inside = s.keep_mlp ? 0 : mlp * 2 / 3;  // gate and up are formed again; a replay leaves down out
  out.push_back({"MLP", Rate::Gemm, mlp, 2 * mlp + inside});
  const double head = s.classes > 0 ? 0 : 2 * plan.counted * t * c * static_cast<double>(s.vocabulary);
  out.push_back({"loss", Rate::Gemm, 3 * head, 0});
  const double sketch = sketches * 2 * t * (c * inner + 2 * inner * m + taps * inner);
  out.push_back({"sketch", Rate::Gemm, sketch, plan.probes > 0 ? 2 * sketch : 0});
  const double draws = static_cast<double>(s.draws().size());
  const double scores = draws * 2 * m * pairs.scan;
  out.push_back({"scan", Rate::Scan, kernels::needs_probabilities(s.attention.draw) ? scores : 0, 0});
  out.push_back({"draw", Rate::Draw, kernels::needs_scores(s.attention.draw) ? scores : 0, 0});
  const double band = hd * ((sparse + window) * pairs.band + dense * pairs.dense), picks = hd * sparse * pairs.picks;
  out.push_back(layer("band", Rate::Attention, 4 * band, 10 * band));
  out.push_back(layer("picks", Rate::Attention, 4 * picks, 10 * picks));
  out.push_back({"probes", Rate::Gemm, plan.probes > 0 ? sparse * 4 * hd * pairs.probes : 0, 0});
  // Bytes read and written by what is neither a product nor attention: norms, rotation, activations, sums, gradients.
  const double bytes = static_cast<double>(plan.element_bytes),
               touched = layers * t * (14 * c + 3 * (hd + 2 * gd) + 7 * f) * bytes;
  out.push_back(layer("element-wise, bytes", Rate::Memory, touched, 2 * touched));
  out.push_back({"update, bytes", Rate::Memory, 0, 7 * static_cast<double>(count_parameters(s).all()) * bytes});
  return out;
}

}  // namespace smartbird
