// One mistake at a time, as a user makes it, in real processes: the exit code, the one sentence, spoken by one rank, and
// nothing written.
#include <map>

#include "tests/support/training_run.h"

namespace smartbird::testing {
namespace {

namespace fs = std::filesystem;

// Every file below a folder with its bytes.
std::map<std::string, std::string> snapshot(const std::string& folder) {
  std::map<std::string, std::string> out;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    out[entry.path().string()] = entry.is_regular_file() ? read_bytes(entry.path().string()) : "";
  return out;
}

// A folder with small inputs and one finished run of three steps, made once.
class StartUpErrors : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TempFolder;
    std::string text;
    while (text.size() < 4000) text += "All this happened, more or less. ";
    folder_->write("text.txt", text), folder_->write("short.txt", "short"), folder_->write("ab.txt", "ab");
    folder_->write("two.tsv", "text\tlabel\nhello\ta\nworld\tb\n"), folder_->write("third.tsv", "text\tlabel\nhi\tc\n");
    folder_->write("torn.jsonl", "{\"text\":\"whole\"}\n{\"text\":\"torn"), folder_->write("half.bin", "abcd");
    const CommandResult made = smartbird(1, tiny("run"));
    ASSERT_EQ(made.code, 0) << made.output;
  }
  static void TearDownTestSuite() { delete folder_; }

  static std::string path(const std::string& name) { return folder_->path(name); }
  static std::string tiny(const std::string& run, const std::string& more = "") {
    return "pretrain --config configs/tiny.ini --train.steps=3 --train.warmup_steps=1 --eval.sequences=0 "
           "--data.train=" +
           path("text.txt") + " --data.valid=" + path("text.txt") + " --run.dir=" + path(run) + " " + more;
  }
  // Where a preset's value is replaced, it may not be given twice.
  static std::string preset(const std::string& more) {
    return "pretrain --config configs/tiny.ini --run.dir=" + path("new") + " " + more;
  }

  static void expect_refused(int ranks, const std::string& arguments, int code, const std::string& sentences) {
    SCOPED_TRACE(arguments);
    const auto before = snapshot(path(""));
    const CommandResult result = smartbird(ranks, arguments);
    EXPECT_EQ(result.code, code);
    EXPECT_EQ(result.output, "smartbird: " + sentences + "\n");
    EXPECT_TRUE(before == snapshot(path(""))) << "something was written";
  }

  static TempFolder* folder_;
};

TempFolder* StartUpErrors::folder_ = nullptr;

// U7, U8, U9: by name, with the nearest one; all of them at once, from one of three ranks.
TEST_F(StartUpErrors, MisspeltAndMalformedOptions) {
  expect_refused(3, preset("--model.layrs=3 --train.steps=many --model.heads"), 2,
                 "command line: the required argument for option '--model.heads' is missing\n"
                 "command line: unknown option '--model.layrs'; did you mean '--model.layers'?\n"
                 "command line: train.steps = many: expected an integer");
  expect_refused(1, "pretrian", 2, "unknown subcommand 'pretrian'; see smartbird --help");
  expect_refused(1, "generate --checkpoint=" + path("run") + " --prompt=two words", 2,
                 "generate: unexpected 'words'; a value with spaces needs quotes; see smartbird generate --help");
}

// U10, U11: all violated size rules with their numbers.
TEST_F(StartUpErrors, SizesThatDoNotFit) {
  expect_refused(3, preset("--model.kv_heads=3 --parallel.sequence_ranks=2 --sketch.inner_width=3"), 2,
                 "model.kv_heads = 3 does not divide model.heads = 4\nsketch.inner_width = 3 must be even\n"
                 "parallel.sequence_ranks = 2 does not divide the 3 ranks of this run");
}

// U24: an error that every rank meets is told by one.
TEST_F(StartUpErrors, DataThatIsNotThere) {
  const std::string nothing = path("nothing");
  expect_refused(3, preset("--data.train=" + nothing), 3,
                 "data.train: nothing at " + nothing + " (current folder " + fs::current_path().string() +
                     "): no file, folder, glob match, or shard " + nothing + ".idx");
  expect_refused(1, preset("--data.train=" + path("half.bin")), 3,
                 path("half.idx") + " is missing (current folder " + fs::current_path().string() +
                     "); a shard is PREFIX.bin with PREFIX.idx, as data tokenize writes");
  expect_refused(1, preset("--data.train=" + path("torn.jsonl")), 3, path("torn.jsonl") + ":2: not a JSON object");
  expect_refused(3,
                 preset("--data.task=classify --data.train=" + path("two.tsv") + " --data.valid=" + path("third.tsv")),
                 3, "data.valid: " + path("third.tsv") + ":2: label 'c' is not among the 2 classes of training");
}

// Shards tell which tokens count; where none does there is nothing to learn.
TEST_F(StartUpErrors, DataThatAsksNothing) {
  ASSERT_EQ(smartbird(1, "data recall --count=2 --length=66 --density=1 --output=" + path("silent")).code, 0);
  folder_->write("silent.mask", std::string(132, '\0'));
  expect_refused(2, preset("--data.train=" + path("silent")), 3,
                 "data.train: none of its 132 tokens counts as a target (no answer of a prompt, no question of "
                 "recall); make it anew");
}

// ${repository} matters where it is used.
TEST_F(StartUpErrors, ABinaryThatLiesElsewhere) {
  fs::copy_file(SMARTBIRD_BINARY, path("elsewhere"), fs::copy_options::overwrite_existing);
  const std::string pretrain =
      "pretrain --config " SMARTBIRD_SOURCE_DIR
      "/configs/tiny.ini --train.steps=1 --train.warmup_steps=1 --eval.sequences=0 --run.dir=" +
      path("away");
  const CommandResult without = smartbird(1, pretrain + " --data.valid=", path("elsewhere")),
                      with =
                          smartbird(1, pretrain + " --data.valid= --data.train=" + path("text.txt"), path("elsewhere"));
  EXPECT_EQ(without.code, 2);
  EXPECT_NE(without.output.find("needs the repository, which is not above this binary; set another\n"),
            std::string::npos)
      << without.output;
  EXPECT_EQ(with.code, 0) << with.output;
}

// H4: an evaluation of fewer samples than asked is refused, before the first step.
TEST_F(StartUpErrors, TooFewSequencesToEvaluate) {
  expect_refused(1, "pretrain --data.task=mlm --data.train=" + path("ab.txt") + " --run.dir=" + path("new"), 3,
                 "data.train has 3 tokens, of which data.mask_share = 0.15 masks less than one for data.task = mlm to "
                 "predict; name more text or raise it");
  expect_refused(1, preset("--data.valid=" + path("short.txt")), 2,
                 "eval.sequences = 16, but data.valid has 1 of at most 256 tokens; lower it, or 0 = all");
}

// U21: one sentence from one rank with the numbers; any amount of data trains on any number of ranks (D1).
TEST_F(StartUpErrors, LittleDataIsSaidOnceAndTrains) {
  const TempFolder folder;
  const CommandResult result = smartbird(3,
                                         "pretrain --config configs/tiny.ini --train.steps=2 --train.warmup_steps=0 "
                                         "--run.progress=none --data.valid= --data.train=" +
                                             path("short.txt") + " --run.dir=" + folder.path("run"));
  EXPECT_EQ(result.code, 0);
  const std::string sentence =
      "warning: data.train holds 6 tokens, fewer than train.batch_tokens = 1024 of a step over 3 rank(s): every step "
      "is a "
      "whole pass over the data; lower train.batch_tokens or add data\n";
  EXPECT_EQ(result.output.substr(0, sentence.size()), sentence);
  EXPECT_EQ(result.output.find("warning", 1), std::string::npos) << result.output;
  EXPECT_EQ(read_run(folder.path("run")).steps.at(2).at("tokens"), 12);
}

TEST_F(StartUpErrors, RunFoldersThatWillNotDo) {
  const std::string file = path("text.txt"), saved = path("run/checkpoints/step_00000003");
  expect_refused(3, "pretrain --config configs/tiny.ini --run.dir=" + file, 3,
                 "run.dir = " + file + " is a file, not a folder");
  expect_refused(1, "pretrain --config configs/tiny.ini --run.dir=" + file + "/run", 3,
                 "run.dir = " + file + "/run cannot be created: " + file + " is a file, not a folder");
  expect_refused(3, tiny("run"), 2,
                 "run.dir = " + path("run") + " already holds " + saved +
                     "; go on with --run.resume=auto or choose another run.dir");
  std::filesystem::create_directories(path("blocked"));
  std::ofstream(path("blocked/picks")) << "a file";
  expect_refused(1, tiny("blocked", "--run.record_picks=1"), 3,
                 path("blocked/picks") + " cannot be a folder for run.record_picks: Not a directory; remove it");
}

// U38, U41: resume names what differs, and says that a finished run is finished, without a trace.
TEST_F(StartUpErrors, Resumes) {
  const std::string saved = path("run/checkpoints/step_00000003");
  expect_refused(3, tiny("run", "--run.resume=auto --model.layers=3 --data.sequence_tokens=64"), 2,
                 "run.resume: the run in " + saved + " has another data.sequence_tokens, model.layers" +
                     "; set back what should not change, list in --run.allow_change what should");
  expect_refused(1, tiny("new", "--run.resume=" + path("nothing")), 3,
                 "run.resume = " + path("nothing") + ": no complete checkpoint there");
  const auto before = snapshot(path("run"));
  expect_refused(1, tiny("run", "--run.resume=auto --attention.fill=off"), 2,
                 "run.resume: the run in " + saved + " has another attention.fill, attention.draw_temperature" +
                     "; set back what should not change, list in --run.allow_change what should");
  const std::string same = " --attention.fill=on --attention.draw_temperature=0.5";
  const std::string other = " --attention.draw=oracle --run.allow_change=attention.draw";  // how it draws follows
  for (const std::string& way : {std::string(), same, other}) {
    const CommandResult again = smartbird(3, tiny("run", "--run.resume=auto" + way));
    EXPECT_EQ(again.code, 0) << again.output;
    EXPECT_EQ(again.output, "nothing left to do: the run in " + path("run") + " is finished at step 3 of 3\n");
  }
  EXPECT_TRUE(before == snapshot(path("run")));
}

// Weights mean nothing in another model, and nothing is dropped in silence.
TEST_F(StartUpErrors, OtherModelsForTheSameWeights) {
  const std::string saved = path("run/checkpoints/step_00000003");
  expect_refused(3, "evaluate --checkpoint=" + path("run") + " --model.layers=1 --model.norm=layer", 2,
                 "evaluate: model.layers, model.norm differ from the checkpoint " + saved +
                     ", whose weights were trained with them; leave them out");
  expect_refused(1,
                 "finetune --config configs/tiny.ini --init.checkpoint=" + path("run") + " --model.layers=1" +
                     " --run.dir=" + path("new"),
                 3,
                 saved +
                     "/model.safetensors holds the tensor 'layers.1.attn.k.weight', which this model does not have; "
                     "give model.* as the checkpoint has it");
}

// Ranks that were started differently, as by a launcher that mixes hosts.
TEST_F(StartUpErrors, RanksThatDisagree) {
  const auto expect_disagreement = [&](const std::string& change, const std::string& what) {
    const std::string script = folder_->write("wrapper.sh", "#!/bin/sh\n[ \"$OMPI_COMM_WORLD_RANK\" = 1 ] && " +
                                                                change + "\nexec " SMARTBIRD_BINARY " \"$@\"\n");
    fs::permissions(script, fs::perms::owner_all);
    const CommandResult result = smartbird(3, tiny("new"), script);
    EXPECT_EQ(result.code, 2);
    EXPECT_EQ(result.output, "smartbird: rank 1 has another " + what +
                                 " than rank 0; start all ranks with the same options, on the same files\n");
    EXPECT_FALSE(fs::exists(path("new")));
  };
  expect_disagreement("exec " SMARTBIRD_BINARY " \"$@\" --run.seed=9", "configuration");
}

TEST_F(StartUpErrors, CommandsOnCheckpoints) {
  expect_refused(1, "evaluate --checkpoint=" + path("nothing"), 3,
                 "checkpoint = " + path("nothing") + ": no complete checkpoint there");
  expect_refused(1, "evaluate --checkpoint " + path("run") + " --data.valid=", 2,
                 "evaluate: neither data.test nor data.valid is given; add --data.test=PATH");
  expect_refused(1, "generate --checkpoint=" + path("run") + " --prompt=", 2,
                 "generate: --prompt is empty; give some text to go on from");
  expect_refused(1, "finetune --config configs/tiny.ini", 2,
                 "init.checkpoint is empty; give --init.checkpoint=DIR (a run or checkpoint folder)");
}

}  // namespace
}  // namespace smartbird::testing
