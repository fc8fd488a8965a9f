// What a trained sketch is worth: `smartbird evaluate --sketch.report`. On query blocks of the first sequences, exact attention
// beside what the sketch makes of it; all numbers of a layer and query head are sums over those blocks, or as said.
#pragma once

#include <string>

#include "tools/selector_shares.h"
#include "tools/selector_traffic.h"
#include "train/step.h"

namespace smartbird {

struct HeadReport {
  double rows = 0, blocks = 0;         // probe rows; blocks that have an E
  double band = 0, domain = 0;         // exact attention in the band and on global keys, and in E: together the rows
  Shares at_picks;                     // of E, with the configured K
  std::vector<Shares> by_picks;        // with kReportPicks
  std::vector<Shares> by_width;        // with K and the sketch cut to SelectorReport::widths directions
  double recall = 0, recall_topk = 0;  // Σ over blocks
  double keys = 0, sketch_keys = 0;    // Σ over blocks of effective keys in E: of the attention, of the sketch
  // Of the heads' outputs o, kReportDraws draws against dense attention: Σ |o_dense|², mean |o - o_dense|², variance of o.
  double output_square = 0, error_square = 0, variance = 0;
};

inline constexpr int64_t kReportPicks[] = {1, 2, 4, 8, 16, 32, 64, 128, 256};
inline constexpr int kReportDraws = 8;

struct SelectorReport {
  int64_t sequences = 0, picks = 0, query_heads = 0;
  std::string draw;  // attention.draw
  double temperature = 1, floor = 0;
  bool fill = false;                           // the draw's
  std::vector<int64_t> widths, layers;         // of the sparse layers
  std::vector<std::vector<HeadReport>> heads;  // [sparse layers][H]
  std::vector<TrafficReport> traffic;
};

// Refuses, by ErrorKind::Config, what has no sketch to report on. Before any work.
void check_selector_report(const Options& options, int num_ranks);
[[nodiscard]] SelectorReport selector_report(const StepSetup& setup, const Corpus& corpus);

void print_report(const SelectorReport& report);
[[nodiscard]] std::string report_json(const SelectorReport& report);

}  // namespace smartbird
