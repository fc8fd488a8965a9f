// Law: attention over a plan by the GPU's kernels, run by the emulator on tensors, is that of the CPU, forward and backward, for every
// kind of plan: empty ranks, zigzag, heads that travel, global keys, windows, dense layers.
#include "ops/device_attention.h"

#include <torch/torch.h>

#include <atomic>

#include "ops/device_tensors.h"
#include "ops/sparse_attention.h"
#include "tests/support/plan_cases.h"

namespace smartbird::testing {
namespace {

constexpr int64_t kWidth = 32;

struct Attention {
  at::Tensor o, grad_q, grad_units;
  bool in_tiles = false;  // rows went through their picks together
};

Attention on_cpu(const at::Tensor& q, const at::Tensor& units, const at::Tensor& grad, const Plan& plan) {
  const at::Tensor leaf = q.detach().requires_grad_(true), keys = units.detach().requires_grad_(true);
  const at::Tensor o = sparse_attention(leaf, keys, plan);
  torch::autograd::backward({o}, {grad});
  return {o.detach(), leaf.grad(), keys.grad()};
}

Attention on_device(const at::Tensor& q, const at::Tensor& units, const at::Tensor& grad, const Plan& plan) {
  const DevicePlan lists = to_device(plan, q.options());
  const DeviceAttended out = device_attention(q, units, plan, lists);
  const DeviceAttentionGrads grads = device_attention_gradient(q, units, out, grad, plan, lists);
  return {out.o, grads.q, grads.units, lists.tile_start.defined()};
}

// Of the largest number: sums in float, and in bfloat16 roundings to within 2^-8, of the output those of the weights and its
// own, of gradients those of output, weights, their gradient and its own.
struct Within {
  double output, gradient;
};
constexpr Within kInFloat{4e-6, 4e-6}, kInBfloat16{0x1p-7, 0x1p-6};

void expect_near(const at::Tensor& got, const at::Tensor& want, double within, const std::string& what) {
  ASSERT_EQ(got.sizes(), want.sizes()) << what;
  if (got.numel() == 0) return;
  EXPECT_LT((got.to(at::kDouble) - want).abs().max().item<double>(), within * (1 + want.abs().max().item<double>()))
      << what;
}

// So many picks that sixteen rows share most of theirs: by random numbers, by query blocks, on several ranks.
std::vector<NamedCase<PlanCase>> plans_with_alike_rows() {
  PlanCase plain;
  plain.settings.picks = 20, plain.settings.share_rows = 0, plain.lengths = {70, 30};
  PlanCase three = plain, blocks = plain, heads = plain;
  three.ranks = 3;
  blocks.block = 16, blocks.settings.share_rows = 16;
  heads.ranks = 2, heads.layout = LayoutKind::Zigzag, heads.settings.exchange = ExchangePlan::Heads;
  return {{"alike, P 1", plain}, {"alike, P 3", three}, {"alike, b 16", blocks}, {"alike, zigzag by heads", heads}};
}

// One of `every` cases, and those: in bfloat16 in tiles.
void expect_the_cpus(at::ScalarType type, const Within& within, size_t every) {
  std::vector<NamedCase<PlanCase>> cases;
  const auto all = plan_cases();
  for (size_t i = 0; i < all.size(); i += every) cases.push_back(all[i]);
  std::atomic<int> row_by_row = 0;
  const auto alike = plans_with_alike_rows();
  cases.insert(cases.end(), alike.begin(), alike.end());
  for (const auto& [name, c] : cases) {
    with_plan(c, [&, name = name](const StepContext& context, const Plan& plan) {
      std::mt19937 random(8 + static_cast<uint32_t>(context.rank()));
      const at::Tensor kv = random_tensor(random, {plan.own_rows, plan.own_kv_heads, 2 * kWidth}).to(type);
      const at::Tensor q = random_tensor(random, {plan.num_rows, plan.heads, kWidth}).to(type),
                       grad = random_tensor(random, {plan.num_rows, plan.heads, kWidth}).to(type);
      const at::Tensor units = gather_units(context, kv.to(at::kDouble), plan).to(type).contiguous();
      const Attention want = on_cpu(q.to(at::kDouble), units.to(at::kDouble), grad.to(at::kDouble), plan);
      const Attention got = on_device(q, units, grad, plan);
      EXPECT_TRUE(got.in_tiles || type != at::kBFloat16 || !name.starts_with("alike")) << name;
      EXPECT_FALSE(got.in_tiles && type != at::kBFloat16) << name;
      row_by_row += got.in_tiles ? 0 : 1;
      expect_near(got.o, want.o, within.output, name + ", output");
      expect_near(got.grad_q, want.grad_q, within.gradient, name + ", gradient of queries");
      expect_near(got.grad_units, want.grad_units, within.gradient, name + ", gradient of keys and values");
    });
  }
  EXPECT_GT(row_by_row, 0);
}

TEST(DeviceAttention, IsTheCpusInFloat) { expect_the_cpus(at::kFloat, kInFloat, 1); }
TEST(DeviceAttention, IsTheCpusInBfloat16) { expect_the_cpus(at::kBFloat16, kInBfloat16, 4); }

struct Attend {
  at::Tensor o, grad_q, grad_kv;
};
Attend attend_and_back(const StepContext& context, const Plan& plan, const at::Tensor& q, const at::Tensor& kv,
                       const at::Tensor& grad, FetchedRows rows) {
  const at::Tensor query = q.detach().requires_grad_(true), keys = kv.detach().requires_grad_(true);
  const at::Tensor o = attend(context, query, keys, plan, {.rows = rows});
  torch::autograd::backward({o}, {grad});
  return {o.detach(), query.grad(), keys.grad()};
}

// Fetching rows, attending them and sending gradients home, chosen by where the tensors lie: as on the CPU. One of `every` cases, odd.
void expect_attending_there(at::ScalarType type, const Within& within, size_t every) {
  size_t number = 0;
  for (const auto& [name, c] : plan_cases()) {
    const FetchedRows rows = number % 2 == 0 ? FetchedRows::Keep : FetchedRows::FetchAgain;
    if (number++ % every != 0) continue;
    with_plan(c, [&, name = name](const StepContext& context, const Plan& plan) {
      std::mt19937 random(80 + static_cast<uint32_t>(context.rank()));
      const auto numbers = [&](at::IntArrayRef shape) { return random_tensor(random, shape.vec()).to(type); };
      const int64_t heads = plan.heads * (plan.by_heads() ? context.group().size() : 1);
      const at::Tensor q = numbers({plan.own_rows, heads, kWidth}),
                       kv = numbers({plan.own_rows, plan.own_kv_heads, 2 * kWidth}),
                       grad = numbers({plan.own_rows, heads, kWidth});
      const Attend want =
          attend_and_back(context, plan, q.to(at::kDouble), kv.to(at::kDouble), grad.to(at::kDouble), rows);
      const HostMemoryIsDevice on_device;
      const Attend got = attend_and_back(context, plan, q, kv, grad, rows);
      expect_near(got.o, want.o, within.output, name + ", output");
      expect_near(got.grad_q, want.grad_q, within.gradient, name + ", gradient of queries");
      expect_near(got.grad_kv, want.grad_kv, within.gradient, name + ", gradient of keys and values");
    });
  }
}

TEST(DeviceAttention, AttendingTensorsThereIsAttendingHere) { expect_attending_there(at::kFloat, kInFloat, 1); }
TEST(DeviceAttention, AttendingBfloat16ThereIsAttendingHere) { expect_attending_there(at::kBFloat16, kInBfloat16, 4); }

TEST(DeviceAttention, OtherTypesAreRefused) {
  with_plan(PlanCase{}, [](const StepContext&, const Plan& plan) {
    const at::Tensor q = at::zeros({plan.num_rows, plan.heads, kWidth}, at::kDouble),
                     units = at::zeros({plan.num_units, 2 * kWidth}, at::kDouble);
    try {
      (void)device_attention(q, units, plan, to_device(plan, q.options()));
      FAIL() << "no error";
    } catch (const Error& error) {
      EXPECT_STREQ(error.what(), "attention on a GPU: element type Double, expected float32 or bfloat16");
    }
  });
}

}  // namespace
}  // namespace smartbird::testing
