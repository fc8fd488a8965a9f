// Finding, checking and reading checkpoints; any number of ranks reads any checkpoint.
#include <algorithm>
#include <charconv>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "core/error.h"
#include "interop/safetensors.h"
#include "ops/tensors.h"
#include "train/checkpoint.h"
#include "train/checkpoint_files.h"

namespace smartbird {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

Json read_json(const fs::path& path) {
  const Json json = Json::parse(read_text(path), nullptr, false);
  SB_CHECK(json.is_object(), Data, path.string(), ": not a JSON object");
  return json;
}

// Runs body; what the JSON library throws on a missing key or wrong type becomes an Error that names the file.
template <class Body>
auto with_json_errors(const fs::path& path, Body body) {
  try {
    return body();
  } catch (const Json::exception& e) {
    fail(ErrorKind::Data, path.string(), ": ", e.what());
  }
}

// NaN and infinity are null in JSON.
double number(const Json& value) {
  return value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>();
}

// Elements [first, first + to.numel()) of a tensor of the file; another element type is converted.
void copy_elements(const SafetensorsFile& file, const std::string& path, const std::string& name, int64_t first,
                   at::Tensor to) {
  const DType type = file.at(name).entry.type;
  SB_CHECK(type == DType::f64 || type == DType::f32, Data, path, ": tensor ", name, " is neither float32 nor float64");
  at::Tensor values = at::empty(to.sizes(), type == DType::f64 ? at::kDouble : at::kFloat);
  file.read_slice(name, first, to.numel(), values.mutable_data_ptr());
  to.copy_(values);
}

void check_file(const fs::path& folder, const std::string& name, const Json& record) {
  const fs::path path = folder / name;
  SB_CHECK(fs::is_regular_file(path), Data, path.string(), ": missing");
  const uint64_t bytes = fs::file_size(path), expected = record.at("bytes").get<uint64_t>();
  SB_CHECK(bytes == expected, Data, path.string(), ": ", bytes, " bytes, the manifest says ", expected);
  const std::string hash = hash_text(hash_file(path)), expected_hash = record.at("xxh3");
  SB_CHECK(hash == expected_hash, Data, path.string(), ": its hash is ", hash, ", the manifest says ", expected_hash);
}

// The moments belong to elements of the flat parameters: the order and the shapes must be those of the model.
void check_layout(const std::string& folder, const Parameters& parameters) {
  const fs::path path = fs::path(folder) / "manifest.json";
  const Json manifest = read_json(path);
  with_json_errors(path, [&] {
    const Json& tensors = manifest.at("tensors");
    for (size_t i = 0; i < std::min(tensors.size(), parameters.list().size()); ++i) {
      const Parameter& p = parameters.list()[i];
      const Json& t = tensors[i];
      SB_CHECK(t.at("name") == p.name && t.at("shape") == p.shape && t.at("offset") == p.offset, Data, path.string(),
               ": tensor ", i, " is ", t.dump(), ", the model has ", p.name, " at ", p.offset, " of shape ",
               at::IntArrayRef(p.shape));
    }
    SB_CHECK(tensors.size() == parameters.list().size() && manifest.at("elements") == parameters.size(), Data,
             path.string(), ": ", tensors.size(), " tensors in ", manifest.at("elements").dump(),
             " elements, the model has ", parameters.list().size(), " in ", parameters.size());
  });
}

struct Range {
  int64_t begin = 0, end = 0;
};

Range range_of(const SafetensorsFile& file, const std::string& path) {
  const auto value = [&](const char* key) {
    const auto found = file.metadata().find(key);
    const std::string text = found == file.metadata().end() ? "" : found->second;
    int64_t number = -1;
    const auto result = std::from_chars(text.data(), text.data() + text.size(), number);
    SB_CHECK(result.ec == std::errc() && number >= 0, Data, path, ": metadata '", key, "' is '", text,
             "', not an element index");
    return number;
  };
  const Range range{value("begin"), value("end")};
  for (const char* name : {"m", "v"})
    SB_CHECK(file.at(name).entry.count() == range.end - range.begin, Data, path, ": tensor ", name, " has ",
             file.at(name).entry.count(), " elements for the range ", range.begin, " to ", range.end);
  return range;
}

}  // namespace

void verify_checkpoint(const std::string& folder) {
  SB_CHECK(fs::is_directory(folder), Data, folder, ": no such checkpoint folder");
  const fs::path path = fs::path(folder) / "manifest.json";
  SB_CHECK(fs::exists(path), Data, folder, ": no manifest.json, so the checkpoint is not complete");
  const Json manifest = read_json(path);
  with_json_errors(path, [&] {
    SB_CHECK(manifest.at("format") == 1, Data, path.string(), ": format ", manifest.at("format").dump(),
             ", this program reads 1");
    SB_CHECK(manifest.at("complete") == true, Data, path.string(), ": the manifest is not complete");
    const Json& files = manifest.at("files");
    for (const char* name : {"model.safetensors", "trainer.json", "config.ini", "tokenizer.json"})
      SB_CHECK(files.contains(name), Data, path.string(), ": the manifest does not list ", name);
    for (const auto& [name, record] : files.items()) check_file(folder, name, record);
  });
}

std::string find_checkpoint(const std::string& name, std::vector<std::string>& warnings) {
  const fs::path given = name;
  if (fs::exists(given / "manifest.json")) {
    verify_checkpoint(name);
    return name;
  }
  const fs::path root = fs::is_directory(given / "checkpoints") ? given / "checkpoints" : given;
  if (!fs::is_directory(root)) return "";
  for (const auto& entry : fs::directory_iterator(root)) {
    const std::string file = entry.path().filename().string();
    if (file.rfind(".tmp_step_", 0) == 0) warnings.push_back(entry.path().string() + ": an interrupted save, ignored");
  }
  const int64_t latest = latest_step(root);
  std::vector<fs::path> folders, later;
  for (const auto& [step, folder] : step_folders(root)) (step <= latest ? folders : later).push_back(folder);
  for (const fs::path& folder : later)
    warnings.push_back(join(folder.string(), ": beyond ", (root / "latest").string(), " (step ", latest,
                            "), left by a resume from an earlier checkpoint; taken only if no other is good"));
  folders.insert(folders.end(), later.begin(), later.end());
  for (const fs::path& folder : folders) {
    try {
      verify_checkpoint(folder.string());
      return folder.string();
    } catch (const std::exception& e) {
      warnings.push_back(join(e.what(), "; this checkpoint is skipped"));
    }
  }
  return "";
}

void make_latest(const std::string& run_dir, const std::string& folder) {
  const fs::path root = fs::path(run_dir) / "checkpoints";
  const std::string name = fs::canonical(folder).filename().string();
  if (fs::exists(root / name) && fs::equivalent(root / name, folder)) replace_text(root / "latest", name + "\n");
}

CheckpointMeta read_checkpoint_meta(const std::string& folder) {
  CheckpointMeta meta;
  meta.config_ini = read_text(fs::path(folder) / "config.ini");
  meta.tokenizer_json = read_text(fs::path(folder) / "tokenizer.json");
  while (!meta.tokenizer_json.empty() && meta.tokenizer_json.back() == '\n') meta.tokenizer_json.pop_back();
  const fs::path trainer = fs::path(folder) / "trainer.json";
  meta.classes =
      with_json_errors(trainer, [&] { return read_json(trainer).value("classes", std::vector<std::string>{}); });
  return meta;
}

TrainerState read_trainer_state(const std::string& folder) {
  const fs::path path = fs::path(folder) / "trainer.json";
  const Json json = read_json(path);
  return with_json_errors(path, [&] {
    TrainerState s;
    s.step = json.at("step"), s.next_sample = json.at("next_sample"), s.tokens = json.at("tokens"),
    s.wall_s = number(json.at("wall_s"));
    s.best_metric = number(json.at("best_metric")), s.best_step = json.at("best_step");
    s.evaluations_without_gain = json.at("evaluations_without_gain");
    s.evaluated_step = json.value("evaluated_step", s.step);  // absent in checkpoints of earlier versions
    return s;
  });
}

namespace {

// No weight may be dropped in silence; a fine-tuning run may do without the heads and the sketch of the model it starts from.
void check_surplus(const SafetensorsFile& file, const std::string& path, const Parameters& parameters,
                   MissingWeights missing) {
  std::set<std::string> known;
  for (const Parameter& p : parameters.list()) known.insert(p.name);
  for (const auto& [name, entry] : file.tensors()) {
    const bool head = name.starts_with("classifier.") || name.starts_with("pooling.") || name.starts_with("lm_head.") ||
                      name.starts_with("sketch.");
    SB_CHECK(known.contains(name) || (missing != MissingWeights::Refuse && head), Data, path, " holds the tensor '",
             name, "', which this model does not have; give model.* as the checkpoint has it");
  }
}

// Whether the file's sketch has other tensors or shapes than the model's.
bool holds_another_sketch(const SafetensorsFile& file, const Parameters& parameters) {
  std::map<std::string, std::vector<int64_t>> theirs, ours;
  for (const auto& [name, tensor] : file.tensors())
    if (name.starts_with("sketch.")) theirs[name] = tensor.entry.shape;
  for (const Parameter& p : parameters.list())
    if (p.sketch) ours[p.name] = p.shape;
  return theirs != ours;
}

}  // namespace

std::vector<std::string> load_weights(const std::string& folder, Parameters& parameters, MissingWeights missing) {
  const std::string path = folder + "/model.safetensors";
  const SafetensorsFile file(path);
  const bool sketch_anew = missing == MissingWeights::KeepModel ||
                           (missing == MissingWeights::Keep && holds_another_sketch(file, parameters));
  std::vector<std::string> fresh;
  for (const Parameter& p : parameters.list()) {  // all checks come before the first change
    if (!file.tensors().contains(p.name) || (sketch_anew && p.sketch)) {
      SB_CHECK(missing != MissingWeights::Refuse, Data, path, ": no tensor '", p.name, "'");
      fresh.push_back(p.name);
      continue;
    }
    const std::vector<int64_t>& shape = file.at(p.name).entry.shape;
    SB_CHECK(shape == p.shape, Data, path, ": ", p.name, " has shape ", at::IntArrayRef(shape), ", the model needs ",
             at::IntArrayRef(p.shape));
  }
  check_surplus(file, path, parameters, missing);
  for (const Parameter& p : parameters.list())
    if (std::find(fresh.begin(), fresh.end(), p.name) == fresh.end())
      copy_elements(file, path, p.name, 0, parameters.flat().narrow(0, p.offset, p.count));
  return fresh;
}

void load_optimizer(const std::string& folder, const Parameters& parameters, OptimizerShard& shard) {
  check_layout(folder, parameters);
  int64_t found = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().filename().string().rfind("optim-", 0) != 0) continue;
    const std::string path = entry.path().string();
    const SafetensorsFile file(path);
    const Range range = range_of(file, path);
    const int64_t begin = std::max(range.begin, shard.begin), end = std::min(range.end, shard.end);
    if (begin >= end) continue;
    copy_elements(file, path, "m", begin - range.begin, shard.m.narrow(0, begin - shard.begin, end - begin));
    copy_elements(file, path, "v", begin - range.begin, shard.v.narrow(0, begin - shard.begin, end - begin));
    found += end - begin;
  }
  SB_CHECK(found == shard.end - shard.begin, Data, folder, ": optimizer state for ", found, " of ",
           shard.end - shard.begin, " elements of this rank; the model has ", parameters.size());
}

}  // namespace smartbird
