// Raw text: what a file, folder, glob, JSONL or TSV becomes, and what each mistake in one is answered with.
#include "data/text_source.h"

#include <gtest/gtest.h>

#include "tests/support/corpus_texts.h"
#include "tests/support/temp_folder.h"

namespace smartbird {
namespace {

using namespace smartbird::testing;
using Texts = std::vector<std::string>;

class TextSourceTest : public ::testing::Test {
 protected:
  std::unique_ptr<Corpus> open(const std::string& path, const Texts& arguments = {}, const Texts& classes = {}) const {
    return open_corpus("data.train", {path}, data_options(arguments), classes);
  }
  std::unique_ptr<Corpus> open_text(const std::string& name, const std::string& text,
                                    const Texts& arguments = {}) const {
    return open(folder_.write(name, text), arguments);
  }
  // `message` follows the path of the file.
  void expect_refused(const std::string& name, const std::string& text, const std::string& message,
                      const Texts& arguments = {}) const {
    expect_error(ErrorKind::Data, folder_.path(name) + message, [&] { (void)open_text(name, text, arguments); });
  }

  TempFolder folder_;
};

const Texts kClassify{"--data.task=classify", "--data.sequence_tokens=4"};

TEST_F(TextSourceTest, AFileIsOneDocumentWithASeparator) {
  const std::string text("a\0\r\n\xff z", 7);
  const auto corpus = open_text("a.txt", text);
  EXPECT_EQ(texts_of(*corpus), Texts{text + "|"});
  EXPECT_EQ(masks_of(*corpus), Texts{"11111111"});
  EXPECT_EQ(corpus->num_tokens(), 8);
  EXPECT_EQ(corpus->document(0).label, -1);
  std::vector<int32_t> piece(3);
  corpus->read(0, 5, piece);
  EXPECT_EQ(piece, (std::vector<int32_t>{' ', 'z', 256}));
}

TEST_F(TextSourceTest, AFolderIsItsFilesInNameOrder) {
  folder_.write("f/b.txt", "2"), folder_.write("f/a/z.txt", "1"),
      folder_.write("f/c.jsonl", "{\"text\":\"3\"}\n{\"text\":\"4\"}\n");
  folder_.write("f/.hidden", "no"), folder_.write("f/.git/config", "no"), folder_.write("f/d", "5");
  EXPECT_EQ(texts_of(*open(folder_.path("f"))), (Texts{"1|", "2|", "3|", "4|", "5|"}));
}

TEST_F(TextSourceTest, AGlobIsItsMatchesInNameOrder) {
  folder_.write("g/b1.txt", "2"), folder_.write("g/a1.txt", "1"), folder_.write("g/a2.md", "no"),
      folder_.write("g/c1.txt/x", "3");
  EXPECT_EQ(texts_of(*open(folder_.path("g/?1.txt"))), (Texts{"1|", "2|", "3|"}));
}

TEST_F(TextSourceTest, NothingThere) {
  const std::string missing = folder_.path("none*");
  expect_error(ErrorKind::Data,
               "data.train: nothing at " + missing + " (current folder " + std::filesystem::current_path().string() +
                   "): no file, folder, glob match, or shard " + missing + ".idx",
               [&] { (void)open(missing); });
  std::filesystem::create_directories(folder_.path("empty"));
  expect_error(ErrorKind::Data, "data.train: the folder " + folder_.path("empty") + " holds no file",
               [&] { (void)open(folder_.path("empty")); });
  expect_refused("e.txt", "", ": the document is empty");
  for (const char* name : {"e.jsonl", "blank.jsonl"})
    expect_error(ErrorKind::Data, "data.train: the sources hold no document",
                 [&] { (void)open_text(name, name[0] == 'b' ? " \n\r\n" : ""); });
}

TEST_F(TextSourceTest, HalfAShardIsNoText) {
  folder_.write("f/s.bin", "xxxx");
  for (const char* source : {"f"})
    expect_error(ErrorKind::Data,
                 "data.train: " + folder_.path("f/s.bin") + " is half of a shard, not text; name the shard itself, " +
                     folder_.path("f/s"),
                 [&] { (void)open(folder_.path(source)); });
}

TEST_F(TextSourceTest, JsonlTexts) {
  const auto corpus = open_text("a.jsonl", "{\"text\":\"a\\n\\u00e9\", \"x\": [1]}\r\n\n  \n{\"text\":\"b\"}");
  EXPECT_EQ(texts_of(*corpus), (Texts{"a\n\xc3\xa9|", "b|"}));
  EXPECT_EQ(texts_of(*open_text("b.jsonl", "{\"body\":\"a\"}", {"--data.field=body"})), Texts{"a|"});
}

TEST_F(TextSourceTest, OnlyTheResponseOfAPromptCounts) {
  const std::string lines =
      "{\"prompt\":\"ab\",\"response\":\"cde\"}\n{\"text\":\"fg\"}\n{\"prompt\":\"hi\",\"response\":\"\"}\n{\"prompt\":"
      "\"\",\"response\":\"j\"}\n";
  const auto corpus = open_text("a.jsonl", lines);
  EXPECT_EQ(texts_of(*corpus), (Texts{"abcde|", "fg|", "hi|", "j|"}));
  EXPECT_EQ(masks_of(*corpus), (Texts{"001111", "111", "001", "11"}));
  std::vector<uint8_t> piece(2);
  corpus->read_target_mask(0, 1, piece);
  EXPECT_EQ(piece, (std::vector<uint8_t>{0, 1}));
  const auto renamed = open_text("b.jsonl", "{\"q\":\"ab\",\"a\":\"c\",\"response\":3}",
                                 {"--data.prompt_field=q", "--data.response_field=a"});
  EXPECT_EQ(masks_of(*renamed), Texts{"0011"});
}

TEST_F(TextSourceTest, JsonlErrorsNameTheLine) {
  const std::string good = "{\"text\":\"a\"}\n\n";
  for (const std::string line : {"{\"text\":\"a\"", "[1]", "text", "{\"text\":\"\xff\"}", "{\"text\":\"a\"} {}"})
    expect_refused("a.jsonl", good + line, ":3: not a JSON object");
  expect_refused("a.jsonl", good + "{\"txt\":\"a\"}", ":3: no field 'text'");
  expect_refused("a.jsonl", good + "{\"text\":\"\"}", ":3: the document is empty");
  for (const std::string value : {"null", "[\"a\"]", "{\"a\":1}"})
    expect_refused("a.jsonl", good + "{\"text\":" + value + "}", ":3: field 'text' is not a text");
  expect_refused("a.jsonl", good + "{\"response\":\"a\"}", ":3: no field 'prompt'");
  expect_refused("a.jsonl", good + "{\"prompt\":\"\",\"response\":\"\"}", ":3: the document is empty");
  expect_refused("a.jsonl", "{\"text\":\"a\"}", ":1: no field 'label'", kClassify);
}

TEST_F(TextSourceTest, JsonlLabels) {
  const auto corpus = open_text("a.jsonl",
                                "{\"text\":\"a\",\"label\":10}\n{\"text\":\"b\",\"label\":\"no\"}\n{\"text\":\"c\","
                                "\"label\":true,\"response\":\"x\"}\n",
                                kClassify);
  EXPECT_EQ(texts_of(*corpus), (Texts{"a", "b", "c"}));  // no separator: a document is classified, not continued
  EXPECT_EQ(labels_of(*corpus), (Texts{"10", "no", "true"}));
}

TEST_F(TextSourceTest, TsvWithEscapes) {
  const std::string table = "id\ttext\tlabel\r\n1\ta\\nb\\tc\\\\d\\r\\\tx\r\n\n2\tplain\ty\n3\tlast\t";
  EXPECT_EQ(texts_of(*open_text("a.tsv", table)), (Texts{"a\nb\tc\\d\r\\|", "plain|", "last|"}));
  EXPECT_EQ(labels_of(*open_text("a.tsv", table + "z", kClassify)), (Texts{"x", "y", "z"}));
  expect_refused("a.tsv", table, ":5: the label is empty", kClassify);
}

TEST_F(TextSourceTest, TsvErrorsNameTheLine) {
  expect_refused("a.tsv", "", ": empty or unreadable; a TSV begins with a header line");
  expect_refused("a.tsv", "a\tb\n1\t2\n", ":1: no column 'text' in the header");
  expect_refused("a.tsv", "text\tb\n1\t2\n", ":1: no column 'label' in the header", kClassify);
  expect_refused("a.tsv", "text\tb\n1\t2\n3\n", ":3: 1 columns, the header has 2");
  expect_refused("a.tsv", "text\tb\n1\t2\t\n", ":2: 3 columns, the header has 2");
  expect_refused("a.tsv", "text\tb\n\t2\n", ":2: the document is empty");
  expect_error(ErrorKind::Data, "data.train: the sources hold no document",
               [&] { (void)open_text("a.tsv", "text\n"); });
}

TEST_F(TextSourceTest, AFolderOfClassFoldersIsCutIntoWholePieces) {
  folder_.write("f/wells/1.txt", "abcdefghij"), folder_.write("f/austen/x.txt", "klmn");
  const auto corpus = open(folder_.path("f"), kClassify);
  EXPECT_EQ(corpus->classes(), (Texts{"austen", "wells"}));
  EXPECT_EQ(texts_of(*corpus), (Texts{"klmn", "abcd", "efgh"}));
  EXPECT_EQ(labels_of(*corpus), (Texts{"austen", "wells", "wells"}));
}

TEST_F(TextSourceTest, ClassifyErrors) {
  expect_error(ErrorKind::Data,
               "data.train: " + folder_.path("a.txt") +
                   " has no label; classify takes TSV, JSONL or a folder with one folder a class",
               [&] { (void)open_text("a.txt", "abcd", kClassify); });
  const std::string file = folder_.write("f/wells/1.txt", "abc");
  expect_error(ErrorKind::Data, file + ": 3 tokens are less than one piece of data.sequence_tokens = 4",
               [&] { (void)open(folder_.path("f"), kClassify); });
  folder_.write("f/wells/1.txt", "abcd");
  expect_error(ErrorKind::Data, "data.train: " + file + ": label 'wells' is not among the 2 classes of training", [&] {
    (void)open(folder_.path("f"), kClassify, {"austen", "eliot"});
  });
  const std::string table = folder_.write("a.tsv", "text\tlabel\na\tausten\nb\tx\n");
  expect_error(ErrorKind::Data, "data.train: " + table + ":3: label 'x' is not among the 2 classes of training", [&] {
    (void)open(table, kClassify, {"austen", "eliot"});
  });
}

TEST_F(TextSourceTest, AByteOrderMarkBelongsToNoField) {
  const std::string mark = "\xEF\xBB\xBF";
  EXPECT_EQ(texts_of(*open_text("a.jsonl", mark + "{\"text\":\"a\"}\n")), Texts{"a|"});
  EXPECT_EQ(texts_of(*open_text("a.tsv", mark + "text\tlabel\na\tx\n")), Texts{"a|"});
}

// What a tokenizer does not know is told with its place, of a classifier's pieces that of the file.
TEST_F(TextSourceTest, WordsThatAreNotInTheVocabulary) {
  const auto tokenizer = make_word_tokenizer({"a", "b"});
  const auto expect_unknown = [&](const std::string& path, const std::string& place, const Texts& arguments) {
    const DataOptions options = data_options(arguments);
    expect_error(ErrorKind::Data,
                 place +
                     ": word tokenizer: 'c' is not among the 2 words of the vocabulary; add it there, or "
                     "write a known word in its place",
                 [&] { TextReader("--input", options, *tokenizer).add(path); });
  };
  const std::string file = folder_.write("a.txt", "a\nb c"), table = folder_.write("a.tsv", "text\na b\nb c\n");
  expect_unknown(file, file, {});
  expect_unknown(table, table + ":3", {});
  folder_.write("d/x/a.txt", "a b a c");
  expect_unknown(folder_.path("d"), folder_.path("d/x/a.txt"), kClassify);
}

// Labels travel in JSON (shards, checkpoints): another encoding is refused when read, not when the first checkpoint is saved.
TEST_F(TextSourceTest, LabelsThatAreNotUtf8) {
  const std::string table = folder_.write("a.tsv", "text\tlabel\na\tcaf\xe9\n");
  const std::string reason = ": the label 'caf\\xe9' is not UTF-8; rename the folder or convert the file";
  expect_error(ErrorKind::Data, table + ":2" + reason,
               [&] { (void)open_corpus("data.train", {table}, data_options(kClassify), {}); });
  folder_.write("c/caf\xe9/x", "long enough");
  expect_error(ErrorKind::Data, folder_.path("c/caf\\xe9/x") + reason,
               [&] { (void)open_corpus("data.train", {folder_.path("c")}, data_options(kClassify), {}); });
}

}  // namespace
}  // namespace smartbird
