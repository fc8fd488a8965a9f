// Element types that cross the Torch-free boundary (communicators, kernels, files), with their size in bytes.
#pragma once

#include <cstddef>
#include <cstdint>

namespace smartbird {

enum class DType : int8_t { u8, i32, i64, f32, f64 };

[[nodiscard]] constexpr int64_t size_bytes(DType type) {
  switch (type) {
    case DType::u8: return 1;
    case DType::i32:
    case DType::f32: return 4;
    case DType::i64:
    case DType::f64: return 8;
  }
  return 0;
}

template <class T>
struct DTypeOf;
template <>
struct DTypeOf<uint8_t> {
  static constexpr DType value = DType::u8;
};
template <>
struct DTypeOf<int32_t> {
  static constexpr DType value = DType::i32;
};
template <>
struct DTypeOf<int64_t> {
  static constexpr DType value = DType::i64;
};
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::f32;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::f64;
};
template <class T>
inline constexpr DType kDTypeOf = DTypeOf<T>::value;

}  // namespace smartbird
