// Options from defaults, configuration files and the command line, and back to text.
// Precedence, lowest first: default, `--config a.ini --config b.ini` in order, `--section.name=value`. The dotted name
// is the same in a file (section [model], key layers) and on the command line. `${repository}` in a value is the folder
// of the repository. Everything that is wrong is reported in one Error(Config), one line each, with place, key, value
// and what is expected. A dump parses back to equal options.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "config/options.h"

namespace smartbird {

struct ParsedOptions {
  Options options;
  std::map<std::string, std::string> source;  // of every option: "default" | "configs/tiny.ini:12" | "command line"
};

[[nodiscard]] Options default_options();

// With `rest`, arguments that are neither `--config` nor `--section.name` are put there in order (an unknown
// `--name value` gives two); without, they are errors. Abbreviated names are unknown names.
[[nodiscard]] ParsedOptions parse_options(const std::vector<std::string>& args, std::vector<std::string>* rest);

// An INI file of all options; the line above each says where its value comes from.
[[nodiscard]] std::string dump_ini(const ParsedOptions& parsed);

// The option reference: one Markdown table a section (name, default, allowed, meaning), and plain text for --help.
[[nodiscard]] std::string markdown_table();
[[nodiscard]] std::string help_text();

// Names of the options whose values differ, in order of declaration.
[[nodiscard]] std::vector<std::string> changed_names(const Options& a, const Options& b);

// Folder above this program that holds CMakeLists.txt and configs/; empty if there is none.
[[nodiscard]] std::string repository_folder();

}  // namespace smartbird
