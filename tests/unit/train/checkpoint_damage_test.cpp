// Damaged and unfinished checkpoints are never taken, and the message names what is wrong.
#include <algorithm>
#include <fstream>

#include "core/error.h"
#include "tests/unit/train/checkpoint_run.h"

namespace smartbird {
namespace {

namespace fs = std::filesystem;

template <class Body>
std::string data_error(Body body) {
  try {
    body();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::Data) << e.what();
    return e.what();
  }
  ADD_FAILURE() << "no error";
  return "";
}

void write_file(const fs::path& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

bool any_holds(const std::vector<std::string>& lines, const std::string& part) {
  return std::any_of(lines.begin(), lines.end(),
                     [&](const std::string& line) { return line.find(part) != std::string::npos; });
}

TEST_F(CheckpointTest, KilledSaveAndTruncatedFileAreSkippedWithAWarning) {
  const std::string good = save_step(1), broken = save_step(2);
  fs::resize_file(broken + "/model.safetensors", fs::file_size(broken + "/model.safetensors") / 2);
  fs::create_directories(dir_ + "/checkpoints/.tmp_step_00000003");
  write_file(dir_ + "/checkpoints/.tmp_step_00000003/model.safetensors", "half");
  std::vector<std::string> warnings;
  EXPECT_EQ(find_checkpoint(dir_, warnings), good);
  EXPECT_EQ(warnings.size(), 2u);
  EXPECT_TRUE(any_holds(warnings, "step_00000002/model.safetensors")) << warnings.at(0);
  EXPECT_TRUE(any_holds(warnings, ".tmp_step_00000003"));
  warnings.clear();
  EXPECT_EQ(find_checkpoint(dir_ + "/checkpoints", warnings), good);
  EXPECT_EQ(find_checkpoint(good, warnings), good);
  (void)data_error([&] { (void)find_checkpoint(broken, warnings); });
  (void)save_step(4);  // the next save clears what the killed one left
  EXPECT_FALSE(fs::exists(dir_ + "/checkpoints/.tmp_step_00000003"));
}

TEST_F(CheckpointTest, NothingThereIsTheEmptyString) {
  std::vector<std::string> warnings;
  EXPECT_EQ(find_checkpoint(dir_, warnings), "");
  fs::create_directories(dir_ + "/checkpoints/step_00000007");
  EXPECT_EQ(find_checkpoint(dir_, warnings), "");
  EXPECT_TRUE(any_holds(warnings, "step_00000007"));
}

TEST_F(CheckpointTest, VerifyNamesTheBrokenFile) {
  const std::string folder = save_step(1);
  verify_checkpoint(folder);
  for (const char* name :
       {"model.safetensors", "optim-00001-of-00002.safetensors", "trainer.json", "config.ini", "tokenizer.json"}) {
    const std::string path = folder + "/" + name, aside = dir_ + "/aside";
    fs::copy_file(path, aside, fs::copy_options::overwrite_existing);
    {
      std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
      file.seekp(-1, std::ios::end).put('\x7f');
    }
    EXPECT_NE(data_error([&] { verify_checkpoint(folder); }).find(path + ": its hash"), std::string::npos) << name;
    fs::remove(path);
    EXPECT_NE(data_error([&] { verify_checkpoint(folder); }).find(path + ": missing"), std::string::npos) << name;
    fs::copy_file(aside, path);
    verify_checkpoint(folder);
  }
}

TEST_F(CheckpointTest, ManifestsThatAreNotCompleteAreRefused) {
  const std::string folder = save_step(1), path = folder + "/manifest.json";
  for (const char* text : {"", "{", "[]", "{}", R"({"format":1})", R"({"format":2,"complete":true,"files":{}})",
                           R"({"format":1,"complete":false,"files":{}})", R"({"format":1,"complete":true,"files":{}})",
                           R"({"format":1,"complete":true,"files":7})"}) {
    write_file(path, text);
    EXPECT_NE(data_error([&] { verify_checkpoint(folder); }).find(path), std::string::npos) << text;
  }
  fs::remove(path);
  EXPECT_NE(data_error([&] { verify_checkpoint(folder); }).find("manifest.json"), std::string::npos);
}

TEST_F(CheckpointTest, WeightsOfAnotherModel) {
  const std::string folder = save_step(1);
  Parameters wider = small_model(1, 4), more;
  const std::string message = data_error([&] { (void)load_weights(folder, wider, MissingWeights::Keep); });
  EXPECT_NE(message.find("classifier.weight has shape [3, 5], the model needs [4, 5]"), std::string::npos) << message;
  more.add("embed.weight", {13, 5}, 0, 8.0, true, false);
  more.add("norm.weight", {5}, 0, 8.0, false, false);
  more.add("extra.weight", {2}, 0, 8.0, true, false);
  more.finish(at::kFloat, 1);
  EXPECT_NE(data_error([&] { (void)load_weights(folder, more, MissingWeights::Refuse); }).find("extra.weight"),
            std::string::npos);
  EXPECT_TRUE(more.value("embed.weight").eq(8.0).all().item<bool>());  // refused before the first change
  EXPECT_EQ(load_weights(folder, more, MissingWeights::Keep), std::vector<std::string>{"extra.weight"});
  EXPECT_TRUE(at::equal(more.value("embed.weight"), small_model(1).value("embed.weight").to(at::kFloat)));
  EXPECT_TRUE(more.value("extra.weight").eq(8.0).all().item<bool>());
  Parameters less;  // a label head may be left behind, nothing else
  less.add("classifier.weight", {3, 5}, 0, 8.0, true, false);
  less.finish(at::kFloat, 1);
  EXPECT_NE(data_error([&] { (void)load_weights(folder, less, MissingWeights::Keep); }).find("embed.weight"),
            std::string::npos);
}

TEST_F(CheckpointTest, OptimizerOfAnotherLayoutOrWithAMissingShardIsRefused) {
  const std::string folder = save_step(1);
  Parameters wider = small_model(1, 4), same = small_model(1);
  OptimizerShard shard{.begin = 0,
                       .end = same.size(),
                       .m = at::zeros({same.size()}, at::kDouble),
                       .v = at::zeros({same.size()}, at::kDouble)};
  EXPECT_NE(data_error([&] { load_optimizer(folder, wider, shard); }).find("classifier.weight"), std::string::npos);
  fs::remove(folder + "/optim-00001-of-00002.safetensors");
  EXPECT_NE(data_error([&] { load_optimizer(folder, same, shard); }).find(std::to_string(same.size())),
            std::string::npos);
}

}  // namespace
}  // namespace smartbird
