// Wall-clock time by stage: StageTimer adds up milliseconds under a name, Stopwatch measures one interval.
#pragma once

#include <chrono>
#include <map>
#include <string>

namespace smartbird {

class Stopwatch {
 public:
  Stopwatch() : start_(Clock::now()) {}
  [[nodiscard]] double elapsed_ms() const {
    return std::chrono::duration<double, std::milli>(Clock::now() - start_).count();
  }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_;
};

class StageTimer {
 public:
  // Adds the life time of the returned object to `stage`.
  class Scope {
   public:
    Scope(StageTimer& timer, const char* stage) : timer_(timer), stage_(stage) {}
    ~Scope() { timer_.add(stage_, watch_.elapsed_ms()); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    StageTimer& timer_;
    const char* stage_;
    Stopwatch watch_;
  };
  [[nodiscard]] Scope measure(const char* stage) { return Scope(*this, stage); }
  void add(const std::string& stage, double ms) { total_ms_[stage] += ms; }
  [[nodiscard]] const std::map<std::string, double>& total_ms() const { return total_ms_; }
  void clear() { total_ms_.clear(); }

 private:
  std::map<std::string, double> total_ms_;
};

}  // namespace smartbird
