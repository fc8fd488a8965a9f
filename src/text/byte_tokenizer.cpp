// Bytes as tokens.
#include "core/error.h"
#include "text/tokenizer.h"

namespace smartbird {
namespace {

class ByteTokenizer : public Tokenizer {
 public:
  int64_t vocabulary() const override { return 258; }
  int32_t separator_id() const override { return 256; }
  int32_t mask_id() const override { return 257; }
  void encode(std::string_view text, std::vector<int32_t>& ids) const override {
    for (char c : text) ids.push_back(static_cast<unsigned char>(c));
  }
  std::string decode(std::span<const int32_t> ids) const override {
    std::string out;
    for (int32_t id : ids)
      if (id >= 0 && id < 256) out.push_back(static_cast<char>(id));
    return out;
  }
  int64_t text_bytes(int32_t id) const override { return id < 256 ? 1 : 0; }
  std::string to_json() const override { return R"({"type":"bytes"})"; }
  std::string describe() const override { return "bytes"; }
};

}  // namespace

std::unique_ptr<Tokenizer> make_byte_tokenizer() { return std::make_unique<ByteTokenizer>(); }

}  // namespace smartbird
