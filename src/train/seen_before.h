// eval.seen_before: loss and accuracy by how far back the context last showed what the target continues.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "comm/world.h"
#include "data/sampler.h"
#include "model/transformer.h"

namespace smartbird {

// For target ids[t + 1] of row t: tokens between the first letter of its word (a run of ASCII letters of any case) and
// the first letter of the same word before; 0 = the word is new, -1 = not a letter. ids: text as bytes, one sequence
// and the token after it. Returns one number a row [size - 1].
[[nodiscard]] std::vector<int64_t> since_word(std::span<const int32_t> ids);
// For target ids[t + 1]: tokens between t and where ids[t] was before; 0 = nowhere.
[[nodiscard]] std::vector<int64_t> since_token(std::span<const int32_t> ids);

// kind: off, word or token. word needs text as bytes (ErrorKind::Config); key: the option that named the corpus.
void check_seen_before(const std::string& kind, const Corpus& corpus, const std::string& key);

class SeenBefore {
 public:
  SeenBefore(const std::string& kind, const Corpus& corpus, const Sampler& sampler);
  void add(const Layout& layout, const Stream& stream, const Forward& forward);
  // Adds seen_X_{targets, loss, accuracy} for X = new, 64, 256, 1024, 4096 (up to so many tokens back), more; those
  // without a target are left out. Collective.
  void report(const World& world, std::map<std::string, double>& values);

 private:
  [[nodiscard]] std::vector<int64_t> distances(uint64_t sample) const;

  static constexpr std::array<int64_t, 5> kEnds{0, 64, 256, 1024, 4096};
  struct Sum {
    double targets = 0, loss = 0, correct = 0;
  };
  const std::string& kind_;
  const Corpus& corpus_;
  const Sampler& sampler_;
  std::array<Sum, kEnds.size() + 1> sums_;
};

}  // namespace smartbird
