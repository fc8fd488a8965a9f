// Every preset of configs/ parses, satisfies the rules and survives its own dump.
#include <gtest/gtest.h>

#include <set>

#include "config/parse.h"
#include "config/rules.h"
#include "config/values.h"
#include "tests/support/temp_folder.h"

namespace smartbird {
namespace {

using testing::read_bytes;
using testing::TempFolder;

// The preset as the binary in the repository would see it, wherever this program was built.
std::string in_repository(std::string text) {
  const std::string variable = "${repository}";
  for (size_t at = text.find(variable); at != std::string::npos; at = text.find(variable))
    text.replace(at, variable.size(), SMARTBIRD_SOURCE_DIR);
  return text;
}

// A benchmark's data may be named by its list (launch/benchmark_list.py).
bool is_of_a_benchmark(const std::filesystem::path& file) { return file.parent_path().filename() == "benchmarks"; }

TEST(Presets, ParseAndSatisfyTheRules) {
  const TempFolder folder;
  std::set<std::string> run_folders;
  for (const auto& file :
       std::filesystem::recursive_directory_iterator(std::string(SMARTBIRD_SOURCE_DIR) + "/configs")) {
    if (file.path().extension() != ".ini") continue;
    SCOPED_TRACE(file.path());
    ASSERT_EQ(file.path().extension(), ".ini");
    const std::string copy =
        folder.write(file.path().filename().string(), in_repository(read_bytes(file.path().string())));
    const ParsedOptions parsed = parse_options({"--config", copy}, nullptr);
    for (int ranks : {1, 2}) EXPECT_NO_THROW(check_rules(parsed.options, ranks));
    EXPECT_TRUE(!parsed.options.data.train.empty() || is_of_a_benchmark(file.path()));
    EXPECT_TRUE(run_folders.insert(parsed.options.run.dir).second)
        << parsed.options.run.dir << " is the folder of two presets";
    const ParsedOptions again = parse_options({"--config", folder.write("dump.ini", dump_ini(parsed))}, nullptr);
    EXPECT_TRUE(changed_names(parsed.options, again.options).empty());
  }
  EXPECT_GE(run_folders.size(), 6u);
}

TEST(Presets, NameDataThatIsInTheRepositoryOrGenerated) {
  const TempFolder folder;
  for (const auto& file :
       std::filesystem::recursive_directory_iterator(std::string(SMARTBIRD_SOURCE_DIR) + "/configs")) {
    if (file.path().extension() != ".ini" || is_of_a_benchmark(file.path())) continue;
    const std::string copy = folder.write("copy.ini", in_repository(read_bytes(file.path().string())));
    const DataOptions data = parse_options({"--config", copy}, nullptr).options.data;
    if (!data.generate.empty()) continue;
    for (const auto& sources : {data.train, data.valid, data.test})
      for (const std::string& source : sources)
        EXPECT_TRUE(std::filesystem::exists(source.substr(0, source.rfind('@')))) << file.path() << ": " << source;
  }
}

}  // namespace
}  // namespace smartbird
