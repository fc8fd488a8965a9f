// Plain loops over the keys that a plan names.
#include "tools/bench_check.h"

#include <cmath>

#include "core/error.h"

namespace smartbird {
namespace {

struct PlainRow {
  std::vector<int64_t> key;       // stream positions
  std::vector<double> p, dz;      // attention and gradient of its logits
  std::vector<double> o, grad_q;  // [D]
};

class Plain {
 public:
  Plain(const BenchInput& input, const Plan& plan)
      : plan_(plan),
        q_(input.q.const_data_ptr<float>()),
        kv_(input.kv.const_data_ptr<float>()),
        grad_o_(input.grad_o.const_data_ptr<float>()),
        kv_step_(input.kv.stride(0)),
        kv_head_step_(input.kv.stride(1)),
        heads_(input.q.size(1)),
        width_(input.q.size(2)) {}

  [[nodiscard]] PlainRow row(int64_t i, int64_t head) const {
    PlainRow out;
    std::vector<double> z;
    for (int64_t j = plan_.band_begin[at(i)]; j < plan_.band_end[at(i)]; ++j) out.key.push_back(j), z.push_back(0);
    if (plan_.pick_heads > 0) {
      const size_t list = at(plan_.row_block[at(i)] * plan_.pick_heads + head);
      const float* log_pi = plan_.pick_log_pi.const_data_ptr<float>();
      for (int64_t at_pick = plan_.pick_start[list]; at_pick < plan_.pick_start[list + 1]; ++at_pick)
        out.key.push_back(plan_.pick_token[at(at_pick)]), z.push_back(-static_cast<double>(log_pi[at_pick]));
    }
    const double scale = 1 / std::sqrt(static_cast<double>(width_));
    double max = -std::numeric_limits<double>::infinity(), sum = 0;
    for (size_t n = 0; n < z.size(); ++n)
      max = std::max(max, z[n] += scale * dot(q_ + place(i, head), key_of(out.key[n], head)));
    for (double& x : z) sum += x = std::exp(x - max);
    out.o.assign(at(width_), 0), out.grad_q.assign(at(width_), 0);
    for (size_t n = 0; n < z.size(); ++n) {
      out.p.push_back(z[n] / sum);
      for (int64_t d = 0; d < width_; ++d)
        out.o[at(d)] += out.p[n] * static_cast<double>(value_of(out.key[n], head)[d]);
    }
    double delta = 0;
    for (int64_t d = 0; d < width_; ++d) delta += out.o[at(d)] * static_cast<double>(grad_o_[place(i, head) + d]);
    for (size_t n = 0; n < z.size(); ++n) {
      out.dz.push_back(out.p[n] * (dot(grad_o_ + place(i, head), value_of(out.key[n], head)) - delta) * scale);
      for (int64_t d = 0; d < width_; ++d)
        out.grad_q[at(d)] += out.dz[n] * static_cast<double>(key_of(out.key[n], head)[d]);
    }
    return out;
  }

  [[nodiscard]] bool attends(int64_t i, int64_t head, int64_t key) const {
    if (key >= plan_.band_begin[at(i)] && key < plan_.band_end[at(i)]) return true;
    if (plan_.pick_heads == 0) return false;
    const size_t list = at(plan_.row_block[at(i)] * plan_.pick_heads + head);
    return std::binary_search(plan_.pick_token.begin() + plan_.pick_start[list],
                              plan_.pick_token.begin() + plan_.pick_start[list + 1], static_cast<int32_t>(key));
  }

  // [2D]: of K, then of V.
  [[nodiscard]] std::vector<double> grad_kv(int64_t key, int64_t head) const {
    std::vector<double> out(at(2 * width_), 0);
    for (int64_t i = 0; i < plan_.num_rows; ++i) {
      if (!attends(i, head, key)) continue;
      const PlainRow r = row(i, head);
      for (size_t n = 0; n < r.key.size(); ++n) {
        if (r.key[n] != key) continue;
        for (int64_t d = 0; d < width_; ++d) {
          out[at(d)] += r.dz[n] * static_cast<double>(q_[place(i, head) + d]);
          out[at(width_ + d)] += r.p[n] * static_cast<double>(grad_o_[place(i, head) + d]);
        }
      }
    }
    return out;
  }

 private:
  static size_t at(int64_t i) { return static_cast<size_t>(i); }
  [[nodiscard]] int64_t place(int64_t i, int64_t head) const { return (i * heads_ + head) * width_; }
  [[nodiscard]] const float* key_of(int64_t j, int64_t head) const { return kv_ + j * kv_step_ + head * kv_head_step_; }
  [[nodiscard]] const float* value_of(int64_t j, int64_t head) const { return key_of(j, head) + width_; }
  [[nodiscard]] double dot(const float* a, const float* b) const {
    double sum = 0;
    for (int64_t d = 0; d < width_; ++d) sum += static_cast<double>(a[d]) * static_cast<double>(b[d]);
    return sum;
  }
  const Plan& plan_;
  const float *q_, *kv_, *grad_o_;
  int64_t kv_step_, kv_head_step_, heads_, width_;
};

// Within 1e-4 of the largest value there.
void check_near(const BenchAnswer& answer, const char* what, int64_t row, int64_t head, const float* got,
                const std::vector<double>& want) {
  double largest = 1e-2;
  for (double x : want) largest = std::max(largest, std::abs(x));
  for (size_t d = 0; d < want.size(); ++d)
    SB_CHECK(std::abs(static_cast<double>(got[d]) - want[d]) <= 1e-4 * largest, Shape, "bench: ", answer.name, ": ",
             what, " of row ", row, ", head ", head, ", element ", d, " is ", got[d], ", the plain formula gives ",
             want[d], "; nothing was timed");
}

}  // namespace

void check_answer(const BenchInput& input, const Plan& plan, const BenchAnswer& answer) {
  const Plain plain(input, plan);
  const int64_t tokens = input.q.size(0), heads = input.q.size(1), width = input.q.size(2);
  const at::Tensor o = answer.o.contiguous(), grad_q = answer.grad_q.contiguous(),
                   grad_kv = answer.grad_kv.contiguous();
  for (int64_t n = 0; n < 8; ++n) {
    const int64_t i = n * (tokens - 1) / 7, head = n % heads, at = (i * heads + head) * width;
    const PlainRow row = plain.row(i, head);
    check_near(answer, "o", i, head, o.const_data_ptr<float>() + at, row.o);
    check_near(answer, "grad_q", i, head, grad_q.const_data_ptr<float>() + at, row.grad_q);
  }
  const bool dense = plan.pick_heads == 0 && plan.band_end.back() - plan.band_begin.back() > 4096;
  for (int64_t n = 0; n < (dense ? 0 : 2); ++n) {  // the plain formula would take every row of a dense plan
    const int64_t key = (2 * n + 1) * (tokens - 1) / 4, head = (n + 3) % heads;
    check_near(answer, "grad_kv", key, head, grad_kv.const_data_ptr<float>() + (key * heads + head) * 2 * width,
               plain.grad_kv(key, head));
  }
}

}  // namespace smartbird
