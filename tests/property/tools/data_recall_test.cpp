// Laws of generated recall: every question's answer is the value that its key has in the sample, its key was last seen at least
// the distance before, and only answers count.
#include <gtest/gtest.h>

#include <map>

#include "core/error.h"
#include "tools/data_generate.h"

namespace smartbird {
namespace {

struct Counted {
  int64_t answers = 0, places = 0, longest = 0, shortest = 1 << 30, fewest = 1 << 30, most = 0;
};

// Checks all samples; nearest: the smallest distance of their questions.
Counted check(const RecallOptions& o, int64_t nearest) {
  const GeneratedTask task = generate_recall(o);
  const Documents& d = task.documents;
  Counted out;
  EXPECT_EQ(d.num_documents(), o.count);
  for (int64_t doc = 0; doc < d.num_documents(); ++doc) {
    const int64_t begin = d.first[static_cast<size_t>(doc)], length = d.first[static_cast<size_t>(doc) + 1] - begin;
    out.longest = std::max(out.longest, length), out.shortest = std::min(out.shortest, length);
    std::map<int64_t, std::pair<int64_t, int64_t>> seen;  // key -> value, where it was last
    int64_t pairs = 0;
    for (int64_t at = 0; at < length; at += 2) {
      const size_t i = static_cast<size_t>(begin + at);
      const int64_t key = d.tokens[i], value = d.tokens[i + 1];
      EXPECT_EQ(d.counts[i], 0);
      if (key == 0) {
        EXPECT_EQ(value, 0);
        EXPECT_EQ(d.counts[i + 1], 0);
        continue;
      }
      EXPECT_TRUE(key <= o.keys && value > o.keys && value <= o.keys + o.values);
      const auto before = seen.find(key);
      EXPECT_EQ(d.counts[i + 1], before != seen.end());
      if (before != seen.end()) {
        EXPECT_EQ(value, before->second.first);
        EXPECT_GE(at - before->second.second, nearest);
        ++out.answers;
      } else {
        EXPECT_EQ(at, 2 * pairs++) << "pairs come first";
      }
      seen[key] = {value, at};
    }
    out.places += length / 2 - pairs;
    out.fewest = std::min(out.fewest, pairs), out.most = std::max(out.most, pairs);
  }
  return out;
}

TEST(DataRecall, AsksForWhatItSaid) {
  const Counted hard = check({.count = 200, .length = 512}, 64);
  EXPECT_EQ(hard.shortest, 512);
  EXPECT_EQ(hard.fewest, 32);
  EXPECT_NEAR(static_cast<double>(hard.answers) / static_cast<double>(hard.places), 0.3, 0.01);
  EXPECT_EQ(check({.count = 20, .length = 34, .pairs = 16, .keys = 16, .values = 1, .distance = 30, .density = 1}, 30)
                .answers,
            20);
}

TEST(DataRecall, EasierSamplesAreShorterAndHaveFewerPairs) {
  const Counted easy = check({.count = 500, .length = 512, .easy = 0.8}, 4);
  EXPECT_EQ(easy.longest, 512);
  EXPECT_EQ(easy.shortest, 32);
  EXPECT_EQ(easy.fewest, 2);
  EXPECT_EQ(easy.most, 32);
  EXPECT_EQ(check({.count = 50, .length = 6, .pairs = 1, .density = 1, .easy = 1}, 2).fewest, 1);
}

TEST(DataRecall, RefusesWhatCannotBe) {
  const auto refuses = [](RecallOptions o, const std::string& says) {
    try {
      (void)generate_recall(o);
      ADD_FAILURE() << says;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(says), std::string::npos) << error.what();
    }
  };
  refuses({.length = 64}, "length 64 must be even and at least 2 x pairs + 2 = 66");
  refuses({.length = 513}, "length 513 must be even");
  refuses({.length = 100, .distance = 100}, "distance + 2 = 102");
  refuses({.keys = 31}, "32 pairs need as many keys, there are 31");
  refuses({.density = 0}, "density 0 must be above 0");
  refuses({.keys = 100'000'000}, "100000000 keys and 64 values; at most 100000 each");
  refuses({.count = 3, .length = 4, .pairs = 1, .keys = 1, .density = 1e-6}, "none of 3 samples asks anything");
  refuses({.easy = 2}, "easy 2 must be from 0 to 1");
}

}  // namespace
}  // namespace smartbird
