// The report as tables and as JSON.
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "tools/selector_report.h"

namespace smartbird {
namespace {

double share(double part, double all) { return all > 0 ? part / all : 0; }

HeadReport sum_of(const SelectorReport& report) {
  HeadReport out = report.heads[0][0];
  for (size_t layer = 0; layer < report.heads.size(); ++layer)
    for (size_t head = layer == 0 ? 1 : 0; head < report.heads[layer].size(); ++head) {
      const HeadReport& h = report.heads[layer][head];
      out.rows += h.rows, out.blocks += h.blocks, out.band += h.band, out.domain += h.domain;
      out.at_picks.add(h.at_picks);
      for (size_t i = 0; i < out.by_picks.size(); ++i) out.by_picks[i].add(h.by_picks[i]);
      for (size_t i = 0; i < out.by_width.size(); ++i) out.by_width[i].add(h.by_width[i]);
      out.recall += h.recall, out.recall_topk += h.recall_topk, out.keys += h.keys, out.sketch_keys += h.sketch_keys;
      out.output_square += h.output_square, out.error_square += h.error_square, out.variance += h.variance;
    }
  return out;
}

void print_head(const char* name, const HeadReport& h) {
  const Shares& s = h.at_picks;
  std::printf("%-10s %6.3f %7.3f %7.3f %7.3f %7.3f %8.1f %7.2f %7.3f %7.3f %7.1f %7.1f %7.3f %7.3f\n", name,
              share(h.band, h.rows), share(s.sketch, h.domain), share(s.topk, h.domain), share(s.uniform, h.domain),
              share(s.oracle, h.domain), share(s.sketch, s.uniform), share(s.sketch, s.oracle),
              share(h.recall, h.blocks), share(h.recall_topk, h.blocks), share(h.keys, h.blocks),
              share(h.sketch_keys, h.blocks), std::sqrt(share(h.error_square, h.output_square)),
              std::sqrt(share(h.variance, h.output_square)));
}

void print_curve(const char* what, int64_t at, const Shares& s, double domain) {
  std::printf("%s %-5lld %7.3f %7.3f %7.3f %7.3f %8.1f %7.2f\n", what, static_cast<long long>(at),
              share(s.sketch, domain), share(s.topk, domain), share(s.uniform, domain), share(s.oracle, domain),
              share(s.sketch, s.uniform), share(s.sketch, s.oracle));
}

nlohmann::json to_json(const Shares& s, double domain) {
  return {{"sketch", share(s.sketch, domain)},
          {"topk", share(s.topk, domain)},
          {"uniform", share(s.uniform, domain)},
          {"oracle", share(s.oracle, domain)}};
}

nlohmann::json to_json(const SelectorReport& report, const HeadReport& h) {
  nlohmann::json out{{"blocks", h.blocks},
                     {"band", share(h.band, h.rows)},
                     {"domain", share(h.domain, h.rows)},
                     {"caught", to_json(h.at_picks, h.domain)},
                     {"keys", share(h.at_picks.keys, h.blocks)},
                     {"recall", share(h.recall, h.blocks)},
                     {"recall_topk", share(h.recall_topk, h.blocks)},
                     {"effective_keys", share(h.keys, h.blocks)},
                     {"sketch_effective_keys", share(h.sketch_keys, h.blocks)},
                     {"output_error", std::sqrt(share(h.error_square, h.output_square))},
                     {"output_deviation", std::sqrt(share(h.variance, h.output_square))}};
  for (size_t i = 0; i < h.by_picks.size(); ++i)
    out["by_picks"][std::to_string(kReportPicks[i])] = to_json(h.by_picks[i], h.domain);
  for (size_t i = 0; i < h.by_width.size(); ++i)
    out["by_width"][std::to_string(report.widths[i])] = to_json(h.by_width[i], h.domain);
  return out;
}

// Ranks without a query block want nothing and would make phi small.
bool has_blocks_for_all(const TrafficReport& t, size_t ranks) { return kTrafficRanks[ranks] <= t.blocks; }

std::string name_of(int64_t share_rows) { return share_rows == 0 ? "all" : std::to_string(share_rows); }

}  // namespace

void print_report(const SelectorReport& report) {
  const HeadReport all = sum_of(report);
  std::printf(
      "\nsketch report: %.0f query blocks of %lld sequences, K = %lld, M = %lld\n"
      "draw: %s, temperature %g, floor %g%s\n"
      "band: share of exact attention in the window and on global keys; the rest lies in the domain E\n"
      "share of E held by: the sketch's draw on average (gumbel, iid: as poisson draws), its K best keys, K uniform "
      "keys, the K best "
      "keys (oracle); the draw has %.1f keys on average\n"
      "recall: of the oracle's keys, those that the draw has on average, and the sketch's K best\n"
      "keys: over how many of E attention is spread, and the sketch (exp of the entropy)\n"
      "output: rms error and standard deviation over %d draws, of dense attention's\n",
      all.blocks / static_cast<double>(report.layers.size() * static_cast<size_t>(report.query_heads)),
      static_cast<long long>(report.sequences), static_cast<long long>(report.picks),
      static_cast<long long>(report.widths.back()), report.draw.c_str(), report.temperature, report.floor,
      report.fill ? ", fills its budget" : "", share(all.at_picks.keys, all.blocks), kReportDraws);
  if (all.blocks == 0) std::printf("no block has an E: the window covers all that its rows see\n");
  std::printf("%-10s %6s %7s %7s %7s %7s %8s %7s %7s %7s %7s %7s %7s %7s\n", "layer.head", "band", "draw", "best",
              "uniform", "oracle", "/uniform", "/oracle", "recall", "of best", "keys", "sketch", "error", "deviat.");
  for (size_t layer = 0; layer < report.layers.size(); ++layer)
    for (size_t head = 0; head < report.heads[layer].size(); ++head)
      print_head((std::to_string(report.layers[layer]) + "." + std::to_string(head)).c_str(),
                 report.heads[layer][head]);
  print_head("all", all);
  std::printf(
      "\nall heads, share of E held by K keys, and by a sketch cut to M directions\n%7s %7s %7s %7s %7s %8s %7s\n", "",
      "draw", "best", "uniform", "oracle", "/uniform", "/oracle");
  for (size_t i = 0; i < all.by_picks.size(); ++i) print_curve("K", kReportPicks[i], all.by_picks[i], all.domain);
  for (size_t i = 0; i < all.by_width.size(); ++i) print_curve("M", report.widths[i], all.by_width[i], all.domain);
  std::printf(
      "\nphi: share of other ranks' rows that a rank's picks want, P ranks, blocks of b rows, g rows share random "
      "numbers\n%4s %5s",
      "b", "g");
  for (int ranks : kTrafficRanks) std::printf(" %7s", ("P=" + std::to_string(ranks)).c_str());
  std::printf("\n");
  for (const TrafficReport& t : report.traffic) {
    std::printf("%4lld %5s", static_cast<long long>(t.query_block), name_of(t.share_rows).c_str());
    for (size_t i = 0; i < t.phi.size(); ++i)
      has_blocks_for_all(t, i) ? std::printf(" %7.3f", share(t.phi[i], t.draws)) : std::printf(" %7s", "-");
    std::printf("\n");
  }
}

std::string report_json(const SelectorReport& report) {
  nlohmann::json out{
      {"sequences", report.sequences},
      {"picks", report.picks},
      {"width", report.widths.back()},
      {"draw",
       {{"mode", report.draw}, {"temperature", report.temperature}, {"floor", report.floor}, {"fill", report.fill}}},
      {"all", to_json(report, sum_of(report))}};
  for (size_t layer = 0; layer < report.layers.size(); ++layer)
    for (size_t head = 0; head < report.heads[layer].size(); ++head) {
      nlohmann::json one = to_json(report, report.heads[layer][head]);
      one["layer"] = report.layers[layer], one["head"] = head;
      out["heads"].push_back(std::move(one));
    }
  for (const TrafficReport& t : report.traffic) {
    nlohmann::json one{{"query_block", t.query_block}, {"share", name_of(t.share_rows)}};
    for (size_t i = 0; i < t.phi.size(); ++i)
      one["phi"][std::to_string(kTrafficRanks[i])] =
          has_blocks_for_all(t, i) ? nlohmann::json(share(t.phi[i], t.draws)) : nlohmann::json();
    out["traffic"].push_back(std::move(one));
  }
  return out.dump(1) + "\n";
}

}  // namespace smartbird
