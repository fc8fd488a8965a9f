// Command line and INI files -> options, by Boost.Program_options.
#include "config/parse.h"

#include <unistd.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <cerrno>
#include <climits>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>

#include "config/values.h"
#include "core/error.h"

namespace smartbird {
namespace {

namespace po = boost::program_options;

// A comment begins a line or follows white space, so that a value may hold '#'.
size_t comment_of(const std::string& text) {
  for (size_t at = text.find('#'); at != std::string::npos; at = text.find('#', at + 1))
    if (at == 0 || text[at - 1] == ' ' || text[at - 1] == '\t') return at;
  return std::string::npos;
}

constexpr char kHash = '\x1f';  // stands for a '#' that begins no comment, where Program_options would cut the line

bool holds_control_character(const std::string& text) {
  return std::any_of(text.begin(), text.end(), [](unsigned char c) { return c < ' ' && c != '\t' && c != '\r'; });
}

class Parser {
 public:
  Parser() : entries_(entries_of(parsed_.options)) {
    for (OptionEntry& entry : entries_) {
      entry.set(entry.default_text);
      parsed_.source[entry.name] = "default";
    }
  }

  void read_file(const std::string& name);
  void read_arguments(const std::vector<std::string>& arguments, std::vector<std::string>* rest);
  [[nodiscard]] ParsedOptions finish() {
    for (const auto& [name, wrong] : without_repository_) error(wrong);
    SB_CHECK(errors_.empty(), Config, errors_);
    return parsed_;
  }

 private:
  void error(const std::string& text) {
    if (!errors_.empty()) errors_ += '\n';
    errors_ += text;
  }
  OptionEntry* find(const std::string& name) {
    for (OptionEntry& entry : entries_)
      if (entry.name == name) return &entry;
    return nullptr;
  }
  void set(const std::string& place, const std::string& name, std::string value);
  std::vector<std::string> tokens_of(const std::vector<std::string>& arguments);
  std::vector<po::option> split(std::vector<std::string> tokens);
  void read_line(const std::string& place, const std::string& section, const std::string& line,
                 std::map<std::string, std::string>& seen);

  ParsedOptions parsed_;
  std::vector<OptionEntry> entries_;
  std::string errors_;
  std::map<std::string, std::string> without_repository_;  // by option; a later value of it does away with the error
};

void Parser::set(const std::string& place, const std::string& name, std::string value) {
  OptionEntry* entry = find(name);
  if (entry == nullptr) return error(join(place, ": unknown key '", name, "'", advice(name, entries_)));
  const std::string variable = "${repository}";
  without_repository_.erase(name);
  for (size_t at = value.find(variable); at != std::string::npos; at = value.find(variable)) {
    if (repository_folder().empty()) {
      without_repository_[name] =
          join(place, ": ", name, " = ", value, " needs the repository, which is not above this binary; set another");
      return;
    }
    value.replace(at, variable.size(), repository_folder());
  }
  if (holds_control_character(value) || comment_of(value) != std::string::npos)
    return error(join(place, ": ", name, " = ", value,
                      ": a file could not hold this value: a line break, a control character, or '#' at its beginning "
                      "or after white space"));
  const std::string wrong = entry->set(value);
  if (!wrong.empty()) return error(join(place, ": ", name, " = ", value, ": ", wrong));
  parsed_.source[name] = place;
}

// The INI reader of Program_options drops line numbers, so lines go to it one at a time, below their section.
void Parser::read_line(const std::string& place, const std::string& section, const std::string& line,
                       std::map<std::string, std::string>& seen) {
  std::string hidden = line;
  std::replace(hidden.begin(), hidden.end(), '#', kHash);
  std::istringstream one(section + "\n" + hidden + "\n");
  try {
    const po::options_description nothing;
    for (const auto& option : po::parse_config_file(one, nothing, true).options) {
      std::string name = option.string_key, value = option.value.empty() ? "" : option.value[0];
      std::replace(name.begin(), name.end(), kHash, '#');
      std::replace(value.begin(), value.end(), kHash, '#');
      if (const auto [it, fresh] = seen.emplace(name, place); fresh)
        set(place, name, value);
      else
        error(join(place, ": ", name, " is set twice, first at ", it->second));
    }
  } catch (const po::error&) {
    error(join(place, ": '", line, "' is neither [section] nor key = value"));
  }
}

void Parser::read_file(const std::string& name) {
  std::filesystem::path path = name;
  if (!std::filesystem::exists(path) && path.is_relative() && !repository_folder().empty())
    path = repository_folder() / path;
  if (!std::filesystem::exists(path))
    return error(join("--config ", name, ": no such file, here or in the repository"));
  if (std::filesystem::is_directory(path)) return error(join("--config ", name, ": is a folder, not a file"));
  std::ifstream in(path, std::ios::binary);
  if (!in) return error(join("--config ", name, ": cannot be opened: ", std::strerror(errno)));
  constexpr const char* kByteOrderMark = "\xEF\xBB\xBF";  // Windows editors begin a file with it
  std::string mark(3, '\0'), line, section;
  in.read(mark.data(), 3);
  if (mark != kByteOrderMark) in.clear(), in.seekg(0);
  std::map<std::string, std::string> seen;  // where each key was set
  for (int number = 1; std::getline(in, line); ++number) {
    if (holds_control_character(line)) return error(join(name, ":", number, ": not a text file"));
    line.resize(std::min(comment_of(line), line.size()));
    const size_t begin = line.find_first_not_of(" \t\r"), end = line.find_last_not_of(" \t\r");
    if (begin == std::string::npos || line[begin] == ';') continue;
    line = line.substr(begin, end - begin + 1);
    if (line.front() != '[')
      read_line(join(name, ":", number), section, line, seen);
    else if (section = line; line.back() != ']') {
      error(join(name, ":", number, ": '", line, "' is neither [section] nor key = value"));
      section += ']';  // what was meant, so that the keys below it are checked
    }
  }
}

// Program_options stops at the first argument it cannot read: that one is reported and left out, the others are read.
std::vector<po::option> Parser::split(std::vector<std::string> tokens) {
  po::options_description described;
  described.add_options()("config", po::value<std::vector<std::string>>());
  for (const OptionEntry& entry : entries_)
    described.add_options()(entry.name.c_str(), po::value<std::vector<std::string>>());
  const int style = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
  for (;;) {
    std::string name;
    try {
      return po::command_line_parser(tokens).options(described).style(style).allow_unregistered().run().options;
    } catch (const po::error_with_option_name& e) {
      error(join("command line: ", e.what()));
      name = e.get_option_name();
    } catch (const po::error& e) {
      error(join("command line: ", e.what()));
    }
    const auto wrong = std::find_if(tokens.begin(), tokens.end(), [&](const std::string& token) {
      return !name.empty() && (token == name || token == name + "=");
    });
    if (wrong == tokens.end()) return {};
    tokens.erase(wrong);
  }
}

std::vector<std::string> Parser::tokens_of(const std::vector<std::string>& arguments) {
  std::vector<std::string> tokens;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    const bool named = argument.starts_with("--") && find(argument.substr(2)) != nullptr;
    if (named && i + 1 < arguments.size() && arguments[i + 1].starts_with("--")) {  // not a value, the next option
      error(join("command line: the required argument for option '", argument, "' is missing"));
      continue;
    }
    // Program_options takes an empty value only as a token of its own.
    const bool empty_value = argument.size() > 3 && argument.find('=') == argument.size() - 1 &&
                             find(argument.substr(2, argument.size() - 3)) != nullptr;
    tokens.push_back(empty_value ? argument.substr(0, argument.size() - 1) : argument);
    if (empty_value) tokens.emplace_back();
  }
  return tokens;
}

void Parser::read_arguments(const std::vector<std::string>& arguments, std::vector<std::string>* rest) {
  const std::vector<po::option> options = split(tokens_of(arguments));
  for (const auto& option : options)
    if (option.string_key == "config")
      for (const std::string& file : option.value) read_file(file);
  std::set<std::string> seen;
  for (const auto& option : options) {
    const std::string& key = option.string_key;
    if (key == "config") continue;
    if (rest != nullptr && (key.empty() || option.unregistered))
      rest->insert(rest->end(), option.original_tokens.begin(), option.original_tokens.end());
    else if (key.empty())
      error(join("command line: unexpected '", option.original_tokens.empty() ? "" : option.original_tokens[0],
                 "'; options are written --section.key=value"));
    else if (option.unregistered)
      error(join("command line: unknown option '", key[0] == '-' ? "" : "--", key, "'", advice(key, entries_, "--")));
    else if (!seen.insert(key).second)
      error(join("command line: --", key, " is given twice"));
    else
      set("command line", key, option.value.empty() ? "" : option.value[0]);
  }
}

std::string section_of(const std::string& name) { return name.substr(0, name.find('.')); }

}  // namespace

Options default_options() { return parse_options({}, nullptr).options; }

ParsedOptions parse_options(const std::vector<std::string>& args, std::vector<std::string>* rest) {
  Parser parser;
  parser.read_arguments(args, rest);
  return parser.finish();
}

std::string dump_ini(const ParsedOptions& parsed) {
  ParsedOptions copy = parsed;
  std::string out = "# resolved configuration; each value with where it came from\n", section;
  for (const OptionEntry& entry : entries_of(copy.options)) {
    if (section_of(entry.name) != section) out += join("\n[", section = section_of(entry.name), "]\n");
    out += join("# ", copy.source[entry.name], "\n", entry.name.substr(section.size() + 1), " = ", entry.text(), "\n");
  }
  return out;
}

std::string markdown_table() {
  Options options;
  std::string out, section;
  for (const OptionEntry& entry : entries_of(options)) {
    if (section_of(entry.name) != section)
      out += join(section.empty() ? "" : "\n", "**", section = section_of(entry.name),
                  "**\n\n| option | default | allowed | meaning |\n|---|---|---|---|\n");
    std::string allowed = describe(entry.rule);
    for (size_t at = 0; (at = allowed.find(" | ", at)) != std::string::npos; at += 2) allowed.replace(at, 3, ", ");
    std::string help = entry.help;
    for (size_t at = 0; (at = help.find('|', at)) != std::string::npos; at += 2) help.replace(at, 1, "\\|");
    out += join("| `", entry.name, "` | ", entry.default_text.empty() ? "" : "`" + entry.default_text + "`", " | ",
                allowed.empty() ? entry.type : allowed, " | ", help, " |\n");
  }
  return out;
}

std::string help_text() {
  Options options;
  std::string out =
                  "--config FILE                          INI file, repeatable; later files and the command line win\n",
              section;
  for (const OptionEntry& entry : entries_of(options)) {
    if (section_of(entry.name) != section) out += join("\n[", section = section_of(entry.name), "]\n");
    std::string left = join("--", entry.name, "=", entry.default_text);
    left.resize(std::max<size_t>(left.size() + 1, 39), ' ');
    out += left + entry.help + (describe(entry.rule).empty() ? "" : " (" + describe(entry.rule) + ")") + "\n";
  }
  return out;
}

std::vector<std::string> changed_names(const Options& a, const Options& b) {
  Options x = a, y = b;
  const auto left = entries_of(x), right = entries_of(y);
  std::vector<std::string> out;
  for (size_t i = 0; i < left.size(); ++i)
    if (left[i].text() != right[i].text()) out.push_back(left[i].name);
  return out;
}

std::string repository_folder() {
  char buffer[PATH_MAX];
  const ssize_t length = readlink("/proc/self/exe", buffer, sizeof buffer);
  if (length <= 0) return "";
  for (std::filesystem::path folder =
           std::filesystem::path(std::string(buffer, static_cast<size_t>(length))).parent_path();
       folder.has_relative_path(); folder = folder.parent_path())
    if (std::filesystem::exists(folder / "CMakeLists.txt") && std::filesystem::exists(folder / "configs"))
      return folder.string();
  return "";
}

}  // namespace smartbird
