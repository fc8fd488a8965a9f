// Between tensors on a device and the kernels for it.
#pragma once

#include "kernels/device_stream.h"
#include "ops/tensors.h"

namespace smartbird {

// Whether the kernels for a GPU compute with x.
[[nodiscard]] bool on_device(const at::Tensor& x);

// While it lives, tensors of this thread in host memory count as a GPU's: what tests do where an emulator runs the kernels.
class HostMemoryIsDevice {
 public:
  HostMemoryIsDevice();
  ~HostMemoryIsDevice();
  HostMemoryIsDevice(const HostMemoryIsDevice&) = delete;
  HostMemoryIsDevice& operator=(const HostMemoryIsDevice&) = delete;

 private:
  const bool before_;
};

// The stream on which Torch computes with x; the default one for a tensor in host memory.
[[nodiscard]] kernels::Stream stream_of(const at::Tensor& x);

// [n], a copy on the device.
template <class T>
[[nodiscard]] at::Tensor copied_to(std::span<const T> values, at::Device device) {
  at::Tensor out = at::empty({static_cast<int64_t>(values.size())}, at::CppTypeToScalarType<T>::value);
  std::copy(values.begin(), values.end(), out.template mutable_data_ptr<T>());
  return out.to(device);
}

// Body(Element{}) by the type of x: float, or the bits of bfloat16. what: who asks.
template <class Body>
void with_element(const char* what, const at::Tensor& x, Body body) {
  if (x.scalar_type() == at::kBFloat16) return body(uint16_t{});
  SB_CHECK(x.scalar_type() == at::kFloat, Shape, what, " on a GPU: element type ", c10::toString(x.scalar_type()),
           ", expected float32 or bfloat16");
  body(float{});
}

// Null for an undefined tensor.
template <class Element>
[[nodiscard]] Element* data_of(const at::Tensor& x) {
  return !x.defined() ? nullptr : static_cast<Element*>(const_cast<void*>(x.const_data_ptr()));
}

}  // namespace smartbird
