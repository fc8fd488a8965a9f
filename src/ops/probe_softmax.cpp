// The CPU's kernels, or Torch's operations on a GPU.
#include "ops/probe_softmax.h"

#include <limits>

#include "kernels/probe_softmax.h"
#include "ops/device_tensors.h"

namespace smartbird {
namespace {

constexpr double kNone = -std::numeric_limits<double>::infinity();

// s with -inf where a row does not see a key.
at::Tensor visible(const at::Tensor& s, std::span<const int64_t> seen) {
  const at::Tensor keys = at::arange(s.size(2), s.options().dtype(at::kLong)),
                   hidden = keys.unsqueeze(0) >= index_tensor(seen, s.device()).unsqueeze(1);
  return s.masked_fill(hidden, kNone);
}

// A row that has seen nothing has no largest score; any finite one will do.
at::Tensor finite(const at::Tensor& largest) { return largest.masked_fill(largest == kNone, 0); }

}  // namespace

void add_to_softmax(const at::Tensor& s, std::span<const int64_t> seen, at::Tensor largest, at::Tensor sum) {
  if (on_device(s)) {
    const at::Tensor scores = visible(s, seen), now = at::maximum(largest, scores.amax(2)), shift = finite(now);
    sum.mul_((largest - shift).exp()).add_((scores - shift.unsqueeze(2)).exp().sum(2));
    largest.copy_(now);
    return;
  }
  with_float_type(s, [&](auto t) {
    using T = decltype(t);
    for (int64_t g = 0; g < s.size(0); ++g)
      kernels::softmax_state<T>(s.const_data_ptr<T>() + g * s.size(1) * s.size(2), seen.data(), s.size(1), s.size(2),
                                largest.mutable_data_ptr<T>() + g * s.size(1),
                                sum.mutable_data_ptr<T>() + g * s.size(1));
  });
}

void add_softmax_mass(const at::Tensor& s, std::span<const int64_t> seen, int64_t step, const at::Tensor& largest,
                      const at::Tensor& sum, at::Tensor mass) {
  if (on_device(s)) {
    const at::Tensor share = (visible(s, seen) - finite(largest).unsqueeze(2)).exp() /
                             sum.clamp_min(std::numeric_limits<float>::min()).unsqueeze(2);
    mass.add_(share.view({s.size(0), s.size(1) / step, step, s.size(2)}).sum(1).reshape(mass.sizes()));
    return;
  }
  with_float_type(s, [&](auto t) {
    using T = decltype(t);
    for (int64_t h = 0; h < s.size(0) * step; ++h) {
      const int64_t row = h / step * s.size(1) + h % step;
      kernels::add_softmax<T>(s.const_data_ptr<T>() + row * s.size(2), seen.data(), s.size(1) / step, step, s.size(2),
                              largest.const_data_ptr<T>() + row, sum.const_data_ptr<T>() + row,
                              mass.mutable_data_ptr<T>() + h * mass.stride(0));
    }
  });
}

}  // namespace smartbird
