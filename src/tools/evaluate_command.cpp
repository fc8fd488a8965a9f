// evaluate: a checkpoint on data it was not trained on, and what its sketch is worth.
#include <cstdio>
#include <optional>

#include "config/auto_pattern.h"
#include "config/inherit.h"
#include "config/rules.h"
#include "core/error.h"
#include "tools/report_file.h"
#include "tools/run_start.h"
#include "tools/selector_report.h"
#include "train/agree.h"
#include "train/checkpoint_options.h"
#include "train/evaluate_checkpoint.h"
#include "train/setup.h"

namespace smartbird {
namespace {

struct EvaluateArguments {
  std::string checkpoint;
  bool report = false;
  std::optional<std::string> report_file;
  Arguments rest;  // options as of a training run
};

EvaluateArguments own_arguments(const Arguments& arguments) {
  EvaluateArguments out;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument.starts_with("--checkpoint="))
      out.checkpoint = argument.substr(std::string("--checkpoint=").size());
    else if (argument == "--checkpoint" && i + 1 < arguments.size())
      out.checkpoint = arguments[++i];
    else if (argument == "--sketch.report" || argument.starts_with("--sketch.report=")) {
      SB_CHECK(!out.report, Config, "evaluate: --sketch.report is given twice; leave one out");
      out.report = true;
      if (argument != "--sketch.report") out.report_file = argument.substr(std::string("--sketch.report=").size());
    } else
      out.rest.push_back(argument);
  }
  SB_CHECK(!out.report_file || !out.report_file->empty(), Config,
           "evaluate: --sketch.report= names no file; add one, or leave the = out");
  return out;
}

// An evaluation may change data, attention and ranks, not what the weights mean.
void refuse_other_model(const Options& before, const Options& now, const std::string& folder) {
  std::string changed;
  for (const std::string& name : changed_names(before, now))
    if (name.starts_with("model.") || name == "data.task" || name == "sketch.location" || name == "sketch.every" ||
        name == "sketch.width" || name == "sketch.inner_width" || name == "sketch.convolution" ||
        name == "sketch.rotary_base")
      changed += (changed.empty() ? "" : ", ") + name;
  SB_CHECK(changed.empty(), Config, "evaluate: ", changed, " differ from the checkpoint ", folder,
           ", whose weights were trained with them; leave them out");
}

// How ranks shared the work is of the machine, not of the checkpoint, but a file of the user's own may say it. Warm-ups, what was frozen and
// recorded are of training, whatever file says so.
void leave_training_behind(ParsedOptions& parsed, const std::string& folder) {
  const Options fresh = default_options();
  Options& o = parsed.options;
  const std::string checkpoint = folder + "/config.ini:";
  const auto machine = [&](const char* name, auto& value, const auto& to) {
    if (parsed.source[name].starts_with(checkpoint)) value = to;
  };
  const auto training = [&](const char* name, auto& value, const auto& to) {
    if (parsed.source[name] != "command line") value = to;
  };
  machine("parallel.sequence_ranks", o.parallel.sequence_ranks, fresh.parallel.sequence_ranks);
  machine("parallel.transport", o.parallel.transport, fresh.parallel.transport);
  machine("run.device", o.run.device, fresh.run.device), machine("run.matmul", o.run.matmul, fresh.run.matmul);
  training("run.record_picks", o.run.record_picks, fresh.run.record_picks);
  training("train.freeze", o.train.freeze, fresh.train.freeze);
  training("train.learning_rate", o.train.learning_rate, fresh.train.learning_rate);
  training("attention.warmup_steps", o.attention.warmup_steps, fresh.attention.warmup_steps);
  training("attention.warmup_picks", o.attention.warmup_picks, fresh.attention.warmup_picks);
  if (!samples_from_sketch(o))
    machine("attention.draw_temperature", o.attention.draw_temperature, fresh.attention.draw_temperature);
  if (!may_fill(o)) machine("attention.fill", o.attention.fill, fresh.attention.fill);
}

}  // namespace

int evaluate_command(std::unique_ptr<Communicator> everyone, const Arguments& arguments) {
  if (wants_help(arguments)) {
    if (everyone->rank() == 0)
      std::printf(
          "smartbird evaluate --checkpoint=DIR [--data.test=PATH] [--section.key=value ...]\n\n"
          "Prints loss, accuracy and bits per byte of a checkpoint on data.test, else data.valid; the checkpoint "
          "brings\n"
          "its configuration, and options of data, attention, eval, exchange, parallel, memory and run may "
          "differ.\n"
          "--sketch.report[=FILE] also prints how well the sketch chooses, by layer and head, and writes it as JSON "
          "to FILE\n"
          "(sketch_report.json in the checkpoint's folder).\n\n%s",
          help_text().c_str());
    return 0;
  }
  const EvaluateArguments own = own_arguments(arguments);
  const std::string folder = chosen_checkpoint(*everyone, "checkpoint", own.checkpoint);
  Arguments all{"--config", folder + "/config.ini"};
  all.insert(all.end(), own.rest.begin(), own.rest.end());
  ParsedOptions parsed = parse_options(all, nullptr);
  const Options trained = checkpoint_options(folder);
  settle_auto_pattern_as(parsed, trained);  // of a file of the user's own
  refuse_auto_pattern(parsed.options, "evaluate");
  refuse_other_model(trained, parsed.options, folder);
  leave_training_behind(parsed, folder);
  check_rules(parsed.options, everyone->size());
  const std::string report_file = own.report_file.value_or(folder + "/sketch_report.json");
  if (own.report) {
    check_selector_report(parsed.options, everyone->size());
    check_report_file("evaluate: --sketch.report", report_file);
  }
  check_agreement(*everyone, "configuration", dump_ini(parsed));
  const at::Device device = device_of(*everyone, parsed.options);
  const World world = world_of(std::move(everyone), parsed.options);
  const OpenedCheckpoint opened = open_checkpoint(world, folder, parsed.options, device);
  const StepSetup setup{world, *opened.model, parsed.options, task_from_name(parsed.options.data.task),
                        link_of(world, parsed.options, device)};
  const auto values = evaluate(setup, *opened.corpus);
  if (!world.is_root()) return 0;
  for (const auto& [name, value] : values) std::printf("%s: %.6g\n", name.c_str(), value);
  if (!own.report) return 0;
  const SelectorReport report = selector_report(setup, *opened.corpus);
  print_report(report);
  write_report_file(report_file, report_json(report));
  return 0;
}

}  // namespace smartbird
