// `smartbird bench step`: training steps of a model on random bytes, sparse and with a rival's attention pattern in turn.
#include <cmath>
#include <cstdio>
#include <memory>

#include "comm/self_comm.h"
#include "config/parse.h"
#include "core/error.h"
#include "core/philox.h"
#include "tools/bench_ceilings.h"
#include "tools/bench_options.h"
#include "tools/bench_times.h"
#include "train/step.h"

namespace smartbird {
namespace {

// One document of random bytes.
class RandomBytes final : public Corpus {
 public:
  explicit RandomBytes(int64_t tokens) : tokens_(tokens), tokenizer_(make_byte_tokenizer()) {}
  [[nodiscard]] int64_t num_documents() const override { return 1; }
  [[nodiscard]] Document document(int64_t) const override { return {.num_tokens = tokens_}; }
  [[nodiscard]] int64_t num_tokens() const override { return tokens_; }
  void read(int64_t, int64_t begin, std::span<int32_t> ids) const override {
    for (size_t i = 0; i < ids.size(); ++i)
      ids[i] = static_cast<int32_t>(
          256 * uniform_at(philox_key(1, 0, Purpose::Tool), static_cast<uint64_t>(begin) + i, 0, 0, 0));
  }
  void read_target_mask(int64_t, int64_t, std::span<uint8_t> counts) const override {
    std::fill(counts.begin(), counts.end(), uint8_t{1});
  }
  [[nodiscard]] const Tokenizer& tokenizer() const override { return *tokenizer_; }
  [[nodiscard]] const std::vector<std::string>& classes() const override { return classes_; }

 private:
  int64_t tokens_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::vector<std::string> classes_;
};

Options training_options(const BenchOptions& o, const std::string& pattern) {
  const auto set = [](const char* name, const auto& value) { return join("--", name, "=", value); };
  return parse_options({set("data.task", o.causal ? "clm" : "mlm"), set("model.layers", o.layers),
                        set("model.width", o.width), set("model.heads", o.heads), set("model.head_width", o.head_width),
                        set("attention.picks", o.picks), set("attention.window", o.window),
                        set("attention.query_block", o.query_block), set("attention.share", o.share),
                        set("attention.draw", o.draw), set("attention.fill", o.fills ? "on" : "off"),
                        set("attention.pattern", pattern), set("sketch.width", o.sketch_width),
                        set("data.sequence_tokens", o.tokens), set("train.batch_tokens", o.tokens)},
                       nullptr)
      .options;
}

// A model with its optimizer, trained step by step.
class Trained {
 public:
  Trained(const BenchOptions& o, const std::string& pattern)
      : options_(training_options(o, pattern)),
        world_(std::make_unique<SelfComm>(), 0),
        corpus_(o.tokens),
        model_(make_shape(options_, corpus_.tokenizer().vocabulary(), 0), at::kFloat, 1),
        optimizer_(world_, model_.parameters(), options_.train) {}

  StepRecord step() {
    const std::vector<Sample> batch{{.number = step_, .document = 0, .begin = 0, .length = corpus_.num_tokens()}};
    ++step_;
    const StepRecord record =
        train_step({world_, model_, options_, options_.data.task == "clm" ? Task::Clm : Task::Mlm}, optimizer_, corpus_,
                   batch, step_);
    SB_CHECK(
        std::isfinite(record.loss) && record.loss < 2 * std::log(static_cast<double>(corpus_.tokenizer().vocabulary())),
        NonFinite, "bench step: loss ", record.loss, " after ", step_, " steps on random bytes; expected about ",
        std::log(256.0));
    return record;
  }

 private:
  Options options_;
  World world_;
  RandomBytes corpus_;
  Transformer model_;
  Optimizer optimizer_;
  int64_t step_ = 0;
};

}  // namespace

nlohmann::json bench_step(const BenchOptions& o) {
  const Ceilings ceilings = measure_ceilings(o.threads, o.tokens * o.heads, 2 * o.head_width);
  Trained ours(o, "sparse");
  std::unique_ptr<Trained> rival;
  int64_t peak = ours.step().peak_memory_bytes;  // warm, and the loss is what it must be
  std::vector<Candidate> candidates{[&] {
    const StepRecord record = ours.step();
    peak = std::max(peak, record.peak_memory_bytes);
    return record.step_ms;
  }};
  if (o.rival != "none") {
    rival = std::make_unique<Trained>(o, o.rival);
    const StepRecord warm = rival->step();
    candidates.emplace_back([&] { return rival->step().step_ms; });
  }
  const std::vector<StageSamples> samples = take_turns(candidates, o.repeats, o.seconds);
  nlohmann::json out = to_json(o);
  const double total = samples[0].at("total").median(), tokens = static_cast<double>(o.tokens);
  out["ceilings"] = to_json(ceilings);
  out["ours_ms"] = medians(samples[0]), out["repeats"] = samples[0].at("total").ms.size();
  out["tokens_per_s"] = tokens / total * 1e3, out["spread"]["ours"] = samples[0].at("total").spread();
  if (o.rival == "none") out["peak_memory_bytes"] = peak;  // of the process: a rival's would count, too
  std::printf("step: %lld layers x %lld, %s, %s\n", static_cast<long long>(o.layers), static_cast<long long>(o.width),
              o.causal ? "clm" : "mlm", attended_text(o).c_str());
  for (const auto& [stage, times] : samples[0])
    std::printf("  %-12s %12.2f ms  spread %.0f %%\n", stage.c_str(), times.median(), times.spread() * 100);
  std::printf("  %.0f tokens/s\n", tokens / total * 1e3);
  if (o.rival != "none") {
    const Samples& times = samples[1].at("total");
    out["rival_ms"] = medians(samples[1]), out["ratio"] = times.median() / total,
    out["spread"]["rival"] = times.spread();
    std::printf("  %s: %.2f ms, ratio %.2f\n", o.rival.c_str(), times.median(), times.median() / total);
  }
  return nlohmann::json::array({out});
}

}  // namespace smartbird
