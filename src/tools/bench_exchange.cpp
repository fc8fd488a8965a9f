// bench exchange: on a trained model, what shared random numbers do to the rows that ranks want of each other and to the loss:
// phi and bytes by share, query block, picks and ranks, by layer and head. One process; ranks are laid over the drawn picks.
#include "tools/bench_exchange.h"

#include <ATen/Parallel.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <sstream>

#include "comm/self_comm.h"
#include "config/parse.h"
#include "config/rules.h"
#include "core/error.h"
#include "tools/arguments.h"
#include "tools/bench_ceilings.h"
#include "tools/replay.h"
#include "tools/report_file.h"
#include "tools/run_start.h"
#include "train/checkpoint_options.h"
#include "train/micro_steps.h"
#include "train/setup.h"

namespace smartbird {
namespace {

namespace po = boost::program_options;

struct ExchangeArguments {
  std::string checkpoint, share = "1,16,64,1024,all", query_block = "1,16,64", picks = "16,64,256", ranks = "2,4,8,16",
                          data, layout = "contiguous", json;
  int64_t tokens = 0, sequences = 4;
};

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream in(text);
  for (std::string word; std::getline(in, word, ',');) out.push_back(word);
  return out;
}

std::vector<int64_t> numbers_of(const char* name, const std::string& text, int64_t most) {
  std::vector<int64_t> out;
  for (const std::string& word : words_of(text)) {
    const bool number = !word.empty() && word.size() < 10 && word.find_first_not_of("0123456789") == std::string::npos;
    SB_CHECK(number && std::stoll(word) >= 1 && std::stoll(word) <= most, Config, "bench exchange: --", name, " = ",
             text, ": '", word, "' is not a number from 1 to ", most);
    out.push_back(std::stoll(word));
  }
  SB_CHECK(!out.empty(), Config, "bench exchange: --", name, " is empty; give numbers separated by commas");
  return out;
}

struct Setting {
  int64_t query_block = 1;
  std::string share;
  int64_t picks = 0;
};

// Every combination in which a share group holds whole blocks.
std::vector<Setting> settings_of(const ExchangeArguments& a, const std::vector<int64_t>& blocks,
                                 const std::vector<int64_t>& picks) {
  std::vector<Setting> out;
  const std::vector<std::string> shares = words_of(a.share);
  for (const std::string& share : shares)
    if (share != "all") (void)numbers_of("share", share, 1 << 30);
  for (int64_t block : blocks)
    for (const std::string& share : shares)
      if (share == "all" || std::stoll(share) % block == 0)
        for (int64_t count : picks) out.push_back({block, share, count});
  SB_CHECK(!out.empty(), Config, "bench exchange: no --share = ", a.share,
           " is a multiple of a --query-block = ", a.query_block);
  return out;
}

// The options of the checkpoint with other attention; the model stays.
Options options_with(const std::string& folder, const ExchangeArguments& a, const Setting& s) {
  std::vector<std::string> all{"--config",
                               folder + "/config.ini",
                               "--attention.share=" + s.share,
                               join("--attention.query_block=", s.query_block),
                               join("--attention.picks=", s.picks),
                               "--exchange.plan=rows",
                               "--parallel.sequence_ranks=0",
                               join("--eval.sequences=", a.sequences)};
  if (!a.data.empty()) all.push_back("--data.test=" + a.data);
  if (a.tokens > 0) all.push_back(join("--eval.sequence_tokens=", a.tokens));
  const Options out = parse_options(all, nullptr).options;
  check_rules(out, 1);
  return out;
}

struct Measured {
  double loss = 0;
  PicksRecord picks;
};

Measured measure(const World& world, const std::string& folder, const CheckpointMeta& meta, const Options& o,
                 const Corpus& corpus) {
  const at::NoGradGuard no_grad;
  const at::ScalarType dtype = o.run.dtype == "float64" ? at::kDouble : at::kFloat;
  Transformer model(make_shape(o, corpus.tokenizer().vocabulary(), static_cast<int64_t>(meta.classes.size())), dtype,
                    1);
  load_weights(folder, model.parameters(), MissingWeights::Refuse);
  const StepSetup setup{world, model, o, task_from_name(o.data.task)};
  const Sampler sampler = evaluation_sampler(o, corpus);
  Measured out;
  out.picks = describe_picks(model.shape(), static_cast<int>(o.attention.query_block), dtype == at::kDouble ? 8 : 4,
                             model.parameters().size());
  StageTimer timer;
  double targets = 0;
  const int64_t end = std::min(sampler.epoch_begin(1), o.eval.sequences);
  for (int64_t next = 0; next < end; ++next) {  // a sequence is a stream
    const std::vector<Sample> batch{sampler.batch(next, 1).front()};
    const auto micro_steps = micro_steps_of(setup, corpus, batch, 0, philox_key(0, 0, Purpose::Evaluate));
    targets += count_targets(setup, micro_steps, batch);
    for (const MicroStep& micro : micro_steps) {
      const StepContext context{world, micro.layout, timer, 0, 0, Phase::Evaluate};
      const Forward forward = model.forward(context, micro.stream, {.task = setup.task, .probe_rate = -1});
      out.loss += forward.task_loss.item<double>();
      RecordedStream stream;
      for (const Sequence& sequence : micro.layout.sequences()) stream.lengths.push_back(sequence.length);
      for (const auto& plan : forward.plans)
        if (plan->drawn_heads > 0) stream.sketches.push_back(gather_lists(context, *plan));
      out.picks.streams.push_back(std::move(stream));
    }
  }
  SB_CHECK(targets > 0, Data, "bench exchange: the data has no target; name more text with --data");
  out.loss /= targets;
  return out;
}

// Of one setting on some ranks: means over streams; bytes of a training step, all layers there and back.
nlohmann::json laid_over(const PicksRecord& picks, int64_t ranks, LayoutKind layout) {
  constexpr Link kAnyLink{0, 1};
  double phi = 0, rows = 0, halo = 0, all = 0;
  std::vector<std::vector<double>> by_head;
  for (const RecordedStream& stream : picks.streams) {
    const Replay one = replay(picks, stream, static_cast<int>(ranks), layout, kAnyLink);
    phi += one.phi, rows += one.row_bytes, halo += one.halo_bytes, all += one.all_bytes;
    by_head.resize(one.phi_by_sketch_head.size());
    for (size_t s = 0; s < by_head.size(); ++s) {
      by_head[s].resize(one.phi_by_sketch_head[s].size(), 0);
      for (size_t g = 0; g < by_head[s].size(); ++g)
        by_head[s][g] += one.phi_by_sketch_head[s][g] / static_cast<double>(picks.streams.size());
    }
  }
  return {{"ranks", ranks},
          {"phi", phi / static_cast<double>(picks.streams.size())},
          {"phi_by_sketch_head", by_head},
          {"row_bytes", rows},
          {"halo_bytes", halo},
          {"all_gather_bytes", all}};
}

}  // namespace

int bench_exchange(const Arguments& arguments) {
  ExchangeArguments a;
  po::options_description described(
      "smartbird bench exchange --checkpoint=DIR\n"
      "On a trained model: the share phi of remote rows that ranks want, bytes against an all-gather of keys and\n"
      "values, and the loss, for every combination of the lists (separated by commas)");
  described.add_options()("checkpoint", po::value(&a.checkpoint), "run or checkpoint folder")(
      "data", po::value(&a.data), "text to measure on; without it the checkpoint's data.test, else data.valid")(
      "tokens", value_of(a.tokens), "longest sequence; 0 = as trained")(
      "sequences", value_of(a.sequences), "sequences to measure on")("share", value_of(a.share),
                                                                     "attention.share, numbers or all")(
      "query-block", value_of(a.query_block), "attention.query_block")("picks", value_of(a.picks), "attention.picks")(
      "ranks", value_of(a.ranks), "ranks that share a sequence")("layout", value_of(a.layout), "contiguous | zigzag")(
      "json", po::value(&a.json), "file for the results");
  if (parse_arguments("bench exchange", described, arguments)) {
    std::cout << described;
    return 0;
  }
  SB_CHECK(!a.checkpoint.empty(), Config, "bench exchange: --checkpoint=DIR is missing");
  SB_CHECK(a.tokens >= 0 && a.sequences >= 1, Config, "bench exchange: --tokens = ", a.tokens,
           " and --sequences = ", a.sequences, " must be at least 0 and 1");
  SB_CHECK(a.layout == "contiguous" || a.layout == "zigzag", Config, "bench exchange: --layout = ", a.layout,
           " is not contiguous or zigzag");
  const auto blocks = numbers_of("query-block", a.query_block, 4096), picks = numbers_of("picks", a.picks, 1 << 20),
             ranks = numbers_of("ranks", a.ranks, 4096);
  const std::vector<Setting> settings = settings_of(a, blocks, picks);
  check_report_file("bench exchange: --json", a.json);
  const std::string folder = found_checkpoint("bench exchange: --checkpoint", a.checkpoint);
  warn_of_options_since(folder);
  const CheckpointMeta meta = read_checkpoint_meta(folder);
  const World world(std::make_unique<SelfComm>(), 1);
  set_threads(world, 0);
  const LayoutKind layout = a.layout == "zigzag" ? LayoutKind::Zigzag : LayoutKind::Contiguous;
  nlohmann::json report{{"hardware", describe_hardware()}, {"checkpoint", a.checkpoint}, {"layout", a.layout}};
  const Options first = options_with(folder, a, settings.front());
  SB_CHECK(has_sparse_layer(first), Config, "bench exchange: no layer of ", folder, " is sparse");
  const std::string key = first.data.test.empty() ? "data.valid" : "data.test";
  const auto& sources = first.data.test.empty() ? first.data.valid : first.data.test;
  SB_CHECK(!sources.empty(), Config, "bench exchange: the checkpoint names no data.test; add --data=PATH");
  const auto corpus = open_corpus(key, sources, evaluation_data(first), meta.classes, meta.tokenizer_json);
  check_tokenizer(*corpus, meta, key);
  std::printf("%6s %6s %6s %10s %6s %7s %10s %10s %10s %8s\n", "b", "share", "picks", "loss", "ranks", "phi", "rows MB",
              "halo MB", "gather MB", "fewer");
  for (const Setting& s : settings) {
    const Options o = options_with(folder, a, s);
    const Measured measured = measure(world, folder, meta, o, *corpus);
    nlohmann::json one{{"query_block", s.query_block}, {"share", s.share}, {"picks", s.picks}, {"loss", measured.loss}};
    for (int64_t p : ranks) {
      const nlohmann::json of = laid_over(measured.picks, p, layout);
      const double rows = of["row_bytes"], halo = of["halo_bytes"], all = of["all_gather_bytes"];
      std::printf("%6lld %6s %6lld %10.4f %6lld %7.4f %10.2f %10.2f %10.2f %7.1fx\n",
                  static_cast<long long>(s.query_block), s.share.c_str(), static_cast<long long>(s.picks),
                  measured.loss, static_cast<long long>(p), of["phi"].get<double>(), rows * 1e-6, halo * 1e-6,
                  all * 1e-6, all / std::max(1.0, rows + halo));
      std::fflush(stdout);
      one["on_ranks"].push_back(of);
    }
    report["cases"].push_back(one);
  }
  if (!a.json.empty()) write_report_file(a.json, report.dump(1) + "\n");
  return 0;
}

}  // namespace smartbird
