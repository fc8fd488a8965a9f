// One rank's rows of one packed stream, as the model wants them: tokens, targets, positions. Every rank reads its own
// rows from the corpus; nothing of the stream's length is sent.
//   clm       target of a token = the next token of its document (where the target mask counts it), else -1
//   mlm       a share of the tokens, chosen by (sample, position), is replaced (80 % mask, 10 % random, 10 % kept); its
//             target is the original; all others -1
//   classify  no token targets; `label` holds the label of every sequence of the stream
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/philox.h"
#include "data/corpus.h"
#include "data/layout.h"
#include "data/sampler.h"

namespace smartbird {

enum class Task { Clm, Mlm, Classify };
[[nodiscard]] Task task_from_name(const std::string& name);

struct Stream {
  std::vector<int64_t> token, target, position, sequence;  // [T]; position in the sequence, sequence in the layout
  std::vector<int64_t> label;                              // [sequences]
  int64_t counted = 0;                                     // targets that count on this rank (classify: see label)
  int64_t target_bytes = 0;                                // text bytes of those targets
};

[[nodiscard]] std::vector<Sequence> sequences_of(const std::vector<Sample>& samples);
// key: Purpose::MaskTokens of the step.
[[nodiscard]] Stream make_stream(const Corpus& corpus, const Layout& layout, const std::vector<Sample>& samples,
                                 int rank, Task task, double mask_share, PhiloxKey key);

}  // namespace smartbird
