// Next-token scores of a causal model, one token at a time, with cached keys and values. Sampled attention estimates dense
// attention, so decoding attends densely; layers of pattern `window`, and models without picks, attend their window.
#pragma once

#include <vector>

#include "model/transformer.h"

namespace smartbird {

class Decoder {
 public:
  explicit Decoder(const Transformer& model);
  // Appends a token; logits [V] of the next one.
  [[nodiscard]] at::Tensor next(int64_t token);

 private:
  [[nodiscard]] at::Tensor attend(int64_t layer, const at::Tensor& q);
  const Transformer& model_;
  std::vector<at::Tensor> keys_, values_;  // a layer: [capacity, G, D]
  int64_t length_ = 0;
};

}  // namespace smartbird
