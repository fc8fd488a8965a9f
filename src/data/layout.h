// Who holds which token of a packed stream: an owner table over query blocks, kept as runs of whole blocks. The only
// place with this arithmetic. Any N >= 0, any number of ranks; ranks may hold nothing. Sequences are packed one after
// the other; query blocks are aligned to their sequence and never cross it.
// contiguous: one run a rank. zigzag: the stream in 2P runs, rank r holds runs r and 2P-1-r (balances causal work).
// A rank's rows are numbered 0..T-1 in stream order.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace smartbird {

struct Sequence {
  uint64_t sample = 0;  // sample number: names the sequence in every random number
  int64_t begin = 0;    // first token, in the stream
  int64_t length = 0;   // tokens
};

struct Run {
  int64_t begin = 0, end = 0;  // tokens [begin, end) of the stream
  int rank = 0;
  int64_t local = 0;  // row of `begin` on its rank
};

enum class LayoutKind { Contiguous, Zigzag };

class Layout {
 public:
  Layout(std::vector<Sequence> sequences, int query_block, int num_ranks, LayoutKind kind);

  [[nodiscard]] int64_t num_tokens() const { return num_tokens_; }                       // N
  [[nodiscard]] int num_ranks() const { return static_cast<int>(rank_tokens_.size()); }  // P
  [[nodiscard]] int query_block() const { return query_block_; }                         // b
  [[nodiscard]] std::span<const Sequence> sequences() const { return sequences_; }
  [[nodiscard]] std::span<const Run> runs() const { return runs_; }  // in stream order
  [[nodiscard]] int64_t rank_tokens(int rank) const { return rank_tokens_[static_cast<size_t>(rank)]; }  // T
  [[nodiscard]] std::span<const int64_t> tokens_by_rank() const { return rank_tokens_; }
  [[nodiscard]] int owner(int64_t token) const { return run_of(token).rank; }
  [[nodiscard]] int64_t local_row(int64_t token) const;          // row of a token on its owner
  [[nodiscard]] std::vector<int64_t> tokens_of(int rank) const;  // [T] stream index of each row
  [[nodiscard]] int64_t sequence_of(int64_t token) const;        // index into sequences()
  [[nodiscard]] const Run& run_of(int64_t token) const;
  // Query blocks of all sequences: the number of those before sequence s, and in all.
  [[nodiscard]] int64_t blocks_before(int64_t sequence) const { return first_block_[static_cast<size_t>(sequence)]; }
  [[nodiscard]] int64_t num_blocks() const { return first_block_.back(); }
  // blocks [Q]: blocks of this rank in stream order, each (sequence, index in the sequence).
  struct Block {
    int64_t sequence = 0, index = 0, begin = 0, end = 0;  // rows [begin, end), positions in the sequence
  };
  [[nodiscard]] std::vector<Block> blocks_of(int rank) const;

 private:
  std::vector<Sequence> sequences_;
  int query_block_;
  int64_t num_tokens_ = 0;
  std::vector<int64_t> first_block_;  // [sequences + 1]
  std::vector<Run> runs_;
  std::vector<int64_t> rank_tokens_;
};

}  // namespace smartbird
