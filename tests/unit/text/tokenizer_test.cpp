// Tokenizers: decoding undoes encoding, the ids are the documented ones, and a description rebuilds the same tokenizer.
#include "text/tokenizer.h"

#include <gtest/gtest.h>

#include <numeric>
#include <random>

#include "tests/support/temp_folder.h"

namespace smartbird {
namespace {

using testing::expect_error;
using Ids = std::vector<int32_t>;

Ids encoded(const Tokenizer& tokenizer, std::string_view text) {
  Ids ids;
  tokenizer.encode(text, ids);
  return ids;
}

std::string random_bytes(std::mt19937& random, size_t length) {
  std::string text(length, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

TEST(ByteTokenizer, EveryByteIsItsOwnId) {
  const auto tokenizer = make_byte_tokenizer();
  std::string all(256, '\0');
  std::iota(all.begin(), all.end(), '\0');
  Ids expected(256);
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(encoded(*tokenizer, all), expected);
  EXPECT_EQ(tokenizer->decode(expected), all);
}

TEST(ByteTokenizer, DecodingUndoesEncoding) {
  const auto tokenizer = make_byte_tokenizer();
  std::mt19937 random(1);
  for (size_t length = 0; length < 200; ++length) {
    const std::string text = random_bytes(random, length);
    const Ids ids = encoded(*tokenizer, text);
    EXPECT_EQ(ids.size(), length);
    EXPECT_EQ(tokenizer->decode(ids), text);
  }
}

TEST(ByteTokenizer, EncodingAppends) {
  const auto tokenizer = make_byte_tokenizer();
  Ids ids{7};
  tokenizer->encode("ab", ids);
  tokenizer->encode("", ids);
  EXPECT_EQ(ids, (Ids{7, 'a', 'b'}));
}

TEST(ByteTokenizer, SeparatorAndMaskAreNoText) {
  const auto tokenizer = make_byte_tokenizer();
  EXPECT_EQ(tokenizer->vocabulary(), 258);
  EXPECT_EQ(tokenizer->separator_id(), 256);
  EXPECT_EQ(tokenizer->mask_id(), 257);
  EXPECT_EQ(tokenizer->decode(Ids{'a', 256, 257, 'b'}), "ab");
  EXPECT_EQ(tokenizer->text_bytes(0), 1);
  EXPECT_EQ(tokenizer->text_bytes(255), 1);
  EXPECT_EQ(tokenizer->text_bytes(256), 0);
  EXPECT_EQ(tokenizer->text_bytes(257), 0);
}

// Distinct words of random bytes that are no white space, all of them valid UTF-8 (a description is JSON).
std::vector<std::string> random_words(std::mt19937& random, size_t count) {
  std::vector<std::string> words;
  for (size_t i = 0; i < count; ++i) {
    std::string word = std::to_string(i) + "\"\\";
    for (size_t more = random() % 5; more > 0; --more) word += static_cast<char>('!' + random() % 94);
    words.push_back(word + (i % 3 == 0 ? "\xc3\xa9" : ""));
  }
  return words;
}

TEST(WordTokenizer, EncodingUndoesDecodingAndTextKeepsItsWords) {
  std::mt19937 random(2);
  const auto words = random_words(random, 50);
  const auto tokenizer = make_word_tokenizer(words);
  const std::string_view spaces[] = {" ", "\t", "\r\n", " \n "};
  for (size_t length = 0; length < 100; ++length) {
    Ids ids;
    std::string text, plain;
    for (size_t i = 0; i < length; ++i) {
      ids.push_back(static_cast<int32_t>(random() % words.size()));
      text += std::string(spaces[random() % 4]) + words[static_cast<size_t>(ids.back())];
      plain += words[static_cast<size_t>(ids.back())] + " ";
    }
    EXPECT_EQ(encoded(*tokenizer, text), ids);
    EXPECT_EQ(encoded(*tokenizer, text + "\n"), ids);
    EXPECT_EQ(tokenizer->decode(ids), plain);
    EXPECT_EQ(encoded(*tokenizer, tokenizer->decode(ids)), ids);
    EXPECT_EQ(std::accumulate(ids.begin(), ids.end(), int64_t{0},
                              [&](int64_t sum, int32_t id) { return sum + tokenizer->text_bytes(id); }),
              static_cast<int64_t>(plain.size()));
  }
}

TEST(WordTokenizer, SeparatorAndMaskFollowTheWords) {
  const auto tokenizer = make_word_tokenizer({"a", "bc"});
  EXPECT_EQ(tokenizer->vocabulary(), 4);
  EXPECT_EQ(tokenizer->separator_id(), 2);
  EXPECT_EQ(tokenizer->mask_id(), 3);
  EXPECT_EQ(tokenizer->decode(Ids{0, 2, 3, 1}), "a bc ");
  EXPECT_EQ(tokenizer->text_bytes(1), 3);
  EXPECT_EQ(tokenizer->text_bytes(2), 0);
  EXPECT_EQ(tokenizer->text_bytes(3), 0);
}

TEST(WordTokenizer, Errors) {
  const auto tokenizer = make_word_tokenizer({"a", "bc"});
  expect_error(ErrorKind::Data,
               "word tokenizer: 'b' is not among the 2 words of the vocabulary; add it there, or write a known word in "
               "its place",
               [&] { (void)encoded(*tokenizer, "a b"); });
  expect_error(ErrorKind::Data, "word tokenizer: 'a' stands twice in the vocabulary", [] {
    (void)make_word_tokenizer({"a", "b", "a"});
  });
  for (const std::string word : {"", "a b", "c\n"})
    expect_error(
        ErrorKind::Data,
        "word tokenizer: '" + word + "' is empty or holds white space, so no text could contain it as one word", [&] {
          (void)make_word_tokenizer({"a", word});
        });
}

TEST(WordTokenizer, AVocabularyFileIsItsLines) {
  const testing::TempFolder folder;
  const std::string path = folder.path("v");
  const auto read = [&](const std::string& bytes) { return read_words(folder.write("v", bytes)); };
  EXPECT_EQ(read("a\nb\r\ncaf\xc3\xa9"), (std::vector<std::string>{"a", "b", "caf\xc3\xa9"}));
  EXPECT_EQ(read("\xEF\xBB\xBF"
                 "a\n"),
            std::vector<std::string>{"a"});
  const std::string expected = ": expected one word a line, without white space, got '", long_word(100, 'x');
  const std::pair<std::string, std::string> refused[] = {
      {"", ": holds no line; name a file with one word a line"},
      {"a\n\nb\n", ":2" + expected + "'"},
      {"a b\n", ":1" + expected + "a b'"},
      {"caf\xc3\xa9 x\n", ":1" + expected + "caf\xc3\xa9 x'"},
      {long_word + " x\n", ":1" + expected + long_word.substr(0, 60) + "...'"},
      {"a\nb\na\n", ":3: 'a' stands in line 1 too; remove one"},
      {"a\ncaf\xe9\n", ":2: 'caf\\xe9' is not UTF-8; convert the vocabulary and its texts to UTF-8"}};
  for (const auto& [bytes, message] : refused)
    expect_error(ErrorKind::Data, "vocabulary " + path + message, [&, text = bytes] { (void)read(text); });
  expect_error(ErrorKind::Data,
               "vocabulary none: cannot be opened in " + std::filesystem::current_path().string() +
                   "; name a file with one word a line",
               [] { (void)read_words("none"); });
  expect_error(ErrorKind::Data, "vocabulary " + folder.path() + ": holds no line; name a file with one word a line",
               [&] { (void)read_words(folder.path()); });
}

// A byte order mark before the first word, and unknown words of any length and encoding in the message.
TEST(WordTokenizer, TextsAsEditorsWriteThem) {
  const auto tokenizer = make_word_tokenizer({"a", "bc"});
  EXPECT_EQ(encoded(*tokenizer,
                    "\xEF\xBB\xBF"
                    "a bc"),
            (Ids{0, 1}));
  EXPECT_EQ(tokenizer->describe(), "2 words");
  const std::string rest =
      "' is not among the 2 words of the vocabulary; add it there, or write a known word in its place";
  expect_error(ErrorKind::Data, "word tokenizer: 'caf\\xe9" + rest, [&] { (void)encoded(*tokenizer, "a caf\xe9"); });
  expect_error(ErrorKind::Data, "word tokenizer: '" + std::string(60, 'x') + "..." + rest,
               [&] { (void)encoded(*tokenizer, std::string(1000, 'x')); });
}

TEST(TokenizerDescription, RebuildsTheSameTokenizer) {
  std::mt19937 random(3);
  std::vector<std::unique_ptr<Tokenizer>> tokenizers;
  tokenizers.push_back(make_byte_tokenizer());
  for (size_t count : {0, 1, 50}) tokenizers.push_back(make_word_tokenizer(random_words(random, count)));
  for (const auto& tokenizer : tokenizers) {
    const auto again = tokenizer_from_json(tokenizer->to_json());
    EXPECT_EQ(again->to_json(), tokenizer->to_json());
    ASSERT_EQ(again->vocabulary(), tokenizer->vocabulary());
    EXPECT_EQ(again->separator_id(), tokenizer->separator_id());
    for (int32_t id = 0; id < tokenizer->vocabulary(); ++id) {
      EXPECT_EQ(again->decode(Ids{id}), tokenizer->decode(Ids{id}));
      EXPECT_EQ(encoded(*again, tokenizer->decode(Ids{id})), encoded(*tokenizer, tokenizer->decode(Ids{id})));
    }
  }
}

TEST(TokenizerDescription, BadOnesAreRefused) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "tokenizer: '' is not its JSON description"},
      {"{\"type\":\"bytes\"", "tokenizer: '{\"type\":\"bytes\"' is not its JSON description"},
      {"[1]", "tokenizer: '[1]' is not its JSON description"},
      {"{}", "tokenizer: '{}' is not its JSON description"},
      {R"({"type":"pieces"})", "tokenizer: unknown type \"pieces\"; known are bytes and words"},
      {R"({"type":7})", "tokenizer: unknown type 7; known are bytes and words"},
      {R"({"type":"words"})", "tokenizer: type words needs 'words', a list of texts"},
      {R"({"type":"words","words":"a b"})", "tokenizer: type words needs 'words', a list of texts"},
      {R"({"type":"words","words":["a",1]})", "tokenizer: type words needs 'words', a list of texts"},
      {R"({"type":"words","words":["a","a"]})", "word tokenizer: 'a' stands twice in the vocabulary"}};
  for (const auto& [json, message] : cases)
    expect_error(ErrorKind::Data, message, [&, text = json] { (void)tokenizer_from_json(text); });
  const std::string garbage(500, 'x');  // only its beginning is quoted
  expect_error(ErrorKind::Data, "tokenizer: '" + garbage.substr(0, 60) + "' is not its JSON description",
               [&] { (void)tokenizer_from_json(garbage); });
}

TEST(WordTokenizer, WordsThatAreNotUtf8) {
  EXPECT_EQ(make_word_tokenizer({"caf\xc3\xa9"})->vocabulary(), 3);
  expect_error(ErrorKind::Data,
               "word tokenizer: word 1, 'caf\\xe9', is not UTF-8; convert the vocabulary and its texts to UTF-8", [] {
                 (void)make_word_tokenizer({"a", "caf\xe9"});
               });
}

}  // namespace
}  // namespace smartbird
