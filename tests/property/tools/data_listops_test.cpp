// Laws of generated ListOps: samples are as long and as deep as asked; what cannot be is refused, and soon.
#include <gtest/gtest.h>

#include "core/error.h"
#include "tools/data_generate.h"

namespace smartbird {
namespace {

// Brackets open at once, at most.
int64_t depth_of(const Documents& d, const Tokenizer& tokenizer, size_t document) {
  int64_t open = 0, most = 0;
  for (int64_t i = d.first[document]; i < d.first[document + 1]; ++i) {
    const std::string word = tokenizer.decode(std::vector<int32_t>{d.tokens[static_cast<size_t>(i)]});
    open += word.find('[') != std::string::npos ? 1 : word.find(']') != std::string::npos ? -1 : 0;
    most = std::max(most, open);
  }
  EXPECT_EQ(open, 0);
  return most;
}

TEST(DataListOps, IsAsLongAndAsDeepAsAsked) {
  for (const ListOpsOptions& o :
       {ListOpsOptions{.count = 50}, ListOpsOptions{.count = 200, .min_tokens = 3, .max_tokens = 20, .max_depth = 3},
        ListOpsOptions{.count = 20, .min_tokens = 40, .max_tokens = 122, .max_depth = 3}}) {
    const GeneratedTask task = generate_listops(o);
    const Documents& d = task.documents;
    ASSERT_EQ(d.num_documents(), o.count);
    for (size_t i = 0; i < static_cast<size_t>(o.count); ++i) {
      EXPECT_GE(d.first[i + 1] - d.first[i], o.min_tokens);
      EXPECT_LE(d.first[i + 1] - d.first[i], o.max_tokens);
      EXPECT_LT(depth_of(d, *task.tokenizer, i), o.max_depth);
      EXPECT_TRUE(d.labels[i] >= 0 && d.labels[i] < 10);
    }
  }
}

TEST(DataListOps, RefusesWhatCannotBe) {
  const auto refuses = [](const ListOpsOptions& o, const std::string& says) {
    try {
      (void)generate_listops(o);
      ADD_FAILURE() << says;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::Config);
      EXPECT_NE(std::string(error.what()).find(says), std::string::npos) << error.what();
    }
  };
  refuses({.max_depth = 3}, "trees of depth 3 with up to 10 arguments have at most 122 tokens, not 500; raise");
  refuses({.max_depth = 8, .max_arguments = 2}, "have at most 382 tokens, not 500; raise");
  refuses({.max_arguments = 2}, "have next to never 500 to 2000 tokens; change one of the four");
  refuses({.min_tokens = 20, .max_tokens = 20}, "expected a positive count and min < max");
  refuses({.max_depth = 1}, "depth 1 and arguments 10 must be at least 2");
}

}  // namespace
}  // namespace smartbird
