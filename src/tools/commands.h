// The subcommands that run around training. Each takes its own arguments (without the subcommand's name) and returns the
// exit code; errors are thrown.
#pragma once

#include <string>
#include <vector>

#include "comm/world.h"

namespace smartbird {

using Arguments = std::vector<std::string>;

int train_command(std::unique_ptr<Communicator> everyone, const Arguments& arguments, bool finetune);
int evaluate_command(std::unique_ptr<Communicator> everyone, const Arguments& arguments);
int generate_command(const Communicator& everyone, const Arguments& arguments);
int checkpoint_command(const Communicator& everyone, const Arguments& arguments);
int bench_command(const Communicator& everyone, const Arguments& arguments);
int plan_command(const Communicator& everyone, const Arguments& arguments);
int simulate_command(const Communicator& everyone, const Arguments& arguments);
int options_command(const Communicator& everyone, const Arguments& arguments);

}  // namespace smartbird
