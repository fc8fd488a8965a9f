// What a checkpoint says of its options, and what one of an older program does not say.
#include "train/checkpoint_options.h"

#include <gtest/gtest.h>

#include "config/parse.h"
#include "tests/support/temp_folder.h"

namespace smartbird {
namespace {

using testing::TempFolder;

TEST(CheckpointOptions, AreAllNamed) {
  const TempFolder folder;
  const ParsedOptions made = parse_options({"--attention.picks=7", "--attention.fill=off"}, nullptr);
  folder.write("config.ini", dump_ini(made));
  EXPECT_TRUE(changed_names(checkpoint_options(folder.path()), made.options).empty());
  EXPECT_TRUE(newer_options_warning(folder.path()).empty());
}

TEST(CheckpointOptions, OfAnOlderProgramAreDefaultsAndSaid) {
  const TempFolder folder;
  std::string text = dump_ini({default_options(), {}});
  for (const char* line : {"fill = auto\n", "draw_temperature = 0\n"}) {
    const size_t at = text.find(line);
    ASSERT_NE(at, std::string::npos) << line;
    text.erase(at, std::string(line).size());
  }
  folder.write("config.ini", text);
  EXPECT_EQ(newer_options_warning(folder.path()),
            std::vector<std::string>{folder.path() +
                                     "/config.ini is of an older smartbird, which did not have "
                                     "attention.draw_temperature, attention.fill; the defaults of this one count where "
                                     "nothing else is given"});
  folder.write("config.ini", "");
  ASSERT_EQ(newer_options_warning(folder.path()).size(), 1u);
  EXPECT_NE(newer_options_warning(folder.path())[0].find(" more; "), std::string::npos);
}

}  // namespace
}  // namespace smartbird
