// Bytes that all ranks together send to others in a training step, by operation, under the names that metrics.jsonl has in
// sent_bytes. With P ranks of a sequence group, N tokens, e bytes an element:
//   sketch_keys e M N (P-1) a sketch;  row_ids 4 G phi N (P-1);  rows e 2 G D phi N (P-1) a sparse layer, and back;
//   again where memory.rows = fetch_again
//   band_halo, convolution_halo, query_halo: the neighbours' rows, counted from the layout
//   gradients, parameters: e n with R ranks in all;  probe_*: queries, sums and picks of the expected probes
// phi is of the rows that are fetched one by one, and expected, not known: see expected_phi. Statistics are left out.
#pragma once

#include <map>
#include <string>

#include "tools/plan_case.h"

namespace smartbird {

struct Operation {
  double bytes = 0;          // that all ranks send in a step
  double exchanges = 0;      // in which a rank takes part
  bool of_everyone = false;  // among all ranks, not those of a sequence group
};
[[nodiscard]] std::map<std::string, Operation> predict_traffic(const PlanCase& plan);

}  // namespace smartbird
