// What every run folder holds beside metrics and checkpoints: config.ini (resolved), command.txt (one line per start of
// this run), env.txt (variables of an allow-list, never secrets), build.txt. Errors: ErrorKind::Io, Config.
#pragma once

#include <memory>
#include <string>

namespace smartbird {

// That the folder is there or can be made, and can be written to; changes nothing.
void check_run_folder(const std::string& dir);
// Holds RUN/lock as long as it lives, so that no second run writes into the folder.
class RunLock {
 public:
  explicit RunLock(const std::string& dir);
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

 private:
  int file_ = -1;
};

// Creates the folder if need be. Called by one rank only.
[[nodiscard]] std::unique_ptr<RunLock> prepare_run_folder(const std::string& dir, const std::string& config_ini,
                                                          const std::string& command_line);

}  // namespace smartbird
