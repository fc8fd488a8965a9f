// Text of a link.
#include "core/link.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <span>
#include <string_view>

namespace smartbird {
namespace {

struct Unit {
  std::string_view name;
  double factor;
};
constexpr std::array<Unit, 3> kTimes{{{"us", 1e-6}, {"ms", 1e-3}, {"s", 1}}};
constexpr std::array<Unit, 6> kRates{
    {{"kbit/s", 1e3 / 8}, {"Mbit/s", 1e6 / 8}, {"Gbit/s", 1e9 / 8}, {"kB/s", 1e3}, {"MB/s", 1e6}, {"GB/s", 1e9}}};

// A positive number followed by one of the units.
std::optional<double> quantity(std::string_view text, std::span<const Unit> units) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || !std::isfinite(number) || number <= 0) return {};
  const std::string_view name = text.substr(static_cast<size_t>(end - text.data()));
  for (const Unit& unit : units)
    if (name == unit.name) return number * unit.factor;
  return {};
}

}  // namespace

std::optional<Link> parse_link(const std::string& text) {
  const size_t comma = text.find(',');
  if (comma == std::string::npos) return {};
  const std::string_view all = text;
  const auto latency = quantity(all.substr(0, comma), kTimes), rate = quantity(all.substr(comma + 1), kRates);
  const bool possible = latency && rate && *latency >= 1e-9 && *latency <= 1000 && *rate >= 1 && *rate <= 1e15;
  if (!possible) return {};
  return Link{*latency, *rate};
}

std::string to_text(const Link& link) {
  std::array<char, 80> text{};
  const double us = link.latency_s * 1e6, mbits = link.bytes_per_s * 8e-6;
  std::snprintf(text.data(), text.size(), "%.3g %s, %.3g %s", us < 1000 ? us : us / 1000, us < 1000 ? "us" : "ms",
                mbits < 1000 ? mbits : mbits / 1000, mbits < 1000 ? "Mbit/s" : "Gbit/s");
  return text.data();
}

}  // namespace smartbird
