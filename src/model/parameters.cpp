// The two flat tensors behind all weights: offsets, the leaf views, and initial values that know no world size.
#include "model/parameters.h"

#include <numeric>

#include "core/error.h"
#include "core/philox.h"

namespace smartbird {
namespace {

constexpr int64_t kAlignment = 16;  // elements; the padding between parameters stays zero

int64_t aligned(int64_t offset) { return (offset + kAlignment - 1) / kAlignment * kAlignment; }

// values [count], double: element e is the (e % 2)th normal of Philox block e / 2 of this parameter's stream.
void fill_normal(double* values, int64_t count, double scale, uint32_t index, PhiloxKey key) {
  const int64_t num_pairs = (count + 1) / 2;
#pragma omp parallel for schedule(static)
  for (int64_t pair = 0; pair < num_pairs; ++pair) {
    const PhiloxCounter counter{static_cast<uint32_t>(pair), static_cast<uint32_t>(pair >> 32), index, 0};
    const std::array<double, 2> normals = normal_pair(philox(counter, key));
    values[2 * pair] = scale * normals[0];
    if (2 * pair + 1 < count) values[2 * pair + 1] = scale * normals[1];
  }
}

}  // namespace

void Parameters::add(const std::string& name, std::vector<int64_t> shape, double init_scale, double init_value,
                     bool decay, bool sketch) {
  SB_CHECK(find(name) == nullptr, Shape, "parameter ", name, " is declared twice");
  SB_CHECK(!flat_.defined(), Shape, "parameter ", name, " is declared after finish()");
  SB_CHECK(sketch || sketch_begin_ < 0, Shape, "model parameter ", name, " is declared after a sketch parameter");
  Parameter parameter{.name = name,
                      .shape = std::move(shape),
                      .decay = decay,
                      .sketch = sketch,
                      .init_scale = init_scale,
                      .init_value = init_value};
  parameter.count = std::accumulate(parameter.shape.begin(), parameter.shape.end(), int64_t{1}, std::multiplies<>());
  parameter.offset = size_;
  if (sketch && sketch_begin_ < 0) sketch_begin_ = parameter.offset;
  size_ = aligned(parameter.offset + parameter.count);
  list_.push_back(std::move(parameter));
}

void Parameters::finish(const at::TensorOptions& options, uint64_t seed) {
  SB_CHECK(!flat_.defined(), Shape, "finish() was called twice for ", list_.size(), " parameters");
  if (sketch_begin_ < 0) sketch_begin_ = size_;
  flat_ = at::zeros({size_}, options);
  flat_grad_ = at::zeros({size_}, options);
  const PhiloxKey key = philox_key(seed, 0, Purpose::Init);
  for (size_t index = 0; index < list_.size(); ++index) {
    const Parameter& parameter = list_[index];
    at::Tensor values = flat_.narrow(0, parameter.offset, parameter.count);
    if (parameter.init_scale == 0) {
      values.fill_(parameter.init_value);
    } else {
      const at::Tensor normals = at::empty({parameter.count}, at::kDouble);
      fill_normal(normals.data_ptr<double>(), parameter.count, parameter.init_scale, static_cast<uint32_t>(index), key);
      values.copy_(normals);
    }
    at::Tensor leaf = values.view(parameter.shape).detach().requires_grad_(true);
    leaf.mutable_grad() = flat_grad_.narrow(0, parameter.offset, parameter.count).view(parameter.shape);
    values_.push_back(std::move(leaf));
  }
}

void Parameters::freeze_model() {
  for (size_t i = 0; i < list_.size(); ++i)
    if (!list_[i].sketch) values_[i].requires_grad_(false);
}

const Parameter* Parameters::find(const std::string& name) const {
  for (const Parameter& parameter : list_) {
    if (parameter.name == name) return &parameter;
  }
  return nullptr;
}

const at::Tensor& Parameters::value(const std::string& name) const {
  const Parameter* parameter = find(name);
  SB_CHECK(parameter != nullptr, Shape, "there is no parameter ", name, " among ", list_.size());
  SB_CHECK(flat_.defined(), Shape, "parameter ", name, " has no value before finish()");
  return values_[static_cast<size_t>(parameter - list_.data())];
}

}  // namespace smartbird
