// The life of a training run: data, model, resume, the loop of steps with evaluation and checkpoints, the end.
#pragma once

#include <string>

#include "comm/world.h"
#include "config/parse.h"

namespace smartbird {

enum class RunKind { Pretrain, Finetune };

// Returns the exit code: 0, or kExitResumable when a signal (SIGTERM, SIGUSR1) stopped the run after a checkpoint.
[[nodiscard]] int train(const World& world, ParsedOptions options, RunKind kind, const std::string& command_line);

// Evaluates a checkpoint on data.test, else data.valid, and prints the values. `options` hold the checkpoint's
// configuration with the user's changes.
[[nodiscard]] int evaluate_checkpoint(const World& world, const std::string& folder, const ParsedOptions& options);

}  // namespace smartbird
