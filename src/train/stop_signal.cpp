// The flag a signal handler may set.
#include "train/stop_signal.h"

#include <csignal>

namespace smartbird {
namespace {

volatile std::sig_atomic_t requested = 0;  // the one thing a handler may touch
void request_stop(int signal) {
  if (signal == SIGINT) std::signal(SIGINT, SIG_DFL);
  requested = 1;
}

}  // namespace

void catch_stop_signals() {
  std::signal(SIGTERM, request_stop);
  std::signal(SIGUSR1, request_stop);
  std::signal(SIGINT, request_stop);
}

bool stop_requested() { return requested != 0; }

}  // namespace smartbird
