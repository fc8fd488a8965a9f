// The text of a link, both ways, and what is not one.
#include "core/link.h"

#include <gtest/gtest.h>

namespace smartbird {
namespace {

TEST(Link, ReadsEveryUnit) {
  const struct {
    const char* text;
    double latency_s, bytes_per_s;
  } cases[] = {{"20ms,20Mbit/s", 0.02, 2.5e6}, {"50us,10Gbit/s", 5e-5, 1.25e9}, {"1s,8kbit/s", 1, 1000},
               {"0.5us,3kB/s", 5e-7, 3000},    {"1e-3s,2MB/s", 1e-3, 2e6},      {"7ms,1.5GB/s", 7e-3, 1.5e9}};
  for (const auto& c : cases) {
    const auto link = parse_link(c.text);
    ASSERT_TRUE(link) << c.text;
    EXPECT_DOUBLE_EQ(link->latency_s, c.latency_s) << c.text;
    EXPECT_DOUBLE_EQ(link->bytes_per_s, c.bytes_per_s) << c.text;
  }
}

TEST(Link, RefusesWhatIsNotOne) {
  for (const char* text : {"",
                           ",",
                           "20ms",
                           "20ms,",
                           ",20Mbit/s",
                           "20,20Mbit/s",
                           "20ms,20",
                           "20 ms,20Mbit/s",
                           "0ms,1GB/s",
                           "-1ms,1GB/s",
                           "1ms,-1GB/s",
                           "1ms,0GB/s",
                           "nanms,1GB/s",
                           "infs,1GB/s",
                           "1ms,1gb/s",
                           "1ms,1GB/s,",
                           "1ms,1GB/s 2",
                           "1e999s,1GB/s",
                           "1e300s,1GB/s",
                           "1e-320us,1GB/s",
                           "1ms,1e300GB/s",
                           "1ms,1e-9kB/s",
                           "ms,GB/s"})
    EXPECT_FALSE(parse_link(text)) << text;
}

TEST(Link, SaysItsNumbers) {
  EXPECT_EQ(to_text({0.02, 2.5e6}), "20 ms, 20 Mbit/s");
  EXPECT_EQ(to_text({5e-5, 1.25e9}), "50 us, 10 Gbit/s");
  EXPECT_DOUBLE_EQ(Link(0.02, 2.5e6).seconds(5e6), 2.02);
}

}  // namespace
}  // namespace smartbird
