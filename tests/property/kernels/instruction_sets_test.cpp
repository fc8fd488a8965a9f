// Law: every instruction set with fused multiply-adds gives the same bits, kernel by kernel, in float and double.
#include <gtest/gtest.h>

#include <cstring>
#include <functional>

#include "core/error.h"
#include "kernels/adamw.h"
#include "kernels/filled_scan.h"
#include "kernels/instruction_set.h"
#include "kernels/normalize.h"
#include "kernels/probe_softmax.h"
#include "kernels/rotary.h"
#include "kernels/row_sums.h"
#include "kernels/sketch_rows.h"
#include "kernels/swiglu.h"
#include "kernels/token_loss.h"
#include "tests/reference/random_attention.h"
#include "tests/reference/reference_draw.h"

namespace smartbird {
namespace {

// What a kernel wrote, as bytes.
class Bytes {
 public:
  template <class V>
  void add(const V& values) {
    const auto* begin = reinterpret_cast<const char*>(values.data());
    bytes_.append(begin, begin + values.size() * sizeof(values[0]));
  }
  [[nodiscard]] const std::string& text() const { return bytes_; }

 private:
  std::string bytes_;
};

std::vector<std::string> fused_sets() {
  std::vector<std::string> out;
  for (const std::string& name : kernels::instruction_sets())
    if (name != "SCALAR" && name != "EMU128" && name != "SSE2") out.push_back(name);
  return out;
}

template <class T>
class InstructionSets : public ::testing::Test {
 protected:
  void SetUp() override {
    before_ = kernels::instruction_set();
    if (fused_sets().size() < 2) GTEST_SKIP() << "this processor runs one instruction set with fused multiply-adds";
  }
  void TearDown() override { kernels::use_instruction_set(before_); }

  // work(random, bytes) with the same random numbers on each set.
  static void expect_same(const std::function<void(std::mt19937&, Bytes&)>& work) {
    std::vector<std::string> results;
    for (const std::string& name : fused_sets()) {
      kernels::use_instruction_set(name);
      ASSERT_EQ(kernels::instruction_set(), name);
      std::mt19937 random(7);
      Bytes bytes;
      work(random, bytes);
      results.push_back(bytes.text());
      ASSERT_FALSE(results.back().empty());
      EXPECT_TRUE(results.back() == results.front()) << name << " differs from " << fused_sets().front();
    }
  }

  static std::vector<T> normal(std::mt19937& random, int64_t count, double scale = 1) {
    std::normal_distribution<double> unit(0, scale);
    std::vector<T> out;
    for (int64_t i = 0; i < count; ++i) out.push_back(static_cast<T>(unit(random)));
    return out;
  }

 private:
  std::string before_;
};

using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(InstructionSets, Types);

constexpr int64_t kWidths[] = {1, 7, 16, 33, 64, 130};

TYPED_TEST(InstructionSets, ScanAndDraw) {
  using T = TypeParam;
  using kernels::DrawMode;
  for (const auto& [mode, fill] : {std::pair{DrawMode::Poisson, false},
                                   {DrawMode::Poisson, true},
                                   {DrawMode::Systematic, false},
                                   {DrawMode::Gumbel, false},
                                   {DrawMode::Iid, false},
                                   {DrawMode::TopK, false},
                                   {DrawMode::BigBird, false},
                                   {DrawMode::Uniform, false}})
    for (int heads : {1, 3, 8})
      this->expect_same([&](std::mt19937& random, Bytes& bytes) {
        for (const reference::StreamShape& shape :
             {reference::StreamShape{.lengths = {700, 3, 150}, .window = 2, .share = 16},
              reference::StreamShape{
                  .lengths = {333}, .block = 3, .share = 0, .causal = false, .excluded = {5, 128}}}) {
          const auto stream = reference::random_stream<T>(shape, random);
          const kernels::DrawOptions options{
              .mode = mode, .picks = 11, .floor = 0.1, .fill = fill, .heads = heads, .layer = 3, .key = {21, 22}};
          std::vector<double> lse(stream.blocks.size());
          kernels::scan_for_draw<T>(stream.input(), options, lse.data());
          kernels::Picks<T> picks;
          kernels::draw<T>(stream.input(), lse.data(), options, picks);
          bytes.add(lse), bytes.add(picks.start), bytes.add(picks.key), bytes.add(picks.log_pi);
        }
      });
}

TYPED_TEST(InstructionSets, Attention) {
  this->expect_same([](std::mt19937& random, Bytes& bytes) {
    for (const reference::AttentionShape& shape :
         {reference::AttentionShape{.rows = 67, .heads = 4, .kv_heads = 2, .width = 5, .pick_heads = 2},
          reference::AttentionShape{.rows = 50, .block = 4, .heads = 4, .kv_heads = 2, .width = 64, .pick_heads = 4},
          reference::AttentionShape{
              .rows = 90, .block = 32, .window = 6, .heads = 2, .kv_heads = 2, .width = 33, .pick_heads = 2}}) {
      const auto problem = reference::random_attention<TypeParam>(shape, random);
      for (kernels::Walk walk : {kernels::Walk::Union, kernels::Walk::Lists}) {
        const auto r = reference::run_kernels(problem, walk);
        bytes.add(r.o), bytes.add(r.lse), bytes.add(r.grad_q), bytes.add(r.grad_kv);
      }
    }
  });
}

TYPED_TEST(InstructionSets, SketchRows) {
  using T = TypeParam;
  for (int64_t width : {2, 8, 34})
    this->expect_same([&](std::mt19937& random, Bytes& bytes) {
      constexpr int64_t kRows = 19, kOut = 11;
      const std::vector<T> x = this->normal(random, kRows * width), w = this->normal(random, kOut * width),
                           weight = this->normal(random, 3 * width);
      std::vector<T> y(kRows * kOut), normed(x.size()), inverse(kRows), mixed(x.size()), turned = x;
      std::vector<int64_t> tap, position;
      for (int64_t r = 0; r < kRows; ++r)
        for (int64_t t = 0; t < 3; ++t) tap.push_back(r - t);
      for (int64_t& t : tap) t = std::max<int64_t>(t, -1);
      for (int64_t r = 0; r < kRows; ++r) position.push_back(r * 1000);
      kernels::row_linear<T>(x.data(), w.data(), kRows, width, kOut, y.data());
      kernels::row_norm<T>(x.data(), weight.data(), 1e-5, kRows, width, normed.data(), inverse.data());
      kernels::row_convolution<T>(x.data(), tap.data(), weight.data(), kRows, 3, width, mixed.data());
      kernels::row_rotary<T>(turned.data(), position.data(), kRows, width, 100, 1);
      bytes.add(y), bytes.add(normed), bytes.add(inverse), bytes.add(mixed), bytes.add(turned);
    });
}

TYPED_TEST(InstructionSets, NormAndItsGradient) {
  using T = TypeParam;
  for (kernels::NormKind kind : {kernels::NormKind::Rms, kernels::NormKind::Layer})
    for (int64_t width : kWidths)
      this->expect_same([&](std::mt19937& random, Bytes& bytes) {
        constexpr int64_t kRows = 9;
        const std::vector<T> x = this->normal(random, kRows * width), weight = this->normal(random, width),
                             dy = this->normal(random, kRows * width);
        std::vector<T> y(x.size()), stats(2 * kRows), dx(x.size()), dweight(width, T{0});
        kernels::normalize_rows<T>(kind, 1e-5, x.data(), weight.data(), kRows, width, y.data(), stats.data());
        kernels::normalize_gradient<T>(kind, x.data(), weight.data(), stats.data(), dy.data(), x.data(), kRows, width,
                                       dx.data(), dweight.data());
        bytes.add(y), bytes.add(stats), bytes.add(dx), bytes.add(dweight);
      });
}

TYPED_TEST(InstructionSets, ElementsOfABlock) {
  using T = TypeParam;
  for (int64_t width : kWidths)
    this->expect_same([&](std::mt19937& random, Bytes& bytes) {
      std::vector<T> gate = this->normal(random, width, 3), up = this->normal(random, width), act(gate.size()),
                     dact = this->normal(random, width), m(gate.size()), v(gate.size()), weight = up;
      kernels::swiglu<T>(gate.data(), up.data(), width, act.data());
      kernels::adamw<T>({.learning_rate = 1e-2, .decay = 0.1, .grad_scale = 0.7, .step = 3}, width, dact.data(),
                        weight.data(), m.data(), v.data());
      kernels::swiglu_gradient<T>(gate.data(), up.data(), dact.data(), width);
      bytes.add(act), bytes.add(gate), bytes.add(up), bytes.add(dact), bytes.add(weight), bytes.add(m), bytes.add(v);
      const std::vector<double> squares{kernels::sum_of_squares<T>(act.data(), width)};
      bytes.add(squares);
      std::vector<int64_t> position{0, 5, 70000};
      std::vector<T> cosine(3 * width), sine(cosine.size()), heads = this->normal(random, 3 * 2 * width);
      kernels::rotary_table<T>(position.data(), 3, 2 * width, 10000, cosine.data(), sine.data());
      kernels::rotate_heads<T>({heads.data(), 2 * width, 2 * width}, cosine.data(), sine.data(), -1, 3, 1, 2 * width,
                               {heads.data(), 2 * width, 2 * width});
      bytes.add(cosine), bytes.add(sine), bytes.add(heads);
    });
}

TYPED_TEST(InstructionSets, LossProbesAndRowSums) {
  using T = TypeParam;
  for (int64_t width : kWidths)
    this->expect_same([&](std::mt19937& random, Bytes& bytes) {
      constexpr int64_t kRows = 6;
      std::vector<T> logits = this->normal(random, kRows * width, 3), table(3 * width, T{1});
      const std::vector<int64_t> target{0, width - 1, -1, 0, 0, width / 2}, index{2, 0, 2, 1, 1, 2},
          seen{width, 0, 1, width, width, width / 2}, start{0, 2, 2, 6}, row{5, 1, 0, 3, 3, 2};
      std::vector<double> loss(kRows);
      std::vector<uint8_t> correct(kRows);
      std::vector<T> max(kRows, -std::numeric_limits<T>::infinity()), sum(kRows, T{0}), out(width, T{0}),
          mean(3 * width);
      kernels::softmax_state<T>(logits.data(), seen.data(), kRows, width, max.data(), sum.data());
      kernels::add_softmax<T>(logits.data(), seen.data(), 3, 2, width, max.data(), sum.data(), out.data());
      kernels::add_rows_by_index<T>(index.data(), logits.data(), kRows, width, table.data());
      kernels::mean_of_rows<T>(start.data(), row.data(), logits.data(), 3, width, mean.data());
      kernels::token_loss_gradient<T>(logits.data(), target.data(), kRows, width, loss.data(), correct.data());
      bytes.add(max), bytes.add(sum), bytes.add(out), bytes.add(table), bytes.add(mean), bytes.add(logits);
      bytes.add(loss), bytes.add(correct);
    });
}

TEST(InstructionSet, UnknownNamesAreRefused) {
  const std::string before = kernels::instruction_set();
  try {
    kernels::use_instruction_set("AVX9");
    FAIL() << "accepted";
  } catch (const Error& e) {
    EXPECT_EQ(std::string(e.what()).find("instruction set 'AVX9' is none that runs here: " + before), 0u) << e.what();
  }
  EXPECT_EQ(kernels::instruction_set(), before);
}

}  // namespace
}  // namespace smartbird
