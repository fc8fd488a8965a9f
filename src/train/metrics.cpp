// metrics.jsonl: records to JSON, lines to the file, and the cut after a resume.
#include "train/metrics.h"

#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "train/checkpoint_files.h"

namespace smartbird {
namespace {

using Json = nlohmann::ordered_json;

// NaN and infinity have no JSON number.
Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json numbers(const std::map<std::string, double>& values) {
  Json out = Json::object();
  for (const auto& [name, value] : values) out[name] = number(value);
  return out;
}

}  // namespace

std::string to_json(const StepRecord& r) {
  char hash[17];
  std::snprintf(hash, sizeof hash, "%016llx", static_cast<unsigned long long>(r.picks_hash));
  Json out{{"step", r.step}, {"tokens", r.tokens}, {"loss", number(r.loss)}};
  if (!(r.bits_per_byte < 0)) out["bits_per_byte"] = number(r.bits_per_byte);
  out.update(Json{{"sketch_loss", number(r.sketch_loss)},
                  {"coverage", number(r.coverage)},
                  {"coverage_domain", number(r.coverage_domain)},
                  {"coverage_uniform", number(r.coverage_uniform)},
                  {"phi", number(r.phi)},
                  {"phi_by_layer_head", r.phi_by_layer_head},
                  {"rows", r.rows},
                  {"sent_bytes", r.sent_bytes},
                  {"plan", r.plan},
                  {"picks_hash", hash},
                  {"imbalance", number(r.imbalance)},
                  {"sent_rows_imbalance", number(r.sent_rows_imbalance)},
                  {"exchange_exposed_ms", number(r.exchange_exposed_ms)},
                  {"exchange_hidden_ms", number(r.exchange_hidden_ms)},
                  {"grad_norm", number(r.grad_norm)},
                  {"sketch_grad_norm", number(r.sketch_grad_norm)},
                  {"lr", number(r.lr)},
                  {"step_ms", numbers(r.step_ms)},
                  {"tokens_per_s", number(r.tokens_per_s)},
                  {"peak_memory_bytes", r.peak_memory_bytes}});
  return out.dump();
}

std::string to_json(const EvalRecord& r) {
  return Json{{"step", r.step}, {"eval", numbers(r.values)}, {"split", r.split}}.dump();
}

bool evaluation_recorded(const std::string& run_dir, const std::string& split, int64_t step) {
  std::ifstream in(run_dir + "/metrics.jsonl");
  for (std::string line; std::getline(in, line);) {
    const Json json = Json::parse(line, nullptr, false);
    if (json.is_object() && json.contains("eval") && json.value("step", Json()) == step &&
        json.value("split", Json()) == split)
      return true;
  }
  return false;
}

Metrics::Metrics(const std::string& run_dir, int64_t resumed_step, int64_t total_steps, const std::string& progress,
                 int64_t log_every)
    : path_(run_dir + "/metrics.jsonl"), progress_(progress, total_steps, log_every) {
  cut_after(resumed_step >= 0 ? resumed_step : std::numeric_limits<int64_t>::max());
  file_ = std::fopen(path_.c_str(), "ab");
  SB_CHECK(file_ != nullptr, Io, path_, ": cannot be written: ", std::strerror(errno));
}

Metrics::~Metrics() { std::fclose(file_); }

// Keeps the whole lines up to `step`. Written aside and renamed, so that a kill here loses nothing.
void Metrics::cut_after(int64_t step) {
  if (!std::filesystem::exists(path_)) return;
  std::string kept;
  const std::string before = read_text(path_);
  for (size_t begin = 0, end = 0; (end = before.find('\n', begin)) != std::string::npos; begin = end + 1) {
    const Json json = Json::parse(before.begin() + static_cast<int64_t>(begin),
                                  before.begin() + static_cast<int64_t>(end), nullptr, false);
    if (!json.is_object() || !json.contains("step") || !json["step"].is_number_integer()) continue;
    const auto at = json["step"].get<int64_t>();
    if (at >= 0 && at <= step) kept.append(before, begin, end + 1 - begin);
  }
  if (kept != before) replace_text(path_, kept);
}

void Metrics::write_line(const std::string& line) {
  const std::string whole = line + "\n";
  SB_CHECK(std::fwrite(whole.data(), 1, whole.size(), file_) == whole.size() && std::fflush(file_) == 0, Io, path_,
           ": cannot be written: ", std::strerror(errno));
}

void Metrics::step(const StepRecord& record) {
  write_line(to_json(record));
  progress_.step(record);
}

void Metrics::evaluation(const EvalRecord& record) {
  write_line(to_json(record));
  std::string line = join("evaluation (", record.split, ") at step ", record.step, ":");
  for (const auto& [name, value] : record.values) line += join(" ", name, " ", value);
  progress_.message(line);
}

void Metrics::message(const std::string& line) { progress_.message(line); }

void Metrics::finish(const std::string& summary) { progress_.finish(summary); }

}  // namespace smartbird
