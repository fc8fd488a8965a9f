// Gradients of a function of tensors against central differences, every element of every input, in double.
#pragma once

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>
#include <random>
#include <vector>

namespace smartbird::testing {

using Tensors = std::vector<at::Tensor>;

// Normal values from a generator of the test's own.
inline at::Tensor random_tensor(std::mt19937& random, at::IntArrayRef shape) {
  std::normal_distribution<double> normal;
  at::Tensor out = at::empty(shape, at::kDouble);
  double* to = out.mutable_data_ptr<double>();
  for (int64_t i = 0; i < out.numel(); ++i) to[i] = normal(random);
  return out;
}

// Whole numbers in [-9, 9]: sums and products of them are exact.
inline at::Tensor integer_tensor(std::mt19937& random, at::IntArrayRef shape) {
  at::Tensor out = at::empty(shape, at::kDouble);
  double* to = out.mutable_data_ptr<double>();
  for (int64_t i = 0; i < out.numel(); ++i) to[i] = static_cast<double>(random() % 19) - 9;
  return out;
}

// Checks d <r, f(x)> / dx for a random r, for all inputs x; the error allowed is `bound` times the largest gradient of the
// same input, which must not be zero.
inline void expect_gradients(const std::function<at::Tensor(const Tensors&)>& f, const Tensors& values,
                             const std::string& what, double bound = 1e-7) {
  std::mt19937 random(17);
  Tensors inputs;
  for (const at::Tensor& value : values) inputs.push_back(value.detach().clone().requires_grad_(true));
  const at::Tensor out = f(inputs), weight = random_tensor(random, out.sizes());
  const Tensors grads = torch::autograd::grad({(out * weight).sum()}, inputs);
  const double step = 1e-5;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const at::Tensor grad = grads[i].contiguous();
    const double largest = grad.numel() == 0 ? 0 : grad.abs().max().item<double>();
    EXPECT_TRUE(largest > 0 || grad.numel() == 0) << what << ", input " << i << ": the gradient is zero";
    at::Tensor flat = inputs[i].detach().view({-1});  // shares the memory of the input
    for (int64_t e = 0; e < flat.numel(); ++e) {
      const at::NoGradGuard no_grad;
      const double before = flat[e].item<double>();
      flat[e] = before + step;
      const double above = (f(inputs) * weight).sum().item<double>();
      flat[e] = before - step;
      const double below = (f(inputs) * weight).sum().item<double>();
      flat[e] = before;
      ASSERT_NEAR((above - below) / (2 * step), grad.view({-1})[e].item<double>(), bound * largest)
          << what << ", input " << i << ", element " << e;
    }
  }
}

}  // namespace smartbird::testing
