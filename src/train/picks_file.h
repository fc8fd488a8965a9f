// The picks of a step as a file (safetensors), so that they can be laid over any number of ranks later: `run.record_picks`
// writes it, `smartbird simulate` reads it. Tensors "N.lengths" [sequences], "N.S.start" (CSR over (block, pick head) in
// stream order) and "N.S.key" (positions in the sequence) of stream N and the S-th sketch that draws; the numbers beside them as JSON in the
// metadata. Errors: ErrorKind::Io, Data.
#pragma once

#include <string>
#include <vector>

#include "model/shape.h"

namespace smartbird {

struct DrawnLists {
  std::vector<int64_t> start{0};
  std::vector<int32_t> key;
};

struct RecordedStream {
  std::vector<int64_t> lengths;      // of the packed sequences
  std::vector<DrawnLists> sketches;  // [sketches]
};

struct PicksRecord {
  // What of a model decides traffic.
  int64_t heads = 1, kv_heads = 1, pick_heads = 1, head_width = 1, query_block = 1, window = 0, prefix = 0;
  bool causal = true;
  std::vector<int64_t> global_positions;
  std::vector<int64_t> layers_by_sketch;  // of the sketches that draw
  int64_t row_fetches = 1, other_fetches = 1, element_bytes = 4, kv_element_bytes = 4;
  int64_t parameters = 0, parameter_bytes = 4;  // bytes of each, and of a log π
  // Of the step: the time of the first replica's ranks together, without waiting for exchanges; scan and draw of it.
  int64_t step = 0;
  double compute_s = 0, scan_s = 0;
  std::vector<RecordedStream> streams;  // of the first replica

  [[nodiscard]] AttentionSettings settings() const;
  [[nodiscard]] ExchangeUse use(size_t sketch) const;
};

[[nodiscard]] PicksRecord describe_picks(const ModelShape& shape, int query_block, int64_t parameter_bytes,
                                         int64_t parameters);
void write_picks(const std::string& path, const PicksRecord& record);
[[nodiscard]] PicksRecord read_picks(const std::string& path);

// The lists of all ranks, from what each drew, in stream order. Collective.
[[nodiscard]] DrawnLists gather_lists(const StepContext& context, const Plan& plan);

}  // namespace smartbird
