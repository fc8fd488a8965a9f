// Shards: what is written is read back byte for byte, and every damage is one error that names the file.
#include "data/shard.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "tests/support/corpus_texts.h"
#include "tests/support/temp_folder.h"

namespace smartbird {
namespace {

using testing::expect_error;
using testing::half_missing;
using testing::read_bytes;
using testing::TempFolder;

struct Content {
  bool masked = false, labelled = false;
};

Documents random_documents(std::mt19937& random, int64_t vocabulary, Content content) {
  Documents d;
  const size_t documents = 1 + random() % 20;
  for (size_t i = 0; i < documents; ++i) {
    for (size_t tokens = 1 + random() % 50; tokens > 0; --tokens) {
      d.tokens.push_back(static_cast<int32_t>(random() % static_cast<uint64_t>(vocabulary)));
      d.counts.push_back(content.masked ? random() % 2 : 1);
    }
    d.end_document();
    if (content.labelled) d.labels.push_back(static_cast<int32_t>(random() % 3));
  }
  if (content.masked) d.counts[0] = 0;
  if (content.labelled) d.classes = {"a", "b \"c\"", "\xc3\xa9"};
  return d;
}

std::unique_ptr<Tokenizer> large_tokenizer() {  // ids need more than 16 bits
  std::vector<std::string> words;
  for (int i = 0; i < 70000; ++i) words.push_back(std::to_string(i));
  return make_word_tokenizer(words);
}

void expect_equal(const Shard& shard, const Documents& d, const Tokenizer& tokenizer) {
  EXPECT_EQ(tokenizer_from_json(shard.tokenizer_json())->to_json(), tokenizer.to_json());
  EXPECT_EQ(shard.classes(), d.classes);
  ASSERT_EQ(shard.num_documents(), d.num_documents());
  for (int64_t i = 0; i < d.num_documents(); ++i) {
    const int64_t first = d.first[static_cast<size_t>(i)], length = d.first[static_cast<size_t>(i) + 1] - first;
    ASSERT_EQ(shard.num_tokens(i), length);
    EXPECT_EQ(shard.label(i), d.labels.empty() ? -1 : d.labels[static_cast<size_t>(i)]);
    for (int64_t begin : {int64_t{0}, length / 2, length}) {
      std::vector<int32_t> ids(static_cast<size_t>(length - begin));
      std::vector<uint8_t> counts(ids.size(), 9);
      shard.read(i, begin, ids);
      shard.read_mask(i, begin, counts);
      EXPECT_TRUE(std::equal(ids.begin(), ids.end(), d.tokens.begin() + first + begin));
      EXPECT_TRUE(std::equal(counts.begin(), counts.end(), d.counts.begin() + first + begin));
    }
  }
}

TEST(ShardRoundTrip, RandomDocuments) {
  const TempFolder folder;
  std::mt19937 random(1);
  const auto large = large_tokenizer(), bytes = make_byte_tokenizer();
  for (int i = 0; i < 24; ++i) {
    SCOPED_TRACE(i);
    const Tokenizer& tokenizer = i % 6 == 5 ? *large : *bytes;
    const Documents d = random_documents(random, tokenizer.vocabulary(), {.masked = i % 2 == 1, .labelled = i % 4 > 1});
    const std::string prefix = folder.path(join("new/folder/", i));
    write_shard(prefix, d, tokenizer);
    expect_equal(Shard(prefix), d, tokenizer);
    EXPECT_EQ(std::filesystem::exists(prefix + ".mask"), i % 2 == 1);
    EXPECT_EQ(std::filesystem::exists(prefix + ".labels"), i % 4 > 1);
    for (const auto& file : std::filesystem::directory_iterator(folder.path("new/folder")))
      EXPECT_NE(file.path().extension(), ".tmp");
  }
}

TEST(ShardFormat, IndexIsMegatrons) {
  const TempFolder folder;
  Documents d;
  d.tokens = {1, 2, 3, 256, 5}, d.counts = {1, 1, 1, 1, 1}, d.first = {0, 2, 5};
  write_shard(folder.path("s"), d, *make_byte_tokenizer());
  EXPECT_EQ(read_bytes(folder.path("s.bin")), std::string("\1\0\2\0\3\0\0\1\5\0", 10));
  std::string expected(
      "MMIDIDX\0\0"
      "\1\0\0\0\0\0\0\0"
      "\10"
      "\2\0\0\0\0\0\0\0"
      "\3\0\0\0\0\0\0\0",
      34);
  expected += std::string(
      "\2\0\0\0\3\0\0\0"
      "\0\0\0\0\0\0\0\0\4\0\0\0\0\0\0\0",
      24);
  expected += std::string("\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0", 24);
  EXPECT_EQ(read_bytes(folder.path("s.idx")), expected);
}

class DamagedShard : public ::testing::Test {
 protected:
  void SetUp() override {
    Documents d;
    d.tokens = {1, 2, 3, 4, 5}, d.counts = {1, 0, 1, 1, 1}, d.first = {0, 2, 5}, d.labels = {1, 0},
    d.classes = {"a", "b"};
    write_shard(prefix_, d, *make_byte_tokenizer());
  }
  void expect_refused(const std::string& message) const {
    expect_error(ErrorKind::Data, message, [&] { const Shard shard(prefix_); });
  }
  template <class T>
  void put(const std::string& ending, size_t at, T value) const {
    std::string bytes = read_bytes(prefix_ + ending);
    std::memcpy(bytes.data() + at, &value, sizeof value);
    folder_.write("s" + ending, bytes);
  }
  void cut(const std::string& ending, size_t bytes) const {
    folder_.write("s" + ending, read_bytes(prefix_ + ending).substr(0, bytes));
  }
  void describe(const std::string& json) const { folder_.write("s.json", json); }

  TempFolder folder_;
  std::string prefix_ = folder_.path("s");
};

TEST_F(DamagedShard, Index) {
  const std::string index = prefix_ + ".idx", whole = read_bytes(index);
  const auto restore = [&] { folder_.write("s.idx", whole); };
  const std::string magic =
      index + ": not a Megatron index (magic MMIDIDX); known shards are PREFIX.bin with PREFIX.idx";
  for (size_t bytes : {0, 8, 33}) cut(".idx", bytes), expect_refused(magic), restore();
  put(".idx", 0, 'X'), expect_refused(magic), restore();
  put(".idx", 9, uint64_t{2}), expect_refused(index + ": version 2, this binary reads 1"), restore();
  put(".idx", 17, uint8_t{5}), expect_refused(index + ": dtype code 5; tokens must be u16 (8) or i32 (4)"), restore();
  for (size_t bytes : {34, 57, 81})
    cut(".idx", bytes),
        expect_refused(join(index, ": ", bytes, " bytes are too short for 2 sequences and 3 documents")), restore();
  put(".idx", 18, uint64_t{1} << 63),
      expect_refused(index + ": 82 bytes are too short for 9223372036854775808 sequences and 3 documents"), restore();
  put(".idx", 26, ~uint64_t{0}),
      expect_refused(index + ": 82 bytes are too short for 2 sequences and 18446744073709551615 documents"), restore();
  EXPECT_NO_THROW(Shard{prefix_});
}

TEST_F(DamagedShard, SequencesOutsideTheTokens) {
  const std::string index = prefix_ + ".idx: sequence ", whole = read_bytes(prefix_ + ".idx");
  const auto expect_sequence = [&](const std::string& text) {
    expect_refused(index + text + "; its .bin has 10 bytes");
    folder_.write("s.idx", whole);
  };
  put(".idx", 34, int32_t{0}), expect_sequence("0 has 0 tokens at byte 0");
  put(".idx", 34, int32_t{-3}), expect_sequence("0 has -3 tokens at byte 0");
  put(".idx", 38, int32_t{4}), expect_sequence("1 has 4 tokens at byte 4");
  put(".idx", 38, int32_t{2147483647}), expect_sequence("1 has 2147483647 tokens at byte 4");
  put(".idx", 42, int64_t{-2}), expect_sequence("0 has 2 tokens at byte -2");
  put(".idx", 50, int64_t{6}), expect_sequence("1 has 3 tokens at byte 6");
  put(".idx", 50, std::numeric_limits<int64_t>::max()), expect_sequence("1 has 3 tokens at byte 9223372036854775807");
}

TEST_F(DamagedShard, Tokens) {
  cut(".bin", 9);
  expect_refused(prefix_ + ".idx: sequence 1 has 3 tokens at byte 4; its .bin has 9 bytes");
  cut(".bin", 0);
  expect_refused(prefix_ + ".idx: sequence 0 has 2 tokens at byte 0; its .bin has 0 bytes");
  std::filesystem::remove(prefix_ + ".bin");
  expect_refused(half_missing(prefix_ + ".bin"));
}

TEST_F(DamagedShard, MissingIndex) {
  std::filesystem::remove(prefix_ + ".idx");
  expect_refused(half_missing(prefix_ + ".idx"));
}

TEST_F(DamagedShard, TokenBeyondTheVocabulary) {
  put(".bin", 6, uint16_t{258});
  const Shard shard(prefix_);  // the description's max_id is trusted; a read is not
  std::vector<int32_t> ids(3);
  expect_error(ErrorKind::Data, prefix_ + ".bin: token id 258 of document 1 is beyond the vocabulary of 258",
               [&] { shard.read(1, 0, ids); });
  describe(R"({"tokenizer": {"type": "bytes"}, "classes": ["a", "b"]})");  // without max_id every token is looked at
  expect_refused(prefix_ + ".bin: token id 258 of document 1 is beyond the vocabulary of 258");
  describe(R"({"tokenizer": {"type": "bytes"}, "classes": ["a", "b"], "max_id": 300})");
  expect_refused(prefix_ + ".bin: token id 300 is beyond the vocabulary of 258");
}

TEST_F(DamagedShard, Description) {
  const std::string json = prefix_ + ".json";
  for (const char* text : {"", "{", "[]", "{}"}) describe(text), expect_refused(json + ": does not name a tokenizer");
  describe(R"({"tokenizer": {"type": "pieces"}})");
  expect_refused(json + ": tokenizer: unknown type \"pieces\"; known are bytes and words");
  describe(R"({"tokenizer": {"type": "words", "words": [1]}})");
  expect_refused(json + ": tokenizer: type words needs 'words', a list of texts");
  for (const char* text :
       {R"({"tokenizer": {"type": "bytes"}, "classes": 3})", R"({"tokenizer": {"type": "bytes"}, "max_id": "5"})"})
    describe(text), expect_refused(json + ": classes must be a list of texts and max_id an integer");
  std::filesystem::remove(json);
  expect_refused(json + ": missing; it names the shard's tokenizer");
}

TEST_F(DamagedShard, LabelsAndMask) {
  put(".labels", 4, int32_t{2});
  expect_refused(prefix_ + ".labels: document 1 has label 2; " + prefix_ + ".json names 2 classes");
  put(".labels", 4, int32_t{-1});
  expect_refused(prefix_ + ".labels: document 1 has label -1; " + prefix_ + ".json names 2 classes");
  cut(".labels", 7);
  expect_refused(prefix_ + ".labels: 7 bytes for 2 documents");
  std::filesystem::remove(prefix_ + ".labels");
  expect_refused(prefix_ + ".labels: missing; " + prefix_ + ".json names 2 classes");
  folder_.write("s.labels", std::string(8, '\0'));
  cut(".mask", 4);
  expect_refused(prefix_ + ".mask: 4 bytes for 5 tokens");
}

TEST(ShardWriting, RefusesAndCleans) {
  const TempFolder folder;
  const auto tokenizer = make_byte_tokenizer();
  const std::string prefix = folder.path("s");
  Documents d;
  expect_error(ErrorKind::Data, prefix + ": there is no document to write",
               [&] { write_shard(prefix, d, *tokenizer); });
  d.tokens = {1, 2}, d.counts = {1, 1}, d.first = {0, 2};
  folder.write("s.labels", "left by a write that was cut off"), folder.write("s.mask", "too");
  write_shard(prefix, d, *tokenizer);
  expect_equal(Shard(prefix), d, *tokenizer);
  const std::string before = read_bytes(prefix + ".bin");
  expect_error(ErrorKind::Data, prefix + ".bin exists already; choose another output or remove it",
               [&] { write_shard(prefix, d, *tokenizer); });
  std::filesystem::remove(prefix + ".bin");
  expect_error(ErrorKind::Data, prefix + ".idx exists already; choose another output or remove it",
               [&] { write_shard(prefix, d, *tokenizer); });
  const std::string names = " is a folder; a shard's output is the beginning of its files' names, as in ";
  for (const auto& [folder_name, slash] : {std::pair{folder.path("new/"), ""}, {folder.path(""), "/"}})
    expect_error(ErrorKind::Config, folder_name + names + folder_name + slash + "train",
                 [&name = folder_name] { check_new_shard(name); });
  folder.write("file", "");
  std::filesystem::create_directories(folder.path("t.bin.tmp"));
  expect_error(ErrorKind::Io, folder.path("t.bin.tmp: cannot be written"),
               [&] { write_shard(folder.path("t"), d, *tokenizer); });
}

}  // namespace
}  // namespace smartbird
