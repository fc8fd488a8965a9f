// `smartbird bench attention|step|kernels`: one case a call, measured, printed, written as JSON.
#include <ATen/Parallel.h>
#include <omp.h>

#include <cstdio>
#include <iostream>

#include "core/build_info.h"
#include "core/error.h"
#include "tools/arguments.h"
#include "tools/bench_ceilings.h"
#include "tools/bench_exchange.h"
#include "tools/bench_options.h"
#include "tools/commands.h"
#include "tools/report_file.h"

namespace smartbird {
namespace {

boost::program_options::options_description described_options(BenchOptions& o) {
  boost::program_options::options_description out(
      "smartbird bench attention | step | kernels | exchange\n"
      "  attention  scan, draw, forward and backward of the sparse attention, against --rival\n"
      "  step       a whole training step of a model on random bytes, against --rival=dense or window\n"
      "  kernels    each kernel on one and on all threads, with its share of the machine's ceilings\n"
      "  exchange   rows that ranks want of each other, on a trained model: smartbird bench exchange --help\n"
      "Candidates take turns in one process. Answers of attention are checked before they are timed: rows of o and "
      "grad_q, and\n"
      "keys of grad_kv where no row attends more than 4,096 keys; of a step only that its loss is finite and "
      "plausible");
  out.add_options()                                                                                            //
      ("what", boost::program_options::value(&o.what), "attention | step | kernels; --what= may be left out")  //
      ("tokens", value_of(o.tokens), "length of the one sequence")                                             //
      ("query-block", value_of(o.query_block), "rows that share their picks")                                  //
      ("share", value_of(o.share), "rows that share random numbers, or all")                                   //
      ("draw", value_of(o.draw),
       "as attention.draw: poisson | systematic | gumbel | iid | topk | bigbird | uniform | none")           //
      ("fill", value_of(o.fill), "as attention.fill: auto | on | off")                                       //
      ("heads", value_of(o.heads), "heads; 0 = 8, for step --width / --head-width")                          //
      ("head-width", value_of(o.head_width), "width of a head")                                              //
      ("picks", value_of(o.picks), "expected picks of a block and head")                                     //
      ("window", value_of(o.window), "rows on each allowed side that are always attended")                   //
      ("sketch-width", value_of(o.sketch_width), "width of sketch queries and keys")                         //
      ("causal", value_of(o.causal), "no row sees a later one")                                              //
      ("layers", value_of(o.layers), "step: Transformer blocks")                                             //
      ("width", value_of(o.width), "step: width of the model")                                               //
      ("threads", value_of(o.threads), "0 = all cores")                                                      //
      ("rival", value_of(o.rival), "none | sdpa | dense | window | torch")                                   //
      ("input", value_of(o.input), "sketch scores: correlated along the sequence (0.95 a token), or white")  //
      ("repeats", value_of(o.repeats), "rounds; 0 = as many as --seconds allows, at least 3")                //
      ("seconds", value_of(o.seconds), "time to measure for, with --repeats=0")                              //
      ("json", value_of(o.json), "file for the results");
  return out;
}

}  // namespace

int bench_command(const Communicator& everyone, const Arguments& arguments) {
  if (!arguments.empty() && arguments[0] == "exchange") {
    SB_CHECK(everyone.size() == 1, Config, "bench: runs in one process, started with ", everyone.size(),
             " ranks; start it without mpirun");
    return bench_exchange({arguments.begin() + 1, arguments.end()});
  }
  BenchOptions options;
  auto described = described_options(options);
  if (parse_arguments("bench", described, arguments, "what")) {
    if (everyone.rank() == 0) std::cout << described;
    return 0;
  }
  const bool known = options.what == "attention" || options.what == "step" || options.what == "kernels";
  SB_CHECK(known, Config, "bench: '", options.what,
           "' is none of attention, step, kernels, exchange; see smartbird bench --help");
  SB_CHECK(everyone.size() == 1, Config, "bench: runs in one process, started with ", everyone.size(),
           " ranks; start it without mpirun");
  resolve(options);
  check_report_file("bench: --json", options.json);
  omp_set_num_threads(static_cast<int>(options.threads));
  at::set_num_threads(static_cast<int>(options.threads));
  nlohmann::json report{{"hardware", describe_hardware()}, {"commit", build_commit()}};
  std::cout << "hardware: " << report["hardware"].dump() << "\ncommit: " << build_commit() << std::endl;
  report["cases"] = options.what == "attention" ? bench_attention(options)
                    : options.what == "step"    ? bench_step(options)
                                                : bench_kernels(options);
  std::fflush(stdout);
  if (!options.json.empty()) write_report_file(options.json, report.dump(2) + "\n");
  return 0;
}

}  // namespace smartbird
