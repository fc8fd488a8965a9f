// Streams of the first replica, and the time of the step, to a file.
#include "train/picks_recorder.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "core/error.h"

namespace smartbird {

PicksRecorder::PicksRecorder(const StepSetup& setup, int64_t step)
    : setup_(setup), on_(setup.options.run.record_picks > 0 && step % setup.options.run.record_picks == 0) {
  if (!on_) return;
  const Options& o = setup.options;
  picks_ = describe_picks(setup.model.shape(), static_cast<int>(o.attention.query_block),
                          o.run.dtype == "float64" ? 8 : 4, setup.model.parameters().size());
  picks_.step = step;
}

void PicksRecorder::add(const StepContext& context, const Forward& forward) {
  if (!on_ || setup_.world.replica() != 0) return;
  on_ = std::any_of(forward.plans.begin(), forward.plans.end(), [](const auto& plan) { return plan->drawn_heads > 0; });
  if (!on_) return;  // a dense step
  RecordedStream stream;
  for (const Sequence& sequence : context.layout.sequences()) stream.lengths.push_back(sequence.length);
  for (const auto& plan : forward.plans)
    if (plan->drawn_heads > 0) stream.sketches.push_back(gather_lists(context, *plan));
  picks_.streams.push_back(std::move(stream));
}

void PicksRecorder::write(const StepRecord& record) {
  if (!on_) return;
  const auto ms = [&](const char* stage) { return record.step_ms.contains(stage) ? record.step_ms.at(stage) : 0.0; };
  const World& world = setup_.world;
  double waited_ms = 0;
  for (const Communicator* group : world.groups()) waited_ms += group->exchange_time().exposed_ms;
  const double scan_s = (ms("scan") + ms("draw")) * 1e-3;
  double seconds[] = {std::max(scan_s, (ms("total") - waited_ms) * 1e-3), scan_s};
  world.sequence().all_reduce("recorded_picks", seconds, std::size(seconds), DType::f64);
  if (!world.is_root()) return;
  picks_.compute_s = seconds[0], picks_.scan_s = seconds[1];
  const std::string folder = setup_.options.run.dir + "/picks/";
  char name[64];
  std::snprintf(name, sizeof name, "step-%08lld.safetensors", static_cast<long long>(record.step));
  write_picks(folder + name, picks_);
}

void make_picks_folder(const std::string& run_dir) {
  const std::string folder = run_dir + "/picks";
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  SB_CHECK(std::filesystem::is_directory(folder), Io, folder,
           " cannot be a folder for run.record_picks: ", error ? error.message() : "it is a file", "; remove it");
}

}  // namespace smartbird
