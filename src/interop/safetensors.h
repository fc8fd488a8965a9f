// safetensors files, Torch-free: a memory-mapped reader whose tensors are byte spans (take a slice, only that is read),
// and a writer that streams. Layout: u64 length L, L bytes of JSON {name: {dtype, shape, data_offsets}, "__metadata__"},
// then the tensors, little-endian, back to back. The reader trusts nothing: L against the file size, offsets against the
// data section (no overlap, no hole), shape x dtype against the byte range. Element types: U8, I32, I64, F32, F64.
// Errors: ErrorKind::Io (cannot open, write), Data (not a valid file, no such tensor).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/types.h"

namespace smartbird {

struct TensorEntry {
  std::string name;
  DType type = DType::f32;
  std::vector<int64_t> shape;
  [[nodiscard]] int64_t count() const;  // elements; -1 = no valid shape (a negative size, or more than int64_t holds)
};

// data[i] points to the elements of entries[i]. "format": "pt" is added to the metadata. The file is fsynced.
void write_safetensors(const std::string& path, const std::vector<TensorEntry>& entries,
                       const std::vector<const void*>& data, const std::map<std::string, std::string>& metadata);

class SafetensorsFile {
 public:
  struct Tensor {
    TensorEntry entry;
    std::span<const std::byte> bytes;  // maybe unaligned; lives as long as the file object
  };
  explicit SafetensorsFile(const std::string& path);
  ~SafetensorsFile();
  SafetensorsFile(const SafetensorsFile&) = delete;
  SafetensorsFile& operator=(const SafetensorsFile&) = delete;

  [[nodiscard]] const Tensor& at(const std::string& name) const;
  [[nodiscard]] const std::map<std::string, Tensor>& tensors() const { return tensors_; }
  [[nodiscard]] const std::map<std::string, std::string>& metadata() const { return metadata_; }
  // Copies elements [first, first + count) of a tensor to out.
  void read_slice(const std::string& name, int64_t first, int64_t count, void* out) const;

 private:
  void parse();
  void check_cover(size_t data_begin) const;

  std::string path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  std::map<std::string, Tensor> tensors_;
  std::map<std::string, std::string> metadata_;
};

// One line per tensor: "  name F32 [2, 3]".
[[nodiscard]] std::string describe_safetensors(const std::string& path);

}  // namespace smartbird
