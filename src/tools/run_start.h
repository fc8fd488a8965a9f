// How the commands that run a model begin: who takes part on which device, and which checkpoint is meant.
#pragma once

#include <c10/core/Device.h>

#include <string>

#include "comm/world.h"
#include "config/options.h"
#include "tools/commands.h"

namespace smartbird {

// The device of this rank. Before the groups, which carry that device's memory. Collective.
[[nodiscard]] at::Device device_of(Communicator& everyone, const Options& options);
[[nodiscard]] World world_of(std::unique_ptr<Communicator> everyone, const Options& options);
[[nodiscard]] bool wants_help(const Arguments& arguments);
// The folder of the newest complete checkpoint under `name`, after warnings of what was passed over; key: the option, for
// errors (ErrorKind::Data).
[[nodiscard]] std::string found_checkpoint(const std::string& key, const std::string& name);
// The same, found by rank 0 for all, with a warning where it is of an older program; an empty name, or options that are not of this
// program, are ErrorKind::Config. Collective.
[[nodiscard]] std::string chosen_checkpoint(Communicator& everyone, const std::string& key, const std::string& name);

}  // namespace smartbird
