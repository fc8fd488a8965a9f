// The order of samples, and their dealing to replicas and micro-steps.
#include "data/sampler.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/philox.h"

namespace smartbird {
namespace {

// A permutation of [0, n): four Feistel rounds over the next power of four, walked until inside.
int64_t permute(int64_t index, int64_t n, PhiloxKey key) {
  int half_bits = 1;
  while ((int64_t{1} << (2 * half_bits)) < n) ++half_bits;
  const uint64_t mask = (uint64_t{1} << half_bits) - 1;
  uint64_t x = static_cast<uint64_t>(index);
  do {
    uint64_t left = x >> half_bits, right = x & mask;
    for (uint32_t round = 0; round < 4; ++round) {
      const uint64_t mixed = left ^ (philox({static_cast<uint32_t>(right), round, 0, 0}, key)[0] & mask);
      left = right, right = mixed;
    }
    x = (left << half_bits) | right;
  } while (static_cast<int64_t>(x) >= n);
  return static_cast<int64_t>(x);
}

}  // namespace

Sampler::Sampler(const Corpus& corpus, SamplerOptions options) : corpus_(corpus), options_(options), epoch_begins_{0} {
  SB_CHECK(options_.sequence_tokens > 0, Config, "data.sequence_tokens = ", options_.sequence_tokens,
           " must be at least 1");
  SB_CHECK(corpus.num_documents() > 0, Data, "the corpus has no document");
}

int64_t Sampler::first_cut(int64_t document, int64_t epoch) const {
  const int64_t tokens = corpus_.document(document).num_tokens, s = options_.sequence_tokens;
  if (!options_.cut_documents || tokens <= s || options_.fixed || epoch == 0) return std::min(tokens, s);
  const PhiloxKey key = philox_key(options_.seed, static_cast<uint64_t>(epoch), Purpose::Cut);
  return std::min(tokens - 1, 1 + static_cast<int64_t>(uniform_at(key, static_cast<uint64_t>(document), 0, 0, 0) *
                                                       static_cast<double>(s)));
}

// Weights below 1 may leave no document at all: then the coins are thrown again.
Sampler::Epoch Sampler::build_epoch(int64_t index, int64_t first_number) const {
  constexpr uint32_t kThrows = 100000;  // a single document of the least weight, 0.001, is missed with exp(-100)
  for (uint32_t attempt = 0; attempt < kThrows; ++attempt) {
    Epoch out = throw_epoch(index, first_number, attempt);
    if (out.first_sequence.back() > 0) return out;
  }
  fail(ErrorKind::Data, "epoch ", index, " has no sequence: the weights leave no document");
}

Sampler::Epoch Sampler::throw_epoch(int64_t index, int64_t first_number, uint32_t attempt) const {
  Epoch out;
  out.index = index, out.first_number = first_number;
  out.first_sequence.push_back(0);
  const PhiloxKey key = philox_key(options_.seed, static_cast<uint64_t>(index), Purpose::Weight);
  for (int64_t d = 0; d < corpus_.num_documents(); ++d) {
    const Document document = corpus_.document(d);
    const double weight = options_.fixed ? 1.0 : document.weight, whole = std::floor(weight);
    int64_t passes = static_cast<int64_t>(whole) +
                     (uniform_at(key, static_cast<uint64_t>(d), attempt, 0, 0) < weight - whole ? 1 : 0);
    const int64_t cut = first_cut(d, index);
    const int64_t sequences = options_.cut_documents ? 1 + (document.num_tokens - cut + options_.sequence_tokens - 1) /
                                                               options_.sequence_tokens
                                                     : 1;
    for (; passes > 0; --passes) {
      out.document.push_back(d);
      out.first_sequence.push_back(out.first_sequence.back() + sequences);
    }
  }
  return out;
}

const Sampler::Epoch& Sampler::epoch(int64_t index) const {
  for (const Epoch& e : epochs_)
    if (e.index == index) return e;
  while (static_cast<int64_t>(epoch_begins_.size()) <= index + 1) {
    const int64_t next = static_cast<int64_t>(epoch_begins_.size()) - 1;
    Epoch built = build_epoch(next, epoch_begins_.back());
    epoch_begins_.push_back(epoch_begins_.back() + built.first_sequence.back());
    if (epochs_.size() >= 2) epochs_.erase(epochs_.begin());
    epochs_.push_back(std::move(built));
  }
  for (const Epoch& e : epochs_)
    if (e.index == index) return e;
  if (epochs_.size() >= 2) epochs_.erase(epochs_.begin());
  return epochs_.emplace_back(build_epoch(index, epoch_begins_[static_cast<size_t>(index)]));
}

int64_t Sampler::epoch_begin(int64_t index) const {
  if (index > 0) (void)epoch(index - 1);
  return epoch_begins_[static_cast<size_t>(index)];
}

int64_t Sampler::epoch_of(int64_t number) const {
  while (epoch_begins_.back() <= number) (void)epoch(static_cast<int64_t>(epoch_begins_.size()) - 1);
  return std::upper_bound(epoch_begins_.begin(), epoch_begins_.end(), number) - epoch_begins_.begin() - 1;
}

Sample Sampler::at(int64_t number) const {
  const int64_t index = epoch_of(number);
  const Epoch& e = epoch(index);
  const int64_t in_epoch = number - e.first_number, n = e.first_sequence.back();
  const int64_t place =
      options_.fixed ? in_epoch
                     : permute(in_epoch, n, philox_key(options_.seed, static_cast<uint64_t>(index), Purpose::Order));
  const auto after = std::upper_bound(e.first_sequence.begin(), e.first_sequence.end(), place);
  const int64_t pass = after - e.first_sequence.begin() - 1, piece = place - *(after - 1);
  const int64_t document = e.document[static_cast<size_t>(pass)], cut = first_cut(document, index),
                s = options_.sequence_tokens;
  if (piece == 0) return {number, document, 0, cut};
  const int64_t begin = cut + (piece - 1) * s;
  return {number, document, begin, std::min(s, corpus_.document(document).num_tokens - begin)};
}

std::vector<Sample> Sampler::batch(int64_t next, int64_t batch_tokens) const {
  std::vector<Sample> out;
  const int64_t end = epoch_begin(epoch_of(next) + 1);
  int64_t tokens = 0;
  for (int64_t number = next; number < end; ++number) {
    const Sample sample = at(number);
    if (!out.empty() && tokens + sample.length > batch_tokens) break;
    tokens += sample.length;
    out.push_back(sample);
  }
  return out;
}

std::vector<std::vector<std::vector<Sample>>> deal(const std::vector<Sample>& batch, int num_replicas,
                                                   int64_t micro_tokens) {
  const size_t replicas = static_cast<size_t>(num_replicas);
  std::vector<std::vector<std::vector<Sample>>> streams(replicas);  // [replica][micro-step]
  std::vector<int64_t> total(replicas, 0), current(replicas, 0);
  for (const Sample& sample : batch) {
    const size_t to = static_cast<size_t>(std::min_element(total.begin(), total.end()) - total.begin());
    total[to] += sample.length;
    const bool full = micro_tokens > 0 && current[to] + sample.length > micro_tokens;
    if (streams[to].empty() || (full && !streams[to].back().empty())) {
      streams[to].emplace_back();
      current[to] = 0;
    }
    streams[to].back().push_back(sample);
    current[to] += sample.length;
  }
  size_t steps = 1;
  for (const auto& of_replica : streams) steps = std::max(steps, of_replica.size());
  std::vector<std::vector<std::vector<Sample>>> out(steps, std::vector<std::vector<Sample>>(replicas));
  for (size_t r = 0; r < replicas; ++r)
    for (size_t m = 0; m < streams[r].size(); ++m) out[m][r] = std::move(streams[r][m]);
  return out;
}

}  // namespace smartbird
