// Multi-query associative recall.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"
#include "core/philox.h"
#include "tools/data_generate.h"

namespace smartbird {

namespace {

constexpr int64_t kMostWords = 100'000;

int64_t distance_of(const RecallOptions& o) { return o.distance > 0 ? o.distance : std::max<int64_t>(2, o.length / 8); }

void check_recall(const RecallOptions& o) {
  SB_CHECK(o.count > 0 && o.pairs > 0 && o.values > 0 && (o.distance == 0 || o.distance >= 2), Config, "recall: count ",
           o.count, ", pairs ", o.pairs, ", values ", o.values, " must be at least 1, distance ", o.distance,
           " at least 2 (or 0)");
  SB_CHECK(o.density > 0 && o.density <= 1, Config, "recall: density ", o.density, " must be above 0 and at most 1");
  SB_CHECK(o.easy >= 0 && o.easy <= 1, Config, "recall: easy ", o.easy, " must be from 0 to 1");
  SB_CHECK(o.count <= kMostTokens / std::max<int64_t>(1, o.length), Config, "recall: ", o.count, " samples of ",
           o.length, " tokens are more than the ", kMostTokens, " tokens of a generated shard");
  SB_CHECK(o.keys <= kMostWords && o.values <= kMostWords, Config, "recall: ", o.keys, " keys and ", o.values,
           " values; at most ", kMostWords, " each");
  SB_CHECK(o.keys >= o.pairs, Config, "recall: ", o.pairs, " pairs need as many keys, there are ", o.keys);
  SB_CHECK(o.length % 2 == 0 && o.length >= 2 * o.pairs + 2 && o.length >= distance_of(o) + 2, Config,
           "recall: length ", o.length, " must be even and at least 2 x pairs + 2 = ", 2 * o.pairs + 2,
           " and distance + 2 = ", distance_of(o) + 2);
}

// Random numbers of one sample.
class Numbers {
 public:
  Numbers(PhiloxKey key, int64_t sample) : key_(key), sample_(static_cast<uint64_t>(sample)) {}
  double uniform() { return uniform_at(key_, sample_, next_++, 0, 0); }
  int64_t below(int64_t n) { return static_cast<int64_t>(uniform() * static_cast<double>(n)); }

 private:
  PhiloxKey key_;
  uint64_t sample_;
  uint32_t next_ = 0;
};

struct Pair {
  int64_t key = 0, value = 0, last = 0;  // last: where the key was last
};

// From low to high, each octave as often; u in [0, 1).
int64_t between(int64_t low, int64_t high, double u) {
  return std::min(high, static_cast<int64_t>(static_cast<double>(low) *
                                             std::pow(static_cast<double>(high + 1) / static_cast<double>(low), u)));
}

// What an easier sample is made with.
RecallOptions easier(RecallOptions o, Numbers& numbers) {
  constexpr int64_t kShortest = 32;
  const int64_t length = between(std::min(kShortest, o.length), o.length, numbers.uniform()) / 2 * 2;
  o.distance = std::min(std::max<int64_t>(2, distance_of(o) * length / o.length), length - 2);
  o.pairs = between(std::min<int64_t>({2, o.pairs, std::max<int64_t>(1, length / 8)}),
                    std::clamp<int64_t>(length / 8, 1, o.pairs), numbers.uniform());
  o.length = length, o.density = std::max(o.density, 0.8);
  return o;
}

// Different keys in random order, the first tokens of a sample.
std::vector<Pair> draw_pairs(const RecallOptions& o, Numbers& numbers) {
  std::vector<int64_t> keys(static_cast<size_t>(o.keys));
  std::iota(keys.begin(), keys.end(), int64_t{0});
  std::vector<Pair> out;
  for (int64_t i = 0; i < o.pairs; ++i) {
    std::swap(keys[static_cast<size_t>(i)], keys[static_cast<size_t>(i + numbers.below(o.keys - i))]);
    out.push_back({keys[static_cast<size_t>(i)], numbers.below(o.values), 2 * i});
  }
  return out;
}

void append_sample(const RecallOptions& o, Numbers& numbers, Documents& d) {
  const auto put = [&](int64_t id, uint8_t counts) {
    d.tokens.push_back(static_cast<int32_t>(id)), d.counts.push_back(counts);
  };
  std::vector<Pair> pairs = draw_pairs(o, numbers);
  const auto put_pair = [&](const Pair& pair, uint8_t counts) {
    put(1 + pair.key, 0), put(1 + o.keys + pair.value, counts);
  };
  for (const Pair& pair : pairs) put_pair(pair, 0);
  std::vector<Pair*> askable;
  for (int64_t at = 2 * o.pairs; at < o.length; at += 2) {
    askable.clear();
    for (Pair& pair : pairs)
      if (at - pair.last >= distance_of(o)) askable.push_back(&pair);
    if (askable.empty() || numbers.uniform() >= o.density) {
      put(0, 0), put(0, 0);
      continue;
    }
    Pair& asked = *askable[static_cast<size_t>(numbers.below(static_cast<int64_t>(askable.size())))];
    put_pair(asked, 1);
    asked.last = at;
  }
  d.end_document();
}

}  // namespace

int64_t questions_of(const GeneratedTask& task) {
  return std::count(task.documents.counts.begin(), task.documents.counts.end(), uint8_t{1});
}

GeneratedTask generate_recall(const RecallOptions& o) {
  check_recall(o);
  GeneratedTask out;
  std::vector<std::string> words{"."};
  for (int64_t i = 0; i < o.keys; ++i) words.push_back(join("k", i));
  for (int64_t i = 0; i < o.values; ++i) words.push_back(join("v", i));
  out.tokenizer = make_word_tokenizer(words);
  const PhiloxKey key = philox_key(static_cast<uint64_t>(o.seed), 1, Purpose::Tool);
  for (int64_t sample = 0; sample < o.count; ++sample) {
    Numbers numbers(key, sample);
    const bool easy = o.easy > 0 && numbers.uniform() < o.easy;
    append_sample(easy ? easier(o, numbers) : o, numbers, out.documents);
  }
  SB_CHECK(questions_of(out) > 0, Config, "recall: none of ", o.count, " samples asks anything: length ", o.length,
           " leaves no place ", distance_of(o), " tokens (the distance) behind a key, or density ", o.density,
           " is too low");
  return out;
}

}  // namespace smartbird
