// Checkpoints: written by all ranks, readable by any number of ranks, optimizer and data position included.
// RUN/checkpoints/step_00012000/ holds model.safetensors (weights by global name), optim-RRRRR-of-PPPPP.safetensors (the
// two AdamW moments of one rank's flat range), trainer.json, config.ini, tokenizer.json and, last, manifest.json
// (format version, step, tensor table, XXH3 of every file, complete: true). Everything is written into .tmp_step_...,
// fsynced, then renamed. A kill at any instant leaves no folder that a resume would take. RUN/checkpoints/latest (replaced
// by rename, just before the folder's) names the run's newest step: checkpoints of later steps were left by a resume from
// an earlier one; they are taken only where no other is good, and deleted when the resumed run publishes its next one.
// A one-rank failure is a collective decision: every rank throws. Errors: ErrorKind::Io, Data.
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
  int64_t evaluated_step = -1;  // of the last evaluation of data.valid
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

// Returns the folder. keep_last: how many of the newest to keep, this one included; the best one (step state.best_step) is
// kept besides them.
std::string save_checkpoint(const World& world, const std::string& run_dir, Parameters& parameters,
                            const OptimizerShard& shard, const TrainerState& state, const CheckpointMeta& meta,
                            int64_t keep_last);

// `name` is a checkpoint folder, a run folder (its newest good checkpoint) or checkpoints/. Returns the checkpoint
// folder after checking its manifest (sizes and hashes); broken ones are skipped with a warning when choosing.
// Empty string: a run folder without any good checkpoint. Not collective.
[[nodiscard]] std::string find_checkpoint(const std::string& name, std::vector<std::string>& warnings);
// A run in run_dir goes on from `folder`: no later checkpoint of run_dir is its own. Not collective.
void make_latest(const std::string& run_dir, const std::string& folder);
// Throws with the first difference (missing file, size, hash, incomplete manifest).
void verify_checkpoint(const std::string& folder);
[[nodiscard]] CheckpointMeta read_checkpoint_meta(const std::string& folder);
[[nodiscard]] TrainerState read_trainer_state(const std::string& folder);

// Keep: names absent in the file keep their initial values (fine-tuning), and a sketch of other tensors or shapes all of its own. KeepModel:
// the sketch does in any case.
enum class MissingWeights { Refuse, Keep, KeepModel };
// Copies weights by name; shapes must agree (the error has both). Returns the names that were not copied.
std::vector<std::string> load_weights(const std::string& folder, Parameters& parameters, MissingWeights missing);
// Fills m and v of any shard from the files of any world size.
void load_optimizer(const std::string& folder, const Parameters& parameters, OptimizerShard& shard);

}  // namespace smartbird
