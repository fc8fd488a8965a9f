// Opening data, finding checkpoints, checking that a resume is the same run.
#include "train/setup.h"

#include <ATen/Parallel.h>
#include <omp.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "comm/measure_link.h"
#include "config/auto_pattern.h"
#include "config/parse.h"
#include "config/rules.h"
#include "core/error.h"
#include "data/limited_corpus.h"
#include "ops/tensors.h"
#include "train/agree.h"
#include "train/checkpoint_options.h"
#include "train/matmul.h"
#include "train/run_folder.h"
#include "train/seen_before.h"

namespace smartbird {
namespace {

// Whether any token after a document's first counts as a target.
bool counts_any(const Corpus& corpus) {
  std::vector<uint8_t> counts;
  for (int64_t d = 0; d < corpus.num_documents(); ++d) {
    constexpr int64_t kPiece = 1 << 16;
    const int64_t tokens = corpus.document(d).num_tokens;
    for (int64_t begin = 1; begin < tokens; begin += kPiece) {
      counts.resize(static_cast<size_t>(std::min(kPiece, tokens - begin)));
      corpus.read_target_mask(d, begin, counts);
      if (std::any_of(counts.begin(), counts.end(), [](uint8_t one) { return one != 0; })) return true;
    }
  }
  return false;
}

// Documents of one token predict nothing, nor do masks that count none; of a few masked tokens a step may hold none.
void check_targets(const Options& o, const Corpus& corpus) {
  const int64_t tokens = corpus.num_tokens();
  SB_CHECK(o.data.task != "clm" || tokens > corpus.num_documents(), Data, "data.train has ", tokens, " tokens in ",
           corpus.num_documents(), " documents, nothing for data.task = clm to predict; name more text");
  SB_CHECK(o.data.task != "clm" || counts_any(corpus), Data, "data.train: none of its ", tokens,
           " tokens counts as a target (no answer of a prompt, no question of recall); make it anew");
  SB_CHECK(o.data.task != "mlm" || static_cast<double>(tokens) * o.data.mask_share >= 1, Data, "data.train has ",
           tokens, " tokens, of which data.mask_share = ", o.data.mask_share,
           " masks less than one for data.task = mlm to predict; name more text or raise it");
}

bool may_change(const std::string& name, const std::vector<std::string>& allowed) {
  for (const char* section : {"parallel.", "exchange.", "memory.", "run.", "checkpoint.", "eval.", "init."})
    if (name.rfind(section, 0) == 0 && name != "run.seed" && name != "run.dtype" && name != "run.matmul") return true;
  return name == "train.steps" || name == "train.stop_after" ||
         std::find(allowed.begin(), allowed.end(), name) != allowed.end();
}

bool same_parent(const std::string& a, const std::string& b) {
  return std::filesystem::canonical(a).parent_path() == std::filesystem::canonical(b).parent_path();
}

// What 0 and auto of a draw come to: another way to say the same is no difference.
Options with_settled_draw(Options o) {
  o.attention.draw_temperature = draw_temperature(o);
  o.attention.fill = fills_budget(o) ? "on" : "off";
  return o;
}

void warn(const World& world, const std::vector<std::string>& warnings) {
  if (!world.is_root()) return;
  for (const std::string& warning : warnings) std::fprintf(stderr, "warning: %s\n", warning.c_str());
}

}  // namespace

DataOptions evaluation_data(const Options& o) {
  DataOptions data = o.data;
  if (o.eval.sequence_tokens > 0) data.sequence_tokens = o.eval.sequence_tokens;
  return data;
}

Sampler evaluation_sampler(const Options& o, const Corpus& corpus) {
  return Sampler(corpus, {.seed = 0,
                          .sequence_tokens = evaluation_data(o).sequence_tokens,
                          .cut_documents = o.data.task != "classify",
                          .fixed = true});
}

void check_evaluation(const Options& o, const Corpus& corpus, const std::string& key) {
  const int64_t sequences = evaluation_sampler(o, corpus).epoch_begin(1);
  SB_CHECK(sequences >= o.eval.sequences, Config, "eval.sequences = ", o.eval.sequences, ", but ", key, " has ",
           sequences, " of at most ", evaluation_data(o).sequence_tokens, " tokens; lower it, or 0 = all");
  check_seen_before(o.eval.seen_before, corpus, key);
}

Corpora open_corpora(const Options& o, const std::vector<std::string>& classes) {
  SB_CHECK(!o.data.train.empty(), Config,
           "data.train is empty; give --data.train=PATH (shards or text files, folders, globs)");
  Corpora out;
  out.train = limit_corpus("data.train", open_corpus("data.train", o.data.train, o.data, classes), o.data.limit_tokens);
  check_targets(o, *out.train);
  if (!o.data.valid.empty())
    out.valid = open_corpus("data.valid", o.data.valid, evaluation_data(o), out.train->classes());
  if (!o.data.test.empty()) out.test = open_corpus("data.test", o.data.test, evaluation_data(o), out.train->classes());
  for (const auto& [key, corpus] : {std::pair{"data.valid", &out.valid}, std::pair{"data.test", &out.test}}) {
    if (!*corpus) continue;
    SB_CHECK((*corpus)->tokenizer().to_json() == out.train->tokenizer().to_json(), Data, key,
             " has another tokenizer than data.train; write its shards with the tokenizer of data.train");
    if (o.eval.every > 0 || o.eval.at_end == "on") check_evaluation(o, **corpus, key);
  }
  return out;
}

std::vector<std::string> classes_of_checkpoint(const Options& o) {
  SB_CHECK(!o.init.checkpoint.empty(), Config,
           "finetune: init.checkpoint is empty; give --init.checkpoint=DIR (a run or checkpoint folder)");
  std::vector<std::string> told;
  const std::string folder = find_checkpoint(o.init.checkpoint, told);
  SB_CHECK(!folder.empty(), Data, "init.checkpoint = ", o.init.checkpoint, ": no complete checkpoint there");
  return read_checkpoint_meta(folder).classes;
}

void check_resume(const std::string& folder, const ParsedOptions& options) {
  const Options before = checkpoint_options(folder);
  const Options& now = options.options;
  std::vector<std::string> may = options_since(folder);
  may.insert(may.end(), now.run.allow_change.begin(), now.run.allow_change.end());
  if (before.attention.draw != now.attention.draw)  // which is named itself; these say how it draws
    may.insert(may.end(), {"attention.fill", "attention.draw_temperature"});
  std::string changed;
  for (const std::string& name : changed_names(with_settled_draw(before), with_settled_draw(now)))
    if (!may_change(name, may)) changed += (changed.empty() ? "" : ", ") + name;
  SB_CHECK(changed.empty(), Config, "run.resume: the run in ", folder, " has another ", changed,
           "; set back what should not change, list in --run.allow_change what should");
}

std::string checkpoint_to_resume(const World& world, ParsedOptions& options) {
  const RunOptions& run = options.options.run;
  const auto settle = [&](const std::string& folder) {
    if (has_auto_pattern(options.options)) settle_auto_pattern_as(options, checkpoint_options(folder));
  };
  const std::string resumed = chosen_by_root(world.everyone(), [&] {
    check_run_folder(run.dir);
    std::vector<std::string> warnings, ignored;
    std::string folder;
    if (run.resume != "none") {
      folder = find_checkpoint(run.resume == "auto" ? run.dir : run.resume, warnings);
      warn(world, warnings);
      SB_CHECK(!folder.empty() || run.resume == "auto", Data, "run.resume = ", run.resume,
               ": no complete checkpoint there");
    }
    const std::string present = run.resume == "auto" ? "" : find_checkpoint(run.dir, ignored);
    SB_CHECK(present.empty() || (!folder.empty() && same_parent(folder, present)), Config, "run.dir = ", run.dir,
             " already holds ", present, "; go on with --run.resume=auto or choose another run.dir");
    if (folder.empty()) return folder;
    warn_of_options_since(folder);
    settle(folder), check_resume(folder, options);
    return folder;
  });
  if (resumed.empty()) return resumed;
  settle(resumed);
  refuse_auto_pattern(options.options, "run.resume");  // allowed to change, and to what?
  return resumed;
}

std::vector<std::string> load_initial_weights(const World& world, const Options& o, const Corpus& corpus,
                                              Parameters& parameters) {
  const std::string folder = chosen_by_root(world.everyone(), [&] {
    std::vector<std::string> told;  // by who checked it before
    return find_checkpoint(o.init.checkpoint, told);
  });
  check_tokenizer(corpus, read_checkpoint_meta(folder), "data.train");
  const SketchOptions before = checkpoint_options(folder).sketch;
  const bool serves_the_same = before.location == o.sketch.location && before.every == o.sketch.every;
  const std::vector<std::string> fresh =
      load_weights(folder, parameters, serves_the_same ? MissingWeights::Keep : MissingWeights::KeepModel);
  if (!world.is_root()) return fresh;
  std::printf("weights from %s", folder.c_str());
  for (const std::string& name : fresh) std::printf("; new: %s", name.c_str());
  std::printf("\n");
  return fresh;
}

void check_same_data(const World& world, const std::string& key, const Corpus& corpus) {
  std::string text = join(corpus.num_documents(), " ", corpus.num_tokens(), " ", corpus.tokenizer().to_json());
  for (const std::string& name : corpus.classes()) text += "\n" + name;
  check_agreement(world.everyone(), key, text);
}

void check_tokenizer(const Corpus& corpus, const CheckpointMeta& meta, const std::string& key) {
  if (corpus.tokenizer().to_json() == meta.tokenizer_json) return;
  const std::string now = corpus.tokenizer().describe(), then = tokenizer_from_json(meta.tokenizer_json)->describe();
  fail(ErrorKind::Data, key, " has another tokenizer than the checkpoint (", now, ", there ",
       then == now ? "others" : then, "); give data.tokenizer and data.vocabulary, or shards, as it was trained with");
}

void set_threads(const World& world, int64_t threads) {
  if (threads == 0 && std::getenv("OMP_NUM_THREADS") == nullptr)
    threads =
        std::max<int64_t>(1, std::thread::hardware_concurrency() / static_cast<unsigned>(world.everyone().size()));
  if (threads <= 0) return;
  at::set_num_threads(static_cast<int>(threads));
  omp_set_num_threads(static_cast<int>(threads));
}

void set_products(const World& world, ParsedOptions& parsed) {
  Options& o = parsed.options;
  int64_t as_asked = set_matmul(o) ? 1 : 0;
  world.everyone().all_reduce("statistics", &as_asked, 1, DType::i64, ReduceOp::Min);
  if (as_asked == 1) return;
  o.run.matmul = "float32";
  parsed.source["run.matmul"] += ", but a processor of this run does not round";
  (void)set_matmul(o);
  if (world.is_root()) std::fputs(kNotRounded, stderr);
}

void set_products(const World& world, const Options& o) {
  ParsedOptions once{.options = o, .source = {}};
  set_products(world, once);
}

at::TensorOptions weights_of(const Options& o, at::Device device) {
  return at::TensorOptions(o.run.dtype == "float64" ? at::kDouble : at::kFloat).device(device);
}

Link link_of(const World& world, const Options& o, at::Device device) {
  if (const auto given = parse_link(o.exchange.link)) return *given;
  if (o.exchange.plan != "auto") return {};
  at::Tensor send = at::empty({kLinkBytes}, at::TensorOptions(at::kByte).device(device)), recv = at::empty_like(send);
  return measure_link(world.sequence_tensors(), world.sequence(), send.mutable_data_ptr(), recv.mutable_data_ptr());
}

void warn_of_small_data(const World& world, const Options& o, const Corpus& corpus) {
  if (corpus.num_tokens() >= o.train.batch_tokens) return;
  warn(world, {join("data.train holds ", corpus.num_tokens(), " tokens, fewer than train.batch_tokens = ",
                    o.train.batch_tokens, " of a step over ", world.everyone().size(),
                    " rank(s): every step is a whole pass over the data; lower train.batch_tokens or add data")});
}

std::string banner(const World& world, const Options& o, const Transformer& model, const Corpora& data,
                   const Link& link) {
  const Parameters& p = model.parameters();
  const bool counts = o.exchange.plan == "auto" && world.sequence().size() > 1;
  return join("model: ", p.sketch_begin(), " parameters + ", p.size() - p.sketch_begin(),
              " of the sketch; ranks: ", world.everyone().size(), " (", world.num_replicas(), " replica(s) x ",
              world.sequence().size(), " sequence rank(s)", model.parameters().device().is_cpu() ? "" : ", on GPUs",
              transport_of(o) == "nccl" ? ", tensors over NCCL" : "", "); data: ", data.train->num_documents(),
              " documents, ", data.train->num_tokens(), " tokens; step: ", o.train.batch_tokens,
              " tokens; run folder: ", o.run.dir,
              counts ? join("; link: ", to_text(link), o.exchange.link == "measure" ? " (measured)" : "") : "");
}

}  // namespace smartbird
