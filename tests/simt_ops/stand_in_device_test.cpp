// The stand-in device fails where a GPU fails: else the tests over it could not.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "ops/open_gpu.h"
#include "ops/tensors.h"

namespace smartbird::testing {
namespace {

at::Tensor there(int place = 0) { return at::ones({3}, at::TensorOptions(at::kFloat).device(open_gpu(place))); }

TEST(StandInDeviceDeathTest, AHostThatTouchesItsMemoryEnds) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(std::printf("%f", *there().const_data_ptr<float>()), ::testing::KilledBySignal(SIGSEGV), "");
  EXPECT_EXIT(*there().mutable_data_ptr<float>() = 2, ::testing::KilledBySignal(SIGSEGV), "");
}

TEST(StandInDevice, TensorsOfTwoDevicesAreRefused) {
  const at::Tensor x = there(), index = index_tensor(std::vector<int64_t>{1});
  EXPECT_THROW((void)x.index_select(0, index), c10::Error);
  EXPECT_THROW((void)(x + at::ones({3})), c10::Error);
  EXPECT_THROW((void)(x + there(1)), c10::Error);
  EXPECT_TRUE(at::equal(x.index_select(0, index.to(x.device())).cpu(), at::ones({1})));
  EXPECT_TRUE(at::equal((x + at::scalar_tensor(1.0)).cpu(), at::full({3}, 2.0F)));
}

TEST(StandInDevice, GoesBackwardOnAThreadOfItsOwn) {
  const at::Tensor x = there().requires_grad_(true);
  std::thread::id backward;
  x.register_hook([&](const at::Tensor&) { backward = std::this_thread::get_id(); });
  (x * x).sum().backward();
  EXPECT_NE(backward, std::this_thread::get_id());
  EXPECT_NE(backward, std::thread::id());
  EXPECT_TRUE(at::equal(x.grad().cpu(), at::full({3}, 2.0F)));
}

}  // namespace
}  // namespace smartbird::testing
