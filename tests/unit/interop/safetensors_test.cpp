// safetensors: what is written is read back, and no header can make the reader touch bytes it does not own.
#include "interop/safetensors.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "core/error.h"

namespace smartbird {
namespace {

class SafetensorsTest : public testing::Test {
 protected:
  void SetUp() override { path_ = testing::TempDir() + "safetensors_" + std::to_string(getpid()); }
  void TearDown() override { std::filesystem::remove(path_); }

  // A file with this header and data_bytes zero bytes.
  void write_raw(const std::string& header, size_t data_bytes, uint64_t claimed_length) const {
    std::ofstream out(path_, std::ios::binary);
    out.write(reinterpret_cast<const char*>(&claimed_length), sizeof claimed_length);
    out << header << std::string(data_bytes, '\0');
  }
  void write_raw(const std::string& header, size_t data_bytes) const { write_raw(header, data_bytes, header.size()); }

  // The file must be refused as Data, with its path and `part` in the message.
  void expect_refused(const std::string& part) const {
    try {
      const SafetensorsFile file(path_);
      FAIL() << "accepted, expected: " << part;
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::Data);
      EXPECT_NE(std::string(e.what()).find(part), std::string::npos) << e.what();
      EXPECT_NE(std::string(e.what()).find(path_), std::string::npos) << e.what();
    }
  }

  std::string path_;
};

TEST_F(SafetensorsTest, RoundTripOfEveryTypeAndSlices) {
  const std::vector<float> f32{1.5f, -2.0f, 3.25f, 0.0f, 1e-38f, 7.0f};
  const std::vector<double> f64{1.0 / 3.0};
  const std::vector<int64_t> i64{int64_t{1} << 62, -1};
  const std::vector<uint8_t> u8{1, 2, 255};
  write_safetensors(path_,
                    {{"b", DType::u8, {3}},
                     {"a.weight", DType::f32, {2, 3}},
                     {"scalar", DType::f64, {}},
                     {"i", DType::i64, {2}},
                     {"none", DType::f32, {0, 4}}},
                    {u8.data(), f32.data(), f64.data(), i64.data(), nullptr}, {{"begin", "7"}});
  const SafetensorsFile file(path_);
  EXPECT_EQ(file.metadata(), (std::map<std::string, std::string>{{"begin", "7"}, {"format", "pt"}}));
  ASSERT_EQ(file.tensors().size(), 5u);
  EXPECT_EQ(file.at("a.weight").entry.shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(std::memcmp(file.at("a.weight").bytes.data(), f32.data(), 24), 0);
  EXPECT_EQ(std::memcmp(file.at("scalar").bytes.data(), f64.data(), 8), 0);
  EXPECT_EQ(std::memcmp(file.at("i").bytes.data(), i64.data(), 16), 0);
  EXPECT_EQ(std::memcmp(file.at("b").bytes.data(), u8.data(), 3), 0);
  EXPECT_TRUE(file.at("none").bytes.empty());
  float slice[2];
  file.read_slice("a.weight", 1, 2, slice);
  EXPECT_EQ(slice[0], -2.0f);
  EXPECT_EQ(slice[1], 3.25f);
  EXPECT_THROW(file.read_slice("a.weight", 5, 2, slice), Error);
  EXPECT_THROW(file.read_slice("a.weight", -1, 1, slice), Error);
  EXPECT_THROW((void)file.at("absent"), Error);
}

TEST_F(SafetensorsTest, LengthOfHeaderIsChecked) {
  write_raw("{}", 0, 3);
  expect_refused("header of 3 bytes");
  write_raw("{}", 0, ~uint64_t{0});
  expect_refused("header of 18446744073709551615 bytes");
  std::ofstream(path_, std::ios::binary) << "1234";
  expect_refused("4 bytes");
}

TEST_F(SafetensorsTest, TruncatedFileIsRefused) {
  const std::vector<float> values(100, 1.0f);
  write_safetensors(path_, {{"w", DType::f32, {100}}}, {values.data()}, {});
  std::filesystem::resize_file(path_, std::filesystem::file_size(path_) - 1);
  expect_refused("tensor w spans bytes 0 to 400 of 399");
}

TEST_F(SafetensorsTest, OverlapsHolesAndTrailingBytesAreRefused) {
  write_raw(
      R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})",
      6);
  expect_refused("overlap");
  write_raw(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[1,5]}})", 5);
  expect_refused("hole");
  write_raw(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", 5);
  expect_refused("tensors end at byte");
}

TEST_F(SafetensorsTest, ShapeMustMatchItsBytes) {
  write_raw(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4);
  expect_refused("tensor a has 4 bytes");
  write_raw(R"({"a":{"dtype":"U8","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,0]}})", 0);
  expect_refused("tensor a has 0 bytes");
  write_raw(R"({"a":{"dtype":"U8","shape":[-4],"data_offsets":[0,4]}})", 4);
  expect_refused("tensor a has 4 bytes");
  write_raw(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[4,0]}})", 4);
  expect_refused("spans bytes 4 to 0");
}

TEST_F(SafetensorsTest, HeaderThatIsNoTableIsRefused) {
  write_raw("[1, 2]", 0);
  expect_refused("not a JSON object");
  write_raw(R"({"a":)", 0);
  expect_refused("not a JSON object");
  write_raw(R"({"a":{"shape":[1]}})", 1);
  expect_refused("not that of a safetensors file");
  write_raw(R"({"a":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}})", 2);
  expect_refused("type BF16");
}

TEST_F(SafetensorsTest, UnwritablePathIsAnIoError) {
  try {
    write_safetensors(path_ + "/no/such", {}, {}, {});
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::Io);
  }
}

}  // namespace
}  // namespace smartbird
