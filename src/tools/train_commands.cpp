// pretrain, finetune, evaluate: from arguments to a run.
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "comm/checked_comm.h"
#include "comm/host_place.h"
#include "comm/nccl_groups.h"
#include "config/inherit.h"
#include "config/rules.h"
#include "core/error.h"
#include "ops/open_gpu.h"
#include "tools/commands.h"
#include "tools/data_generate.h"
#include "train/agree.h"
#include "train/checkpoint.h"
#include "train/setup.h"
#include "train/trainer.h"

namespace smartbird {
namespace {

// While the host is stuck in an exchange nobody can catch an error: the launcher ends the other ranks.
void end_stuck_process(const std::string& text) {
  std::fprintf(stderr, "smartbird: %s\n", text.c_str());
  std::_Exit(exit_code(ErrorKind::Comm));
}

// The device of this rank. Before the groups, which carry that device's memory. Collective.
at::Device device_of(Communicator& everyone, const Options& o) {
  if (o.run.device == "cpu") return at::kCPU;
  return open_gpu(place_on_host(everyone));
}

DeviceGroup tensor_groups(const Options& o) {
  const bool gpu = o.run.device == "cuda";
  if (transport_of(o) == "mpi") return gpu ? through_host() : DeviceGroup();
  const DeviceGroup nccl =
      over_nccl({.timeout_s = o.parallel.nccl_timeout_s, .last_resort = end_stuck_process, .host_tensors = !gpu});
  if (!o.run.check_comm) return nccl;
  return [nccl](std::unique_ptr<Communicator> host) {
    std::unique_ptr<Communicator> compares = host->split(0, host->rank());
    return std::make_unique<CheckedComm>(nccl(std::move(host)), std::move(compares));
  };
}

World world_of(std::unique_ptr<Communicator> everyone, const Options& o) {
  if (o.run.check_comm) everyone = std::make_unique<CheckedComm>(std::move(everyone));
  return World(std::move(everyone), static_cast<int>(o.parallel.sequence_ranks), tensor_groups(o));
}

bool wants_help(const Arguments& arguments) {
  return std::find(arguments.begin(), arguments.end(), "--help") != arguments.end();
}

// The command as a shell reads it.
std::string joined(const char* subcommand, const Arguments& arguments) {
  std::string out = std::string("smartbird ") + subcommand;
  for (const std::string& argument : arguments) {
    std::string quoted = " '";
    for (char c : argument) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
    const bool plain = argument.find_first_of(" \t\n'\"\\$`&|;<>()*?[]{}~#!") == std::string::npos;
    out += plain && !argument.empty() ? " " + argument : quoted + "'";
  }
  return out;
}

// Chosen by rank 0 for all. Collective.
std::string chosen_checkpoint(Communicator& everyone, const std::string& key, const std::string& name) {
  SB_CHECK(!name.empty(), Config, key, " is empty; give --", key, "=DIR (a run or checkpoint folder)");
  return chosen_by_root(everyone, [&] {
    std::vector<std::string> warnings;
    const std::string folder = find_checkpoint(name, warnings);
    for (const std::string& warning : warnings) std::fprintf(stderr, "warning: %s\n", warning.c_str());
    SB_CHECK(!folder.empty(), Data, key, " = ", name, ": no complete checkpoint there");
    return folder;
  });
}

// An evaluation may change data, attention and ranks, not what the weights mean.
void refuse_other_model(const Options& before, const Options& now, const std::string& folder) {
  std::string changed;
  for (const std::string& name : changed_names(before, now))
    if (name.starts_with("model.") || name == "data.task" || name == "sketch.location" || name == "sketch.every" ||
        name == "sketch.width" || name == "sketch.inner_width" || name == "sketch.convolution")
      changed += (changed.empty() ? "" : ", ") + name;
  SB_CHECK(changed.empty(), Config, "evaluate: ", changed, " differ from the checkpoint ", folder,
           ", whose weights were trained with them; leave them out");
}

}  // namespace

int train_command(std::unique_ptr<Communicator> everyone, const Arguments& arguments, bool finetune) {
  if (wants_help(arguments)) {
    if (everyone->rank() == 0)
      std::printf("smartbird %s --config FILE [--section.key=value ...]\n\n%s", finetune ? "finetune" : "pretrain",
                  help_text().c_str());
    return 0;
  }
  ParsedOptions parsed = parse_options(arguments, nullptr);
  if (finetune) {
    const std::string folder = chosen_checkpoint(*everyone, "init.checkpoint", parsed.options.init.checkpoint);
    const AttentionOptions given = parsed.options.attention;
    inherit_sections(parsed, parse_options({"--config", folder + "/config.ini"}, nullptr).options,
                     {"model", "sketch", "attention"}, folder);
    // Warm-ups were that run's beginning.
    parsed.options.attention.share_warmup_steps = given.share_warmup_steps;
    parsed.options.attention.warmup_steps = given.warmup_steps;
    parsed.options.attention.warmup_picks = given.warmup_picks;
  } else {
    SB_CHECK(parsed.options.init.checkpoint.empty(), Config,
             "pretrain: init.checkpoint = ", parsed.options.init.checkpoint,
             "; use finetune to start from a checkpoint, or --run.resume to go on with a run");
  }
  check_rules(parsed.options, everyone->size());
  check_agreement(*everyone, "configuration", dump_ini(parsed));
  const at::Device device = device_of(*everyone, parsed.options);
  const World world = world_of(std::move(everyone), parsed.options);
  const RunStart start{.kind = finetune ? RunKind::Finetune : RunKind::Pretrain,
                       .command_line = joined(finetune ? "finetune" : "pretrain", arguments),
                       .resume_from = checkpoint_to_resume(world, parsed)};
  if (!parsed.options.data.generate.empty()) {
    if (world.is_root()) generate_on_first_use(parsed.options.data);
    world.everyone().barrier();
  }
  return train(world, std::move(parsed), start, device);
}

int evaluate_command(std::unique_ptr<Communicator> everyone, const Arguments& arguments) {
  if (wants_help(arguments)) {
    if (everyone->rank() == 0)
      std::printf(
          "smartbird evaluate --checkpoint=DIR [--data.test=PATH] [--section.key=value ...]\n\n"
          "Prints loss, accuracy and bits per byte of a checkpoint on data.test, else data.valid; the checkpoint "
          "brings\n"
          "its configuration, and options of data, attention, eval, exchange, parallel, memory and run may "
          "differ.\n\n%s",
          help_text().c_str());
    return 0;
  }
  Arguments rest;
  std::string name;
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i].rfind("--checkpoint=", 0) == 0)
      name = arguments[i].substr(13);
    else if (arguments[i] == "--checkpoint" && i + 1 < arguments.size())
      name = arguments[++i];
    else
      rest.push_back(arguments[i]);
  }
  const std::string folder = chosen_checkpoint(*everyone, "checkpoint", name);
  Arguments all{"--config", folder + "/config.ini"};
  all.insert(all.end(), rest.begin(), rest.end());
  ParsedOptions parsed = parse_options(all, nullptr);
  refuse_other_model(parse_options({"--config", folder + "/config.ini"}, nullptr).options, parsed.options, folder);
  // How ranks share the work is of the machine, not of the checkpoint.
  if (parsed.source["parallel.sequence_ranks"] != "command line") parsed.options.parallel.sequence_ranks = 0;
  if (parsed.source["parallel.transport"] != "command line") parsed.options.parallel.transport = "auto";
  if (parsed.source["run.device"] != "command line") parsed.options.run.device = "cpu";
  check_rules(parsed.options, everyone->size());
  check_agreement(*everyone, "configuration", dump_ini(parsed));
  const at::Device device = device_of(*everyone, parsed.options);
  const World world = world_of(std::move(everyone), parsed.options);
  return evaluate_checkpoint(world, folder, parsed, device);
}

}  // namespace smartbird
