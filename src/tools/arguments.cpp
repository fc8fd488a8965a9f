// Arguments by Boost.Program_options.
#include "tools/arguments.h"

#include "core/error.h"

namespace smartbird {

namespace po = boost::program_options;

namespace {

// Program_options takes no text for a yes.
bool is_switch(const po::options_description& described, const std::string& name) {
  return dynamic_cast<const po::typed_value<bool>*>(described.find(name, false).semantic().get()) != nullptr;
}

}  // namespace

bool parse_arguments(const std::string& command, po::options_description& described,
                     const std::vector<std::string>& arguments, const char* positional) {
  described.add_options()("help", "this text");
  std::vector<std::string> tokens;
  for (const std::string& argument : arguments) {  // Program_options takes an empty value only as a token of its own
    const bool empty_value = argument.starts_with("--") && argument.find('=') == argument.size() - 1;
    tokens.push_back(empty_value ? argument.substr(0, argument.size() - 1) : argument);
    if (empty_value) tokens.emplace_back();
  }
  const int style = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
  try {
    auto parsed = po::command_line_parser(tokens).options(described).style(style).run();
    for (auto& option : parsed.options) {
      if (!option.string_key.empty()) {
        const bool empty = option.value.size() == 1 && option.value[0].empty();
        SB_CHECK(!empty || !is_switch(described, option.string_key), Config, command, ": --", option.string_key,
                 "= is neither on nor off; see smartbird ", command, " --help");
        continue;
      }
      SB_CHECK(positional != nullptr, Config, command, ": unexpected '", option.value[0],
               "'; a value with spaces needs quotes; see smartbird ", command, " --help");
      option.string_key = positional;
      positional = nullptr;
    }
    po::variables_map values;
    po::store(parsed, values);
    po::notify(values);
    return values.contains("help");
  } catch (const po::error& e) {
    fail(ErrorKind::Config, command, ": ", e.what(), "; see smartbird ", command, " --help");
  }
}

}  // namespace smartbird
