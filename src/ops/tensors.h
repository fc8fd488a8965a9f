// The bridge between Torch and the Torch-free layers: element types, raw pointers of contiguous tensors, index tensors.
#pragma once

#include <ATen/ATen.h>

#include <span>
#include <vector>

#include "core/error.h"
#include "core/types.h"

namespace smartbird {

[[nodiscard]] inline DType dtype_of(const at::Tensor& x) {
  switch (x.scalar_type()) {
    case at::kFloat: return DType::f32;
    case at::kDouble: return DType::f64;
    case at::kLong: return DType::i64;
    case at::kInt: return DType::i32;
    case at::kByte: return DType::u8;
    default: fail(ErrorKind::Shape, "element type ", c10::toString(x.scalar_type()), " has no communicator type");
  }
}

// [n] int64, a copy of the values on the device.
[[nodiscard]] inline at::Tensor index_tensor(std::span<const int64_t> values, at::Device device = at::kCPU) {
  at::Tensor out = at::empty({static_cast<int64_t>(values.size())}, at::kLong);
  std::copy(values.begin(), values.end(), out.mutable_data_ptr<int64_t>());
  return out.to(device);
}

// Elements of one row of x [rows, ...]; 0 rows are legal.
[[nodiscard]] inline int64_t row_elements(const at::Tensor& x) {
  int64_t elements = 1;
  for (int64_t d = 1; d < x.dim(); ++d) elements *= x.size(d);
  return elements;
}

// Calls body(T{}) with T = float or double, by the element type of x.
template <class Body>
void with_float_type(const at::Tensor& x, Body body) {
  if (x.scalar_type() == at::kDouble) return body(double{});
  SB_CHECK(x.scalar_type() == at::kFloat, Shape, "expected float32 or float64, got ", c10::toString(x.scalar_type()));
  body(float{});
}

}  // namespace smartbird
