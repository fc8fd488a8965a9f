// Reading options: what a file and a command line may hold, and what each mistake is answered with, to the letter.
#include "config/parse.h"

#include <gtest/gtest.h>

#include "config/values.h"
#include "tests/support/temp_folder.h"

namespace smartbird {
namespace {

using testing::expect_error;
using testing::TempFolder;
using Arguments = std::vector<std::string>;

class ParseTest : public ::testing::Test {
 protected:
  ParsedOptions parse_file(const std::string& text) const {
    return parse_options({"--config", folder_.write("run.ini", text)}, nullptr);
  }
  void expect_file_error(const std::string& text, const std::string& message) const {
    expect_error(ErrorKind::Config, message, [&] { (void)parse_file(text); });
  }
  static void expect_argument_error(const Arguments& arguments, const std::string& message) {
    expect_error(ErrorKind::Config, message, [&] { (void)parse_options(arguments, nullptr); });
  }
  std::string ini(int line) const { return join(folder_.path("run.ini"), ":", line, ": "); }

  TempFolder folder_;
};

TEST_F(ParseTest, DefaultsAreTheDeclaredOnes) {
  ParsedOptions parsed = parse_options({}, nullptr);
  for (const OptionEntry& entry : entries_of(parsed.options)) {
    EXPECT_EQ(entry.text(), entry.default_text) << entry.name;
    EXPECT_EQ(parsed.source[entry.name], "default");
    EXPECT_FALSE(entry.help.empty());
  }
  EXPECT_TRUE(changed_names(parsed.options, default_options()).empty());
}

TEST_F(ParseTest, FileWithCommentsSpacesAndWindowsLines) {
  const auto parsed = parse_file(
      "# first\r\n; second\r\n\r\n  [model]  # third\r\nlayers = 7\t# fourth\r\n\twidth=48\r\n[data]\ntrain = a.txt , "
      "b c.txt@2 \n"
      "valid =\n[run]\ndir = runs/try#2\nallow_change = a,b=c\n");
  EXPECT_EQ(parsed.options.model.layers, 7);
  EXPECT_EQ(parsed.options.model.width, 48);
  EXPECT_EQ(parsed.options.data.train, (Arguments{"a.txt", "b c.txt@2"}));
  EXPECT_TRUE(parsed.options.data.valid.empty());
  EXPECT_EQ(parsed.options.run.dir, "runs/try#2");
  EXPECT_EQ(parsed.options.run.allow_change, (Arguments{"a", "b=c"}));
  EXPECT_EQ(parsed.source.at("model.width"), join(folder_.path("run.ini"), ":6"));
}

TEST_F(ParseTest, CommandLineForms) {
  const auto options = parse_options({"--model.layers", "7", "--run.dir= my run ", "--data.train=", "--data.valid", "",
                                      "--train.beta1=.5"},
                                     nullptr)
                           .options;
  EXPECT_EQ(options.model.layers, 7);
  EXPECT_EQ(options.run.dir, "my run");
  EXPECT_TRUE(options.data.train.empty());
  EXPECT_TRUE(options.data.valid.empty());
  EXPECT_EQ(options.train.beta1, 0.5);
}

TEST_F(ParseTest, ArgumentsOfTheSubcommandAreLeftInOrder) {
  Arguments rest;
  const auto options =
      parse_options({"out", "--model.layers=7", "--count", "3", "--model.laye=2", "last"}, &rest).options;
  EXPECT_EQ(options.model.layers, 7);
  EXPECT_EQ(rest, (Arguments{"out", "--count", "3", "--model.laye=2", "last"}));
}

TEST_F(ParseTest, RepositoryInAValue) {
  const Arguments arguments{"--data.train=${repository}/a,${repository}/b"};
  const std::string folder = repository_folder();
  if (!folder.empty())
    EXPECT_EQ(parse_options(arguments, nullptr).options.data.train, (Arguments{folder + "/a", folder + "/b"}));
  else
    expect_argument_error(arguments,
                          "command line: data.train = ${repository}/a,${repository}/b needs the repository, which is "
                          "not above this binary");
}

TEST_F(ParseTest, UnknownNames) {
  expect_file_error("[model]\nlayers = 2\nlayrs = 3\n",
                    ini(3) + "unknown key 'model.layrs'; did you mean 'model.layers'?");
  expect_file_error("[modell]\nwidth = 2\n", ini(2) + "unknown key 'modell.width'; did you mean 'model.width'?");
  expect_file_error("layers = 2\n", ini(1) + "unknown key 'layers'; did you mean 'model.layers'?");
  expect_file_error("[model]\nlayers#2 = 2\n", ini(2) + "unknown key 'model.layers#2'; did you mean 'model.layers'?");
  expect_argument_error({"--model.layrs=3"},
                        "command line: unknown option '--model.layrs'; did you mean '--model.layers'?");
  expect_argument_error({"--model.layer=3"},
                        "command line: unknown option '--model.layer'; did you mean '--model.layers'?");
  expect_argument_error({"-run.dir"}, "command line: unknown option '-r'; see smartbird options");
  expect_argument_error({"--foo=1"}, "command line: unknown option '--foo'; see smartbird options");
  expect_argument_error({"--sketch.layers=1"},
                        "command line: unknown option '--sketch.layers'; did you mean '--model.layers'?");
  expect_argument_error({"model.layers=3"},
                        "command line: unexpected 'model.layers=3'; options are written --section.key=value");
}

TEST_F(ParseTest, SetTwice) {
  expect_file_error("[model]\nlayers = 2\nwidth = 8\n[model]\nlayers = 3\n",
                    ini(5) + "model.layers is set twice, first at " + join(folder_.path("run.ini"), ":2"));
  expect_argument_error({"--model.layers=2", "--model.layers", "2"}, "command line: --model.layers is given twice");
}

TEST_F(ParseTest, ValuesOfTheWrongType) {
  expect_file_error("[model]\nlayers = four\n", ini(2) + "model.layers = four: expected an integer");
  const std::string at = "command line: ";
  expect_argument_error({"--model.layers=4.5"}, at + "model.layers = 4.5: expected an integer");
  expect_argument_error({"--model.layers=4x"}, at + "model.layers = 4x: expected an integer");
  expect_argument_error({"--model.layers="}, at + "model.layers = : is empty, expected an integer");
  expect_argument_error({"--train.beta1=0,5"}, at + "train.beta1 = 0,5: expected a number");
  expect_argument_error({"--train.clip_norm=nan"}, at + "train.clip_norm = nan: expected a number");
  expect_argument_error({"--train.clip_norm=inf"}, at + "train.clip_norm = inf: expected a number");
  expect_argument_error({"--model.tie_embeddings=maybe"}, at + "model.tie_embeddings = maybe: expected on or off");
  expect_argument_error({"--run.seed=99999999999999999999"},
                        at + "run.seed = 99999999999999999999: beyond the range of a 64-bit integer");
  expect_argument_error({"--train.clip_norm=1e999"},
                        at + "train.clip_norm = 1e999: beyond the range of a 64-bit float");
}

TEST_F(ParseTest, ValuesOutOfRange) {
  const std::string at = "command line: ";
  expect_argument_error({"--model.layers=10001"}, at + "model.layers = 10001: allowed: from 1 to 10000");
  expect_argument_error({"--run.seed", "-1"}, at + "run.seed = -1: allowed: at least 0");
  expect_argument_error({"--train.epsilon=0"}, at + "train.epsilon = 0: allowed: above 0");
  expect_argument_error({"--train.beta2=1"}, at + "train.beta2 = 1: allowed: from 0 to 0.9999999");
  expect_argument_error({"--run.dtype=float16"}, at + "run.dtype = float16: expected float32 | float64");
  expect_argument_error({"--model.causal=ON"}, at + "model.causal = ON: expected auto | on | off");
}

TEST_F(ParseTest, Lists) {
  const std::string at = "command line: ";
  expect_argument_error({"--data.train=a,,b"}, at + "data.train = a,,b: an element of the list is empty");
  expect_argument_error({"--data.train=,"}, at + "data.train = ,: an element of the list is empty");
  expect_argument_error({"--attention.pattern=sparse,dens"},
                        at + "attention.pattern = sparse,dens: expected sparse | dense | window | auto");
  expect_argument_error({"--attention.pattern="},
                        at + "attention.pattern = : is empty, expected sparse | dense | window | auto");
  expect_argument_error({"--model.rotary_base= "}, at + "model.rotary_base =  : is empty, expected a number");
  expect_argument_error({"--model.rotary_base=1,0"}, at + "model.rotary_base = 1,0: allowed: above 0");
  expect_argument_error({"--attention.global_positions=1,a"},
                        at + "attention.global_positions = 1,a: expected an integer");
  EXPECT_EQ(parse_options({"--model.rotary_base=1e4, 160000"}, nullptr).options.model.rotary_base,
            (std::vector<double>{10000, 160000}));
}

TEST_F(ParseTest, ValuesThatNoFileCouldHold) {
  const std::string reason =
      ": a file could not hold this value: a line break, a control character, or '#' at its beginning or after white "
      "space";
  for (const std::string value : {"a #b", "#b", "a\nb",
                                  "a\x1f"
                                  "b"})
    expect_argument_error({"--run.dir=" + value}, "command line: run.dir = " + value + reason);
}

TEST_F(ParseTest, FilesThatCannotBeRead) {
  const std::string missing = folder_.path("missing.ini");
  expect_argument_error({"--config", missing}, "--config " + missing + ": no such file, here or in the repository");
  expect_argument_error({"--config", folder_.path()}, "--config " + folder_.path() + ": is a folder, not a file");
  expect_file_error(std::string("[model]\n\0\x01", 10), ini(2) + "not a text file");
  expect_argument_error({"--config"}, "command line: the required argument for option '--config' is missing");
  expect_file_error("[model]\nlayers 4\n", ini(2) + "'layers 4' is neither [section] nor key = value");
  expect_file_error("[model\nlayers = 4\n", ini(1) + "'[model' is neither [section] nor key = value");
}

TEST_F(ParseTest, AFileWithAByteOrderMarkOrWithNothing) {
  EXPECT_EQ(parse_file("\xEF\xBB\xBF[model]\r\nlayers = 3\r\n").options.model.layers, 3);
  EXPECT_EQ(parse_file("\xEF\xBB\xBF").options.model.layers, 4);
  for (const std::string text : {"", "#", "\n\n"}) EXPECT_EQ(parse_file(text).options.model.layers, 4);
}

TEST_F(ParseTest, AnArgumentThatCannotBeReadHidesNoOther) {
  const std::string at = "command line: ";
  expect_argument_error({"--model.layers", "--train.steps=many", "--foo=", "--run.seed"},
                        at + "the required argument for option '--model.layers' is missing\n" + at +
                            "the argument for option '--foo' should follow immediately after the equal sign\n" + at +
                            "the required argument for option '--run.seed' is missing\n" + at +
                            "train.steps = many: expected an integer");
}

TEST_F(ParseTest, EverythingWrongIsSaidAtOnce) {
  const std::string other = folder_.write("other.ini", "[run]\nseed = -4\n");
  const std::string file = folder_.write("run.ini", "[model]\nlayrs = 4\nwidth = wide\nno pair\n");
  expect_argument_error({"--config", file, "--train.steps=many", "--config", other, "--run.sed=1"},
                        ini(2) + "unknown key 'model.layrs'; did you mean 'model.layers'?\n" + ini(3) +
                            "model.width = wide: expected an integer\n" + ini(4) +
                            "'no pair' is neither [section] nor key = value\n" + other +
                            ":2: run.seed = -4: allowed: at least 0\n" +
                            "command line: train.steps = many: expected an integer\ncommand line: unknown option "
                            "'--run.sed'; did you mean '--run.seed'?");
}

}  // namespace
}  // namespace smartbird
