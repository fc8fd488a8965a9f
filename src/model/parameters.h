// All weights of a run as views of two flat tensors, one for values and one for gradients, so that reduce, clip, update,
// checkpoint and "equal on all ranks?" are one call each. Model weights come first, then the sketch's, so each of the
// two is one range. Initial values are a function of (seed, name's index, element index): the same for every world size and device.
#pragma once

#include <ATen/ATen.h>

#include <string>
#include <vector>

namespace smartbird {

struct Parameter {
  std::string name;  // "layers.0.attn.q.weight"
  std::vector<int64_t> shape;
  int64_t offset = 0, count = 0;  // elements [offset, offset + count) of the flat tensors
  bool decay = false;             // weight decay applies (matrices)
  bool sketch = false;
  double init_scale = 0;  // standard deviation; 0 with init_value
  double init_value = 0;
};

class Parameters {
 public:
  // Declares a parameter; all of the model before the first of the sketch. Then finish() allocates and initialises.
  void add(const std::string& name, std::vector<int64_t> shape, double init_scale, double init_value, bool decay,
           bool sketch);
  void finish(const at::TensorOptions& options, uint64_t seed);

  [[nodiscard]] const std::vector<Parameter>& list() const { return list_; }
  [[nodiscard]] const Parameter* find(const std::string& name) const;    // nullptr when there is none
  [[nodiscard]] const at::Tensor& value(const std::string& name) const;  // leaf that requires grad, a view of flat()
  [[nodiscard]] at::Tensor& flat() { return flat_; }                     // [n]
  [[nodiscard]] at::Tensor& flat_grad() { return flat_grad_; }           // [n]
  [[nodiscard]] at::Device device() const { return flat_.device(); }
  [[nodiscard]] int64_t size() const { return size_; }
  [[nodiscard]] int64_t sketch_begin() const { return sketch_begin_; }  // first element of the sketch
  void freeze_model();                                                  // gradients form for the sketch alone
  void zero_grad() { flat_grad_.zero_(); }

 private:
  std::vector<Parameter> list_;
  std::vector<at::Tensor> values_;
  at::Tensor flat_, flat_grad_;
  int64_t size_ = 0, sketch_begin_ = -1;
};

}  // namespace smartbird
