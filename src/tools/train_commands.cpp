// pretrain, finetune: from arguments to a run.
#include <cstdio>

#include "config/inherit.h"
#include "config/rules.h"
#include "core/error.h"
#include "tools/data_generate.h"
#include "tools/run_start.h"
#include "train/agree.h"
#include "train/checkpoint_options.h"
#include "train/setup.h"
#include "train/trainer.h"

namespace smartbird {
namespace {

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
    const ParsedOptions given = parsed;
    const auto as_given = [&](const char* name, auto AttentionOptions::*value) {
      parsed.options.attention.*value = given.options.attention.*value;
      parsed.source[name] = given.source.at(name);
    };
    inherit_sections(parsed, checkpoint_options(folder), {"model", "sketch", "attention"}, folder);
    // Warm-ups were that run's beginning.
    as_given("attention.share_warmup_steps", &AttentionOptions::share_warmup_steps);
    as_given("attention.warmup_steps", &AttentionOptions::warmup_steps);
    as_given("attention.warmup_picks", &AttentionOptions::warmup_picks);
    // That run may have drawn by its sketch where this one does not.
    if (!samples_from_sketch(parsed.options))
      as_given("attention.draw_temperature", &AttentionOptions::draw_temperature);
    if (!may_fill(parsed.options)) as_given("attention.fill", &AttentionOptions::fill);
  } else {
    SB_CHECK(parsed.options.init.checkpoint.empty(), Config,
             "pretrain: init.checkpoint = ", parsed.options.init.checkpoint,
             "; use finetune to start from a checkpoint, or --run.resume to go on with a run");
  }
  check_rules(parsed.options, everyone->size());
  check_agreement(*everyone, "configuration", dump_ini(parsed));
  const at::Device device = device_of(*everyone, parsed.options);
  const World world = world_of(std::move(everyone), parsed.options);
  set_products(world, parsed);
  const RunStart start{.kind = finetune ? RunKind::Finetune : RunKind::Pretrain,
                       .command_line = joined(finetune ? "finetune" : "pretrain", arguments),
                       .resume_from = checkpoint_to_resume(world, parsed)};
  if (!parsed.options.data.generate.empty()) {
    if (world.is_root()) generate_on_first_use(parsed.options.data);
    world.everyone().barrier();
  }
  return train(world, std::move(parsed), start, device);
}

}  // namespace smartbird
