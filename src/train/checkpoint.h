// Checkpoints: written by all ranks, readable by any number of ranks, optimizer and data position included.
// RUN/checkpoints/step_00012000/ holds model.safetensors (weights by global name), optim-RRRRR-of-PPPPP.safetensors (the
// two AdamW moments of one rank's flat range), trainer.json, config.ini, tokenizer.json and, last, manifest.json
// (format version, step, tensor table, XXH3 of every file, complete: true). Everything is written into .tmp_step_...,
// fsynced, then renamed; RUN/checkpoints/latest is replaced by rename. A kill at any instant leaves no folder that a
// resume would take. A one-rank failure is a collective decision: every rank throws. Errors: ErrorKind::Io, Data.
#pragma once

#include <string>
#include <vector>

#include "comm/world.h"
#include "model/parameters.h"

namespace smartbird {

struct TrainerState {
  int64_t step = 0;         // optimizer steps done
  int64_t next_sample = 0;  // the data position
  int64_t tokens = 0;       // trained so far
  double wall_s = 0;
  double best_metric = 0;
  int64_t best_step = -1;  // -1 = none yet
  int64_t evaluations_without_gain = 0;
};

// This rank's part of the optimizer: elements [begin, end) of the flat parameters.
struct OptimizerShard {
  int64_t begin = 0, end = 0;
  at::Tensor m, v;  // [end - begin]
};

struct CheckpointMeta {
  std::string config_ini;  // resolved configuration
  std::string tokenizer_json;
  std::vector<std::string> classes;
};

// Returns the folder. keep_last: how many to keep besides the best one (step state.best_step) and the newest.
std::string save_checkpoint(const World& world, const std::string& run_dir, Parameters& parameters,
                            const OptimizerShard& shard, const TrainerState& state, const CheckpointMeta& meta,
                            int64_t keep_last);

// `name` is a checkpoint folder, a run folder (its newest good checkpoint) or checkpoints/. Returns the checkpoint
// folder after checking its manifest (sizes and hashes); broken ones are skipped with a warning when choosing.
// Empty string: a run folder without any good checkpoint. Not collective.
[[nodiscard]] std::string find_checkpoint(const std::string& name, std::vector<std::string>& warnings);
// Throws with the first difference (missing file, size, hash, incomplete manifest).
void verify_checkpoint(const std::string& folder);
[[nodiscard]] CheckpointMeta read_checkpoint_meta(const std::string& folder);
[[nodiscard]] TrainerState read_trainer_state(const std::string& folder);

enum class MissingWeights { Refuse, Keep };  // Keep: names absent in the file keep their initial values (fine-tuning)
// Copies weights by name; shapes must agree (the error has both). Returns the names that were not in the file.
std::vector<std::string> load_weights(const std::string& folder, Parameters& parameters, MissingWeights missing);
// Fills m and v of any shard from the files of any world size.
void load_optimizer(const std::string& folder, const Parameters& parameters, OptimizerShard& shard);

}  // namespace smartbird
