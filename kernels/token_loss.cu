// Cross-entropy on a GPU: a block a row. Each thread goes through its logits once, eight in flight, with a running
// largest, the sum of exponentials below it, and where the largest came first; threads are joined in a fixed order. The
// gradient reads the row again, from cache where it fits. Bound by memory.
#include <limits>

#include "kernels/device_numbers.cuh"
#include "kernels/token_loss.h"

namespace smartbird::kernels {
namespace {

using device::Global;

constexpr int kThreads = 256, kWarps = kThreads / 32, kAhead = 8;
constexpr float kNone = -std::numeric_limits<float>::infinity();

// Of some logits: the largest, Σ exp(x - largest), and the first place of the largest.
struct Running {
  float most = kNone, sum = 0;
  int64_t first = INT64_MAX;

  __device__ void join(const Running& other) {
    const float next = device::larger(most, other.most);
    if (next == kNone) {  // nothing yet, or nothing but -inf, whose sum says NaN
      sum += other.sum;
      return;
    }
    sum = (most == kNone ? sum : sum * device::exp2_fast((most - next) * kLog2OfE)) +
          (other.most == kNone ? other.sum : other.sum * device::exp2_fast((other.most - next) * kLog2OfE));
    if (other.most > most || (other.most == most && other.first < first)) first = other.first;
    most = next;
  }
  __device__ void join_lanes(int lanes) {
    const Running other{device::shuffle_xor(most, lanes), device::shuffle_xor(sum, lanes),
                        device::shuffle_xor(first, lanes)};
    join(other);
  }
};

// exp(x - most), NaN where x is not finite.
__device__ inline float weight(float x, float most) { return device::exp2_fast((x - most) * kLog2OfE) + (x - x); }

template <class Element>
__device__ Running of_thread(Global<Element> logits, int64_t begin, int64_t count) {
  Running out;
  for (int64_t c = device::thread_in_block(); c < count; c += kThreads * kAhead) {
    float x[kAhead];
    Running part;
#pragma unroll
    for (int i = 0; i < kAhead; ++i) x[i] = c + i * kThreads < count ? number(logits[begin + c + i * kThreads]) : kNone;
#pragma unroll
    for (int i = 0; i < kAhead; ++i)
      if (x[i] > part.most) part.most = x[i], part.first = c + i * kThreads;
#pragma unroll
    for (int i = 0; i < kAhead; ++i)
      if (c + i * kThreads < count) part.sum += weight(x[i], part.most);
    out.join(part);
  }
  return out;
}

// gradient: into the logits.
template <class Element, bool kGradient>
__global__ void __launch_bounds__(kThreads) loss_of_rows(Global<Element> logits, Global<const int64_t> targets,
                                                         int64_t count, Global<double> loss, Global<uint8_t> correct) {
  SB_SHARED(float, mosts, kWarps);
  SB_SHARED(float, sums, kWarps);
  SB_SHARED(int64_t, firsts, kWarps);
  const int me = device::thread_in_block();
  const int64_t row = device::block_in_grid(), begin = row * count, target = targets[row];
  if (target < 0) {
    if (kGradient)
      for (int64_t c = me; c < count; c += kThreads) put(0.0F, logits[begin + c]);
    if (me == 0) loss[row] = 0, correct[row] = 0;
    return;
  }
  Running all = of_thread<Element>(logits, begin, count);
#pragma unroll
  for (int lanes = 1; lanes < 32; lanes *= 2) all.join_lanes(lanes);
  if (me % 32 == 0) mosts[me / 32] = all.most, sums[me / 32] = all.sum, firsts[me / 32] = all.first;
  const float at_target = number(logits[begin + target]);
  device::sync_block();
  all = Running{};
#pragma unroll
  for (int warp = 0; warp < kWarps; ++warp) {
    const Running part{mosts[warp], sums[warp], firsts[warp]};
    all.join(part);
  }
  if (me == 0) {
    loss[row] = log(static_cast<double>(all.sum)) + (static_cast<double>(all.most) - static_cast<double>(at_target));
    correct[row] = at_target == all.most && all.first == target ? 1 : 0;
  }
  if (!kGradient) return;
  const float inverse = 1 / all.sum;
  for (int64_t c = me; c < count; c += kThreads) {
    const float p = weight(number(logits[begin + c]), all.most) * inverse;
    put(c == target ? p - 1 : p, logits[begin + c]);
  }
}

template <class Element, bool kGradient>
void launch_rows(Stream stream, Element* logits, const int64_t* target, int64_t rows, int64_t vocabulary, double* loss,
                 uint8_t* correct) {
  device::launch("token_loss", loss_of_rows<Element, kGradient>, rows, kThreads, stream, logits, target, vocabulary,
                 loss, correct);
}

}  // namespace

template <class Element>
void token_loss(Stream stream, const Element* logits, const int64_t* target, int64_t rows, int64_t vocabulary,
                double* loss, uint8_t* correct) {
  launch_rows<Element, false>(stream, const_cast<Element*>(logits), target, rows, vocabulary, loss, correct);
}

template <class Element>
void token_loss_gradient(Stream stream, Element* logits, const int64_t* target, int64_t rows, int64_t vocabulary,
                         double* loss, uint8_t* correct) {
  launch_rows<Element, true>(stream, logits, target, rows, vocabulary, loss, correct);
}

#define SB_DEVICE_TOKEN_LOSS(Element)                                                                    \
  template void token_loss(Stream, const Element*, const int64_t*, int64_t, int64_t, double*, uint8_t*); \
  template void token_loss_gradient(Stream, Element*, const int64_t*, int64_t, int64_t, double*, uint8_t*);
SB_DEVICE_TOKEN_LOSS(float)
SB_DEVICE_TOKEN_LOSS(uint16_t)
#undef SB_DEVICE_TOKEN_LOSS

}  // namespace smartbird::kernels
