// How the sketch learns. A query block is a probe iff u(seed, step, sample, block) < rate: the same set
// for any world size, replica split and micro-steps. Each served layer adds the probes' exact attention over the sampled
// domain E, summed over rows and heads; every rank scores its own keys, log-sum-exp by all-reduce, no row travels.
//   loss = Σ_probes Σ_j a_j (log(a_j/Σa) - log p_j),  p = softmax_E of the sketch;  gradient at the scores: Σa·p - a
// (with ModelShape::sketch_of_visible over all visible keys in place of E).
// The loss is a plain sum: the caller divides by the step's total mass Σa.
#pragma once

#include "model/shape.h"
#include "model/sketch.h"
#include "ops/probe_softmax.h"

namespace smartbird {

// Sums over probe rows, heads and served layers, of this rank's keys.
struct ProbeMass {
  double all = 0;      // exact attention: everything visible
  double domain = 0;   // in E
  double picked = 0;   // in the picks
  double uniform = 0;  // expected in uniform picks of the same budget
  double target = 0;   // what the sketch learns from

  void add(const ProbeMass& other);
};

class Probes {
 public:
  // rate: probability of a block; picks: expected ones of the plans to come; options: of the tensors to come.
  Probes(const StepContext& context, const ModelShape& shape, double rate, int64_t picks, int64_t sketch,
         const at::TensorOptions& options);
  // Collective. The plan of the layers that are added next.
  void watch(const StepContext& context, const Plan& plan);
  // Or dense layers.
  void watch_all_keys();

  // Adds a layer: q [T, H, D], k [T, G, D] with rotary positions. Collective, no gradient.
  void add_layer(const StepContext& context, const at::Tensor& q, const at::Tensor& k);
  // Scalar, differentiable in the sketch's weights. Collective. Also leaves the mass of E on this rank in mass().
  [[nodiscard]] at::Tensor loss(const StepContext& context, const SketchOutput& sketch);
  [[nodiscard]] ProbeMass mass() const;  // waits for a GPU

 private:
  struct Probe {
    Layout::Block block;
    int64_t length = 0;                  // of its sequence
    int64_t first_row = 0, rows = 0;     // in the gathered query rows
    int64_t key_begin = 0, key_end = 0;  // my rows of its sequence
    int64_t seen_keys = 0;               // the first of those, that its last row sees
    SeenKeys seen;                       // [rows · H/G] of those, a row's heads alike
    at::Tensor domain;                   // [my keys] bool: in E
    at::Tensor learned;                  // [my keys] bool: in the target
    at::Tensor picked;                   // [picks] int64: pick head · seen keys + picked key, among mine
    double uniform_share = 0;            // min(1, K / |E|)
    at::Tensor target;                   // [my keys] a
  };
  void find(const StepContext& context, double rate, int64_t picks, int64_t sketch, at::Device device);
  [[nodiscard]] SeenKeys seen_by(const Probe& probe, at::Device device) const;
  template <class Body>
  void for_scores(const at::Tensor& q, const at::Tensor& k, Body body);
  void add_mass(Probe& probe, const at::Tensor& by_head);

  const ModelShape& shape_;
  std::vector<Probe> probes_;
  std::vector<int64_t> position_, blocks_;  // of my rows, in their sequences; my probe blocks
  at::Tensor my_rows_, my_blocks_;          // indices of my probe rows and blocks
  std::vector<int64_t> rows_by_rank_, probes_by_rank_;
  int64_t total_rows_ = 0;
  at::Tensor mass_;  // [5] double, as in ProbeMass
};

}  // namespace smartbird
