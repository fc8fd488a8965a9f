// What is printed about options (dump, tables, help, differences), and options taken over from another run.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "config/inherit.h"
#include "config/parse.h"
#include "config/values.h"
#include "tests/support/temp_folder.h"

namespace smartbird {
namespace {

using testing::TempFolder;

size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

TEST(OptionTexts, DumpSaysWhereEachValueComesFrom) {
  const TempFolder folder;
  const std::string file = folder.write("a.ini", "[model]\nlayers = 7\n");
  const std::string dump = dump_ini(parse_options({"--config", file, "--model.dropout=0.1"}, nullptr));
  EXPECT_EQ(count(dump, "\n[model]\n# " + file + ":2\nlayers = 7\n# default\nwidth = 128\n"), 1u);
  EXPECT_EQ(count(dump, "\n# command line\ndropout = 0.1\n"), 1u);
  EXPECT_EQ(count(dump, "\n# default\nvalid = \n"), 1u);
}

TEST(OptionTexts, EveryOptionIsInTheTableAndInTheHelp) {
  Options options;
  const std::string table = markdown_table(), help = help_text();
  for (const OptionEntry& entry : entries_of(options)) {
    EXPECT_EQ(count(table, "\n| `" + entry.name + "` | "), 1u) << entry.name;
    EXPECT_EQ(count(help, "\n--" + entry.name + "=" + entry.default_text + " "), 1u) << entry.name;
  }
  EXPECT_EQ(count(table, "| `model.rotary_base` | `10000` | above 0 | base of"), 1u);
  EXPECT_EQ(count(table, "| `train.beta2` | `0.95` | from 0 to 0.9999999 | "), 1u);
  EXPECT_EQ(count(table, "| `exchange.plan` | `rows` | rows, all, heads, auto | "), 1u);
  EXPECT_EQ(count(table, "| `data.train` |  | text | "), 1u);
}

TEST(OptionTexts, TypesAndRulesAreDescribed) {
  Options options;
  std::map<std::string, std::string> types;
  for (const OptionEntry& entry : entries_of(options)) types[entry.name] = entry.type;
  EXPECT_EQ(types["model.rotary_base"], "a number");
  EXPECT_EQ(types["attention.global_positions"], "an integer");
  EXPECT_EQ(types["model.tie_embeddings"], "on or off");
  EXPECT_EQ(describe(any()), "");
  EXPECT_EQ(describe(at_least(2)), "at least 2");
  EXPECT_EQ(describe(positive()), "above 0");
  EXPECT_EQ(describe(between(0, 0.9999999)), "from 0 to 0.9999999");
  EXPECT_EQ(describe(each_of({"a", "b"})), "a | b");
}

TEST(OptionTexts, ChangedNamesAreInOrderOfDeclaration) {
  Options a = default_options(), b = a;
  b.init.scale = std::nextafter(b.init.scale, 1.0);
  b.model.rotary_base.push_back(1);
  b.run.dir += " ";
  EXPECT_EQ(changed_names(a, b), (std::vector<std::string>{"run.dir", "model.rotary_base", "init.scale"}));
}

TEST(OptionTexts, NearestNameOfEveryMisspelling) {
  Options options;
  const auto entries = entries_of(options);
  for (const OptionEntry& entry : entries) {
    if (entry.name.size() < 12) continue;  // two letters of a short name are too much of it
    std::string swapped = entry.name;
    std::swap(swapped[swapped.size() - 2], swapped[swapped.size() - 3]);
    EXPECT_EQ(advice(swapped, entries), "; did you mean '" + entry.name + "'?");
    EXPECT_EQ(advice(entry.name + "s", entries, "--"), "; did you mean '--" + entry.name + "'?");
  }
}

TEST(Inherit, TakesTheNamedSectionsWhereNothingWasGiven) {
  Options base = default_options();
  base.model.layers = 7, base.model.width = 96, base.sketch.width = 5, base.train.steps = 3,
  base.model.rotary_base = {1, 2};
  ParsedOptions options = parse_options({"--model.width=64"}, nullptr);
  inherit_sections(options, base, {"model", "sketch"}, "checkpoint x");
  EXPECT_EQ(options.options.model.layers, 7);
  EXPECT_EQ(options.options.model.width, 64);
  EXPECT_EQ(options.options.sketch.width, 5);
  EXPECT_EQ(options.options.train.steps, 1000);
  EXPECT_EQ(options.options.model.rotary_base, (std::vector<double>{1, 2}));
  EXPECT_EQ(options.source.at("model.layers"), "checkpoint x");
  EXPECT_EQ(options.source.at("model.width"), "command line");
  EXPECT_EQ(options.source.at("train.steps"), "default");
}

}  // namespace
}  // namespace smartbird
