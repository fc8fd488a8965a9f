// Runs over text in words of a vocabulary, as a user makes them: what the words mean is the checkpoint's, whatever becomes of the file.
#include "tests/support/training_run.h"

namespace smartbird::testing {
namespace {

class WordsRuns : public ::testing::Test {
 protected:
  WordsRuns() {
    folders_.write("vocabulary", "on\nthe\nsat\na\ncat\nmat\n");
    std::string text;
    for (int i = 0; i < 60; ++i) text += i % 3 == 0 ? "the cat sat on a mat\n" : "a mat on the cat ";
    folders_.write("text/a.txt", text);
  }
  [[nodiscard]] std::string data(const std::string& name) const {
    const std::string path = folders_.path(name);
    return " --data.train=" + path + " --data.valid=" + path + " --data.test=" + path;
  }
  [[nodiscard]] std::string words() const {
    return " --data.tokenizer=words --data.vocabulary=" + folders_.path("vocabulary");
  }
  [[nodiscard]] std::string run(const std::string& folder) const {
    return " --config configs/tiny.ini --data.sequence_tokens=32 --train.steps=3 --train.warmup_steps=1 --eval.every=0 "
           "--eval.sequences=2 --run.dir=" +
           folders_.path(folder);
  }
  void expect_refused(const std::string& arguments, int code, const std::string& says) const {
    const CommandResult result = smartbird(1, arguments);
    EXPECT_EQ(result.code, code) << result.output;
    EXPECT_NE(result.output.find(says), std::string::npos) << result.output;
  }
  void succeed(const std::string& arguments) const {
    const CommandResult result = smartbird(1, arguments);
    ASSERT_EQ(result.code, 0) << result.output;
  }
  TempFolder folders_;
};

TEST_F(WordsRuns, ShardsOfTheSameWordsTrainAlike) {
  succeed("pretrain" + run("text_run") + data("text") + words());
  succeed("data tokenize --vocabulary=" + folders_.path("vocabulary") + " --input=" + folders_.path("text") +
          " --output=" + folders_.path("shard"));
  succeed("pretrain" + run("shard_run") + data("shard"));
  expect_same_steps(read_run(folders_.path("text_run")), read_run(folders_.path("shard_run")), "shard", 0);
  expect_refused("data tokenize --vocabulary= --input=x --output=y", 2, "data tokenize: --vocabulary= names no file");
}

TEST_F(WordsRuns, AVocabularyThatChangesIsNotTakenForTheOld) {
  succeed("pretrain" + run("run") + data("text") + words() + " --train.stop_after=2");
  folders_.write("vocabulary", "the\non\nsat\na\ncat\nmat\n");
  expect_refused(
      "pretrain" + run("run") + data("text") + words() + " --run.resume=auto", 3,
      "data.train has another tokenizer than the checkpoint (6 words, there others); give data.tokenizer and "
      "data.vocabulary, or shards, as it was trained with");
  expect_refused("finetune" + run("fine") + data("text") + " --init.checkpoint=" + folders_.path("run"), 3,
                 "data.train has another tokenizer than the checkpoint (bytes, there 6 words)");
}

TEST_F(WordsRuns, ACheckpointKnowsItsWordsWithoutTheFile) {
  succeed("pretrain" + run("run") + data("text") + words());
  std::filesystem::remove(folders_.path("vocabulary"));
  succeed("evaluate --checkpoint=" + folders_.path("run") + " --data.test=" + folders_.path("text"));
  const CommandResult said =
      smartbird(1, "generate --tokens=3 --prompt=\"the  cat\" --checkpoint=" + folders_.path("run"));
  EXPECT_EQ(said.output.substr(0, 8), "the cat ") << said.output;
  expect_refused("generate --prompt=\"the dog\" --checkpoint=" + folders_.path("run"), 2,
                 "generate: --prompt: word tokenizer: 'dog' is not among the 6 words of the vocabulary");
  expect_refused("pretrain" + run("again") + data("text") + words(), 3,
                 "vocabulary " + folders_.path("vocabulary") + ": cannot be opened in ");
  EXPECT_FALSE(std::filesystem::exists(folders_.path("again")));
}

// plan counts the words, and of masked ones those that are to be predicted.
TEST_F(WordsRuns, ArePlanned) {
  const auto loss_work = [&](const std::string& more) {
    const std::string json = folders_.path("plan.json");
    succeed("plan --data.sequence_tokens=32 --train.batch_tokens=1024 --json=" + json + more);
    return nlohmann::json::parse(read_bytes(json)).at("work").at("loss").at("forward").get<double>();
  };
  const double without_texts = loss_work(words()), masked = loss_work(data("text") + words() + " --data.task=mlm");
  EXPECT_NEAR(loss_work("") / without_texts, 258.0 / 8, 1e-9);
  EXPECT_NEAR(loss_work(data("text") + words()) / masked, 1 / 0.15, 0.03);  // the last row of all has none
}

}  // namespace
}  // namespace smartbird::testing
