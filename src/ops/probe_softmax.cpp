// The CPU's kernels, or Torch's operations on a GPU.
#include "ops/probe_softmax.h"

#include <limits>

#include "kernels/probe_softmax.h"
#include "ops/device_tensors.h"

namespace smartbird {
namespace {

constexpr double kNone = -std::numeric_limits<double>::infinity();

// s with -inf where a row does not see a key.
at::Tensor visible(const at::Tensor& s, const SeenKeys& seen, int64_t begin) {
  const at::Tensor keys = at::arange(begin, begin + s.size(2), seen.there.options());
  return s.masked_fill(keys.unsqueeze(0) >= seen.there.unsqueeze(1), kNone);
}

// Of the piece's own keys.
std::vector<int64_t> seen_from(const SeenKeys& seen, int64_t begin) {
  std::vector<int64_t> out(seen.here);
  for (int64_t& keys : out) keys -= begin;
  return out;
}

// A row that has seen nothing has no largest score; any finite one will do.
at::Tensor finite(const at::Tensor& largest) { return largest.masked_fill(largest == kNone, 0); }

}  // namespace

void add_to_softmax(const at::Tensor& s, const SeenKeys& seen, int64_t begin, at::Tensor largest, at::Tensor sum) {
  if (on_device(s)) {
    const at::Tensor scores = visible(s, seen, begin), now = at::maximum(largest, scores.amax(2)), shift = finite(now);
    sum.mul_((largest - shift).exp()).add_((scores - shift.unsqueeze(2)).exp().sum(2));
    largest.copy_(now);
    return;
  }
  const std::vector<int64_t> keys_seen = seen_from(seen, begin);
  with_float_type(s, [&](auto t) {
    using T = decltype(t);
    for (int64_t g = 0; g < s.size(0); ++g)
      kernels::softmax_state<T>(s.const_data_ptr<T>() + g * s.size(1) * s.size(2), keys_seen.data(), s.size(1),
                                s.size(2), largest.mutable_data_ptr<T>() + g * s.size(1),
                                sum.mutable_data_ptr<T>() + g * s.size(1));
  });
}

void add_softmax_mass(const at::Tensor& s, const SeenKeys& seen, int64_t begin, int64_t step, const at::Tensor& largest,
                      const at::Tensor& sum, at::Tensor mass) {
  if (on_device(s)) {
    const at::Tensor share = (visible(s, seen, begin) - finite(largest).unsqueeze(2)).exp() /
                             sum.clamp_min(std::numeric_limits<float>::min()).unsqueeze(2);
    mass.add_(share.view({s.size(0), s.size(1) / step, step, s.size(2)}).sum(1).reshape(mass.sizes()));
    return;
  }
  const std::vector<int64_t> keys_seen = seen_from(seen, begin);
  with_float_type(s, [&](auto t) {
    using T = decltype(t);
    for (int64_t h = 0; h < s.size(0) * step; ++h) {
      const int64_t row = h / step * s.size(1) + h % step;
      kernels::add_softmax<T>(s.const_data_ptr<T>() + row * s.size(2), keys_seen.data(), s.size(1) / step, step,
                              s.size(2), largest.const_data_ptr<T>() + row, sum.const_data_ptr<T>() + row,
                              mass.mutable_data_ptr<T>() + h * mass.stride(0));
    }
  });
}

}  // namespace smartbird
