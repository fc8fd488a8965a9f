// Poisson sampling with permanent random numbers: key j is picked iff log π_ij > log u_jh. The random bits of a leaf are
// made once per share group; a cheap lower bound of log u rules out nearly every pair, only the rest pays for a logarithm.
#include <cstring>

#include "kernels/draw_parts.h"

namespace smartbird::kernels {
namespace {

// below[j] <= log uniform(bits[j]): log2(2^e (1+f)) >= e + f, which is the float's bit pattern read as a number. The
// margin 1e-4 covers every rounding on the way (|log u| < 23, so those stay under 3e-5).
template <class T>
void lower_bounds(const uint32_t* bits, T* below) {
  constexpr float kLog2 = 0.69314718f, kMargin = 1e-4f;
  for (int64_t j = 0; j < kLeafKeys; ++j) {
    const float x = static_cast<float>(bits[j]) + 0.5f;
    int32_t pattern;
    std::memcpy(&pattern, &x, sizeof pattern);
    below[j] = static_cast<T>((static_cast<float>(pattern) * 0x1p-23f - 159.0f) * kLog2 - kMargin);
  }
}

// The random numbers of one leaf and share group for all heads, made anew only when either changes.
template <class T>
struct Uniforms {
  int64_t leaf = -1, group = -1;
  std::vector<uint32_t> bits;  // [heads][128]
  std::vector<T> below;        // [heads][128] lower bounds of log u
  explicit Uniforms(int heads)
      : bits(static_cast<size_t>(heads * kLeafKeys)), below(static_cast<size_t>(heads * kLeafKeys)) {}
  void fill(const DrawOptions& options, const ScanBlock& block, int64_t first) {
    if (leaf == first && group == block.group) return;
    leaf = first, group = block.group;
    for (int head = 0; head < options.heads; ++head) {
      draw_bits(options, block, head, first, bits.data() + head * kLeafKeys);
      lower_bounds(bits.data() + head * kLeafKeys, below.data() + head * kLeafKeys);
    }
  }
};

// Appends the picks of one block, head and leaf.
template <class T>
void compare_leaf(const ScanBlock& block, std::span<const int64_t> excluded, int64_t first, const T* log_pi,
                  const T* below, const uint32_t* bits, int64_t list, std::vector<Drawn<T>>& out) {
  alignas(64) uint8_t maybe[kLeafKeys];
  for (int64_t j = 0; j < kLeafKeys; ++j) maybe[j] = log_pi[j] > below[j];
  for (int64_t word = 0; word < kLeafKeys; word += 8) {
    uint64_t any;
    std::memcpy(&any, maybe + word, sizeof any);
    if (any == 0) continue;
    for (int64_t j = word; j < word + 8; ++j) {
      if (!maybe[j] || !in_ranges(block, first + j) || is_excluded(excluded, first + j)) continue;
      if (log_pi[j] > static_cast<T>(std::log(uniform(bits[j])))) out.push_back({list, first + j, log_pi[j]});
    }
  }
}

}  // namespace

void draw_bits(const DrawOptions& options, const ScanBlock& block, int head, int64_t first, uint32_t* bits) {
  PhiloxKey key = options.key;
  key.high ^= static_cast<uint32_t>(block.sample >> 32);
  alignas(64) uint32_t c0[kLeafKeys], c1[kLeafKeys], c2[kLeafKeys], c3[kLeafKeys];
  for (int64_t j = 0; j < kLeafKeys; ++j) {
    c0[j] = static_cast<uint32_t>(block.sample), c1[j] = static_cast<uint32_t>(block.group);
    c2[j] = static_cast<uint32_t>(options.layer * 65536 + head), c3[j] = static_cast<uint32_t>(first + j);
  }
  for (int round = 0; round < 10; ++round) {  // philox() of core/philox.h, 128 counters at a time
    for (int64_t j = 0; j < kLeafKeys; ++j) {
      const uint64_t a = uint64_t{0xD2511F53u} * c0[j], b = uint64_t{0xCD9E8D57u} * c2[j];
      c0[j] = static_cast<uint32_t>(b >> 32) ^ c1[j] ^ key.low;
      c1[j] = static_cast<uint32_t>(b);
      c2[j] = static_cast<uint32_t>(a >> 32) ^ c3[j] ^ key.high;
      c3[j] = static_cast<uint32_t>(a);
    }
    key.low += 0x9E3779B9u;
    key.high += 0xBB67AE85u;
  }
  std::copy(c0, c0 + kLeafKeys, bits);
}

template <class T>
void draw_poisson(const ScanInput<T>& input, const Piece& piece, const double* lse, const int64_t* domain,
                  const DrawOptions& options, std::vector<Drawn<T>>& out) {
  if (options.picks == 0) return;  // π = 0
  std::vector<Inclusion<T>> inclusion;
  for (int64_t i = piece.begin; i < piece.end; ++i) inclusion.emplace_back(options, lse[i], domain[i]);
  Uniforms<T> uniforms(options.heads);
  alignas(64) T log_pi[kLeafKeys];
  for_leaves(
      input, piece, [&](int64_t i) { return domain[i] > options.picks; },
      [&](int64_t i, int64_t first, const T* s) {
        const ScanBlock& block = input.blocks[static_cast<size_t>(i)];
        uniforms.fill(options, block, first);
        const Inclusion<T> pi = inclusion[static_cast<size_t>(i - piece.begin)];
        for (int64_t j = 0; j < kLeafKeys; ++j) log_pi[j] = pi(s[j]);
        for (int head = 0; head < options.heads; ++head)
          compare_leaf(block, input.excluded, first, log_pi, uniforms.below.data() + head * kLeafKeys,
                       uniforms.bits.data() + head * kLeafKeys, (i - piece.begin) * options.heads + head, out);
      });
}

template <class T>
void draw_uniform_keys(const ScanInput<T>& input, const Piece& piece, const int64_t* domain, const DrawOptions& options,
                       std::vector<Drawn<T>>& out) {
  if (options.picks == 0) return;
  Uniforms<T> uniforms(options.heads);
  int64_t end = 0;
  for (int64_t i = piece.begin; i < piece.end; ++i) {
    const ScanBlock& b = input.blocks[static_cast<size_t>(i)];
    if (domain[i] > options.picks) end = std::max({end, b.left_end, b.right_end});
  }
  for (int64_t first = 0; first < end; first += kLeafKeys) {
    for (int64_t i = piece.begin; i < piece.end; ++i) {
      const ScanBlock& block = input.blocks[static_cast<size_t>(i)];
      if (domain[i] <= options.picks || !meets_leaf(block, first)) continue;
      uniforms.fill(options, block, first);
      const Inclusion<T> pi(options, std::log(static_cast<double>(domain[i])), domain[i]);  // a score 0 gives p = 1/|E|
      alignas(64) T log_pi[kLeafKeys];
      std::fill(log_pi, log_pi + kLeafKeys, pi(T{0}));
      for (int head = 0; head < options.heads; ++head)
        compare_leaf(block, input.excluded, first, log_pi, uniforms.below.data() + head * kLeafKeys,
                     uniforms.bits.data() + head * kLeafKeys, (i - piece.begin) * options.heads + head, out);
    }
  }
}

template void draw_poisson<float>(const ScanInput<float>&, const Piece&, const double*, const int64_t*,
                                  const DrawOptions&, std::vector<Drawn<float>>&);
template void draw_poisson<double>(const ScanInput<double>&, const Piece&, const double*, const int64_t*,
                                   const DrawOptions&, std::vector<Drawn<double>>&);
template void draw_uniform_keys<float>(const ScanInput<float>&, const Piece&, const int64_t*, const DrawOptions&,
                                       std::vector<Drawn<float>>&);
template void draw_uniform_keys<double>(const ScanInput<double>&, const Piece&, const int64_t*, const DrawOptions&,
                                        std::vector<Drawn<double>>&);

}  // namespace smartbird::kernels
