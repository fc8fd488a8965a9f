// A corpus of several sources: order, weights, shards beside text, one tokenizer and one set of classes for all.
#include "data/corpus.h"

#include <gtest/gtest.h>

#include "data/shard.h"
#include "tests/support/corpus_texts.h"
#include "tests/support/temp_folder.h"

namespace smartbird {
namespace {

using namespace smartbird::testing;
using Texts = std::vector<std::string>;

const Texts kClassify{"--data.task=classify", "--data.sequence_tokens=4"};

class CorpusTest : public ::testing::Test {
 protected:
  std::unique_ptr<Corpus> open(const Texts& sources, const Texts& arguments = {}, const Texts& classes = {}) const {
    return open_corpus("data.train", sources, data_options(arguments), classes);
  }
  // A shard of one document a text, "name" in the folder; returns its prefix.
  std::string shard(const std::string& name, const Texts& texts, const Tokenizer& tokenizer,
                    const std::vector<int32_t>& labels = {}, const Texts& classes = {}) const {
    Documents d;
    for (const std::string& text : texts) tokenizer.encode(text, d.tokens), d.end_document();
    d.counts.assign(d.tokens.size(), 1), d.counts[0] = 0;
    d.labels = labels, d.classes = classes;
    write_shard(folder_.path(name), d, tokenizer);
    return folder_.path(name);
  }
  void expect_refused(ErrorKind kind, const std::string& message, const Texts& sources, const Texts& arguments = {},
                      const Texts& classes = {}) const {
    expect_error(kind, message, [&] { (void)open(sources, arguments, classes); });
  }

  TempFolder folder_;
  std::unique_ptr<Tokenizer> bytes_ = make_byte_tokenizer();
};

TEST_F(CorpusTest, SourcesKeepTheirOrderAndWeights) {
  const std::string text = folder_.write("a@b.txt", "one"),
                    lines = folder_.write("b.jsonl", "{\"text\":\"two\"}\n{\"text\":\"three\"}\n");
  const std::string empty = folder_.write("c.jsonl", ""), four = shard("d", {"four", "five"}, *bytes_);
  const auto corpus = open({lines + "@0.5", empty, four + "@2", text + "@1e0"});
  EXPECT_EQ(texts_of(*corpus), (Texts{"two|", "three|", "four", "five", "one|"}));
  EXPECT_EQ(masks_of(*corpus), (Texts{"1111", "111111", "0111", "1111", "1111"}));
  EXPECT_EQ(corpus->num_tokens(), 22);
  std::vector<double> weights;
  for (int64_t d = 0; d < 5; ++d) weights.push_back(corpus->document(d).weight);
  EXPECT_EQ(weights, (std::vector<double>{0.5, 0.5, 2, 2, 1}));
  expect_error(ErrorKind::Shape, "corpus: document 5 of 5", [&] { (void)corpus->document(5); });
  expect_error(ErrorKind::Shape, "corpus: document -1 of 5", [&] { (void)corpus->document(-1); });
}

TEST_F(CorpusTest, AShardByAnyOfItsNames) {
  const std::string prefix = shard("s", {"text"}, *bytes_);
  for (const char* ending : {"", ".idx", ".bin"}) EXPECT_EQ(texts_of(*open({prefix + ending})), Texts{"text"});
}

TEST_F(CorpusTest, FoldersAndGlobsOfShards) {
  for (const char* name : {"s/b", "s/a", "s/deep/c"}) (void)shard(name, {name}, *bytes_);
  folder_.write("s/.hidden.txt", "not seen");
  const std::string all = folder_.path("s");
  EXPECT_EQ(texts_of(*open({all})), (Texts{"s/a", "s/b", "s/deep/c"}));
  for (const char* pattern : {"/*.bin", "/*.idx", "/[ab].json", "/[ab].*", "/?.*"})
    EXPECT_EQ(texts_of(*open({all + pattern + "@2"})), (Texts{"s/a", "s/b"})) << pattern;
  EXPECT_EQ(texts_of(*open({all + "/*"})), (Texts{"s/a", "s/b", "s/deep/c"}));
  const std::string text = folder_.write("s/notes.txt", "t");
  expect_refused(
      ErrorKind::Data,
      "data.train: the folder " + all + " holds shards and also " + text + "; name the shards and the text apart",
      {all});
  EXPECT_EQ(texts_of(*open({all + "/*.txt", all + "/a.idx"})), (Texts{"t|", "s/a"}));
  expect_refused(ErrorKind::Data, half_missing(all + "/no*.bin"), {all + "/no*.bin"});
}

TEST_F(CorpusTest, WeightsThatAreNone) {
  for (const std::string weight : {"", "0", "-1", "x", "2x", "nan", "inf", "1e999", "1e18", "1000.1", "0.0009"}) {
    const std::string source = folder_.path("a.txt@" + weight);
    expect_refused(
        ErrorKind::Config,
        "data.train: in '" + source +
            "' the weight after @ must be a number from 0.001 to 1000; a path that holds an @ needs @1 behind "
            "it",
        {source});
  }
}

TEST_F(CorpusTest, NoSources) { expect_refused(ErrorKind::Config, "data.train is empty; give --data.train=PATH", {}); }

TEST_F(CorpusTest, OneTokenizerForAll) {
  const auto words = make_word_tokenizer({"a", "b"});
  const std::string first = shard("first", {"a b"}, *words), second = shard("second", {"ab"}, *bytes_),
                    text = folder_.write("t.txt", "ab");
  const auto refused = [&](const Texts& sources, const std::string& tokenizers) {
    expect_refused(ErrorKind::Data,
                   "data.train: " + sources[1] + " has another tokenizer than the sources before it (" + tokenizers +
                       "); text takes data.tokenizer and data.vocabulary",
                   sources);
  };
  refused({first, second}, "bytes, before 2 words");
  refused({first, text}, "bytes, before 2 words");
  refused({text, first}, "2 words, before bytes");
  const std::string third = shard("third", {"b a b"}, *words);
  EXPECT_EQ(texts_of(*open({first, third})), (Texts{"a b ", "b a b "}));
  EXPECT_EQ(open({first, third})->tokenizer().vocabulary(), 4);
}

TEST_F(CorpusTest, RawTextInWordsOfAVocabulary) {
  const std::string words = "--data.tokenizer=words", text = folder_.write("t.txt", "b a\nb"),
                    vocabulary = "--data.vocabulary=" + folder_.write("v", "a\nb\n");
  const std::string like = shard("like", {"a a"}, *make_word_tokenizer({"a", "b"})),
                    other = shard("other", {"b"}, *make_word_tokenizer({"b", "a"}));
  const auto corpus = open({text, folder_.write("u.txt", "a"), like}, {words, vocabulary});
  EXPECT_EQ(corpus->tokenizer().vocabulary(), 4);
  EXPECT_EQ(corpus->num_tokens(), 3 + 1 + 1 + 1 + 2);  // a separator after each text
  expect_refused(ErrorKind::Data,
                 "data.train: " + other +
                     " has another tokenizer than the sources before it (2 words, before 2 words); text "
                     "takes data.tokenizer and data.vocabulary",
                 {text, other}, {words, vocabulary});
  expect_refused(ErrorKind::Config,
                 "data.train: raw text in words needs data.vocabulary = FILE, a file with one word a line", {text},
                 {words});
}

TEST_F(CorpusTest, ClassesAreTheUnionOverSourcesWhateverTheirOrder) {
  const std::string x = folder_.write("x.tsv", "text\tlabel\n1\tx\n"),
                    ab = folder_.write("ab.jsonl",
                                       "{\"text\":\"2\",\"label\":\"b\"}\n{\"text\":\"3\",\"label\":\"a\"}\n");
  folder_.write("m/m/text", "4567");
  const std::string m = folder_.path("m");
  const auto corpus = open({x + "@2", ab, m}, kClassify);
  EXPECT_EQ(corpus->classes(), (Texts{"a", "b", "m", "x"}));
  EXPECT_EQ(labels_of(*corpus), (Texts{"x", "b", "a", "m"}));
  EXPECT_EQ(open({m, ab, x}, kClassify)->classes(), corpus->classes());
  EXPECT_TRUE(open({x, ab})->classes().empty());  // no task of classes
}

TEST_F(CorpusTest, GivenClassesFixTheNumbers) {
  const std::string ab = folder_.write("ab.tsv", "text\tlabel\n1\tb\n2\ta\n");
  const auto corpus = open({ab}, kClassify, {"b", "c", "a"});
  EXPECT_EQ(corpus->classes(), (Texts{"b", "c", "a"}));
  EXPECT_EQ(corpus->document(0).label, 0);
  EXPECT_EQ(corpus->document(1).label, 2);
}

TEST_F(CorpusTest, ClassesOfShards) {
  const std::string first = shard("first", {"1", "2"}, *bytes_, {1, 0}, {"a", "b"}),
                    second = shard("second", {"3"}, *bytes_, {1}, {"a", "c"});
  const std::string text = folder_.write("t.tsv", "text\tlabel\n4\tb\n"),
                    other = folder_.write("o.tsv", "text\tlabel\n4\tc\n"), plain = shard("plain", {"5"}, *bytes_);
  const auto corpus = open({text, first}, kClassify);
  EXPECT_EQ(corpus->classes(), (Texts{"a", "b"}));
  EXPECT_EQ(labels_of(*corpus), (Texts{"b", "b", "a"}));
  expect_refused(ErrorKind::Data, "data.train: " + second + " has other classes than training", {first, second},
                 kClassify);
  expect_refused(ErrorKind::Data,
                 "data.train: " + plain +
                     " has no labels, which data.task = classify needs; write it with data "
                     "tokenize --task=classify",
                 {first, plain}, kClassify);
  expect_refused(ErrorKind::Data, "data.train: " + first + " has other classes than training", {first}, kClassify,
                 {"b", "a"});
  expect_refused(ErrorKind::Data, "data.train: " + other + ":2: label 'c' is not among the 2 classes of training",
                 {first, other}, kClassify);
}

TEST_F(CorpusTest, ADamagedShardIsNamed) {
  const std::string prefix = shard("s", {"text"}, *bytes_);
  folder_.write("s.json", R"({"tokenizer": {"type": "bytes"}, "max_id": 300})");
  expect_refused(ErrorKind::Data, prefix + ".bin: token id 300 is beyond the vocabulary of 258", {prefix});
  expect_refused(ErrorKind::Data, half_missing(folder_.path("no.bin")), {folder_.path("no.idx")});
  (void)shard("half", {"text"}, *bytes_);
  std::filesystem::remove(folder_.path("half.idx"));
  expect_refused(ErrorKind::Data, half_missing(folder_.path("half.idx")), {folder_.path("half.bin")});
}

}  // namespace
}  // namespace smartbird
