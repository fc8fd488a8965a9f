// Writing a checkpoint: all ranks enter; every phase that can fail ends in a collective decision, so that one rank's
// exception is the same Error on all ranks. Each rank hashes what it wrote; rank 0 collects the hashes in the manifest.
#include <sys/statvfs.h>

#include <algorithm>
#include <bit>
#include <cstdio>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "interop/safetensors.h"
#include "ops/tensors.h"
#include "train/checkpoint.h"
#include "train/checkpoint_files.h"

namespace smartbird {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

struct FileRecord {
  int64_t bytes = 0;
  uint64_t hash = 0;
};
using FileRecords = std::map<std::string, FileRecord>;

FileRecord record_of(const fs::path& file) { return {static_cast<int64_t>(fs::file_size(file)), hash_file(file)}; }

std::string shard_name(int rank, int ranks) {
  char text[48];
  std::snprintf(text, sizeof text, "optim-%05d-of-%05d.safetensors", rank, ranks);
  return text;
}

// Runs body here; if it throws on any rank, every rank throws the error of the first such rank.
void together(const World& world, const std::function<void()>& body) {
  Communicator& all = world.everyone();
  std::string text;
  int64_t failure = -1;  // the ErrorKind of this rank, -1 = none
  try {
    body();
  } catch (const Error& e) {
    failure = static_cast<int64_t>(e.kind()), text = e.what();
  } catch (const std::exception& e) {
    failure = static_cast<int64_t>(ErrorKind::Io), text = e.what();
  }
  const auto failures = all.gather_value("checkpoint", failure);
  const auto first = std::find_if(failures.begin(), failures.end(), [](int64_t kind) { return kind >= 0; });
  if (first == failures.end()) return;
  const int root = static_cast<int>(first - failures.begin());
  const int64_t length = all.gather_value("checkpoint", static_cast<int64_t>(text.size()))[static_cast<size_t>(root)];
  text.resize(static_cast<size_t>(length));
  all.broadcast("checkpoint", text.data(), length, DType::u8, root);
  fail(static_cast<ErrorKind>(*first), "checkpoint: rank ", root, ": ", text);
}

void write_weights(const fs::path& folder, Parameters& parameters) {
  std::vector<TensorEntry> entries;
  std::vector<const void*> data;
  const at::Tensor flat = parameters.flat().cpu();
  for (const Parameter& p : parameters.list()) {
    entries.push_back({p.name, dtype_of(flat), p.shape});
    data.push_back(static_cast<const char*>(flat.const_data_ptr()) +
                   p.offset * static_cast<int64_t>(flat.element_size()));
  }
  write_safetensors(folder / "model.safetensors", entries, data, {});
}

void write_shard(const fs::path& file, const OptimizerShard& shard) {
  const int64_t count = shard.end - shard.begin;
  SB_CHECK(shard.m.numel() == count && shard.v.numel() == count && shard.m.is_contiguous() && shard.v.is_contiguous(),
           Shape, file.string(), ": moments of ", shard.m.numel(), " and ", shard.v.numel(), " elements for the range ",
           shard.begin, " to ", shard.end);
  const at::Tensor m = shard.m.cpu(), v = shard.v.cpu();
  write_safetensors(file, {{"m", dtype_of(m), {count}}, {"v", dtype_of(v), {count}}},
                    {m.const_data_ptr(), v.const_data_ptr()},
                    {{"begin", std::to_string(shard.begin)}, {"end", std::to_string(shard.end)}});
}

void write_trainer(const fs::path& folder, const TrainerState& s, const CheckpointMeta& meta) {
  const Json json{{"step", s.step},
                  {"next_sample", s.next_sample},
                  {"tokens", s.tokens},
                  {"wall_s", s.wall_s},
                  {"best_metric", s.best_metric},
                  {"best_step", s.best_step},
                  {"evaluations_without_gain", s.evaluations_without_gain},
                  {"evaluated_step", s.evaluated_step},
                  {"classes", meta.classes}};
  write_text(folder / "trainer.json", json.dump(1) + "\n");
  write_text(folder / "config.ini", meta.config_ini);
  write_text(folder / "tokenizer.json", meta.tokenizer_json + "\n");
}

// The records of all ranks' optimizer files, from what each rank knows of its own.
FileRecords gather_shards(Communicator& all, const FileRecord& mine) {
  const auto bytes = all.gather_value("checkpoint", mine.bytes),
             hashes = all.gather_value("checkpoint", std::bit_cast<int64_t>(mine.hash));
  FileRecords records;
  for (int rank = 0; rank < all.size(); ++rank) {
    const auto r = static_cast<size_t>(rank);
    records[shard_name(rank, all.size())] = {bytes[r], std::bit_cast<uint64_t>(hashes[r])};
  }
  return records;
}

void write_manifest(const fs::path& folder, Parameters& parameters, const TrainerState& state, int ranks,
                    FileRecords records) {
  for (const char* name : {"model.safetensors", "trainer.json", "config.ini", "tokenizer.json"})
    records[name] = record_of(folder / name);
  Json files = Json::object(), tensors = Json::array();
  for (const auto& [name, record] : records) files[name] = {{"bytes", record.bytes}, {"xxh3", hash_text(record.hash)}};
  const char* type = c10::toString(parameters.flat().scalar_type());
  for (const Parameter& p : parameters.list())
    tensors.push_back({{"name", p.name}, {"dtype", type}, {"shape", p.shape}, {"offset", p.offset}});
  const Json manifest{{"format", 1},
                      {"step", state.step},
                      {"tokens", state.tokens},
                      {"ranks", ranks},
                      {"elements", parameters.size()},
                      {"tensors", tensors},
                      {"files", files},
                      {"complete", true}};
  write_text(folder / "manifest.json", manifest.dump(1) + "\n");
  sync_folder(folder);
}

void check_space(const fs::path& folder, int64_t bytes) {
  struct statvfs info {};
  if (statvfs(folder.c_str(), &info) != 0) return;
  const int64_t free = static_cast<int64_t>(info.f_bavail) * static_cast<int64_t>(info.f_frsize);
  SB_CHECK(free > bytes, Io, folder.string(), ": ", (bytes >> 20) + 1, " MiB are needed for a checkpoint, ", free >> 20,
           " MiB are free; make room or lower checkpoint.keep_last");
}

// Keeps the keep_last newest, the one of this step included, and the best one. Deletes those of later steps, and those
// between the step that was the latest and this one: a resume from an earlier checkpoint left them. Publishing has
// succeeded by now, so a failure to delete is no error.
void retire(const fs::path& root, int64_t keep_last, const TrainerState& state, int64_t latest_before) {
  int64_t kept = 0;
  for (const auto& [step, folder] : step_folders(root)) {
    const bool mine = step == state.step || step <= std::min(latest_before, state.step);
    if (mine && kept++ < keep_last) continue;
    if (mine && step == state.best_step) continue;
    std::error_code ignored;
    const fs::path doomed = root / (".tmp_" + step_name(step));  // a half-deleted checkpoint must not look like one
    fs::rename(folder, doomed, ignored);
    fs::remove_all(doomed, ignored);
  }
}

void prepare(const fs::path& root, const fs::path& aside, int64_t needed_bytes) {
  fs::create_directories(root);
  for (const auto& entry : fs::directory_iterator(root))
    if (entry.path().filename().string().rfind(".tmp_step_", 0) == 0) fs::remove_all(entry.path());
  check_space(root, needed_bytes);
  fs::create_directories(aside);
}

}  // namespace

std::string save_checkpoint(const World& world, const std::string& run_dir, Parameters& parameters,
                            const OptimizerShard& shard, const TrainerState& state, const CheckpointMeta& meta,
                            int64_t keep_last) {
  const fs::path root = fs::path(run_dir) / "checkpoints", aside = root / (".tmp_" + step_name(state.step)),
                 final = root / step_name(state.step);
  Communicator& all = world.everyone();
  int64_t latest_before = 0;
  try {
    together(world, [&] {  // weights and two moments, and a quarter of that to spare
      if (world.is_root())
        prepare(root, aside, 4 * parameters.size() * static_cast<int64_t>(parameters.flat().element_size()));
    });
    FileRecord mine;
    together(world, [&] {
      const fs::path file = aside / shard_name(all.rank(), all.size());
      write_shard(file, shard);
      mine = record_of(file);
      if (!world.is_root()) return;
      write_weights(aside, parameters);
      write_trainer(aside, state, meta);
    });
    const FileRecords records = gather_shards(all, mine);
    together(world, [&] {
      if (!world.is_root()) return;
      write_manifest(aside, parameters, state, all.size(), records);
      latest_before = latest_step(root);
      replace_text(root / "latest", step_name(state.step) + "\n");
      publish(aside, final);
    });
  } catch (...) {  // all ranks are here; what is left of a failed save gives its space back
    std::error_code ignored;
    if (world.is_root()) fs::remove_all(aside, ignored);
    throw;
  }
  if (world.is_root()) retire(root, keep_last, state, latest_before);
  return final.string();
}

}  // namespace smartbird
