// simulate: recorded picks on any number of ranks: phi, bytes, imbalance, and the time of a step as it would scale.
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <numeric>
#include <sstream>

#include "core/error.h"
#include "tools/arguments.h"
#include "tools/commands.h"
#include "tools/replay.h"
#include "tools/report_file.h"

namespace smartbird {
namespace {

namespace po = boost::program_options;

struct SimulateArguments {
  std::string picks, ranks = "1,2,4,8,16,32,64,128,256,512,1024,2048,4096", link = "50us,10Gbit/s",
                     layout = "contiguous", json;
  double compute_s = 0;
  std::vector<int> counts;
  Link speed;
  bool help = false;
};

std::vector<int> counts_from(const std::string& text) {
  constexpr int64_t kMostRanks = 4096;
  std::vector<int> out;
  std::istringstream in(text);
  for (std::string word; std::getline(in, word, ',');) {
    const bool number = !word.empty() && word.size() < 6 && word.find_first_not_of("0123456789") == std::string::npos;
    const int64_t ranks = number ? std::stoll(word) : 0;
    SB_CHECK(ranks >= 1 && ranks <= kMostRanks, Config, "simulate: --ranks = ", text, ": '", word,
             "' is not a number from 1 to ", kMostRanks);
    out.push_back(static_cast<int>(ranks));
  }
  SB_CHECK(!out.empty(), Config, "simulate: --ranks is empty; give numbers separated by commas");
  return out;
}

SimulateArguments parse(const Arguments& arguments, std::string& usage) {
  SimulateArguments a;
  po::options_description described("smartbird simulate --picks=RUN/picks/FILE [--ranks=2,4,8]");
  described.add_options()("picks", po::value(&a.picks), "picks that a run with run.record_picks wrote")(
      "ranks", value_of(a.ranks), "numbers of ranks, separated by commas")("link", value_of(a.link),
                                                                           "connection of every rank, LATENCY,RATE")(
      "layout", value_of(a.layout), "contiguous | zigzag")("compute", value_of(a.compute_s),
                                                           "seconds that a step computes on one rank; 0 = as recorded")(
      "json", po::value(&a.json), "write all numbers to this file");
  a.help = parse_arguments("simulate", described, arguments);
  usage = join(described);
  if (a.help) return a;
  SB_CHECK(!a.picks.empty(), Config, "simulate: --picks=FILE is missing; a run with --run.record_picks=N writes some");
  a.counts = counts_from(a.ranks);
  const auto link = parse_link(a.link);
  SB_CHECK(link, Config, "simulate: --link = ", a.link, " must be a latency and a rate as in 20ms,20Mbit/s");
  a.speed = *link;
  SB_CHECK(a.layout == "contiguous" || a.layout == "zigzag", Config, "simulate: --layout = ", a.layout,
           " is not contiguous or zigzag");
  SB_CHECK(a.compute_s >= 0 && std::isfinite(a.compute_s), Config, "simulate: --compute = ", a.compute_s,
           " must be at least 0");
  return a;
}

struct Row {
  int ranks = 1;
  int64_t tokens = 0;
  Replay of;  // sums over streams, means of shares
  double compute_s = 0, update_s = 0;
  [[nodiscard]] double step_s() const { return compute_s + update_s + of.cheapest_s(); }
};

int64_t tokens_of(const std::vector<RecordedStream>& streams) {
  int64_t tokens = 0;
  for (const RecordedStream& stream : streams)
    tokens = std::accumulate(stream.lengths.begin(), stream.lengths.end(), tokens);
  return tokens;
}

// Of a step on one rank.
struct Alone {
  double scan_s = 0, rest_s = 0;  // scan and draw; what is shared evenly
  [[nodiscard]] double all() const { return scan_s + rest_s; }
};

// All streams of the step one after the other, on `ranks` ranks.
Row simulate(const PicksRecord& record, const std::vector<RecordedStream>& streams, int ranks,
             const SimulateArguments& a, const Alone& alone) {
  const LayoutKind layout = a.layout == "zigzag" ? LayoutKind::Zigzag : LayoutKind::Contiguous;
  Row row;
  row.ranks = ranks, row.tokens = tokens_of(streams);
  row.of.scan_imbalance = row.of.sent_imbalance = 0;
  for (const RecordedStream& stream : streams) {
    const Replay one = replay(record, stream, ranks, layout, a.speed);
    const double share = 1.0 / static_cast<double>(streams.size());
    row.of.phi += one.phi * share, row.of.row_bytes += one.row_bytes, row.of.halo_bytes += one.halo_bytes;
    row.of.all_bytes += one.all_bytes;
    row.of.scan_imbalance += one.scan_imbalance * share, row.of.sent_imbalance += one.sent_imbalance * share;
    for (size_t plan = 0; plan < one.seconds.size(); ++plan) row.of.seconds[plan] += one.seconds[plan];
  }
  row.compute_s = (alone.scan_s * row.of.scan_imbalance + alone.rest_s) / ranks;
  const double update_bytes = static_cast<double>(record.parameters * record.parameter_bytes) * (ranks - 1) / ranks;
  if (ranks > 1) row.update_s = 2 * a.speed.seconds(update_bytes);  // gradients, then weights
  return row;
}

nlohmann::json to_json(const Row& row, double alone_s) {
  nlohmann::json out{{"ranks", row.ranks},
                     {"tokens", row.tokens},
                     {"phi", row.of.phi},
                     {"row_bytes", row.of.row_bytes},
                     {"halo_bytes", row.of.halo_bytes},
                     {"all_gather_bytes", row.of.all_bytes},
                     {"scan_imbalance", row.of.scan_imbalance},
                     {"sent_imbalance", row.of.sent_imbalance},
                     {"compute_s", row.compute_s},
                     {"update_s", row.update_s},
                     {"step_s", row.step_s()},
                     {"efficiency", alone_s / (row.step_s() * row.ranks)}};
  for (size_t plan = 0; plan < row.of.seconds.size(); ++plan)
    if (std::isfinite(row.of.seconds[plan])) out["exchange_s"][kExchangePlanNames[plan]] = row.of.seconds[plan];
  return out;
}

void print_row(const Row& row, double alone_s) {
  const auto seconds = [](double s) { return std::isfinite(s) ? join(std::round(s * 1e4) / 1e4) : std::string("-"); };
  std::printf("%6d %9lld %6.3f %10.1f %9.1f %10.1f %6.2f %6.2f %9s %9s %9s %9s %10s %7.2f\n", row.ranks,
              static_cast<long long>(row.tokens), row.of.phi, row.of.row_bytes * 1e-6, row.of.halo_bytes * 1e-6,
              row.of.all_bytes * 1e-6, row.of.scan_imbalance, row.of.sent_imbalance, seconds(row.compute_s).c_str(),
              seconds(row.of.seconds[0]).c_str(), seconds(row.of.seconds[1]).c_str(),
              seconds(row.of.seconds[2]).c_str(), seconds(row.step_s()).c_str(), alone_s / (row.step_s() * row.ranks));
}

void print_head(const char* title) {
  std::printf("%s\n%6s %9s %6s %10s %9s %10s %6s %6s %9s %9s %9s %9s %10s %7s\n", title, "ranks", "tokens", "phi",
              "rows MB", "halo MB", "gather MB", "scan", "sent", "compute s", "rows s", "all s", "heads s", "step s",
              "effic.");
}

}  // namespace

int simulate_command(const Communicator& everyone, const Arguments& arguments) {
  if (everyone.rank() != 0) return 0;
  std::string usage;
  const SimulateArguments a = parse(arguments, usage);
  if (a.help) {
    std::printf(
        "%s\nLays the picks of a recorded step over any number of ranks. Nothing is trained: what every rank would "
        "fetch "
        "is\ncounted, its time follows from --link, the computation from the recorded step, shared by all ranks.\n",
        usage.c_str());
    return 0;
  }
  check_report_file("simulate: --json", a.json);
  const PicksRecord record = read_picks(a.picks);
  SB_CHECK(!record.streams.empty() && !record.layers_by_sketch.empty(), Data, a.picks, ": no picks were recorded");
  SB_CHECK(a.compute_s > 0 || record.compute_s > 0, Data, a.picks,
           ": the recorded step took no time; give --compute=SECONDS");
  const double compute_s = a.compute_s > 0 ? a.compute_s : record.compute_s,
               scan_share = record.compute_s > 0 ? std::min(1.0, record.scan_s / record.compute_s) : 0;
  const Alone alone{compute_s * scan_share, compute_s * (1 - scan_share)};
  nlohmann::json report{{"link", to_text(a.speed)}, {"layout", a.layout}, {"compute_s", compute_s}};
  std::printf("step %lld, %.2f s of computation on one rank (%.0f %% of it scan and draw), link %s, layout %s\n",
              static_cast<long long>(record.step), compute_s, 100 * scan_share, to_text(a.speed).c_str(),
              a.layout.c_str());
  print_head("strong scaling: the recorded step on more ranks");
  for (int ranks : a.counts) {
    const Row row = simulate(record, record.streams, ranks, a, alone);
    print_row(row, compute_s);
    report["strong"].push_back(to_json(row, compute_s));
  }
  const RecordedStream& whole = record.streams.front();
  const int64_t tokens = tokens_of({whole});
  const int most = *std::max_element(a.counts.begin(), a.counts.end());
  if (record.causal && record.prefix == 0 && whole.lengths.size() == 1 && tokens >= most) {
    print_head("weak scaling: the first tokens of the recorded sequence, as many for every rank");
    double pairs = 0;
    for (const RecordedStream& stream : record.streams) pairs += scan_pairs(record, stream);
    const double of_all = static_cast<double>(tokens_of(record.streams));
    for (int ranks : a.counts) {
      const RecordedStream part = first_tokens(record, whole, tokens * ranks / most);
      const Alone of_part{pairs > 0 ? alone.scan_s * scan_pairs(record, part) / pairs : 0,
                          alone.rest_s * static_cast<double>(part.lengths[0]) / of_all};
      const Row row = simulate(record, {part}, ranks, a, of_part);
      print_row(row, of_part.all());
      report["weak"].push_back(to_json(row, of_part.all()));
    }
  } else {
    std::printf("no weak scaling: it needs a causal model and one sequence a stream, of at least %d tokens; here %s\n",
                most,
                !record.causal || record.prefix > 0 ? "rows see later ones"
                : whole.lengths.size() > 1 ? join("a stream holds ", whole.lengths.size(), " sequences").c_str()
                                           : join("it has ", tokens).c_str());
  }
  if (!a.json.empty()) write_report_file(a.json, report.dump(1) + "\n");
  return 0;
}

}  // namespace smartbird
