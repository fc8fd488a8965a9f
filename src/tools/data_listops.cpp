// The ListOps generator and its evaluator.
#include <algorithm>
#include <array>
#include <map>
#include <numeric>

#include "core/error.h"
#include "core/philox.h"
#include "tools/data_generate.h"

namespace smartbird {
namespace {

constexpr std::array<const char*, 15> kWords{"[MIN", "[MAX", "[MED", "[SM", "]", "0", "1", "2",
                                             "3",    "4",    "5",    "6",   "7", "8", "9"};
constexpr int32_t kClose = 4, kZero = 5;
constexpr int64_t kMostInVain = 50'000'000;  // tokens of trees of wrong lengths one after the other; some seconds

// A stream of uniforms for one sample.
class Dice {
 public:
  Dice(int64_t seed, uint64_t sample)
      : key_(philox_key(static_cast<uint64_t>(seed), 0, Purpose::Tool)), sample_(sample) {}
  int64_t below(int64_t n) { return static_cast<int64_t>(unit() * static_cast<double>(n)); }
  double unit() { return uniform_at(key_, sample_, next_++, 0, 0); }

 private:
  PhiloxKey key_;
  uint64_t sample_;
  uint32_t next_ = 0;
};

int32_t apply(int32_t op, std::vector<int32_t> values) {
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  if (op == 0) return values.front();
  if (op == 1) return values.back();
  if (op == 2) return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
  return std::accumulate(values.begin(), values.end(), 0) % 10;
}

// An operator on 2 to max_arguments trees, but a value with probability 3/4 or at the depth limit (at 1/4, nearly every
// tree would be far too long).
int32_t grow(Dice& dice, int64_t depth, const ListOpsOptions& o, std::vector<int32_t>& tokens) {
  if (depth >= o.max_depth || (depth > 1 && dice.unit() < 0.75)) {
    tokens.push_back(kZero + static_cast<int32_t>(dice.below(10)));
    return tokens.back() - kZero;
  }
  const int32_t op = static_cast<int32_t>(dice.below(4));
  tokens.push_back(op);
  std::vector<int32_t> values;
  for (int64_t i = 2 + dice.below(o.max_arguments - 1); i > 0; --i) {
    if (static_cast<int64_t>(tokens.size()) > o.max_tokens) break;  // too long already: this tree will be thrown away
    values.push_back(grow(dice, depth + 1, o, tokens));
  }
  tokens.push_back(kClose);
  return values.empty() ? 0 : apply(op, values);
}

int32_t evaluate_tokens(std::span<const int32_t> tokens) {
  std::vector<std::pair<int32_t, std::vector<int32_t>>> open;
  for (int32_t token : tokens) {
    if (token < kClose) {
      open.push_back({token, {}});
      continue;
    }
    int32_t value = token - kZero;
    if (token == kClose) {
      SB_CHECK(!open.empty() && !open.back().second.empty(), Data, "listops: a bracket closes nothing");
      value = apply(open.back().first, open.back().second);
      open.pop_back();
    }
    if (open.empty()) return value;
    open.back().second.push_back(value);
  }
  fail(ErrorKind::Data, "listops: a bracket is left open");
}

// That the largest tree is no shorter than min_tokens.
void check_reach(const ListOpsOptions& o) {
  int64_t most = 1;  // of a tree at the depth limit, then of one level above after the other
  for (int64_t depth = o.max_depth; depth > 1 && most < o.min_tokens; --depth)
    most = o.max_arguments > o.min_tokens / most ? o.min_tokens : 2 + o.max_arguments * most;
  SB_CHECK(most >= o.min_tokens, Config, "listops: trees of depth ", o.max_depth, " with up to ", o.max_arguments,
           " arguments have at most ", most, " tokens, not ", o.min_tokens,
           "; raise --max-depth or --max-arguments, or lower --min-tokens");
}

}  // namespace

GeneratedTask generate_listops(const ListOpsOptions& o) {
  SB_CHECK(o.count > 0 && o.min_tokens > 0 && o.min_tokens < o.max_tokens, Config, "listops: ", o.count, " samples of ",
           o.min_tokens, " to ", o.max_tokens, " tokens; expected a positive count and min < max");
  SB_CHECK(o.count <= kMostTokens / o.max_tokens, Config, "listops: ", o.count, " samples of up to ", o.max_tokens,
           " tokens are more than the ", kMostTokens, " tokens of a generated shard");
  SB_CHECK(o.max_depth >= 2 && o.max_arguments >= 2, Config, "listops: depth ", o.max_depth, " and arguments ",
           o.max_arguments, " must be at least 2");
  GeneratedTask out;
  out.tokenizer = make_word_tokenizer({kWords.begin(), kWords.end()});
  for (int digit = 0; digit < 10; ++digit) out.documents.classes.push_back(std::to_string(digit));
  check_reach(o);
  int64_t in_vain = 0;  // tokens since the last sample
  for (int64_t attempt = 0; out.documents.num_documents() < o.count; ++attempt) {
    SB_CHECK(in_vain < kMostInVain, Config, "listops: trees of depth ", o.max_depth, " with up to ", o.max_arguments,
             " arguments have next to never ", o.min_tokens, " to ", o.max_tokens,
             " tokens; change one of the four (--max-depth, --max-arguments, --min-tokens, --max-tokens)");
    Dice dice(o.seed, static_cast<uint64_t>(attempt));
    std::vector<int32_t> tokens;
    const int32_t value = grow(dice, 1, o, tokens);
    in_vain += static_cast<int64_t>(tokens.size());
    if (static_cast<int64_t>(tokens.size()) < o.min_tokens || static_cast<int64_t>(tokens.size()) > o.max_tokens)
      continue;
    in_vain = 0;
    SB_CHECK(evaluate_tokens(tokens) == value, Data, "listops: sample ", attempt, " evaluates to another label");
    out.documents.tokens.insert(out.documents.tokens.end(), tokens.begin(), tokens.end());
    out.documents.labels.push_back(value);
    out.documents.end_document();
  }
  out.documents.counts.assign(out.documents.tokens.size(), 1);
  return out;
}

double root_operator_baseline(const GeneratedTask& task) {
  std::map<int32_t, std::array<int64_t, 10>> seen;
  const Documents& d = task.documents;
  for (size_t i = 0; i < d.labels.size(); ++i)
    ++seen[d.tokens[static_cast<size_t>(d.first[i])]][static_cast<size_t>(d.labels[i])];
  int64_t right = 0;
  for (const auto& [op, labels] : seen) right += *std::max_element(labels.begin(), labels.end());
  return static_cast<double>(right) / static_cast<double>(d.labels.size());
}

}  // namespace smartbird
