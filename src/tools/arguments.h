// Arguments of the commands that do not train: --name=value or --name value, nothing abbreviated, nothing left over.
// Errors: ErrorKind::Config, "COMMAND: what is wrong; see smartbird COMMAND --help".
#pragma once

#include <boost/program_options.hpp>
#include <string>
#include <vector>

namespace smartbird {

// Fills what `described` (which gets --help) is bound to; one argument without a name goes to `positional`, if given.
// True when only help was wanted: the caller prints `described`.
[[nodiscard]] bool parse_arguments(const std::string& command, boost::program_options::options_description& described,
                                   const std::vector<std::string>& arguments, const char* positional = nullptr);

template <class T>
boost::program_options::typed_value<T>* value_of(T& field) {
  return boost::program_options::value(&field)->default_value(field);
}

}  // namespace smartbird
