// Prefix-LM: what every row may see is no target, for any number of ranks.
#include "train/micro_steps.h"

#include <gtest/gtest.h>

#include "config/parse.h"
#include "model/shape.h"
#include "tests/support/memory_corpus.h"
#include "tests/support/ranks.h"

namespace smartbird::testing {
namespace {

TEST(MicroSteps, TargetsInsideThePrefixDoNotCount) {
  const Options options = parse_options({"--data.prefix_tokens=6", "--data.sequence_tokens=20", "--model.width=8",
                                         "--model.heads=2", "--model.layers=1", "--sketch.width=4"},
                                        nullptr)
                              .options;
  const MemoryCorpus corpus(MemoryCorpus::of_lengths({20, 4, 7}));
  const std::vector<Sample> batch{{0, 0, 0, 20}, {1, 1, 0, 4}, {2, 2, 0, 7}};
  for (const int ranks : {1, 2, 5}) {
    for_ranks(ranks, [&](Communicator& group) {
      const World world(group.split(0, group.rank()), 0);
      Transformer model(make_shape(options, corpus.tokenizer().vocabulary(), 0), at::kDouble, 1);
      const StepSetup setup{world, model, options, Task::Clm};
      const auto micro_steps = micro_steps_of(setup, corpus, batch, 0, philox_key(1, 1, Purpose::MaskTokens));
      EXPECT_EQ(count_targets(setup, micro_steps, batch), 14 + 0 + 1);  // tokens 6..19, none, 6
      for (const MicroStep& micro : micro_steps)
        for (size_t i = 0; i < micro.stream.target.size(); ++i)
          EXPECT_TRUE(micro.stream.target[i] < 0 || micro.stream.position[i] >= 5);
      EXPECT_EQ(world.everyone().reduce_value("bytes", micro_steps.at(0).stream.target_bytes, ReduceOp::Sum), 15);
    });
  }
}

}  // namespace
}  // namespace smartbird::testing
