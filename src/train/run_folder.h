// What every run folder holds beside metrics and checkpoints: config.ini (resolved), command.txt (one line per start of
// this run), env.txt (variables of an allow-list, never secrets), build.txt. Errors: ErrorKind::Io, Config.
#pragma once

#include <string>

namespace smartbird {

// That the folder is there or can be made, and can be written to; changes nothing.
void check_run_folder(const std::string& dir);
// Creates the folder if need be. Called by one rank only.
void prepare_run_folder(const std::string& dir, const std::string& config_ini, const std::string& command_line);

}  // namespace smartbird
