// Sketch rows on a GPU: every sum is the CPU's chain of fused multiply-adds, so that rows have the CPU's bits and stand
// alone.
//   linear  a block takes 64 rows by 32 outputs, 16 inputs at a time in shared memory; a thread has 4 rows by 4 outputs
//   norm    a thread takes a row
//   mean    a thread takes a column of a list
#include "core/error.h"
#include "kernels/device.cuh"
#include "kernels/row_sums.h"
#include "kernels/sketch_rows.h"

namespace smartbird::kernels {
namespace {

using device::Global;

constexpr int kThreads = 128, kRows = 64, kOutputs = 32, kInputs = 16, kStride = kInputs + 1, kEach = 4,
              kColumns = kOutputs / kEach;  // of threads

// [count, 16] of a matrix [rows, in] from (first, begin) on; zeros beyond it.
template <int kCount>
__device__ void load_tile(const device::Shared<float>& to, Global<const float> from, int64_t first, int64_t rows,
                          int64_t begin, int64_t in) {
#pragma unroll
  for (int n = 0; n < kCount * kInputs / kThreads; ++n) {
    const int i = n * kThreads + device::thread_in_block(), row = i / kInputs, column = i % kInputs;
    const bool there = first + row < rows && begin + column < in;
    to[row * kStride + column] = there ? from[(first + row) * in + begin + column] : 0;
  }
}

__global__ void __launch_bounds__(kThreads)
    linear(Global<const float> x, Global<const float> w, int64_t rows, int64_t in, int64_t out, Global<float> y) {
  SB_SHARED(float, xs, kRows* kStride);
  SB_SHARED(float, ws, kOutputs* kStride);
  const int64_t across = (out + kOutputs - 1) / kOutputs, first_row = device::block_in_grid() / across * kRows,
                first_out = device::block_in_grid() % across * kOutputs;
  const int row = device::thread_in_block() / kColumns * kEach, column = device::thread_in_block() % kColumns * kEach;
  float sum[kEach][kEach] = {};
  for (int64_t begin = 0; begin < in; begin += kInputs) {
    load_tile<kRows>(xs, x, first_row, rows, begin, in);
    load_tile<kOutputs>(ws, w, first_out, out, begin, in);
    device::sync_block();
#pragma unroll 4
    for (int i = 0; i < kInputs; ++i) {
      float a[kEach], b[kEach];
#pragma unroll
      for (int n = 0; n < kEach; ++n) a[n] = xs[(row + n) * kStride + i], b[n] = ws[(column + n) * kStride + i];
#pragma unroll
      for (int r = 0; r < kEach; ++r)
#pragma unroll
        for (int o = 0; o < kEach; ++o) sum[r][o] = device::fused(a[r], b[o], sum[r][o]);
    }
    device::sync_block();
  }
#pragma unroll
  for (int r = 0; r < kEach; ++r)
#pragma unroll
    for (int o = 0; o < kEach; ++o)
      if (first_row + row + r < rows && first_out + column + o < out)
        y[(first_row + row + r) * out + first_out + column + o] = sum[r][o];
}

__global__ void __launch_bounds__(kThreads) norm(Global<const float> x, Global<const float> weight, float epsilon,
                                                 int64_t rows, int64_t width, Global<float> y, Global<float> inv_rms) {
  const int64_t row = device::block_in_grid() * kThreads + device::thread_in_block();
  if (row >= rows) return;
  float sum = 0;
  for (int64_t c = 0; c < width; ++c) sum = device::fused(x[row * width + c], x[row * width + c], sum);
  const float inverse = 1 / device::root(sum / static_cast<float>(width) + epsilon);
  for (int64_t c = 0; c < width; ++c) y[row * width + c] = x[row * width + c] * inverse * weight[c];
  inv_rms[row] = inverse;
}

__global__ void __launch_bounds__(kThreads)
    mean(Global<const int64_t> start, Global<const int64_t> row, Global<const float> rows, int64_t lists, int64_t width,
         Global<float> out) {
  const int64_t at = device::block_in_grid() * kThreads + device::thread_in_block(), list = at / width;
  if (list >= lists) return;
  float sum = 0;
  const int64_t begin = start[list], end = start[list + 1];
  for (int64_t i = begin; i < end; ++i) sum += rows[row[i] * width + at % width];
  out[at] = sum / static_cast<float>(end > begin ? end - begin : 1);
}

int64_t blocks_of(int64_t count) { return (count + kThreads - 1) / kThreads; }

}  // namespace

void row_linear(Stream stream, const float* x, const float* w, int64_t rows, int64_t in, int64_t out, float* y) {
  device::launch("row_linear", linear, (rows + kRows - 1) / kRows * ((out + kOutputs - 1) / kOutputs), kThreads, stream,
                 x, w, rows, in, out, y);
}
void row_norm(Stream stream, const float* x, const float* weight, double epsilon, int64_t rows, int64_t width, float* y,
              float* inv_rms) {
  device::launch("row_norm", norm, blocks_of(rows), kThreads, stream, x, weight, static_cast<float>(epsilon), rows,
                 width, y, inv_rms);
}
void mean_of_rows(Stream stream, const int64_t* start, const int64_t* row, const float* rows, int64_t lists,
                  int64_t width, float* out) {
  device::launch("mean_of_rows", mean, blocks_of(lists * width), kThreads, stream, start, row, rows, lists, width, out);
}

}  // namespace smartbird::kernels
