// What a user can get wrong of simulate and bench exchange is one sentence.
#include "tests/support/training_run.h"

namespace smartbird::testing {
namespace {

struct Refusal {
  std::string arguments, message;
  int code;
};

void expect_refused(const std::string& command, const std::vector<Refusal>& cases) {
  for (const Refusal& c : cases) {
    const CommandResult result = smartbird(1, command + " " + c.arguments);
    EXPECT_EQ(result.code, c.code) << c.arguments << "\n" << result.output;
    EXPECT_NE(result.output.find(c.message), std::string::npos) << c.arguments << "\n" << result.output;
    EXPECT_EQ(std::count(result.output.begin(), result.output.end(), '\n'), 1) << result.output;
  }
}

TEST(Simulate, RefusesWhatItCannotDo) {
  expect_refused("simulate",
                 {{"", "simulate: --picks=FILE is missing; a run with --run.record_picks=N writes some", 2},
                  {"--picks=nowhere.safetensors", "nowhere.safetensors", 3},
                  {"--picks=README.md", "README.md", 3},
                  {"--picks=x --ranks=0", "simulate: --ranks = 0: '0' is not a number from 1 to 4096", 2},
                  {"--picks=x --ranks=2,,4", "'' is not a number", 2},
                  {"--picks=x --ranks=5000", "'5000' is not a number from 1 to 4096", 2},
                  {"--picks=x --link=fast", "simulate: --link = fast must be a latency and a rate", 2},
                  {"--picks=x --layout=round", "simulate: --layout = round is not contiguous or zigzag", 2},
                  {"--picks=x --compute=-1", "simulate: --compute = -1 must be at least 0", 2},
                  {"--foo=1", "simulate: unrecognised option '--foo=1'; see smartbird simulate --help", 2}});
}

TEST(BenchExchange, RefusesWhatItCannotDo) {
  expect_refused("bench exchange",
                 {{"", "bench exchange: --checkpoint=DIR is missing", 2},
                  {"--checkpoint=nowhere", "bench exchange: --checkpoint = nowhere: no complete checkpoint there", 3},
                  {"--checkpoint=x --ranks=0", "bench exchange: --ranks = 0: '0' is not a number from 1 to 4096", 2},
                  {"--checkpoint=x --share=1,foo", "bench exchange: --share = foo: 'foo' is not a number from 1", 2},
                  {"--checkpoint=x --share=1 --query-block=16",
                   "bench exchange: no --share = 1 is a multiple of a --query-block = 16", 2},
                  {"--checkpoint=x --layout=round", "bench exchange: --layout = round is not contiguous or zigzag", 2},
                  {"--checkpoint=x --sequences=0", "must be at least 0 and 1", 2}});
}

TEST(BenchExchange, MeasuresATrainedModel) {
  const TempFolder folders;
  train_tiny(folders.path("run"), 1, "--train.stop_after=1 --eval.at_end=off");
  const CommandResult result = smartbird(
      1, "bench exchange --checkpoint=" + folders.path("run") + " --tokens=300 --sequences=2 --share=1,16,all " +
             "--query-block=1,16 --picks=4 --ranks=1,3 --json=" + folders.path("out.json"));
  ASSERT_EQ(result.code, 0) << result.output;
  std::ifstream in(folders.path("out.json"));
  const auto cases = nlohmann::json::parse(in).at("cases");
  ASSERT_EQ(cases.size(), 5U) << "a share of 1 cannot hold blocks of 16";
  for (const auto& one : cases) {
    EXPECT_GT(one.at("loss").get<double>(), 0);
    EXPECT_EQ(one.at("on_ranks").at(0).at("phi").get<double>(), 0) << "one rank";
    EXPECT_GT(one.at("on_ranks").at(1).at("phi").get<double>(), 0);
    EXPECT_LE(one.at("on_ranks").at(1).at("phi").get<double>(), 1);
  }
}

}  // namespace
}  // namespace smartbird::testing
