// Distances of a sequence, and sums over its rows.
#include "train/seen_before.h"

#include <algorithm>
#include <unordered_map>

#include "core/error.h"

namespace smartbird {

static int32_t letter(int32_t id) {
  if (id >= 'A' && id <= 'Z') return id - 'A' + 'a';
  return id >= 'a' && id <= 'z' ? id : 0;
}

std::vector<int64_t> since_word(std::span<const int32_t> ids) {
  std::vector<int64_t> of_token(ids.size(), -1);
  std::unordered_map<std::string, size_t> last;
  for (size_t begin = 0; begin < ids.size();) {
    std::string word;
    size_t end = begin;
    for (; end < ids.size() && letter(ids[end]) != 0; ++end) word += static_cast<char>(letter(ids[end]));
    if (word.empty()) {
      ++begin;
      continue;
    }
    const auto [seen, is_new] = last.try_emplace(word, begin);
    std::fill(of_token.begin() + static_cast<int64_t>(begin), of_token.begin() + static_cast<int64_t>(end),
              static_cast<int64_t>(begin - seen->second));
    seen->second = begin, begin = end;
  }
  if (!of_token.empty()) of_token.erase(of_token.begin());
  return of_token;
}

std::vector<int64_t> since_token(std::span<const int32_t> ids) {
  std::vector<int64_t> out;
  std::unordered_map<int32_t, size_t> last;
  for (size_t t = 0; t + 1 < ids.size(); ++t) {
    const auto [seen, is_new] = last.try_emplace(ids[t], t);
    out.push_back(static_cast<int64_t>(t - seen->second));
    seen->second = t;
  }
  return out;
}

void check_seen_before(const std::string& kind, const Corpus& corpus, const std::string& key) {
  SB_CHECK(kind != "word" || corpus.tokenizer().to_json() == make_byte_tokenizer()->to_json(), Config,
           "eval.seen_before = word needs text as bytes, but ", key, " has another tokenizer; use token");
}

SeenBefore::SeenBefore(const std::string& kind, const Corpus& corpus, const Sampler& sampler)
    : kind_(kind), corpus_(corpus), sampler_(sampler) {}

std::vector<int64_t> SeenBefore::distances(uint64_t number) const {
  const Sample sample = sampler_.at(static_cast<int64_t>(number));
  const int64_t rest = corpus_.document(sample.document).num_tokens - sample.begin;
  std::vector<int32_t> ids(static_cast<size_t>(std::min(sample.length + 1, rest)));
  corpus_.read(sample.document, sample.begin, ids);
  std::vector<int64_t> out = kind_ == "word" ? since_word(ids) : since_token(ids);
  out.resize(static_cast<size_t>(sample.length), -1);  // the last row of a document has no target
  return out;
}

void SeenBefore::add(const Layout& layout, const Stream& stream, const Forward& forward) {
  const at::Tensor loss = forward.row_loss.cpu(), correct = forward.row_correct.cpu();
  int64_t sequence = -1;
  std::vector<int64_t> back;
  for (size_t row = 0; row < stream.target.size(); ++row) {
    if (stream.target[row] < 0) continue;
    if (stream.sequence[row] != sequence) {
      sequence = stream.sequence[row];
      back = distances(layout.sequences()[static_cast<size_t>(sequence)].sample);
    }
    const int64_t distance = back[static_cast<size_t>(stream.position[row])];
    if (distance < 0) continue;
    Sum& sum = sums_[static_cast<size_t>(std::lower_bound(kEnds.begin(), kEnds.end(), distance) - kEnds.begin())];
    sum.targets += 1, sum.loss += loss.const_data_ptr<double>()[row];
    sum.correct += correct.const_data_ptr<uint8_t>()[row];
  }
}

void SeenBefore::report(const World& world, std::map<std::string, double>& values) {
  static_assert(sizeof(sums_) == 3 * sizeof(double) * std::tuple_size_v<decltype(sums_)>);
  world.everyone().all_reduce("statistics", &sums_[0].targets, static_cast<int64_t>(3 * sums_.size()), DType::f64);
  for (size_t i = 0; i < sums_.size(); ++i) {
    if (sums_[i].targets == 0) continue;
    const std::string name = "seen_" + (i == 0 ? "new" : i == kEnds.size() ? "more" : std::to_string(kEnds[i])) + "_";
    values[name + "targets"] = sums_[i].targets, values[name + "loss"] = sums_[i].loss / sums_[i].targets;
    values[name + "accuracy"] = sums_[i].correct / sums_[i].targets;
  }
}

}  // namespace smartbird
