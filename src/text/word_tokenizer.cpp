// White-space separated words of a fixed vocabulary, and tokenizers from their JSON.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "core/error.h"
#include "text/tokenizer.h"

namespace smartbird {
namespace {

constexpr std::string_view kSpace = " \t\r\n", kByteOrderMark = "\xEF\xBB\xBF";

// A word for a message: its beginning, bytes that are no UTF-8 as escapes.
std::string shown(const std::string& word) {
  constexpr size_t kMost = 60;
  const std::string text = is_utf8(word) ? word : printable(word);
  return text.size() <= kMost ? text : text.substr(0, kMost) + "...";
}

class WordTokenizer : public Tokenizer {
 public:
  explicit WordTokenizer(std::vector<std::string> words) : words_(std::move(words)) {
    for (size_t i = 0; i < words_.size(); ++i) {
      SB_CHECK(!words_[i].empty() && words_[i].find_first_of(kSpace) == std::string::npos, Data, "word tokenizer: '",
               words_[i], "' is empty or holds white space, so no text could contain it as one word");
      SB_CHECK(is_utf8(words_[i]), Data, "word tokenizer: word ", i, ", '", printable(words_[i]),
               "', is not UTF-8; convert the vocabulary and its texts to UTF-8");
      SB_CHECK(ids_.emplace(words_[i], static_cast<int32_t>(i)).second, Data, "word tokenizer: '", words_[i],
               "' stands twice in the vocabulary");
    }
  }
  int64_t vocabulary() const override { return static_cast<int64_t>(words_.size()) + 2; }
  int32_t separator_id() const override { return static_cast<int32_t>(words_.size()); }
  int32_t mask_id() const override { return separator_id() + 1; }
  void encode(std::string_view text, std::vector<int32_t>& ids) const override {
    if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
    for (size_t begin = text.find_first_not_of(kSpace); begin != std::string_view::npos;
         begin = text.find_first_not_of(kSpace, begin)) {
      const size_t end = std::min(text.find_first_of(kSpace, begin), text.size());
      const std::string word(text.substr(begin, end - begin));
      const auto found = ids_.find(word);
      SB_CHECK(found != ids_.end(), Data, "word tokenizer: '", shown(word), "' is not among the ", words_.size(),
               " words of the vocabulary; add it there, or write a known word in its place");
      ids.push_back(found->second);
      begin = end;
    }
  }
  std::string decode(std::span<const int32_t> ids) const override {
    std::string out;
    for (int32_t id : ids)
      if (id >= 0 && id < separator_id()) out += words_[static_cast<size_t>(id)] + " ";
    return out;
  }
  int64_t text_bytes(int32_t id) const override {
    return id < separator_id() ? static_cast<int64_t>(words_[static_cast<size_t>(id)].size()) + 1
                               : 0;  // with its space
  }
  std::string describe() const override { return join(words_.size(), " words"); }
  std::string to_json() const override { return nlohmann::json{{"type", "words"}, {"words", words_}}.dump(); }

 private:
  std::vector<std::string> words_;
  std::unordered_map<std::string, int32_t> ids_;
};

}  // namespace

bool is_utf8(const std::string& text) {
  try {
    (void)nlohmann::json(text).dump();  // throws on any other encoding
    return true;
  } catch (const nlohmann::json::type_error&) {
    return false;
  }
}

std::string printable(const std::string& text) {
  std::string out;
  for (const char c : text) {
    char escape[5];
    std::snprintf(escape, sizeof escape, "\\x%02x", static_cast<unsigned char>(c));
    out += c >= ' ' && c <= '~' ? std::string(1, c) : escape;
  }
  return out;
}

std::unique_ptr<Tokenizer> make_word_tokenizer(std::vector<std::string> words) {
  return std::make_unique<WordTokenizer>(std::move(words));
}

std::vector<std::string> read_words(const std::string& path) {
  std::ifstream in(path);
  SB_CHECK(in, Data, "vocabulary ", path, ": cannot be opened in ", std::filesystem::current_path().string(),
           "; name a file with one word a line");
  std::vector<std::string> words;
  std::unordered_map<std::string, size_t> line_of;
  for (std::string line; std::getline(in, line);) {
    if (words.empty() && line.starts_with(kByteOrderMark)) line.erase(0, kByteOrderMark.size());
    if (!line.empty() && line.back() == '\r') line.pop_back();
    words.push_back(line);
    const std::string place = join("vocabulary ", path, ":", words.size(), ": ");
    SB_CHECK(is_utf8(line), Data, place, "'", shown(line),
             "' is not UTF-8; convert the vocabulary and its texts to UTF-8");
    SB_CHECK(!line.empty() && line.find_first_of(kSpace) == std::string::npos, Data, place,
             "expected one word a line, without white space, got '", shown(line), "'");
    const auto [before, is_new] = line_of.emplace(line, words.size());
    SB_CHECK(is_new, Data, place, "'", shown(line), "' stands in line ", before->second, " too; remove one");
  }
  SB_CHECK(in.eof() && !words.empty(), Data, "vocabulary ", path, ": holds no line; name a file with one word a line");
  return words;
}

std::unique_ptr<Tokenizer> tokenizer_from_json(std::string_view text) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  SB_CHECK(json.is_object() && json.contains("type"), Data, "tokenizer: '", text.substr(0, 60),
           "' is not its JSON description");
  if (json["type"] == "bytes") return make_byte_tokenizer();
  SB_CHECK(json["type"] == "words", Data, "tokenizer: unknown type ", json["type"].dump(),
           "; known are bytes and words");
  const auto words = json.find("words");
  SB_CHECK(words != json.end() && words->is_array() &&
               std::all_of(words->begin(), words->end(), [](const auto& w) { return w.is_string(); }),
           Data, "tokenizer: type words needs 'words', a list of texts");
  return make_word_tokenizer(words->get<std::vector<std::string>>());
}

}  // namespace smartbird
