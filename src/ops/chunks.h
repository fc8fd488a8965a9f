// Rows in chunks: what a pass over many rows holds at once. Chunks depend on the rows that a rank goes through (in the loss
// those with a target), never on what they hold.
#pragma once

#include <ATen/ATen.h>

#include <algorithm>

namespace smartbird {

inline constexpr int64_t kChunkRows = 2048;  // a few MiB at the usual widths: what a chunk needs stays in cache

// body(first row, rows) over [0, rows).
template <class Body>
void for_chunks(int64_t rows, int64_t chunk_rows, Body body) {
  for (int64_t first = 0; first < rows; first += chunk_rows) body(first, std::min(chunk_rows, rows - first));
}

// Memory for one chunk of rows; of(n) is its first n rows.
class ChunkBuffer {
 public:
  ChunkBuffer(const at::Tensor& like, int64_t rows, int64_t width)
      : memory_(at::empty({rows, width}, like.options().requires_grad(false))) {}
  [[nodiscard]] at::Tensor of(int64_t rows) const { return memory_.narrow(0, 0, rows); }

 private:
  at::Tensor memory_;
};

}  // namespace smartbird
