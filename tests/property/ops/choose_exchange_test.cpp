// Law: the exchange plan that `auto` takes is one of the forced ones, the same on all ranks, and never more than 2 % dearer
// than the cheapest of them, by the bytes and exchanges that the plans themselves would make.
#include "ops/choose_exchange.h"

#include <mutex>

#include "ops/sparse_attention.h"
#include "tests/support/plan_cases.h"

namespace smartbird::testing {
namespace {

constexpr ExchangePlan kForced[] = {ExchangePlan::Rows, ExchangePlan::All, ExchangePlan::Heads};
constexpr int64_t kWidth = 16;

struct Made {
  ExchangePlan exchange = ExchangePlan::Rows;
  double seconds = 0;  // of the slowest rank
};

// What a rank sends and receives in one exchange, in bytes; nothing both ways is no exchange.
double exchange_s(const Link& link, double sent, double received) {
  const double bytes = std::max(sent, received);
  return bytes > 0 ? link.latency_s + bytes / link.bytes_per_s : 0;
}

// From a plan that was made: there and back in every layer, and once what tells who wants what.
double seconds_of(const StepContext& context, const AttentionSettings& s, const Plan& plan) {
  const Link& link = context.link;
  const double e = s.use.element_bytes, unit = 2 * e * static_cast<double>(s.use.head_width),
               trips = static_cast<double>(2 * s.use.layers);
  if (plan.by_heads()) {
    const double p = context.group().size(), n = static_cast<double>(context.layout.num_tokens()),
                 own = static_cast<double>(plan.own_rows), sent = own * (p - 1) / p, received = (n - own) / p;
    const double kv = s.kv_heads * unit, queries = s.heads * unit / 2;
    double s_all =
        trips * (exchange_s(link, sent * kv, received * kv) + 2 * exchange_s(link, sent * queries, received * queries));
    const double lists = static_cast<double>(plan.drawn_start.size()) - 1,
                 picks = static_cast<double>(plan.drawn_key.size());
    if (lists > 0)
      for (double bytes : {4 * lists, 4 * picks, e * picks}) s_all += exchange_s(link, bytes * (p - 1) / p, 0);
    return s_all;
  }
  double total = 0;
  const auto add = [&](const Requests& requests, double heads) {
    const double sent = static_cast<double>(requests.num_sent()) * heads,
                 got = static_cast<double>(requests.num_received()) * heads;
    total += trips * exchange_s(link, sent * unit, got * unit);
    return std::max(sent, got);
  };
  add(plan.halo, plan.kv_heads), add(plan.globals, plan.kv_heads);
  const double ids = add(plan.rows, 1);
  if (plan.exchange == ExchangePlan::Rows && context.group().size() > 1)
    total += link.latency_s + exchange_s(link, 4 * ids, 0);
  return total;
}

// The plan of `c` with `exchange`, and its predicted time.
Made made(PlanCase c, ExchangePlan exchange, const Link& link) {
  c.settings.exchange = exchange, c.link = link;
  Made out;
  std::mutex lock;
  std::vector<ExchangePlan> chosen;
  with_plan(c, [&](const StepContext& context, const Plan& plan) {
    const double seconds = seconds_of(context, c.settings, plan);
    const std::lock_guard guard(lock);
    out.seconds = std::max(out.seconds, seconds);
    chosen.push_back(plan.exchange);
  });
  for (ExchangePlan one : chosen) EXPECT_EQ(one, chosen[0]) << "ranks disagree";
  out.exchange = chosen[0];
  return out;
}

TEST(Auto, IsNeverDearerThanTheCheapestForcedPlan) {
  const Link links[] = {{1e-5, 1e10}, {0.02, 2.5e6}, {1e-3, 1e12}, {0, 1e3}};
  std::array<int, 3> taken{};
  for (const int block : {1, 4, 16})
    for (const int64_t share : {int64_t{1}, int64_t{4}, int64_t{0}})
      for (const int64_t picks : {int64_t{0}, int64_t{2}, int64_t{24}})
        for (const int ranks : {1, 2, 4})
          for (const int64_t tokens : {int64_t{3}, int64_t{150}})
            for (const int heads : {4, 32})
              for (const Link& link : links) {
                PlanCase c;
                c.block = block, c.ranks = ranks, c.lengths = {tokens, tokens / 2};
                c.settings.share_rows = share * block, c.settings.picks = picks, c.settings.heads = heads;
                c.settings.kv_heads = c.settings.pick_heads = 4;
                c.settings.use = {.layers = 3,
                                  .returns = true,
                                  .head_width = kWidth,
                                  .element_bytes = 8,
                                  .kv_element_bytes = 8,
                                  .log_pi_bytes = 8};
                double cheapest = std::numeric_limits<double>::infinity();
                for (ExchangePlan forced : kForced) cheapest = std::min(cheapest, made(c, forced, link).seconds);
                const Made automatic = made(c, ExchangePlan::Auto, link);
                EXPECT_LE(automatic.seconds, 1.02 * cheapest)
                    << "b " << block << ", g " << share << ", K " << picks << ", P " << ranks << ", N " << tokens
                    << ", H " << heads << ", latency " << link.latency_s << ", bytes/s " << link.bytes_per_s;
                if (ranks > 1) ++taken[static_cast<size_t>(automatic.exchange)];
              }
  for (int times : taken) EXPECT_GT(times, 0) << "a plan that is never the cheapest proves nothing";
}

// 4 kv heads cannot be dealt to 3 ranks: no error, another plan.
TEST(Auto, TakesHeadsOnlyWhereTheyCanBeDealt) {
  PlanCase c;
  c.ranks = 3, c.lengths = {200}, c.settings.picks = 50, c.settings.share_rows = 1;
  c.settings.kv_heads = c.settings.pick_heads = c.settings.heads = 4;
  c.settings.use.head_width = kWidth, c.settings.use.layers = 4;
  EXPECT_NE(made(c, ExchangePlan::Auto, {0, 1e6}).exchange, ExchangePlan::Heads);
  c.ranks = 4;
  EXPECT_EQ(made(c, ExchangePlan::Auto, {0, 1e6}).exchange, ExchangePlan::Heads);
}

}  // namespace
}  // namespace smartbird::testing
