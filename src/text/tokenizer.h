// Text <-> token ids. A tokenizer is saved with every shard and checkpoint (to_json) and rebuilt from there.
// bytes: ids 0..255 are the bytes, 256 the separator that ends every document, 257 the mask.
// words: white-space separated words of a fixed vocabulary; then separator and mask. An unknown word is an error
// (ErrorKind::Data) that names it; a byte order mark before the first one is no part of it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace smartbird {

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  [[nodiscard]] virtual int64_t vocabulary() const = 0;  // number of ids, separator and mask included
  [[nodiscard]] virtual int32_t separator_id() const = 0;
  [[nodiscard]] virtual int32_t mask_id() const = 0;
  virtual void encode(std::string_view text, std::vector<int32_t>& ids) const = 0;  // appends, without separator
  [[nodiscard]] virtual std::string decode(std::span<const int32_t> ids) const = 0;
  [[nodiscard]] virtual int64_t text_bytes(int32_t id) const = 0;  // bytes of text an id stands for; separator, mask: 0
  [[nodiscard]] virtual std::string to_json() const = 0;
  [[nodiscard]] virtual std::string describe() const = 0;  // for messages: "bytes", "2 words"
};

[[nodiscard]] std::unique_ptr<Tokenizer> make_byte_tokenizer();
[[nodiscard]] std::unique_ptr<Tokenizer> make_word_tokenizer(std::vector<std::string> words);
// A vocabulary as a file, a word a line, in the order of its ids. Errors: ErrorKind::Data with file and line.
[[nodiscard]] std::vector<std::string> read_words(const std::string& path);
[[nodiscard]] std::unique_ptr<Tokenizer> tokenizer_from_json(std::string_view json);

// Words and labels are stored as JSON, which holds UTF-8 only.
[[nodiscard]] bool is_utf8(const std::string& text);
// "caf\xe9": bytes beyond ASCII as escapes, for a message about a text that is not UTF-8.
[[nodiscard]] std::string printable(const std::string& text);

}  // namespace smartbird
