// A training run that goes on while the test looks at it, sends it signals, or kills one of its ranks.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/temp_folder.h"

namespace smartbird::testing {

// True as soon as `holds` does; false after the deadline.
inline bool wait_until(const std::function<bool()>& holds, std::chrono::seconds deadline = std::chrono::seconds(60)) {
  for (const auto end = std::chrono::steady_clock::now() + deadline; std::chrono::steady_clock::now() < end;) {
    if (holds()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return false;
}

inline std::vector<pid_t> children_of(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/task/" + std::to_string(pid) + "/children");
  std::vector<pid_t> out;
  for (pid_t child = 0; in >> child;) out.push_back(child);
  return out;
}

// launch/run.sh -n ranks arguments, with the binary under test; its output goes to `log`.
class BackgroundRun {
 public:
  BackgroundRun(int ranks, const std::string& arguments, std::string log) : log_(std::move(log)) {
    const std::string command =
        "exec bash " SMARTBIRD_SOURCE_DIR "/launch/run.sh -n " + std::to_string(ranks) + " " + arguments;
    pid_ = fork();
    if (pid_ != 0) return;
    const int out = open(log_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    dup2(out, STDOUT_FILENO), dup2(out, STDERR_FILENO);
    setenv("SMARTBIRD_BINARY", SMARTBIRD_BINARY, 1), setenv("OMP_NUM_THREADS", "1", 1);
    execl("/bin/bash", "bash", "-c", command.c_str(), nullptr);
    _exit(127);
  }
  ~BackgroundRun() {
    if (pid_ <= 0) return;
    for (pid_t launcher : children_of(pid_)) kill(launcher, SIGKILL);
    kill(pid_, SIGKILL), waitpid(pid_, nullptr, 0);
  }
  BackgroundRun(const BackgroundRun&) = delete;
  BackgroundRun& operator=(const BackgroundRun&) = delete;

  void signal(int number) const { kill(pid_, number); }
  // The processes of the ranks, in no order; empty before they are there.
  [[nodiscard]] std::vector<pid_t> ranks() const {
    const std::vector<pid_t> launcher = children_of(pid_);
    return launcher.empty() ? launcher : children_of(launcher[0]);
  }
  // The exit code; a run that does not end within a minute fails the test.
  int wait() {
    int status = -1;
    const bool ended = wait_until([&] { return waitpid(pid_, &status, WNOHANG) == pid_; });
    EXPECT_TRUE(ended) << output();
    if (!ended) return -1;
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  [[nodiscard]] std::string output() const { return read_bytes(log_); }

 private:
  std::string log_;
  pid_t pid_ = -1;
};

}  // namespace smartbird::testing
