// Laws of the configuration: a dump parses back to equal options, and a later source always wins.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <random>

#include "config/parse.h"
#include "config/values.h"
#include "tests/support/temp_folder.h"

namespace smartbird {
namespace {

using testing::TempFolder;

// Every value without loss: doubles by their bits, texts and lists by their lengths.
struct Exact {
  std::vector<std::string> out;
  static std::string of(const std::string& value) { return join(value.size(), ":", value); }
  static std::string of(bool value) { return value ? "true" : "false"; }
  static std::string of(int64_t value) { return std::to_string(value); }
  static std::string of(double value) { return join("0x", std::hex, std::bit_cast<uint64_t>(value)); }
  template <class T>
  static std::string of(const std::vector<T>& values) {
    std::string text = join(values.size(), " values");
    for (const T& value : values) text += " " + of(value);
    return text;
  }
  template <class T, class Default>
  void operator()(const char* name, T& field, const Default&, const Rule&, const char*) {
    out.push_back(join(name, " = ", of(field)));
  }
};

std::vector<std::string> exact(Options options) {
  Exact values;
  options.visit(values);
  return values.out;
}

// Text of a random value that the rule allows; extremes come often.
class RandomValue {
 public:
  explicit RandomValue(unsigned seed) : random_(seed) {}

  std::string of(const OptionEntry& entry) {
    if (!entry.rule.choices.empty()) return pick(entry.rule.choices);
    if (entry.type == "on or off") return pick({"on", "off", "true", "false", "yes", "no", "1", "0"});
    if (entry.type == "an integer") return integer(entry.rule);
    return entry.type == "a number" ? number(entry.rule) : text();
  }
  int64_t below(int64_t n) { return std::uniform_int_distribution<int64_t>(0, n - 1)(random_); }

 private:
  std::string pick(const std::vector<std::string>& from) {
    return from[static_cast<size_t>(below(static_cast<int64_t>(from.size())))];
  }

  std::string integer(const Rule& rule) {
    constexpr int64_t kLargest = std::numeric_limits<int64_t>::max();
    const int64_t low = std::isfinite(rule.low) ? static_cast<int64_t>(rule.low) : -kLargest - 1;
    const int64_t high = std::isfinite(rule.high) ? static_cast<int64_t>(rule.high) : kLargest;
    if (below(4) == 0) return std::to_string(below(2) == 0 ? low : high);
    return std::to_string(std::uniform_int_distribution<int64_t>(low, high)(random_));
  }
  std::string number(const Rule& rule) {
    for (;;) {  // any bits that are a finite number inside the rule, or a share of its range
      double x = std::bit_cast<double>(std::uniform_int_distribution<uint64_t>()(random_));
      if (below(2) == 0 && std::isfinite(rule.high))
        x = rule.low + (rule.high - rule.low) * std::uniform_real_distribution<double>()(random_);
      if (below(8) == 0) x = rule.low;
      if (!std::isfinite(x) || x < rule.low || x > rule.high || (rule.above_low && x <= rule.low)) continue;
      char buffer[64];
      std::snprintf(buffer, sizeof buffer, "%.17g", x);
      return buffer;
    }
  }
  std::string text() {
    static const std::string kLetters = "abcXYZ019 ./-_=:;#[]{}$%\"'\\,@*?\xc3\xa9";
    std::string out = "x";
    for (int64_t i = below(12); i > 0; --i) {
      const char next = kLetters[static_cast<size_t>(below(static_cast<int64_t>(kLetters.size())))];
      const bool comment = next == '#' && out.back() == ' ',
                 empty_element = next == ',' && (out.back() == ',' || out.back() == ' ');
      if (!comment && !empty_element) out += next;
    }
    return out + "x";
  }

  std::mt19937_64 random_;
};

// Several values with commas between where the option is a list (a list takes what one value with a comma cannot be).
std::string random_text(const OptionEntry& entry, RandomValue& random) {
  std::string value = random.of(entry);
  for (int64_t more = random.below(4); more > 0; --more) {
    const std::string longer = value + (more % 2 == 0 ? "," : " , ") + random.of(entry);
    if (entry.set(longer).empty()) value = longer;
  }
  return value;
}

TEST(ConfigurationLaw, DumpOfRandomOptionsParsesBackExactly) {
  const TempFolder folder;
  for (unsigned seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE(seed);
    RandomValue random(seed);
    ParsedOptions first = parse_options({}, nullptr);
    for (OptionEntry& entry : entries_of(first.options)) {
      const std::string value = random_text(entry, random);
      ASSERT_EQ(entry.set(value), "") << entry.name << " = " << value;
    }
    const ParsedOptions second = parse_options({"--config", folder.write("dump.ini", dump_ini(first))}, nullptr);
    ASSERT_EQ(exact(second.options), exact(first.options));
    EXPECT_TRUE(changed_names(first.options, second.options).empty());
  }
}

TEST(ConfigurationLaw, CommandLineTakesWhatADumpHolds) {
  for (unsigned seed = 0; seed < 50; ++seed) {
    SCOPED_TRACE(seed);
    RandomValue random(seed);
    ParsedOptions first = parse_options({}, nullptr);
    std::vector<std::string> arguments;
    for (OptionEntry& entry : entries_of(first.options)) {
      ASSERT_EQ(entry.set(random_text(entry, random)), "");
      arguments.push_back("--" + entry.name + "=" + entry.text());
    }
    EXPECT_EQ(exact(parse_options(arguments, nullptr).options), exact(first.options));
  }
}

// Each option is set by a random subset of two files and the command line: the last of them that sets it wins, and
// names itself as the source.
TEST(ConfigurationLaw, DefaultThenFilesInOrderThenCommandLine) {
  const TempFolder folder;
  for (unsigned seed = 0; seed < 30; ++seed) {
    SCOPED_TRACE(seed);
    RandomValue random(1000 + seed);
    ParsedOptions expected = parse_options({}, nullptr);
    std::string files[2];
    int lines[2] = {0, 0};
    const std::string names[2] = {folder.path("a.ini"), folder.path("b.ini")};
    std::vector<std::string> arguments{"--config=" + names[0], "--config=" + names[1]};
    for (OptionEntry& entry : entries_of(expected.options)) {
      for (int layer = 0; layer < 3; ++layer) {
        if (random.below(2) == 0) continue;
        ASSERT_EQ(entry.set(random.of(entry)), "");
        expected.source[entry.name] = "command line";
        if (layer == 2) {
          arguments.insert(arguments.begin() + random.below(3), "--" + entry.name + "=" + entry.text());
          continue;
        }
        files[layer] += entry.name + "=" + entry.text() + "\n";
        expected.source[entry.name] = join(names[layer], ":", ++lines[layer]);
      }
    }
    folder.write("a.ini", files[0]), folder.write("b.ini", files[1]);
    const ParsedOptions parsed = parse_options(arguments, nullptr);
    ASSERT_EQ(exact(parsed.options), exact(expected.options));
    EXPECT_EQ(parsed.source, expected.source);
  }
}

}  // namespace
}  // namespace smartbird
