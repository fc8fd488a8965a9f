// Laws of one draw: the same bits for any threads, split over calls and place in the stream; only
// keys of E; keys beyond it are never read; rows of a share group with the same π pick the same keys.
#include <gtest/gtest.h>
#include <omp.h>

#include <limits>

#include "kernels/filled_scan.h"
#include "tests/reference/reference_draw.h"

namespace smartbird {
namespace {

using kernels::DrawMode;
using kernels::Picks;

constexpr DrawMode kModes[] = {DrawMode::Poisson, DrawMode::Systematic, DrawMode::Gumbel, DrawMode::Iid,
                               DrawMode::TopK,    DrawMode::BigBird,    DrawMode::Uniform};

std::vector<reference::StreamShape> shapes() {
  return {{.lengths = {400, 3, 150}, .window = 2, .share = 1},
          {.lengths = {300, 170}, .block = 4, .window = 1, .share = 64, .causal = false, .excluded = {0, 1, 130, 290}},
          {.lengths = {333}, .block = 3, .share = 0, .excluded = {5, 128}}};
}

kernels::DrawOptions options(DrawMode mode) {
  return {.mode = mode, .picks = 11, .floor = 0.1, .heads = 2, .layer = 3, .key = {21, 22}};
}

template <class T>
Picks<T> scan_and_draw(const kernels::ScanInput<T>& input, const kernels::DrawOptions& o, Picks<T> picks = {}) {
  std::vector<double> lse(input.blocks.size());
  kernels::scan_for_draw<T>(input, o, lse.data());
  kernels::draw<T>(input, lse.data(), o, picks);
  return picks;
}

template <class T>
void expect_same(const Picks<T>& a, const Picks<T>& b) {
  EXPECT_EQ(a.start, b.start);
  EXPECT_EQ(a.key, b.key);
  EXPECT_EQ(a.log_pi, b.log_pi);
}

// Calls body(stream, drawing) for every shape and mode.
template <class Body>
void for_cases(Body body) {
  std::mt19937 random(1);
  std::vector<kernels::DrawOptions> drawings;
  for (DrawMode mode : kModes) drawings.push_back(options(mode));
  for (DrawMode mode : {DrawMode::Poisson, DrawMode::Systematic})
    drawings.push_back(options(mode)), drawings.back().fill = true;
  for (const auto& shape : shapes())
    for (const kernels::DrawOptions& drawing : drawings) {
      SCOPED_TRACE(testing::Message() << "mode " << static_cast<int>(drawing.mode) << " fill " << drawing.fill
                                      << " share " << shape.share);
      body(reference::random_stream<float>(shape, random), drawing);
    }
}

TEST(DrawInvariance, Threads) {
  const int before = omp_get_max_threads();
  for_cases([](const auto& stream, const auto& o) {
    omp_set_num_threads(1);
    const auto one = scan_and_draw(stream.input(), o);
    omp_set_num_threads(3);
    expect_same(scan_and_draw(stream.input(), o), one);
    EXPECT_GT(one.key.size(), stream.blocks.size());
  });
  omp_set_num_threads(before);
}

TEST(DrawInvariance, SplitOverCalls) {
  for_cases([](const auto& stream, const auto& o) {
    const auto whole = scan_and_draw(stream.input(), o);
    for (int64_t step : {1, 7}) {
      Picks<float> parts;
      const int64_t blocks = static_cast<int64_t>(stream.blocks.size());
      for (int64_t i = 0; i < blocks; i += step)
        parts = scan_and_draw(stream.part(i, std::min(i + step, blocks)), o, std::move(parts));
      expect_same(parts, whole);
    }
  });
}

TEST(DrawInvariance, PlaceInTheStream) {
  for_cases([](const auto& stream, const auto& o) {
    const auto whole = scan_and_draw(stream.input(), o);
    auto moved = stream;
    std::vector<float> keys(61 * stream.width, 1e3f);  // 61 foreign keys before it
    keys.insert(keys.end(), stream.keys.begin(), stream.keys.end());
    moved.keys = std::move(keys);
    for (auto& block : moved.blocks) block.first_key += 61;
    expect_same(scan_and_draw(moved.input(), o), whole);
  });
}

TEST(DrawInvariance, OnlyKeysOfTheDomain) {
  for_cases([](const auto& stream, const auto& o) {
    const auto picks = scan_and_draw(stream.input(), o);
    for (size_t list = 0; list + 1 < picks.start.size(); ++list) {
      const auto domain = reference::domain(stream.blocks[list / o.heads], stream.excluded);
      for (int64_t i = picks.start[list]; i < picks.start[list + 1]; ++i) {
        EXPECT_TRUE(std::binary_search(domain.begin(), domain.end(), picks.key[i]))
            << "list " << list << " key " << picks.key[i];
        EXPECT_TRUE(i == picks.start[list] || picks.key[i - 1] < picks.key[i]) << "list " << list << " does not ascend";
      }
    }
  });
}

TEST(DrawInvariance, KeysOutsideTheDomainNeverMatter) {
  for_cases([](const auto& stream, const auto& o) {
    const auto whole = scan_and_draw(stream.input(), o);
    for (size_t i = 0; i < stream.blocks.size(); i += 3) {
      auto poisoned = stream;
      const auto domain = reference::domain(stream.blocks[i], stream.excluded);
      std::vector<char> seen(stream.keys.size() / stream.width);
      for (int64_t j : domain) seen[stream.blocks[i].first_key + j] = 1;
      for (size_t x = 0; x < stream.keys.size(); ++x)
        if (!seen[x / stream.width]) poisoned.keys[x] = std::numeric_limits<float>::quiet_NaN();
      const auto one = [&](const Picks<float>& picks, size_t block) {  // the lists of one block
        const int64_t begin = picks.start[block * o.heads], end = picks.start[(block + 1) * o.heads];
        return std::pair(std::vector(picks.key.begin() + begin, picks.key.begin() + end),
                         std::vector(picks.log_pi.begin() + begin, picks.log_pi.begin() + end));
      };
      EXPECT_EQ(one(scan_and_draw(poisoned.part(i, i + 1), o), 0), one(whole, i)) << "block " << i << " alone";
      EXPECT_EQ(one(scan_and_draw(poisoned.input(), o), i), one(whole, i)) << "block " << i << " among poisoned ones";
    }
  });
}

TEST(DrawInvariance, EqualRowsOfAGroupPickEqualKeys) {
  std::mt19937 random(2);
  auto stream = reference::random_stream<float>({.lengths = {256}, .share = 16, .causal = false}, random);
  for (size_t i = 0; i < stream.blocks.size(); ++i) {
    stream.blocks[i].left_end = 256, stream.blocks[i].right_begin = stream.blocks[i].right_end = 256;
    std::copy_n(stream.queries.begin(), stream.width, stream.queries.begin() + i * stream.width);
  }
  for (DrawMode mode : {DrawMode::Poisson, DrawMode::Systematic, DrawMode::Uniform}) {
    const auto o = options(mode);
    const auto picks = scan_and_draw(stream.input(), o);
    const auto keys = [&](int64_t block, int64_t head) {
      const int64_t list = block * o.heads + head;
      return std::vector(picks.key.begin() + picks.start[list], picks.key.begin() + picks.start[list + 1]);
    };
    int64_t different = 0;
    for (int64_t block = 0; block < 256; ++block)
      for (int64_t head = 0; head < o.heads; ++head) {
        EXPECT_EQ(keys(block, head), keys(block / 16 * 16, head)) << "block " << block;
        different += keys(block, head) != keys((block + 16) % 256, head);
      }
    EXPECT_GT(different, 256) << "groups must have numbers of their own";
  }
}

}  // namespace
}  // namespace smartbird
