// Speed of the connection between ranks, as the cost of an exchange needs it: latency_s + bytes / bytes_per_s.
#pragma once

#include <optional>
#include <string>

namespace smartbird {

struct Link {
  double latency_s = 0, bytes_per_s = 1;
  [[nodiscard]] double seconds(double bytes) const { return latency_s + bytes / bytes_per_s; }
};

// "20ms,20Mbit/s": a time in us, ms or s and a rate in kbit/s, Mbit/s, Gbit/s, kB/s, MB/s or GB/s (powers of 1000), both
// above 0. Nothing where the text is not of that form, the time not from 1 ns to 1,000 s or the rate not from 1 B/s to 1 PB/s.
[[nodiscard]] std::optional<Link> parse_link(const std::string& text);
// "20 ms, 20 Mbit/s"
[[nodiscard]] std::string to_text(const Link& link);

}  // namespace smartbird
