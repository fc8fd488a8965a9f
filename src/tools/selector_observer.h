// Looks at the exact attention of probe blocks while a model runs on one rank, and adds what it sees to a report.
#pragma once

#include <map>

#include "tools/selector_report.h"

namespace smartbird {

// A report without any sums, on the model's sparse layers.
[[nodiscard]] SelectorReport empty_report(const ModelShape& shape, int64_t query_block);

class SelectorObserver : public AttentionObserver {
 public:
  // blocks: expected probe blocks of a sequence.
  SelectorObserver(const Transformer& model, double blocks, SelectorReport& report)
      : model_(model), blocks_of_sequence_(blocks), report_(report) {}

  void begin_stream() { draws_.clear(), blocks_.clear(); }
  void sketched(const StepContext& context, const ObservedSketch& sketch) override;
  void attended(const StepContext& context, int64_t layer, const at::Tensor& q, const at::Tensor& kv) override;

 private:
  // Its rows and its sampled domain.
  struct ProbeBlock {
    int64_t block = 0, first_row = 0, rows = 0;  // number in the stream, row in the stream
    int64_t first_key = 0;                       // row that holds position 0 of the sequence
    std::vector<int64_t> seen;                   // [rows] keys from there on that each sees
    at::Tensor domain;                           // [|E|] int64: positions
  };
  struct Drawn {
    std::vector<std::vector<at::Tensor>> scores;  // [widths][blocks], each [|E|]
    std::vector<Plan> plans;                      // [kReportDraws]
  };
  void find_blocks(const StepContext& context, const AttentionSettings& settings);
  // Of one head: q [T, H, D], kv [T, G, 2D], outputs: of each draw [T, H, D].
  void look(const Drawn& drawn, size_t number, int64_t head, const at::Tensor& q, const at::Tensor& kv,
            const std::vector<at::Tensor>& outputs, HeadReport& out) const;
  void add_shares(const Drawn& drawn, size_t number, const at::Tensor& a, HeadReport& out) const;

  const Transformer& model_;
  const double blocks_of_sequence_;
  SelectorReport& report_;
  std::map<int64_t, Drawn> draws_;
  std::vector<ProbeBlock> blocks_;
};

}  // namespace smartbird
