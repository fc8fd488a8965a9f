// Law: training steps whose tensors lie on a device draw the CPU's picks and go the CPU's way, on one rank and on several. Kernels run
// on the emulator.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "comm/nccl_groups.h"
#include "config/parse.h"
#include "model/shape.h"
#include "ops/open_gpu.h"
#include "tests/support/memory_corpus.h"
#include "tests/support/ranks.h"
#include "train/step.h"

namespace smartbird::testing {
namespace {

struct Steps {
  std::vector<StepRecord> records;
  at::Tensor weights;
};

Steps train(const std::vector<std::string>& more, int ranks, bool on_device) {
  std::vector<std::string> arguments{"--model.width=64",
                                     "--model.heads=2",
                                     "--model.kv_heads=1",
                                     "--model.layers=2",
                                     "--model.dropout=0.1",
                                     "--sketch.width=16",
                                     "--sketch.probes=4",
                                     "--attention.picks=4",
                                     "--attention.window=2",
                                     "--attention.share=8",
                                     "--attention.pick_heads=kv",
                                     "--data.sequence_tokens=60",
                                     "--attention.share_warmup_steps=0"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  const Options options = parse_options(arguments, nullptr).options;
  const WholeDocuments all({11, 28, 45});
  MemoryCorpus corpus(all.documents);
  Steps out;
  for_ranks(ranks, [&](Communicator& group) {
    const at::Device device = on_device ? open_gpu(group.rank()) : at::Device(at::kCPU);
    const World world(group.split(0, group.rank()), 0, on_device ? through_host() : DeviceGroup());
    const Task task = task_from_name(options.data.task);
    Transformer model(make_shape(options, corpus.tokenizer().vocabulary(), task == Task::Classify ? 3 : 0),
                      at::TensorOptions(at::kFloat).device(device), 1);
    Optimizer optimizer(world, model.parameters(), options.train);
    std::vector<StepRecord> records;
    for (int64_t step = 1; step <= 3; ++step)
      records.push_back(train_step({world, model, options, task}, optimizer, corpus, all.batch, step));
    if (world.is_root()) out = {records, model.parameters().flat().cpu()};
  });
  return out;
}

// With run.matmul = bfloat16 there: the same picks for the same weights, the rest to the rounding of factors.
void expect_the_cpus_rounded(std::vector<std::string> arguments, int ranks) {
  const Steps want = train(arguments, 1, false);
  arguments.insert(arguments.end(), {"--run.device=cuda", "--run.matmul=bfloat16"});
  const Steps got = train(arguments, ranks, true);
  const std::string what = arguments[0] + ", " + std::to_string(ranks) + " ranks";
  EXPECT_EQ(got.records[0].picks_hash, want.records[0].picks_hash) << what;
  if (ranks > 1) {  // what is rounded is the same on one rank, but for gradients that travel
    const StepRecord one = train(arguments, 1, true).records[0];
    EXPECT_NEAR(got.records[0].loss, one.loss, 2e-6 * one.loss) << what;
    EXPECT_NEAR(got.records[0].grad_norm, one.grad_norm, 2e-3 * one.grad_norm) << what;
  }
  for (size_t i = 0; i < want.records.size(); ++i) {
    const StepRecord &a = got.records[i], &b = want.records[i];
    EXPECT_NE(a.loss, b.loss) << what << ", step " << i + 1 << ": it rounds";
    EXPECT_NEAR(a.loss, b.loss, 2e-3 * b.loss) << what << ", step " << i + 1;
    EXPECT_NEAR(a.sketch_loss, b.sketch_loss, 1e-2 * b.sketch_loss) << what << ", step " << i + 1;
    EXPECT_NEAR(a.grad_norm, b.grad_norm, 2e-2 * b.grad_norm) << what << ", step " << i + 1;
    EXPECT_NEAR(a.sketch_grad_norm, b.sketch_grad_norm, 2e-2 * b.sketch_grad_norm) << what << ", step " << i + 1;
  }
}

void expect_the_cpus(const std::vector<std::string>& arguments, int ranks) {
  const Steps want = train(arguments, 1, false), got = train(arguments, ranks, true);
  const std::string what = arguments[0] + ", " + std::to_string(ranks) + " ranks";
  for (size_t i = 0; i < want.records.size(); ++i) {
    const StepRecord &a = got.records[i], &b = want.records[i];
    EXPECT_EQ(a.picks_hash, b.picks_hash) << what << ", step " << i + 1;
    EXPECT_NEAR(a.loss, b.loss, 1e-5 * (1 + b.loss)) << what << ", step " << i + 1;
    EXPECT_NEAR(a.sketch_loss, b.sketch_loss, 1e-5 * (1 + b.sketch_loss)) << what << ", step " << i + 1;
    EXPECT_NEAR(a.grad_norm, b.grad_norm, 1e-4 * b.grad_norm) << what << ", step " << i + 1;
    EXPECT_NEAR(a.sketch_grad_norm, b.sketch_grad_norm, 1e-4 * b.sketch_grad_norm) << what << ", step " << i + 1;
  }
  EXPECT_NE(want.records[0].loss, want.records[2].loss) << what;
  // AdamW divides by a root: where a gradient is next to nothing the sign of its rounding decides.
  const at::Tensor apart = (got.weights - want.weights).abs();
  EXPECT_LT(apart.mean().item<double>(), 1e-6) << what;
}

TEST(DeviceStep, IsTheCpus) { expect_the_cpus({"--data.task=clm"}, 1); }
TEST(DeviceStep, OfSeveralRanks) { expect_the_cpus({"--data.task=clm", "--attention.query_block=4"}, 3); }
TEST(DeviceStep, ByRecomputation) {
  expect_the_cpus({"--data.task=mlm", "--memory.recompute=layer", "--sketch.location=layer"}, 1);
}
TEST(DeviceStep, WithFactorsOfBfloat16) {
  expect_the_cpus_rounded({"--data.task=clm"}, 1);
  expect_the_cpus_rounded({"--data.task=clm", "--attention.query_block=4"}, 3);
  expect_the_cpus_rounded({"--data.task=mlm", "--memory.recompute=layer"}, 1);
  expect_the_cpus_rounded({"--data.task=classify", "--model.pooling=statistics"}, 2);
}
TEST(DeviceStep, OfLabels) {
  expect_the_cpus({"--data.task=classify", "--model.pooling=statistics"}, 2);
  expect_the_cpus({"--data.task=classify", "--model.pooling=attention"}, 2);
}

}  // namespace
}  // namespace smartbird::testing
