// plan: memory, work, traffic and time of a training run before it is started, on one rank and without training.
#include <ATen/Parallel.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <thread>

#include "config/auto_pattern.h"
#include "config/parse.h"
#include "config/rules.h"
#include "core/error.h"
#include "tools/arguments.h"
#include "tools/commands.h"
#include "tools/plan_print.h"
#include "tools/report_file.h"
#include "train/matmul.h"
#include "train/setup.h"

namespace smartbird {
namespace {

namespace po = boost::program_options;

struct PlanArguments {
  int64_t ranks = 1;
  double phi = 0;
  bool phi_given = false;
  int64_t hosts = 0;
  std::string link;
  bool link_given = false;
  std::string json;
  bool help = false;
};

// The arguments that are the command's own, out of all; the others are options of the run.
Arguments take_own(Arguments& arguments) {
  Arguments own, others;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string name = arguments[i].substr(0, arguments[i].find('='));
    const bool mine = name == "--ranks" || name == "--phi" || name == "--hosts" || name == "--link" ||
                      name == "--json" || name == "--help";
    (mine ? own : others).push_back(arguments[i]);
    if (mine && name != "--help" && name == arguments[i] && i + 1 < arguments.size()) own.push_back(arguments[++i]);
  }
  arguments = std::move(others);
  return own;
}

PlanArguments parse(const Arguments& own, std::string& usage) {
  PlanArguments a;
  po::options_description described("smartbird plan --config FILE [--section.key=value ...]");
  described.add_options()("ranks", value_of(a.ranks), "ranks of the run that is planned")(
      "phi", po::value<double>()->notifier([&](double phi) { a.phi = phi, a.phi_given = true; }),
      "share of remote rows that are picked and lie in no halo; without it, what nearly uniform picks want")(
      "hosts", value_of(a.hosts), "hosts over which the ranks are spread evenly; 0 = a host for each rank")(
      "link", po::value<std::string>()->notifier([&](const std::string& link) { a.link = link, a.link_given = true; }),
      "connection of a host, LATENCY,RATE as in 20ms,20Mbit/s; without it, exchange.link")(
      "json", po::value(&a.json), "write all numbers to this file");
  a.help = parse_arguments("plan", described, own);
  usage = join(described);
  if (a.help) return a;
  SB_CHECK(a.ranks >= 1 && a.ranks <= 1'000'000, Config, "plan: --ranks = ", a.ranks, " must be from 1 to 1000000");
  SB_CHECK(a.phi >= 0 && a.phi <= 1, Config, "plan: --phi = ", a.phi, " must be from 0 to 1");
  SB_CHECK(a.hosts >= 0 && a.hosts <= a.ranks, Config, "plan: --hosts = ", a.hosts, " must be from 0 to the ", a.ranks,
           " ranks (--ranks)");
  SB_CHECK(a.hosts == 0 || a.ranks % a.hosts == 0, Config, "plan: --hosts = ", a.hosts, " does not divide the ",
           a.ranks, " ranks (--ranks)");
  SB_CHECK(!a.link_given || parse_link(a.link), Config, "plan: --link = ", a.link,
           " must be a latency and a rate as in 20ms,20Mbit/s");
  return a;
}

// Where the ranks share this machine.
void set_threads_of_a_rank(const Options& o, int64_t ranks) {
  int64_t threads = o.run.threads;
  if (threads == 0 && std::getenv("OMP_NUM_THREADS") == nullptr)
    threads = std::max<int64_t>(1, static_cast<int64_t>(std::thread::hardware_concurrency()) / ranks);
  if (threads > 0) at::set_num_threads(static_cast<int>(threads)), omp_set_num_threads(static_cast<int>(threads));
}

// data.train as training opens it; nothing where it is not given or a generated task is not written yet.
Corpora open_data(const Options& o) {
  const bool written =
      !o.data.train.empty() && (o.data.generate.empty() || std::filesystem::exists(o.data.train[0] + ".json"));
  if (written) return open_corpora(o, {});
  std::printf("no data.train: planning for whole sequences of %lld tokens\n",
              static_cast<long long>(o.data.sequence_tokens));
  return {};
}

// What every plan would send; `auto` stands for the cheapest, as far as that is known without picks.
void settle_exchange(Prediction& out) {
  if (out.plan.sequence_ranks == 1) {
    out.plan.shape.attention.exchange = ExchangePlan::Rows;
    return;
  }
  out.exchanges = forecast_exchanges(out.network, out.plan);
  ExchangePlan& exchange = out.plan.shape.attention.exchange;
  if (exchange == ExchangePlan::Auto) exchange = cheapest(out.exchanges);
}

// Of a step, with the exchange of rows where the link is known.
double seconds_of(const Prediction& p) {
  for (const ExchangeForecast& e : p.exchanges)
    if (p.network.link && e.exchange == p.plan.shape.attention.exchange) return p.step_s() + e.seconds;
  return p.step_s();
}

// attention.pattern = auto as a run would choose it, by predicted time.
struct PatternForecast {
  std::string pattern;
  double sparse_s = 0, dense_s = 0, peak_bytes = 0;  // of a rank that tries both
};

// predict: of options.
Prediction settle_pattern(const ParsedOptions& parsed, const std::function<Prediction(const Options&)>& predict,
                          PatternForecast& forecast) {
  const auto predict_as = [&](const char* pattern) {
    ParsedOptions as = parsed;
    settle_auto_pattern(as, pattern, "");
    return predict(as.options);
  };
  const Prediction sparse = predict_as("sparse"), dense = predict_as("dense");
  forecast.sparse_s = seconds_of(sparse), forecast.dense_s = seconds_of(dense);
  forecast.peak_bytes = std::max(sparse.memory.peak_bytes(), dense.memory.peak_bytes());
  forecast.pattern = forecast.dense_s <= forecast.sparse_s ? "dense" : "sparse";
  std::printf(
      "attention.pattern = auto: planned as %s, a step takes about %.3g s densely and %.3g s sparsely (%s "
      "communication); a run times both when it begins, with up to %.0f MiB\n",
      forecast.pattern.c_str(), forecast.dense_s, forecast.sparse_s,
      sparse.network.link || sparse.exchanges.empty() ? "with" : "without", forecast.peak_bytes / (1024 * 1024));
  return forecast.pattern == "dense" ? dense : sparse;
}

}  // namespace

int plan_command(const Communicator& everyone, const Arguments& arguments) {
  if (everyone.rank() != 0) return 0;
  const Resident start = resident_now();
  Arguments options = arguments;
  std::string usage;
  const PlanArguments a = parse(take_own(options), usage);
  if (a.help) {
    std::printf(
        "%s\nPrints memory, work, time and traffic of a training step with this configuration; trains nothing.\n\n%s",
        usage.c_str(), help_text().c_str());
    return 0;
  }
  const ParsedOptions parsed = parse_options(options, nullptr);
  const Options& o = parsed.options;
  check_rules(o, static_cast<int>(a.ranks));
  SB_CHECK(o.attention.draw != "oracle", Config,
           "plan: attention.draw = oracle chooses by the exact attention of every layer, which is not predicted; plan "
           "the draw "
           "that it is compared with");
  check_report_file("plan: --json", a.json);
  const Corpora data = open_data(o);
  const Resident opened = resident_now();
  set_threads_of_a_rank(o, a.ranks);
  if (!set_matmul(o)) std::fputs(kNotRounded, stderr);
  if (o.run.device == "cuda")
    std::fputs(
        "warning: run.device = cuda: bytes that travel are those of GPUs, memory, rates and times those of this CPU\n",
        stderr);
  const auto rates = measure_rates(make_plan_case(o, a.ranks, data.train.get()));
  const double touched = resident_now().file_bytes - opened.file_bytes;  // pages of LibTorch that training runs through
  const auto predict = [&](const Options& options) {
    Prediction out;
    out.rates = rates;
    out.plan = make_plan_case(options, a.ranks, data.train.get());
    if (a.phi_given) out.plan.phi = a.phi;
    out.network = {a.hosts > 0 ? a.hosts : a.ranks, parse_link(a.link_given ? a.link : options.exchange.link)};
    settle_exchange(out);
    out.memory =
        predict_memory(out.plan, {.library_bytes = start.all() + touched, .data_bytes = opened.all() - start.all()});
    out.work = predict_work(out.plan);
    out.traffic = predict_traffic(out.plan);
    return out;
  };
  PatternForecast forecast;
  const Prediction out = has_auto_pattern(o) ? settle_pattern(parsed, predict, forecast) : predict(o);
  std::printf("%s", to_text(out).c_str());
  if (a.json.empty()) return 0;
  nlohmann::json json = to_json(out);
  if (!forecast.pattern.empty())
    json["auto_pattern"] = {{"pattern", forecast.pattern},
                            {"sparse_s", forecast.sparse_s},
                            {"dense_s", forecast.dense_s},
                            {"peak_bytes", forecast.peak_bytes}};
  write_report_file(a.json, json.dump(1) + "\n");
  return 0;
}

}  // namespace smartbird
