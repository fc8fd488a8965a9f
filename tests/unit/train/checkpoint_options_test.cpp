// What a checkpoint says of its options, and what one of an older program does not say.
#include "train/checkpoint_options.h"

#include <gtest/gtest.h>

#include "config/parse.h"
#include "core/error.h"
#include "tests/support/temp_folder.h"
#include "train/setup.h"

namespace smartbird {
namespace {

using testing::TempFolder;

using Arguments = std::vector<std::string>;

std::string without_fill_and_temperature() {
  std::string text = dump_ini({default_options(), {}});
  for (const char* line : {"fill = auto\n", "draw_temperature = 0\n"}) {
    const size_t at = text.find(line);
    EXPECT_NE(at, std::string::npos) << line;
    text.erase(at, std::string(line).size());
  }
  return text;
}

TEST(CheckpointOptions, AreAllNamed) {
  const TempFolder folder;
  const ParsedOptions made = parse_options({"--attention.picks=7", "--attention.fill=off"}, nullptr);
  folder.write("config.ini", dump_ini(made));
  EXPECT_TRUE(changed_names(checkpoint_options(folder.path()), made.options).empty());
  EXPECT_TRUE(options_since(folder.path()).empty());
}

TEST(CheckpointOptions, OfAnOlderProgramAreDefaultsAndSaid) {
  const TempFolder folder;
  folder.write("config.ini", without_fill_and_temperature());
  EXPECT_EQ(options_since(folder.path()), (std::vector<std::string>{"attention.draw_temperature", "attention.fill"}));
  ::testing::internal::CaptureStderr();
  warn_of_options_since(folder.path());
  EXPECT_EQ(
      ::testing::internal::GetCapturedStderr(),
      "warning: " + folder.path() + "/config.ini is of an older smartbird, which did not have " +
          "attention.draw_temperature, attention.fill; where nothing else is given the defaults of this one count\n");
}

// Whichever way that program drew may be named, and a draw that may be another may draw as it does.
TEST(CheckpointOptions, AResumeIsHeldAgainstWhatTheySay) {
  const TempFolder folder;
  const auto resume = [&](const Arguments& now) {
    try {
      check_resume(folder.path(), parse_options(now, nullptr));
      return std::string();
    } catch (const Error& e) {
      return std::string(e.what());
    }
  };
  const std::string on = "--attention.fill=on", off = "--attention.fill=off", half = "--attention.draw_temperature=0.5",
                    topk = "--attention.draw=topk", may = "--run.allow_change=attention.draw";
  folder.write("config.ini", dump_ini(parse_options({on, half}, nullptr)));
  EXPECT_EQ(resume({}), "");
  EXPECT_NE(resume({off}).find("has another attention.fill, attention.draw_temperature; "), std::string::npos);
  EXPECT_NE(resume({topk}).find("has another attention.draw; "), std::string::npos) << resume({topk});
  EXPECT_EQ(resume({topk, may}), "");
  folder.write("config.ini", dump_ini(parse_options({topk}, nullptr)));
  for (const Arguments& now : {Arguments{may}, {may, on}, {may, off}, {may, half}}) EXPECT_EQ(resume(now), "");
  folder.write("config.ini", without_fill_and_temperature());
  for (const Arguments& now : {Arguments{}, {off}, {on}, {off, half}}) EXPECT_EQ(resume(now), "");
}

}  // namespace
}  // namespace smartbird
