// Step lines, the bar, and the choice between them.
#include "train/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "core/error.h"
#include "train/metrics.h"

namespace smartbird {
namespace {

constexpr size_t kWindow = 64;  // intervals in the median
constexpr int kBarCells = 20;   // characters of the bar itself
constexpr const char* kClearLine = "\r\x1b[K";

template <class... Values>
std::string format(const char* pattern, Values... values) {
  char text[256];
  std::snprintf(text, sizeof text, pattern, values...);
  return text;
}

long long whole(double value) { return static_cast<long long>(value); }

}  // namespace

Terminal this_terminal() {
  winsize size{};
  const bool sized = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0;
  return {.is_tty = isatty(STDOUT_FILENO) == 1, .columns = sized ? size.ws_col : 0, .variable = [](const char* name) {
            return std::getenv(name);
          }};
}

ProgressMode choose_progress(const std::string& wish, const Terminal& terminal) {
  if (wish == "bar") return ProgressMode::Bar;
  if (wish == "log") return ProgressMode::Log;
  if (wish == "none") return ProgressMode::None;
  SB_CHECK(wish == "auto", Config, "run.progress = ", wish, " is not auto, bar, log or none");
  if (!terminal.is_tty || terminal.columns <= 0) return ProgressMode::Log;
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "SLURM_STEP_ID", "NO_COLOR"})
    if (terminal.variable(name) != nullptr) return ProgressMode::Log;
  const char* type = terminal.variable("TERM");
  return type != nullptr && std::string(type) == "dumb" ? ProgressMode::Log : ProgressMode::Bar;
}

std::string duration_text(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0 || seconds > 1e9) return "-";
  const long long s = std::llround(seconds);
  if (s < 60) return format("%llds", s);
  return s < 3600 ? format("%lldm%02llds", s / 60, s % 60) : format("%lldh%02lldm", s / 3600, s / 60 % 60);
}

std::string short_number(double value) {
  if (!std::isfinite(value)) return "-";
  for (const auto& [scale, unit] : {std::pair{1e9, "G"}, std::pair{1e6, "M"}, std::pair{1e3, "k"}}) {
    if (value >= scale) return format("%.3g%s", value / scale, unit);
  }
  return format("%.0f", value);
}

std::string learning_rate_text(double value) {
  std::string text = format("%.1e", value);
  const size_t exponent = text.find('e');
  if (exponent != std::string::npos && text.size() > exponent + 3 && text[exponent + 2] == '0')
    text.erase(exponent + 2, 1);
  return text;
}

// What travelled, where there are ranks to send to.
static std::string traffic_text(const StepRecord& r) {
  int64_t bytes = 0;
  for (const auto& [what, sent] : r.sent_bytes) bytes += sent;
  if (bytes == 0) return "";
  return join(" plan ", r.plan.empty() ? "-" : r.plan, " rows ", short_number(static_cast<double>(r.rows)), " sent ",
              short_number(static_cast<double>(bytes)), format("B imb %.2f/%.2f", r.imbalance, r.sent_rows_imbalance),
              format(" wait %.0f+%.0fms", r.exchange_exposed_ms, r.exchange_hidden_ms));
}

std::string step_line(const StepRecord& r, int64_t total_steps, double eta_s) {
  std::string line = join("step ", r.step, "/", total_steps, format(" loss %.3f", r.loss));
  if (r.bits_per_byte >= 0) line += format(" bpb %.3f", r.bits_per_byte);
  line += format(" sketch %.3f cover %.2f phi %.2f gnorm %.2f lr ", r.sketch_loss, r.coverage, r.phi, r.grad_norm);
  line += learning_rate_text(r.lr) + " tok/s " + short_number(r.tokens_per_s) + traffic_text(r);
  return line + " mem " + short_number(static_cast<double>(r.peak_memory_bytes)) + "B eta " + duration_text(eta_s);
}

void StepClock::add(double interval_ms) {
  if (!warm_) {
    warm_ = true;
    return;
  }
  intervals_ms_.push_back(interval_ms);
  if (intervals_ms_.size() > kWindow) intervals_ms_.pop_front();
}

double StepClock::median_ms() const {
  if (intervals_ms_.empty()) return -1;
  std::vector<double> sorted(intervals_ms_.begin(), intervals_ms_.end());
  std::sort(sorted.begin(), sorted.end());
  return (sorted[(sorted.size() - 1) / 2] + sorted[sorted.size() / 2]) / 2;
}

Progress::Progress(const std::string& wish, int64_t total_steps, int64_t log_every)
    : mode_(choose_progress(wish, this_terminal())),
      total_steps_(total_steps),
      log_every_(std::max<int64_t>(1, log_every)),
      columns_(std::max(0, this_terminal().columns)) {}

void Progress::step(const StepRecord& record) {
  clock_.add(since_step_.elapsed_ms());
  since_step_ = Stopwatch();
  const bool due = first_ || record.step % log_every_ == 0 || record.step == total_steps_;
  first_ = false;
  const double eta_s =
      clock_.median_ms() * 1e-3 * static_cast<double>(std::max<int64_t>(0, total_steps_ - record.step));
  const std::string line =
      step_line(record, total_steps_, clock_.median_ms() < 0 && record.step < total_steps_ ? -1 : std::max(0.0, eta_s));
  if (mode_ == ProgressMode::Log && due) print_line(line);
  if (mode_ != ProgressMode::Bar) return;
  const double done = total_steps_ > 0
                          ? std::clamp(static_cast<double>(record.step) / static_cast<double>(total_steps_), 0.0, 1.0)
                          : 1.0;
  const auto cells = static_cast<size_t>(whole(done * kBarCells));
  draw_bar(join("[", std::string(cells, '='), std::string(kBarCells - cells, ' '), "] ", line));
}

void Progress::draw_bar(const std::string& line) {
  bar_line_ = line;
  const size_t room =
      columns_ > 1 ? static_cast<size_t>(columns_ - 1) : line.size();  // a wrapped bar cannot be cleared
  std::printf("%s%s", kClearLine, line.substr(0, room).c_str());
  std::fflush(stdout);
}

void Progress::print_line(const std::string& line) {
  std::printf("%s%s\n", bar_line_.empty() ? "" : kClearLine, line.c_str());
  std::fflush(stdout);
}

void Progress::message(const std::string& line) {
  if (mode_ == ProgressMode::None) return;
  print_line(line);
  if (!bar_line_.empty()) draw_bar(std::string(bar_line_));
}

void Progress::finish(const std::string& summary) {
  print_line(join(summary, " (", duration_text(since_start_.elapsed_ms() * 1e-3), ")"));
  bar_line_.clear();
}

}  // namespace smartbird
