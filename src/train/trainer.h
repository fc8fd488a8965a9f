// The life of a training run: data, model, resume, the loop of steps with evaluation and checkpoints, the end.
#pragma once

#include <c10/core/Device.h>

#include <string>

#include "comm/world.h"
#include "config/parse.h"

namespace smartbird {

enum class RunKind { Pretrain, Finetune };

struct RunStart {
  RunKind kind = RunKind::Pretrain;
  std::string command_line;
  std::string resume_from;  // a checkpoint folder; empty: from the beginning
};

// Returns the exit code: 0, or kExitResumable when a signal (SIGTERM, SIGUSR1, SIGINT) stopped the run after a checkpoint.
// A finished run that is resumed says so and changes nothing. device: where weights and activations lie.
[[nodiscard]] int train(const World& world, ParsedOptions options, const RunStart& start, at::Device device);

}  // namespace smartbird
