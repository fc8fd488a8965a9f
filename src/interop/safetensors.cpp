// Mapping a safetensors file and checking every number of its header before use; writing one.
#include "interop/safetensors.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/error.h"

namespace smartbird {
namespace {

using Json = nlohmann::json;

static_assert(std::endian::native == std::endian::little, "tensors are used as they lie in the file, little-endian");
constexpr std::pair<DType, const char*> kNames[] = {
    {DType::u8, "U8"}, {DType::i32, "I32"}, {DType::i64, "I64"}, {DType::f32, "F32"}, {DType::f64, "F64"}};
constexpr uint64_t kLengthBytes = 8, kMaxHeaderBytes = 100'000'000;

const char* name_of(DType type) {
  for (const auto& [t, name] : kNames)
    if (t == type) return name;
  return "";
}

std::string header_of(const std::vector<TensorEntry>& entries, const std::map<std::string, std::string>& metadata) {
  Json header;
  header["__metadata__"] = metadata;
  header["__metadata__"]["format"] = "pt";
  int64_t offset = 0;
  for (const TensorEntry& e : entries) {
    const int64_t end = offset + e.count() * size_bytes(e.type);
    header[e.name] = {{"dtype", name_of(e.type)}, {"shape", e.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // data begins aligned
  return text;
}

// Reads one entry of the header; its byte range is checked against data, the section after the header.
SafetensorsFile::Tensor parse_tensor(const std::string& path, const std::string& name, const Json& value,
                                     std::span<const std::byte> data) {
  SafetensorsFile::Tensor tensor;
  tensor.entry.name = name;
  tensor.entry.shape = value.at("shape").get<std::vector<int64_t>>();
  const std::string type = value.at("dtype");
  const auto known =
      std::find_if(std::begin(kNames), std::end(kNames), [&](const auto& pair) { return type == pair.second; });
  SB_CHECK(known != std::end(kNames), Data, path, ": tensor ", name, " has type ", type,
           "; known are U8, I32, I64, F32, F64");
  tensor.entry.type = known->first;
  const auto offsets = value.at("data_offsets").get<std::vector<uint64_t>>();
  SB_CHECK(offsets.size() == 2, Data, path, ": tensor ", name, " has ", offsets.size(), " data_offsets instead of 2");
  SB_CHECK(offsets[0] <= offsets[1] && offsets[1] <= data.size(), Data, path, ": tensor ", name, " spans bytes ",
           offsets[0], " to ", offsets[1], " of ", data.size(), "; the file is cut short or damaged");
  const uint64_t bytes = offsets[1] - offsets[0], element = static_cast<uint64_t>(size_bytes(tensor.entry.type));
  const int64_t count = tensor.entry.count();
  SB_CHECK(count >= 0 && bytes % element == 0 && bytes / element == static_cast<uint64_t>(count), Data, path,
           ": tensor ", name, " has ", bytes, " bytes, which is not its shape ", value.at("shape").dump(), " of ",
           type);
  tensor.bytes = data.subspan(offsets[0], bytes);
  return tensor;
}

}  // namespace

int64_t TensorEntry::count() const {
  int64_t n = 1;
  for (const int64_t d : shape)
    if (d < 0 || __builtin_mul_overflow(n, d, &n)) return -1;
  return n;
}

void write_safetensors(const std::string& path, const std::vector<TensorEntry>& entries,
                       const std::vector<const void*>& data, const std::map<std::string, std::string>& metadata) {
  for (const TensorEntry& e : entries) SB_CHECK(e.count() >= 0, Data, path, ": tensor ", e.name, " has no valid shape");
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "wb"), std::fclose);
  SB_CHECK(file, Io, path, ": cannot be written: ", std::strerror(errno));
  const std::string header = header_of(entries, metadata);
  const uint64_t length = header.size();
  const auto put = [&](const void* from, size_t bytes) {
    SB_CHECK(bytes == 0 || std::fwrite(from, 1, bytes, file.get()) == bytes, Io, path,
             ": write failed: ", std::strerror(errno));
  };
  put(&length, sizeof length);
  put(header.data(), header.size());
  for (size_t i = 0; i < entries.size(); ++i)
    put(data[i], static_cast<size_t>(entries[i].count() * size_bytes(entries[i].type)));
  SB_CHECK(std::fflush(file.get()) == 0 && fsync(fileno(file.get())) == 0, Io, path,
           ": cannot be flushed: ", std::strerror(errno));
}

SafetensorsFile::SafetensorsFile(const std::string& path) : path_(path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  SB_CHECK(fd >= 0, Io, path, ": cannot be opened: ", std::strerror(errno));
  struct stat info {};
  const bool regular = fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
  size_ = regular ? static_cast<size_t>(info.st_size) : 0;
  void* mapped = size_ >= kLengthBytes ? mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
  close(fd);
  SB_CHECK(mapped != MAP_FAILED, Data, path, ": ", size_, " bytes are no safetensors file");
  data_ = static_cast<const std::byte*>(mapped);
  try {
    parse();
  } catch (...) {
    munmap(mapped, size_);
    throw;
  }
}

SafetensorsFile::~SafetensorsFile() { munmap(const_cast<std::byte*>(data_), size_); }

void SafetensorsFile::parse() {
  uint64_t length = 0;
  std::memcpy(&length, data_, sizeof length);
  SB_CHECK(length <= size_ - kLengthBytes && length <= kMaxHeaderBytes, Data, path_, ": header of ", length,
           " bytes in a file of ", size_, " (limit ", kMaxHeaderBytes, ")");
  const char* text = reinterpret_cast<const char*>(data_) + kLengthBytes;
  const Json header = Json::parse(text, text + length, nullptr, false);
  SB_CHECK(header.is_object(), Data, path_, ": the header of ", length, " bytes is not a JSON object");
  const std::span<const std::byte> data{data_ + kLengthBytes + length, size_ - kLengthBytes - length};
  try {
    for (const auto& [name, value] : header.items()) {
      if (name == "__metadata__") {
        metadata_ = value.get<std::map<std::string, std::string>>();
      } else {
        tensors_.emplace(name, parse_tensor(path_, name, value, data));
      }
    }
  } catch (const Json::exception& e) {
    fail(ErrorKind::Data, path_, ": the header is not that of a safetensors file: ", e.what());
  }
  check_cover(kLengthBytes + length);
}

// Tensors lie back to back and fill the data section, which begins at byte data_begin of the file.
void SafetensorsFile::check_cover(size_t data_begin) const {
  std::vector<const Tensor*> order;
  for (const auto& [name, tensor] : tensors_) order.push_back(&tensor);
  std::sort(order.begin(), order.end(), [](const Tensor* a, const Tensor* b) {
    return std::pair(a->bytes.data(), a->bytes.size()) < std::pair(b->bytes.data(), b->bytes.size());
  });
  const std::byte* expected = data_ + data_begin;
  for (const Tensor* tensor : order) {
    SB_CHECK(tensor->bytes.data() == expected, Data, path_, ": tensor ", tensor->entry.name, " begins at byte ",
             tensor->bytes.data() - data_, " where ", expected - data_,
             " was expected: tensors overlap or leave a hole");
    expected += tensor->bytes.size();
  }
  SB_CHECK(expected == data_ + size_, Data, path_, ": tensors end at byte ", expected - data_, " of ", size_);
}

const SafetensorsFile::Tensor& SafetensorsFile::at(const std::string& name) const {
  const auto found = tensors_.find(name);
  SB_CHECK(found != tensors_.end(), Data, path_, ": no tensor '", name, "'");
  return found->second;
}

void SafetensorsFile::read_slice(const std::string& name, int64_t first, int64_t count, void* out) const {
  const Tensor& tensor = at(name);
  const int64_t present = tensor.entry.count(), element = size_bytes(tensor.entry.type);
  SB_CHECK(first >= 0 && count >= 0 && first <= present && count <= present - first, Data, path_, ": tensor ", name,
           " has ", present, " elements, ", count, " from ", first, " on were asked for");
  if (count > 0) std::memcpy(out, tensor.bytes.data() + first * element, static_cast<size_t>(count * element));
}

std::string describe_safetensors(const std::string& path) {
  const SafetensorsFile file(path);
  std::string out;
  for (const auto& [name, tensor] : file.tensors()) {
    out += join("  ", name, " ", name_of(tensor.entry.type), " [");
    for (size_t d = 0; d < tensor.entry.shape.size(); ++d) out += join(d == 0 ? "" : ", ", tensor.entry.shape[d]);
    out += "]\n";
  }
  return out;
}

}  // namespace smartbird
