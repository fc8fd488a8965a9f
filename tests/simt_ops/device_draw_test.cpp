// Law: a draw by the GPU's kernels, run by the emulator on tensors, picks what the CPU picks, but where rounding decides, and the runs
// that rows go in change nothing.
#include "ops/device_draw.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "kernels/filled_scan.h"
#include "ops/tensors.h"
#include "tests/reference/reference_draw.h"

namespace smartbird::testing {
namespace {

using kernels::DrawMode;
using kernels::DrawOptions;
using kernels::Picks;

constexpr int64_t kPlenty = int64_t{1} << 40;
constexpr double kError = 2e-5;

SketchScores scores_of(const reference::Stream<float>& stream, at::ScalarType type) {
  const auto tensor = [&](const std::vector<float>& x) {
    return at::from_blob(const_cast<float*>(x.data()), {static_cast<int64_t>(x.size()) / stream.width, stream.width})
        .to(type, false, true);
  };
  return {.queries = tensor(stream.queries), .keys = tensor(stream.keys), .scale = 0.7, .layer = 0};
}

Picks<float> on_device(const SketchScores& scores, const reference::Stream<float>& stream, const DrawOptions& options,
                       int64_t budget_bytes) {
  return device_draw(scores, stream.blocks, stream.excluded, options, budget_bytes);
}

Picks<float> on_cpu(reference::Stream<float> stream, const SketchScores& scores, const DrawOptions& options) {
  const auto rounded = [](const at::Tensor& x) {
    const at::Tensor y = x.to(at::kFloat).contiguous();
    return std::vector<float>(y.const_data_ptr<float>(), y.const_data_ptr<float>() + y.numel());
  };
  stream.queries = rounded(scores.queries), stream.keys = rounded(scores.keys);
  kernels::ScanInput<float> in = stream.input();
  in.scale = 0.7F;
  std::vector<double> lse(stream.blocks.size());
  kernels::scan_for_draw<float>(in, options, lse.data());
  Picks<float> out;
  kernels::draw<float>(in, lse.data(), options, out);
  return out;
}

struct Compared {
  int64_t same = 0, other = 0;
};

// error: of log π.
void compare(const Picks<float>& got, const Picks<float>& want, double error, Compared& sum) {
  ASSERT_EQ(got.start.size(), want.start.size());
  for (size_t list = 0; list + 1 < want.start.size(); ++list) {
    std::map<int32_t, float> wanted;
    for (int64_t i = want.start[list]; i < want.start[list + 1]; ++i)
      wanted[want.key[static_cast<size_t>(i)]] = want.log_pi[static_cast<size_t>(i)];
    for (int64_t i = got.start[list]; i < got.start[list + 1]; ++i) {
      const size_t at = static_cast<size_t>(i);
      ASSERT_TRUE(i == got.start[list] || got.key[at - 1] < got.key[at]) << "ascending";
      const auto found = wanted.find(got.key[at]);
      sum.same += found != wanted.end(), sum.other += found == wanted.end();
      if (found == wanted.end()) continue;
      EXPECT_NEAR(got.log_pi[at], found->second, error);
      wanted.erase(found);
    }
    sum.other += static_cast<int64_t>(wanted.size());
  }
}

TEST(DeviceDraw, PicksWhatTheCpuPicks) {
  Compared sum;
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16})
    for (const auto& [mode, fill] :
         {std::pair{DrawMode::Poisson, false}, {DrawMode::Poisson, true}, {DrawMode::Uniform, false}})
      for (const reference::StreamShape& shape : std::vector<reference::StreamShape>{
               {.lengths = {70, 1, 130}, .window = 3, .share = 8, .width = 32},
               {.lengths = {200}, .block = 4, .window = 2, .width = 16, .causal = false, .excluded = {0, 5, 127}}}) {
        std::mt19937 random(7);
        auto stream = reference::random_stream<float>(shape, random);
        for (float& x : stream.queries) x *= fill ? 0.5F : 1;  // where little is left to chance a GPU stops early
        const SketchScores scores = scores_of(stream, type);
        const DrawOptions options{.mode = mode, .picks = 6, .fill = fill, .heads = 3, .layer = 2, .key = {77, 5}};
        // What is left to chance is known to some 1e-6 of all: where that is a thousandth, π to as much.
        compare(on_device(scores, stream, options, kPlenty), on_cpu(stream, scores, options), fill ? 1e-3 : kError,
                sum);
      }
  EXPECT_GT(sum.same, 5000);
  EXPECT_LE(sum.other, sum.same / 1000) << "of " << sum.same;
}

TEST(DeviceDraw, RunsOfRowsChangeNothing) {
  std::mt19937 random(9);
  const auto stream = reference::random_stream<float>({.lengths = {300, 77}, .window = 2, .width = 32}, random);
  const SketchScores scores = scores_of(stream, at::kFloat);
  const DrawOptions options{.picks = 5, .heads = 2, .key = {1, 2}};
  const Picks<float> whole = on_device(scores, stream, options, kPlenty);
  for (const int64_t budget_bytes : {int64_t{1}, int64_t{200000}}) {
    const Picks<float> parts = on_device(scores, stream, options, budget_bytes);
    EXPECT_EQ(parts.start, whole.start);
    EXPECT_EQ(parts.key, whole.key);
    EXPECT_EQ(parts.log_pi, whole.log_pi);
  }
}

TEST(DeviceDraw, NoRowsDrawNothing) {
  const SketchScores none{at::zeros({0, 16}, at::kFloat), at::zeros({0, 16}, at::kFloat), 1, 0};
  EXPECT_EQ(device_draw(none, {}, {}, {.picks = 3}, kPlenty).start.size(), 1U);
}

}  // namespace
}  // namespace smartbird::testing
