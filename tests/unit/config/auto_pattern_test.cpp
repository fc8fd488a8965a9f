// attention.pattern = auto: what becomes of it, and what it does not go with.
#include "config/auto_pattern.h"

#include <gtest/gtest.h>

#include "config/rules.h"
#include "tests/support/temp_folder.h"

namespace smartbird {
namespace {

using testing::expect_error;
using Names = std::vector<std::string>;

ParsedOptions parsed(const Names& arguments) { return parse_options(arguments, nullptr); }

TEST(AutoPattern, IsNoneOfTheOthers) {
  EXPECT_FALSE(has_auto_pattern(parsed({}).options));
  EXPECT_FALSE(has_auto_pattern(parsed({"--attention.pattern=window,dense,sparse"}).options));
  EXPECT_TRUE(has_auto_pattern(parsed({"--attention.pattern=window,auto"}).options));
  EXPECT_TRUE(has_sparse_layer(parsed({"--attention.pattern=auto"}).options)) << "what sparse layers need is asked for";
}

TEST(AutoPattern, BecomesWhatWasChosenAndSaysSo) {
  ParsedOptions run = parsed({"--attention.pattern=window,auto,dense,auto"});
  settle_auto_pattern(run, "sparse", ", auto: faster");
  EXPECT_EQ(run.options.attention.pattern, (Names{"window", "sparse", "dense", "sparse"}));
  EXPECT_EQ(run.source.at("attention.pattern"), "command line, auto: faster");
  EXPECT_FALSE(has_auto_pattern(run.options));
}

TEST(AutoPattern, OfAResumeIsThatOfTheRun) {
  const Options before = parsed({"--attention.pattern=window,dense"}).options;
  ParsedOptions same = parsed({"--attention.pattern=window,auto"}), other = parsed({"--attention.pattern=auto,auto"}),
                longer = parsed({"--attention.pattern=window,auto,window"}),
                given = parsed({"--attention.pattern=window,sparse"});
  for (ParsedOptions* now : {&same, &other, &longer, &given}) settle_auto_pattern_as(*now, before);
  EXPECT_EQ(same.options.attention.pattern, (Names{"window", "dense"}));
  EXPECT_EQ(other.options.attention.pattern, (Names{"auto", "dense"})) << "auto never was a window";
  EXPECT_EQ(longer.options.attention.pattern, (Names{"window", "auto", "window"}));
  EXPECT_EQ(given.options.attention.pattern, (Names{"window", "sparse"}));
  EXPECT_EQ(given.source.at("attention.pattern"), "command line");
}

TEST(AutoPattern, IsOfTheModelsLayers) {
  EXPECT_FALSE(has_auto_pattern(parsed({"--attention.pattern=dense,window,auto", "--model.layers=2"}).options));
  check_rules(parsed({"--attention.pattern=window,auto,sparse", "--model.layers=2"}).options, 1);
}

TEST(AutoPattern, IsRefusedWhereNothingBegins) {
  refuse_auto_pattern(parsed({"--attention.pattern=sparse"}).options, "evaluate");
  expect_error(ErrorKind::Config,
               "evaluate: attention.pattern = auto is chosen when a run begins; give sparse, dense or window",
               [] { refuse_auto_pattern(parsed({"--attention.pattern=window,auto"}).options, "evaluate"); });
}

TEST(AutoPattern, GoesWithNothingThatNeedsSparseLayers) {
  const std::string choice = "attention.pattern = auto chooses the faster of dense attention and a sample of it; ",
                    may = "attention.pattern = auto may make layers dense; ",
                    stay = " needs layers that stay sparse: set attention.pattern = sparse";
  const std::vector<std::pair<Names, std::string>> violations{
      {{"--attention.pattern=auto,sparse"},
       "attention.pattern = auto makes its layers sparse or dense together; it does not go with sparse in the same "
       "list"},
      {{"--attention.draw=oracle"}, choice + "attention.draw = oracle is none: set attention.pattern = sparse"},
      {{"--attention.draw=none"}, choice + "attention.draw = none is none: set attention.pattern = sparse"},
      {{"--attention.picks=0"}, choice + "attention.picks = 0 leaves none: set attention.pattern = window"},
      {{"--attention.warmup_steps=7"}, may + "attention.warmup_steps = 7" + stay + ", or attention.warmup_steps = 0"},
      {{"--eval.draw=dense"}, may + "eval.draw = dense" + stay + ", or eval.draw = same"},
      {{"--run.record_picks=5"}, may + "run.record_picks = 5" + stay + ", or run.record_picks = 0"},
      {{"--train.freeze=model", "--init.checkpoint=a"}, may + "train.freeze = model" + stay}};
  for (const auto& [arguments, message] : violations) {
    Names all{"--attention.pattern=window,auto"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    if (arguments[0].starts_with("--attention.pattern")) all.erase(all.begin());
    const Options options = parsed(all).options;
    expect_error(ErrorKind::Config, message, [&] { check_rules(options, 1); });
  }
  check_rules(parsed({"--attention.pattern=window,auto", "--attention.share_warmup_steps=4"}).options, 1);
}

}  // namespace
}  // namespace smartbird
