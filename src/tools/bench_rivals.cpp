// The rivals of the sparse attention operator.
#include "tools/bench_rivals.h"

#include <torch/csrc/autograd/autograd.h>

#include <memory>

#include "core/error.h"
#include "ops/sparse_attention.h"
#include "ops/tensors.h"

namespace smartbird {
namespace {

using torch::autograd::grad;

at::Tensor leaf(const at::Tensor& x) { return x.detach().requires_grad_(true); }

// [N, H, D] -> contiguous [1, H, N, D] and back.
at::Tensor head_major(const at::Tensor& x) { return x.transpose(0, 1).unsqueeze(0).contiguous(); }
at::Tensor token_major(const at::Tensor& x) { return x.squeeze(0).transpose(0, 1).contiguous(); }

BenchRival sdpa(const BenchOptions& o, const BenchInput& input, std::shared_ptr<const Plan> dense) {
  const std::vector<at::Tensor> parts = input.kv.split(o.head_width, 2);
  const at::Tensor q = head_major(input.q), k = head_major(parts[0]), v = head_major(parts[1]),
                   g = head_major(input.grad_o);
  BenchRival out;
  out.run = [=, causal = o.causal](std::map<std::string, double>& ms) {
    const at::Tensor ql = leaf(q), kl = leaf(k), vl = leaf(v);
    const Stopwatch watch;
    const at::Tensor y = at::scaled_dot_product_attention(ql, kl, vl, {}, 0.0, causal);
    ms["forward"] = watch.elapsed_ms();
    const auto grads = grad({y}, {ql, kl, vl}, {g});
    ms["total"] = watch.elapsed_ms();
    ms["backward"] = ms["total"] - ms["forward"];
    return BenchAnswer{"sdpa", token_major(y.detach()), token_major(grads[0]),
                       at::cat({token_major(grads[1]), token_major(grads[2])}, 2)};
  };
  out.attends = std::move(dense);
  return out;
}

BenchRival pattern(BenchInput& input, const char* name, std::shared_ptr<const Plan> plan) {
  BenchRival out;
  out.run = [&input, name, plan](std::map<std::string, double>& ms) {
    BenchAnswer answer = run_along(input, *plan, ms);
    answer.name = name;
    return answer;
  };
  out.attends = plan;
  return out;
}

// The keys of rows [begin, end): token [rows, H, L] and what is added to the logits, -inf where there is none.
struct PaddedKeys {
  at::Tensor index;  // rows of kv seen as [N · H, 2D], flat [rows · H · L]
  at::Tensor bias;   // [rows · H, 1, L]
};

PaddedKeys padded_keys(const Plan& plan, int64_t begin, int64_t end) {
  const int64_t heads = plan.heads;
  std::vector<std::vector<std::pair<int64_t, float>>> lists;
  const float* log_pi = plan.pick_log_pi.const_data_ptr<float>();
  size_t longest = 1;
  for (int64_t i = begin; i < end; ++i)
    for (int64_t head = 0; head < heads; ++head) {
      auto& list = lists.emplace_back();
      for (int64_t j = plan.band_begin[static_cast<size_t>(i)]; j < plan.band_end[static_cast<size_t>(i)]; ++j)
        list.emplace_back(j * heads + head, 0.0f);
      const size_t at = static_cast<size_t>(plan.row_block[static_cast<size_t>(i)] * plan.pick_heads + head);
      for (int64_t p = plan.pick_start[at]; p < plan.pick_start[at + 1]; ++p)
        list.emplace_back(plan.pick_token[static_cast<size_t>(p)] * heads + head, -log_pi[p]);
      longest = std::max(longest, list.size());
    }
  const int64_t length = static_cast<int64_t>(longest), count = static_cast<int64_t>(lists.size());
  PaddedKeys out{at::zeros({count * length}, at::kLong),
                 at::full({count, 1, length}, -std::numeric_limits<float>::infinity(), at::kFloat)};
  for (size_t n = 0; n < lists.size(); ++n)
    for (size_t k = 0; k < lists[n].size(); ++k) {
      out.index.mutable_data_ptr<int64_t>()[n * longest + k] = lists[n][k].first;
      out.bias.mutable_data_ptr<float>()[n * longest + k] = lists[n][k].second;
    }
  return out;
}

// Lists are padded before the clock starts: a user of this composition would have to build them, too.
BenchRival gather_and_matmul(const BenchOptions& o, BenchInput& input, const Plan& plan) {
  constexpr int64_t kRows = 128;
  auto chunks = std::make_shared<std::vector<PaddedKeys>>();
  for (int64_t begin = 0; begin < o.tokens; begin += kRows)
    chunks->push_back(padded_keys(plan, begin, std::min(begin + kRows, o.tokens)));
  BenchRival out;
  out.attends = std::shared_ptr<const Plan>(std::shared_ptr<void>(), &plan);  // the caller's
  out.run = [&input, chunks, width = o.head_width](std::map<std::string, double>& ms) {
    const at::Tensor q = leaf(input.q), kv = leaf(input.kv.contiguous().view({-1, 2 * width}));
    const double scale = 1 / std::sqrt(static_cast<double>(width));
    const Stopwatch watch;
    std::vector<at::Tensor> rows;
    for (size_t c = 0; c < chunks->size(); ++c) {
      const PaddedKeys& keys = (*chunks)[c];
      const at::Tensor gathered = kv.index_select(0, keys.index).view({keys.bias.size(0), keys.bias.size(2), -1});
      const int64_t first = static_cast<int64_t>(c) * kRows;
      const at::Tensor x = q.narrow(0, first, keys.bias.size(0) / q.size(1)).reshape({-1, 1, width});
      const at::Tensor p = (at::bmm(x * scale, gathered.narrow(2, 0, width).transpose(1, 2)) + keys.bias).softmax(2);
      rows.push_back(at::bmm(p, gathered.narrow(2, width, width)));
    }
    const at::Tensor y = at::cat(rows, 0).view(q.sizes());
    ms["forward"] = watch.elapsed_ms();
    const auto grads = grad({y}, {q, kv}, {input.grad_o});
    ms["total"] = watch.elapsed_ms();
    ms["backward"] = ms["total"] - ms["forward"];
    return BenchAnswer{"torch", y.detach(), grads[0], grads[1].view(input.kv.sizes())};
  };
  return out;
}

}  // namespace

BenchAnswer run_along(BenchInput& input, const Plan& plan, std::map<std::string, double>& ms) {
  const at::Tensor q = leaf(input.q), kv = leaf(input.kv);
  const Stopwatch watch;
  const at::Tensor o = sparse_attention(q, gather_units(input.context(), kv, plan), plan);
  ms["forward"] = watch.elapsed_ms();
  const auto grads = grad({o}, {q, kv}, {input.grad_o});
  ms["total"] = watch.elapsed_ms();
  ms["backward"] = ms["total"] - ms["forward"];
  return {"smartbird", o.detach(), grads[0], grads[1]};
}

double attended_pairs(const Plan& plan) {
  double pairs = 0;
  for (size_t i = 0; i < plan.row_block.size(); ++i) {
    pairs += static_cast<double>((plan.band_end[i] - plan.band_begin[i]) * plan.heads);
    if (plan.pick_heads == 0) continue;
    const size_t list = static_cast<size_t>(plan.row_block[i] * plan.pick_heads);
    const int64_t picks = plan.pick_start[list + static_cast<size_t>(plan.pick_heads)] - plan.pick_start[list];
    pairs += static_cast<double>(picks * plan.heads / plan.pick_heads);
  }
  return pairs;
}

BenchRival make_rival(const BenchOptions& o, BenchInput& input, const Plan& plan) {
  const auto fixed = [&](Pattern kind) {
    return std::make_shared<const Plan>(make_plan(input.context(), attention_settings(o, kind), {}, at::kFloat));
  };
  BenchRival out;
  if (o.rival == "torch")
    out = gather_and_matmul(o, input, plan);
  else if (o.rival == "window")
    out = pattern(input, "window", fixed(Pattern::Window));
  else if (o.rival == "dense")
    out = pattern(input, "dense", fixed(Pattern::Dense));
  else
    out = sdpa(o, input, fixed(Pattern::Dense));
  out.flops = 14.0 * static_cast<double>(o.head_width) * attended_pairs(*out.attends);  // 2 products forward, 5 back
  return out;
}

}  // namespace smartbird
