// checkpoint inspect | verify, and options: what a person asks about a checkpoint and about the option table.
#include <algorithm>
#include <cstdio>

#include "config/parse.h"
#include "core/error.h"
#include "interop/safetensors.h"
#include "tools/commands.h"
#include "train/checkpoint.h"

namespace smartbird {
namespace {

constexpr const char* kCheckpointUsage =
    "smartbird checkpoint inspect DIR   step, tokens, weights of a checkpoint or run folder\n"
    "smartbird checkpoint verify DIR    checks every file's size and hash against the manifest\n";

void inspect(const std::string& folder) {
  const TrainerState state = read_trainer_state(folder);
  const CheckpointMeta meta = read_checkpoint_meta(folder);
  std::printf("%s\nstep %lld, %lld tokens, next sample %lld, %.0f s of training\n", folder.c_str(),
              static_cast<long long>(state.step), static_cast<long long>(state.tokens),
              static_cast<long long>(state.next_sample), state.wall_s);
  if (!meta.classes.empty()) {
    std::printf("classes:");
    for (const std::string& name : meta.classes) std::printf(" %s", name.c_str());
    std::printf("\n");
  }
  std::printf("%s", describe_safetensors(folder + "/model.safetensors").c_str());
}

}  // namespace

int checkpoint_command(const Communicator& everyone, const Arguments& arguments) {
  if (everyone.rank() != 0) return 0;
  if (arguments.empty() || std::find(arguments.begin(), arguments.end(), "--help") != arguments.end()) {
    std::fputs(kCheckpointUsage, arguments.empty() ? stderr : stdout);
    return arguments.empty() ? exit_code(ErrorKind::Config) : 0;
  }
  SB_CHECK((arguments[0] == "inspect" || arguments[0] == "verify") && arguments.size() == 2, Config,
           "checkpoint: expected 'inspect DIR' or 'verify DIR'; see smartbird checkpoint --help");
  std::vector<std::string> warnings;
  const std::string folder = find_checkpoint(arguments[1], warnings);
  for (const std::string& warning : warnings) std::fprintf(stderr, "warning: %s\n", warning.c_str());
  if (arguments[0] == "verify") {
    if (folder.empty()) verify_checkpoint(arguments[1]);  // says what is wrong
    std::printf("%s: complete, all hashes agree\n", folder.empty() ? arguments[1].c_str() : folder.c_str());
    return 0;
  }
  SB_CHECK(!folder.empty(), Data, "checkpoint inspect: ", arguments[1], " holds no complete checkpoint");
  inspect(folder);
  return 0;
}

int options_command(const Communicator& everyone, const Arguments& arguments) {
  if (everyone.rank() != 0) return 0;
  const bool markdown = !arguments.empty() && arguments[0] == "--markdown";
  const size_t known = markdown || (!arguments.empty() && arguments[0] == "--help") ? 1 : 0;
  SB_CHECK(arguments.size() <= known, Config, "options: unknown argument '", arguments[known],
           "'; use smartbird options [--markdown]");
  std::printf("%s", (markdown ? markdown_table() : help_text()).c_str());
  return 0;
}

}  // namespace smartbird
