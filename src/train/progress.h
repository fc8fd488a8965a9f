// What a person sees of a run: one line a step, or a bar on a real terminal. isatty alone lies under mpirun (every rank
// gets a pseudo-terminal of 0 columns), so a terminal is: isatty, columns > 0, no launcher. ETA: the running median of
// the wall time from step to step times the steps that are left. Files never get a carriage return.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>

#include "core/timer.h"

namespace smartbird {

struct StepRecord;

enum class ProgressMode { Bar, Log, None };

// What the choice between bar and log depends on; the environment is passed so that tests can make one up.
struct Terminal {
  bool is_tty = false;
  int columns = 0;
  std::function<const char*(const char*)> variable;  // nullptr when it is not set
};
[[nodiscard]] Terminal this_terminal();  // standard output
// wish: auto | bar | log | none; everything but auto is obeyed.
[[nodiscard]] ProgressMode choose_progress(const std::string& wish, const Terminal& terminal);

// "3m12s", "42s", "5h07m"; "-" when unknown (negative or not finite).
[[nodiscard]] std::string duration_text(double seconds);
// "12.1k", "1.21M", "314".
[[nodiscard]] std::string short_number(double value);
// "3.0e-4".
[[nodiscard]] std::string learning_rate_text(double value);
[[nodiscard]] std::string step_line(const StepRecord& record, int64_t total_steps, double eta_s);

// The median over the last intervals between steps; evaluations and checkpoints in between count. The first interval,
// which warms up, is left out.
class StepClock {
 public:
  void add(double interval_ms);
  [[nodiscard]] double median_ms() const;  // negative before the second interval

 private:
  std::deque<double> intervals_ms_;
  bool warm_ = false;
};

class Progress {
 public:
  Progress(const std::string& wish, int64_t total_steps, int64_t log_every);
  void step(const StepRecord& record);
  void message(const std::string& line);    // a plain line, clear of the bar
  void finish(const std::string& summary);  // shown in every mode, with the wall time

 private:
  void draw_bar(const std::string& line);
  void print_line(const std::string& line);

  ProgressMode mode_;
  int64_t total_steps_, log_every_, columns_;
  bool first_ = true;
  std::string bar_line_;  // what is drawn now, redrawn after a message
  StepClock clock_;
  Stopwatch since_start_, since_step_;
};

}  // namespace smartbird
