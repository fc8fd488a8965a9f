// generate: a passage from a causal checkpoint.
#include <boost/program_options.hpp>
#include <cmath>
#include <cstdio>
#include <iostream>

#include "core/error.h"
#include "core/philox.h"
#include "model/decoder.h"
#include "text/tokenizer.h"
#include "tools/arguments.h"
#include "tools/commands.h"
#include "tools/run_start.h"
#include "train/checkpoint.h"
#include "train/checkpoint_options.h"

namespace smartbird {
namespace {

namespace po = boost::program_options;

struct GenerateOptions {
  std::string checkpoint, prompt;
  int64_t tokens = 256, seed = 1;
  double temperature = 0.8, top_p = 0.95;
  bool help = false;  // nothing else was wanted
};

GenerateOptions parse(const Arguments& arguments, std::string& usage) {
  GenerateOptions o;
  po::options_description described("smartbird generate --checkpoint=DIR --prompt=TEXT");
  described.add_options()("checkpoint", po::value(&o.checkpoint), "run or checkpoint folder")(
      "prompt", po::value(&o.prompt), "text to go on from")("tokens", value_of(o.tokens), "tokens to add")(
      "temperature", value_of(o.temperature), "0 = always the likeliest token")(
      "top-p", value_of(o.top_p), "draw from the likeliest tokens that hold this probability")("seed", value_of(o.seed),
                                                                                               "random numbers");
  o.help = parse_arguments("generate", described, arguments);
  usage = join(described);
  if (o.help) return o;
  SB_CHECK(!o.checkpoint.empty(), Config, "generate: --checkpoint=DIR is missing");
  SB_CHECK(!o.prompt.empty(), Config, "generate: --prompt is empty; give some text to go on from");
  SB_CHECK(o.tokens >= 0, Config, "generate: --tokens = ", o.tokens, " must be at least 0");
  SB_CHECK(o.seed >= 0, Config, "generate: --seed = ", o.seed, " must be at least 0");
  SB_CHECK((o.temperature == 0 || o.temperature >= 1e-3) && std::isfinite(o.temperature), Config,
           "generate: --temperature = ", o.temperature, " must be at least 0");
  SB_CHECK(o.top_p > 0 && o.top_p <= 1, Config, "generate: --top-p = ", o.top_p, " must be above 0 and at most 1");
  return o;
}

// The smallest set of likeliest tokens with probability top_p, one of them by u.
int64_t choose(const at::Tensor& logits, const GenerateOptions& o, double u) {
  if (o.temperature == 0) return logits.argmax().item<int64_t>();
  const auto [p, order] = at::softmax(logits.to(at::kDouble) / o.temperature, 0).sort(0, true);
  const double* probability = p.const_data_ptr<double>();
  double total = 0;
  int64_t count = 0;
  while (count < p.size(0) && total < o.top_p) total += probability[count++];
  double left = u * total;
  for (int64_t i = 0; i < count; ++i) {
    left -= probability[i];
    if (left < 0) return order[i].item<int64_t>();
  }
  return order[count - 1].item<int64_t>();
}

}  // namespace

int generate_command(const Communicator& everyone, const Arguments& arguments) {
  std::string usage;
  const GenerateOptions o = parse(arguments, usage);
  if (everyone.rank() != 0) return 0;  // decoding has no collective: one rank does it
  if (o.help) {
    std::cout << usage;
    return 0;
  }
  const std::string folder = found_checkpoint("generate: --checkpoint", o.checkpoint);
  const Options options = checkpoint_options(folder);
  const CheckpointMeta meta = read_checkpoint_meta(folder);
  const auto tokenizer = tokenizer_from_json(meta.tokenizer_json);
  Transformer model(make_shape(options, tokenizer->vocabulary(), static_cast<int64_t>(meta.classes.size())),
                    options.run.dtype == "float64" ? at::kDouble : at::kFloat, 0);
  load_weights(folder, model.parameters(), MissingWeights::Refuse);
  Decoder decoder(model);
  std::vector<int32_t> ids;
  try {
    tokenizer->encode(o.prompt, ids);
  } catch (const Error& error) {
    fail(ErrorKind::Config, "generate: --prompt: ", error.what());
  }
  SB_CHECK(!ids.empty(), Config, "generate: the prompt holds no token");
  at::Tensor logits;
  for (int32_t id : ids) logits = decoder.next(id);
  std::cout << tokenizer->decode(ids);
  const PhiloxKey key = philox_key(static_cast<uint64_t>(o.seed), 0, Purpose::Generate);
  for (int64_t i = 0; i < o.tokens; ++i) {
    logits[tokenizer->mask_id()] = -1e30;
    const int32_t id = static_cast<int32_t>(choose(logits, o, uniform_at(key, static_cast<uint64_t>(i), 0, 0, 0)));
    if (id == tokenizer->separator_id()) break;
    std::cout << tokenizer->decode({&id, 1}) << std::flush;
    logits = decoder.next(id);
  }
  std::cout << "\n";
  return 0;
}

}  // namespace smartbird
