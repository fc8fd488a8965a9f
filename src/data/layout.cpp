// Cutting a stream into runs of whole query blocks.
#include "data/layout.h"

#include <algorithm>

#include "core/error.h"

namespace smartbird {

Layout::Layout(std::vector<Sequence> sequences, int query_block, int num_ranks, LayoutKind kind)
    : sequences_(std::move(sequences)), query_block_(query_block), rank_tokens_(static_cast<size_t>(num_ranks), 0) {
  SB_CHECK(query_block > 0 && num_ranks > 0, Shape, "layout: query block ", query_block, ", ", num_ranks, " ranks");
  first_block_.push_back(0);
  for (const Sequence& s : sequences_) {
    SB_CHECK(s.begin == num_tokens_ && s.length > 0, Shape, "layout: a sequence of ", s.length, " tokens begins at ",
             s.begin, ", expected ", num_tokens_);
    num_tokens_ += s.length;
    first_block_.push_back(first_block_.back() + (s.length + query_block - 1) / query_block);
  }
  const int64_t parts = kind == LayoutKind::Zigzag ? 2 * num_ranks : num_ranks;
  // The first block boundary at or after part · N / parts.
  const auto cut = [&](int64_t part) {
    const int64_t wanted = part * num_tokens_ / parts;
    if (wanted >= num_tokens_) return num_tokens_;
    const Sequence& s = sequences_[static_cast<size_t>(sequence_of(wanted))];
    const int64_t block = (wanted - s.begin + query_block - 1) / query_block;
    return s.begin + std::min(block * query_block, s.length);
  };
  for (int64_t part = 0; part < parts; ++part) {
    const int64_t begin = cut(part), end = cut(part + 1);
    if (begin >= end) continue;
    const int rank = static_cast<int>(part < num_ranks ? part : 2 * num_ranks - 1 - part);
    int64_t& tokens = rank_tokens_[static_cast<size_t>(rank)];
    if (!runs_.empty() && runs_.back().rank == rank)
      runs_.back().end = end;
    else
      runs_.push_back({begin, end, rank, tokens});
    tokens += end - begin;
  }
}

int64_t Layout::sequence_of(int64_t token) const {
  const auto after = std::upper_bound(sequences_.begin(), sequences_.end(), token,
                                      [](int64_t t, const Sequence& s) { return t < s.begin; });
  return after - sequences_.begin() - 1;
}

const Run& Layout::run_of(int64_t token) const {
  SB_CHECK(token >= 0 && token < num_tokens_, Shape, "layout: token ", token, " of ", num_tokens_);
  return *(std::upper_bound(runs_.begin(), runs_.end(), token, [](int64_t t, const Run& r) { return t < r.begin; }) -
           1);
}

int64_t Layout::local_row(int64_t token) const {
  const Run& run = run_of(token);
  return run.local + token - run.begin;
}

std::vector<int64_t> Layout::tokens_of(int rank) const {
  std::vector<int64_t> out;
  out.reserve(static_cast<size_t>(rank_tokens(rank)));
  for (const Run& run : runs_)
    if (run.rank == rank)
      for (int64_t token = run.begin; token < run.end; ++token) out.push_back(token);
  return out;
}

std::vector<Layout::Block> Layout::blocks_of(int rank) const {
  std::vector<Block> out;
  for (const Run& run : runs_) {
    if (run.rank != rank) continue;
    for (int64_t token = run.begin; token < run.end;) {
      const int64_t index = sequence_of(token);
      const Sequence& s = sequences_[static_cast<size_t>(index)];
      const int64_t begin = token - s.begin, end = std::min<int64_t>(begin + query_block_, s.length);
      out.push_back({index, begin / query_block_, begin, end});
      token += end - begin;
    }
  }
  return out;
}

}  // namespace smartbird
