// SIGTERM, SIGUSR1 and Ctrl-C ask a run to finish its step, save and end. The handler sets a flag; a second Ctrl-C ends
// the process as if nothing were caught.
#pragma once

namespace smartbird {

void catch_stop_signals();
[[nodiscard]] bool stop_requested();

}  // namespace smartbird
