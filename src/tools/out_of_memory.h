// How the program ends where memory is missing: one sentence that says what to lower, and exit code 5, from whatever
// thread finds out.
#pragma once

#include <exception>
#include <string>

#include "comm/session.h"

namespace smartbird {

// The sentence for a subcommand.
[[nodiscard]] std::string out_of_memory_text(const std::string& command);

// Also for what LibTorch throws, which has no type for it.
[[nodiscard]] bool is_out_of_memory(const std::exception& e);

// From now on, what cannot be allocated throws std::bad_alloc in the thread that called this; on other threads and
// inside parallel regions, which no exception may leave, it prints the sentence and ends all ranks. Call it once, and
// keep the session.
void end_where_memory_is_missing(const Session& session, const std::string& command);

}  // namespace smartbird
