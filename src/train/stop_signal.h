// SIGTERM and SIGUSR1 ask a run to finish its step, save and end. The handler only sets a flag.
#pragma once

namespace smartbird {

void catch_stop_signals();
[[nodiscard]] bool stop_requested();

}  // namespace smartbird
