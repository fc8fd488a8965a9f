// What may be asked of `smartbird bench`.
#include "tools/bench_options.h"

#include <algorithm>
#include <thread>

#include "config/rules.h"
#include "core/error.h"
#include "model/draw_mode.h"

namespace smartbird {
namespace {

bool one_of(const std::string& value, std::initializer_list<const char*> names) {
  return std::any_of(names.begin(), names.end(), [&](const char* name) { return value == name; });
}

int64_t share_rows(const BenchOptions& o) { return o.share == "all" ? 0 : std::stoll(o.share); }

}  // namespace

void resolve(BenchOptions& o) {
  std::string errors;
  const auto rule = [&](bool holds, const auto&... parts) {
    if (holds) return;
    if (!errors.empty()) errors += '\n';
    errors += join("bench: ", parts...);
  };
  const auto range = [&](const char* name, int64_t value, int64_t least, int64_t most) {
    rule(value >= least && value <= most, "--", name, "=", value, " is not between ", least, " and ", most);
  };
  constexpr int64_t kMany = int64_t{1} << 30;
  range("tokens", o.tokens, 1, kMany), range("query-block", o.query_block, 1, 4096), range("heads", o.heads, 0, 1024);
  range("head-width", o.head_width, 1, 4096), range("picks", o.picks, 0, kMany), range("window", o.window, 0, kMany);
  range("sketch-width", o.sketch_width, 1, 256), range("layers", o.layers, 1, 10000), range("width", o.width, 1, 65536);
  range("threads", o.threads, 0, 4096), range("repeats", o.repeats, 0, 100000);
  rule(o.seconds > 0, "--seconds=", o.seconds, " must be positive");
  const bool number =
      !o.share.empty() && o.share.size() < 10 && o.share.find_first_not_of("0123456789") == std::string::npos;
  rule(o.share == "all" || o.query_block < 1 ||
           (number && std::stoll(o.share) > 0 && std::stoll(o.share) % o.query_block == 0),
       "--share=", o.share, " must be 'all' or a positive multiple of --query-block=", o.query_block);
  rule(one_of(o.draw, {"poisson", "systematic", "gumbel", "iid", "topk", "bigbird", "uniform", "none"}),
       "--draw=", o.draw, " must be poisson, systematic, gumbel, iid, topk, bigbird, uniform or none");
  Options run;
  run.attention.draw = o.draw, run.attention.fill = o.fill;
  rule(one_of(o.fill, {"auto", "on", "off"}), "--fill=", o.fill, " must be auto, on or off");
  rule(o.fill != "on" || may_fill(run), "--fill=on is for --draw=poisson and systematic, given --draw=", o.draw,
       "; leave it out");
  rule(one_of(o.input, {"correlated", "white"}), "--input=", o.input, " must be correlated or white");
  rule(one_of(o.rival, {"none", "sdpa", "dense", "window", "torch"}), "--rival=", o.rival,
       " must be none, sdpa, dense, window or torch");
  rule(o.what == "attention" || !one_of(o.rival, {"sdpa", "torch"}), "--rival=", o.rival,
       " is for bench attention; bench step takes none, dense or window");
  rule(o.what != "kernels" || o.rival == "none", "bench kernels takes no --rival, given ", o.rival,
       "; it compares with the machine's own ceilings");
  rule(o.what != "step" || o.head_width % 2 == 0, "--head-width=", o.head_width, " must be even for bench step");
  rule(o.what != "step" || o.heads > 0 || o.width % o.head_width == 0, "--width=", o.width,
       " is not a multiple of --head-width=", o.head_width, "; give --heads");
  SB_CHECK(errors.empty(), Config, errors);
  if (o.heads == 0) o.heads = o.what == "step" ? o.width / o.head_width : 8;
  o.fills = fills_budget(run);
  if (o.threads == 0) o.threads = std::max<int64_t>(1, std::thread::hardware_concurrency());
}

AttentionSettings attention_settings(const BenchOptions& o, Pattern pattern) {
  AttentionSettings s;
  s.pattern = pattern;
  s.visibility.causal = o.causal;
  s.window = o.window, s.picks = o.picks, s.share_rows = share_rows(o), s.draw = draw_mode(o.draw);
  s.fill = o.fills;
  s.heads = s.kv_heads = s.pick_heads = static_cast<int>(o.heads);
  return s;
}

std::string attended_text(const BenchOptions& o) {
  return join(o.tokens, " tokens, query block ", o.query_block, ", ", o.heads, " heads x ", o.head_width, ", ", o.picks,
              " picks by ", o.draw, o.fills ? " that fills its budget, window " : ", window ", o.window, ", ",
              o.causal ? "causal" : "bidirectional", ", ", o.input, ", ", o.threads, " threads");
}

nlohmann::json to_json(const BenchOptions& o) {
  return {{"what", o.what},
          {"tokens", o.tokens},
          {"query_block", o.query_block},
          {"share", o.share},
          {"draw", o.draw},
          {"fill", o.fills},
          {"heads", o.heads},
          {"head_width", o.head_width},
          {"picks", o.picks},
          {"window", o.window},
          {"sketch_width", o.sketch_width},
          {"causal", o.causal},
          {"layers", o.layers},
          {"width", o.width},
          {"threads", o.threads},
          {"rival", o.rival},
          {"input", o.input}};
}

}  // namespace smartbird
