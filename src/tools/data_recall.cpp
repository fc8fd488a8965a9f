// Multi-query associative recall, and the generation of missing data.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>

#include "core/error.h"
#include "core/philox.h"
#include "data/source_names.h"
#include "tools/data_generate.h"

namespace smartbird {

// u in [0, 1): each octave as often.
static int64_t length_between(int64_t shortest, int64_t longest, double u) {
  const double ratio = static_cast<double>(longest + 1) / static_cast<double>(shortest);
  return std::min(longest, static_cast<int64_t>(static_cast<double>(shortest) * std::pow(ratio, u)));
}

GeneratedTask generate_recall(const RecallOptions& o) {
  SB_CHECK(o.count > 0 && o.pairs > 0 && o.values > 0 && o.distance >= 0, Config, "recall: count ", o.count, ", pairs ",
           o.pairs, ", values ", o.values, ", distance ", o.distance, " must be positive");
  SB_CHECK(o.count <= kMostTokens / std::max<int64_t>(1, o.length), Config, "recall: ", o.count, " samples of ",
           o.length, " tokens are more than the ", kMostTokens, " tokens of a generated shard");
  SB_CHECK(o.keys >= o.pairs, Config, "recall: ", o.pairs, " pairs need as many keys, there are ", o.keys);
  const int64_t queries = o.queries > 0 ? o.queries : o.pairs, least = 2 * o.pairs + 2 * queries + o.distance,
                shortest = o.shortest > 0 ? o.shortest : o.length;
  SB_CHECK(o.length >= least, Config, "recall: length ", o.length,
           " is below 2 x pairs + 2 x queries + distance = ", least);
  SB_CHECK(o.queries >= 0 && o.queries <= o.pairs, Config, "recall: ", o.queries, " queries for ", o.pairs,
           " pairs; at most each is asked for once");
  SB_CHECK(o.shortest == 0 || (o.shortest >= least && o.shortest <= o.length), Config, "recall: shortest ", o.shortest,
           " is not from 2 x pairs + 2 x queries + distance = ", least, " to the length, ", o.length);
  GeneratedTask out;
  std::vector<std::string> words{"."};
  for (int64_t i = 0; i < o.keys; ++i) words.push_back(join("k", i));
  for (int64_t i = 0; i < o.values; ++i) words.push_back(join("v", i));
  out.tokenizer = make_word_tokenizer(words);
  const PhiloxKey key = philox_key(static_cast<uint64_t>(o.seed), 1, Purpose::Tool);
  for (int64_t sample = 0; sample < o.count; ++sample) {
    uint32_t next = 0;
    const auto below = [&](int64_t n) {
      return static_cast<int64_t>(uniform_at(key, static_cast<uint64_t>(sample), next++, 0, 0) *
                                  static_cast<double>(n));
    };
    std::vector<int64_t> keys(static_cast<size_t>(o.keys)), order(static_cast<size_t>(o.pairs)), values;
    for (size_t i = 0; i < keys.size(); ++i) keys[i] = static_cast<int64_t>(i);
    for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int64_t>(i);
    const auto shuffle = [&](std::vector<int64_t>& list) {
      for (size_t i = list.size() - 1; i > 0; --i)
        std::swap(list[i], list[static_cast<size_t>(below(static_cast<int64_t>(i) + 1))]);
    };
    shuffle(keys), shuffle(order);
    const int64_t length =
        shortest == o.length
            ? o.length
            : length_between(shortest, o.length, uniform_at(key, static_cast<uint64_t>(sample), next++, 0, 0));
    Documents& d = out.documents;
    const auto put = [&](int64_t id, uint8_t counts) {
      d.tokens.push_back(static_cast<int32_t>(id)), d.counts.push_back(counts);
    };
    for (int64_t i = 0; i < o.pairs; ++i) {
      values.push_back(below(o.values));
      put(1 + keys[static_cast<size_t>(i)], 0);
      put(1 + o.keys + values.back(), 0);
    }
    for (int64_t i = 2 * (o.pairs + queries); i < length; ++i) put(0, 0);
    order.resize(static_cast<size_t>(queries));
    for (int64_t i : order) {
      put(1 + keys[static_cast<size_t>(i)], 0);
      put(1 + o.keys + values[static_cast<size_t>(i)], 1);
    }
    d.end_document();
  }
  return out;
}

void generate_on_first_use(const DataOptions& options) {
  int64_t seed = 1;
  for (const auto* sources : {&options.train, &options.valid, &options.test}) {
    const int64_t count = sources == &options.train ? 2000 : 200, this_seed = seed++;
    if (sources->empty()) continue;
    const std::string path = parse_source("data.generate", (*sources)[0]).path;
    if (std::filesystem::exists(path + ".idx") || std::filesystem::exists(path)) continue;
    std::printf("writing %s (%lld samples of %s)\n", path.c_str(), static_cast<long long>(count),
                options.generate.c_str());
    std::fflush(stdout);
    const GeneratedTask task =
        options.generate == "listops"
            ? generate_listops({.count = count, .seed = this_seed})
            : generate_recall({.count = count, .length = options.sequence_tokens, .seed = this_seed});
    write_shard(path, task.documents, *task.tokenizer);
  }
}

}  // namespace smartbird
