// Pass A on the CPU: log-sum-exp of the sketch scores, leaf by leaf for up to 32 blocks at a time. The 128 lanes of a leaf
// are summed in one fixed shape (masked lanes add zero), leaves are combined in double.
#include "kernels/sketch_scan.h"

#include <cstring>
#include <limits>

#include "kernels/score_panel.h"

namespace smartbird::kernels {
namespace {

constexpr int64_t kPieceBlocks = 32;
constexpr int64_t kSums = 16;

// exp(x) for x <= 0: 2^n · polynomial of the rest, plain arithmetic so that loops over it vectorise (1-2 ulp; Cephes).
inline float exp_nonpositive(float x) {
  constexpr float kLowest = -87.0f, kRound = 12582912.0f;  // 1.5 · 2^23: adding it rounds to an integer
  const float clamped = x > kLowest ? x : kLowest;
  const float shifted = std::fma(clamped, 1.44269504f, kRound), n = shifted - kRound;
  const float r = std::fma(n, 2.12194440e-4f, std::fma(n, -0.693359375f, clamped));
  float p = 1.9875691500e-4f;
  p = std::fma(p, r, 1.3981999507e-3f);
  p = std::fma(p, r, 8.3334519073e-3f);
  p = std::fma(p, r, 4.1665795894e-2f);
  p = std::fma(p, r, 1.6666665459e-1f);
  p = std::fma(p, r, 5.0000001201e-1f);
  p = std::fma(p, r * r, r) + 1.0f;
  const int32_t bits = (static_cast<int32_t>(n) + 127) << 23;
  float power;
  std::memcpy(&power, &bits, sizeof power);
  return x < kLowest ? 0.0f : p * power;
}

inline double exp_nonpositive(double x) { return std::exp(x); }

// Sets the lanes of a leaf that lie outside E to -inf.
template <class T>
void mask_leaf(const ScanBlock& block, std::span<const int64_t> excluded, int64_t first, T* s) {
  constexpr T kNone = -std::numeric_limits<T>::infinity();
  if (!covers_leaf(block, first))
    for (int64_t j = 0; j < kLeafKeys; ++j) s[j] = in_ranges(block, first + j) ? s[j] : kNone;
  const auto end = std::lower_bound(excluded.begin(), excluded.end(), first + kLeafKeys);
  for (auto e = std::lower_bound(excluded.begin(), excluded.end(), first); e != end; ++e) s[*e - first] = kNone;
}

// Max and sum of exp(s - max) of a leaf.
template <class T>
void reduce_leaf(const T* s, T& max, T& sum) {
  T highest[kSums], total[kSums] = {};
  for (int64_t l = 0; l < kSums; ++l) highest[l] = s[l];
  for (int64_t j = kSums; j < kLeafKeys; j += kSums)
    for (int64_t l = 0; l < kSums; ++l) highest[l] = highest[l] < s[j + l] ? s[j + l] : highest[l];
  max = *std::max_element(highest, highest + kSums);
  sum = 0;
  if (max == -std::numeric_limits<T>::infinity()) return;
  T e[kLeafKeys];
  for (int64_t j = 0; j < kLeafKeys; ++j) e[j] = exp_nonpositive(s[j] - max);
  for (int64_t j = 0; j < kLeafKeys; j += kSums)
    for (int64_t l = 0; l < kSums; ++l) total[l] += e[j + l];
  for (int64_t half = kSums / 2; half > 0; half /= 2)
    for (int64_t l = 0; l < half; ++l) total[l] += total[l + half];
  sum = total[0];
}

struct Running {
  double max = -std::numeric_limits<double>::infinity(), sum = 0;
  void add(double leaf_max, double leaf_sum) {
    if (leaf_sum == 0) return;
    if (leaf_max > max) {
      sum = sum * std::exp(max - leaf_max) + leaf_sum;
      max = leaf_max;
    } else {
      sum += leaf_sum * std::exp(leaf_max - max);
    }
  }
};

template <class T>
void scan_piece(const ScanInput<T>& input, const Piece& piece, double* lse) {
  Running state[kPieceBlocks];
  for_leaves(
      input, piece, [](int64_t) { return true; },
      [&](int64_t i, int64_t first, T* s) {
        mask_leaf(input.blocks[static_cast<size_t>(i)], input.excluded, first, s);
        T max, sum;
        reduce_leaf(s, max, sum);
        state[i - piece.begin].add(max, sum);
      });
  for (int64_t i = piece.begin; i < piece.end; ++i)
    lse[i] = state[i - piece.begin].max + std::log(state[i - piece.begin].sum);
}

int64_t range_size(std::span<const int64_t> excluded, int64_t begin, int64_t end) {
  if (begin >= end) return 0;
  return end - begin -
         (std::lower_bound(excluded.begin(), excluded.end(), end) -
          std::lower_bound(excluded.begin(), excluded.end(), begin));
}

}  // namespace

int64_t domain_size(const ScanBlock& block, std::span<const int64_t> excluded) {
  return range_size(excluded, block.left_begin, block.left_end) +
         range_size(excluded, std::max(block.right_begin, block.left_end), block.right_end);
}

template <class T>
void sketch_scan(const ScanInput<T>& input, double* lse) {
  const std::vector<Piece> pieces = cut_pieces(input.blocks, kPieceBlocks);
#pragma omp parallel for schedule(dynamic)
  for (int64_t i = 0; i < static_cast<int64_t>(pieces.size()); ++i)
    scan_piece(input, pieces[static_cast<size_t>(i)], lse);
}

template void sketch_scan<float>(const ScanInput<float>&, double*);
template void sketch_scan<double>(const ScanInput<double>&, double*);

}  // namespace smartbird::kernels
