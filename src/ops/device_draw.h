// Pass A and B of a plan by the kernels for a GPU: picks of every (block, head) as kernels::draw gives them on the CPU, decided by
// the same rules and random numbers, with scores in float or from bfloat16. Rows go in runs whose memory on the device stays
// under a budget; the host waits for the GPU once a run, for the lengths of the lists.
#pragma once

#include "kernels/draw.h"
#include "ops/plan.h"

namespace smartbird {

// queries [Q, M] and keys [N, M] are float or bfloat16 on one device, M 16, 32 or 64; blocks: those of the queries.
// ErrorKind::Shape for another type, width or mode, or more heads than kernels::kMostDeviceHeads.
[[nodiscard]] kernels::Picks<float> device_draw(const SketchScores& scores, std::span<const kernels::ScanBlock> blocks,
                                                std::span<const int64_t> excluded, const kernels::DrawOptions& options,
                                                int64_t budget_bytes);

}  // namespace smartbird
