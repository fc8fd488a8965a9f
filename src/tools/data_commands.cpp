// The data subcommands: arguments, then the work.
#include "tools/data_commands.h"

#include <algorithm>
#include <boost/program_options.hpp>
#include <cstdio>
#include <iostream>
#include <set>

#include "config/parse.h"
#include "core/error.h"
#include "data/text_source.h"
#include "tools/arguments.h"
#include "tools/data_generate.h"

namespace smartbird {
namespace {

namespace po = boost::program_options;
using Arguments = std::vector<std::string>;

constexpr const char* kUsage =
    "smartbird data tokenize --input=PATH --output=PREFIX   text, folder, TSV or JSONL -> a shard\n"
    "smartbird data inspect PREFIX                          counts, lengths, first documents\n"
    "smartbird data listops --output=PREFIX                 Long Range Arena's ListOps\n"
    "smartbird data recall --output=PREFIX                  multi-query associative recall\n"
    "Each has --help.\n";

bool help_printed(const char* command, po::options_description& described, const Arguments& arguments,
                  const char* positional = nullptr) {
  if (!parse_arguments(command, described, arguments, positional)) return false;
  std::cout << described;
  return true;
}

int tokenize(const Arguments& arguments) {
  Arguments inputs;
  std::string output;
  DataOptions o = default_options().data;
  po::options_description described("smartbird data tokenize");
  described.add_options()("input", po::value(&inputs), "file, folder or glob; repeatable")(
      "output", po::value(&output), "PREFIX of the shard")("task", value_of(o.task), "clm, mlm or classify")(
      "vocabulary", po::value<std::string>()->notifier([&](const std::string& file) {
        SB_CHECK(!file.empty(), Config, "data tokenize: --vocabulary= names no file");
        o.tokenizer = "words", o.vocabulary = file;
      }),
      "a file with one word a line: tokens are words, apart by white space, and not bytes")(
      "field", value_of(o.field), "text column")("label-field", value_of(o.label_field), "label column")(
      "prompt-field", value_of(o.prompt_field), "JSONL prompt")(
      "response-field", value_of(o.response_field), "JSONL response")("sequence-tokens", value_of(o.sequence_tokens),
                                                                      "classify, class folders: tokens of a piece");
  if (help_printed("data tokenize", described, arguments)) return 0;
  SB_CHECK(!inputs.empty() && !output.empty(), Config,
           "data tokenize: --input and --output are needed; see smartbird data tokenize --help");
  SB_CHECK(o.task == "clm" || o.task == "mlm" || o.task == "classify", Config, "data tokenize: --task=", o.task,
           ": expected clm, mlm or classify");
  SB_CHECK(o.sequence_tokens > 0, Config, "data tokenize: --sequence-tokens=", o.sequence_tokens,
           " must be at least 1");
  check_new_shard(output);
  const auto tokenizer = make_text_tokenizer("data tokenize", o);
  TextReader reader("--input", o, *tokenizer);
  for (const std::string& input : inputs) reader.add(input);
  std::set<std::string> labels;
  reader.collect_labels(labels);
  const Documents documents = reader.finish({labels.begin(), labels.end()});
  write_shard(output, documents, *tokenizer);
  std::printf("%s: %lld documents, %zu tokens\n", output.c_str(), static_cast<long long>(documents.num_documents()),
              documents.tokens.size());
  return 0;
}

int inspect(const Arguments& arguments) {
  std::string prefix;
  int64_t shown = 2;
  po::options_description described("smartbird data inspect PREFIX");
  described.add_options()("prefix", po::value(&prefix), "shard")("documents", value_of(shown), "documents to show");
  if (help_printed("data inspect", described, arguments, "prefix")) return 0;
  SB_CHECK(!prefix.empty(), Config, "data inspect: which shard? smartbird data inspect PREFIX");
  SB_CHECK(shown >= 0, Config, "data inspect: --documents=", shown, " must be at least 0");
  for (const char* ending : {".bin", ".idx"})
    if (prefix.ends_with(ending)) prefix.resize(prefix.size() - 4);
  const Shard shard(prefix);
  const auto tokenizer = tokenizer_from_json(shard.tokenizer_json());
  std::vector<int64_t> lengths;
  int64_t total = 0;
  for (int64_t i = 0; i < shard.num_documents(); ++i) lengths.push_back(shard.num_tokens(i)), total += lengths.back();
  std::sort(lengths.begin(), lengths.end());
  SB_CHECK(!lengths.empty(), Data, prefix, ": no document");
  std::printf("%lld documents, %lld tokens; length min %lld, median %lld, max %lld; vocabulary %lld\n",
              static_cast<long long>(lengths.size()), static_cast<long long>(total),
              static_cast<long long>(lengths.front()), static_cast<long long>(lengths[lengths.size() / 2]),
              static_cast<long long>(lengths.back()), static_cast<long long>(tokenizer->vocabulary()));
  for (size_t c = 0; c < shard.classes().size(); ++c) {
    int64_t count = 0;
    for (int64_t i = 0; i < shard.num_documents(); ++i) count += shard.label(i) == static_cast<int32_t>(c) ? 1 : 0;
    std::printf("class %s: %lld\n", shard.classes()[c].c_str(), static_cast<long long>(count));
  }
  for (int64_t i = 0; i < std::min(shown, shard.num_documents()); ++i) {
    std::vector<int32_t> ids(static_cast<size_t>(std::min<int64_t>(200, shard.num_tokens(i))));
    shard.read(i, 0, ids);
    std::printf("[%lld] %s\n", static_cast<long long>(i), tokenizer->decode(ids).c_str());
  }
  return 0;
}

int listops(const Arguments& arguments) {
  ListOpsOptions o;
  std::string output;
  po::options_description described("smartbird data listops");
  described.add_options()("output", po::value(&output), "PREFIX of the shard")("count", value_of(o.count), "samples")(
      "min-tokens", value_of(o.min_tokens), "shortest")("max-tokens", value_of(o.max_tokens), "longest")(
      "max-depth", value_of(o.max_depth), "nesting")("max-arguments", value_of(o.max_arguments),
                                                     "arguments of an operator")("seed", value_of(o.seed),
                                                                                 "random numbers");
  if (help_printed("data listops", described, arguments)) return 0;
  SB_CHECK(!output.empty(), Config, "data listops: --output=PREFIX is needed");
  check_new_shard(output);
  const GeneratedTask task = generate_listops(o);
  write_shard(output, task.documents, *task.tokenizer);
  std::printf("%s: %lld samples; most frequent label of each root operator: %.1f %%\n", output.c_str(),
              static_cast<long long>(o.count), 100 * root_operator_baseline(task));
  return 0;
}

int recall(const Arguments& arguments) {
  RecallOptions o;
  std::string output;
  po::options_description described("smartbird data recall");
  described.add_options()("output", po::value(&output), "PREFIX of the shard")("count", value_of(o.count), "samples")(
      "length", value_of(o.length), "tokens of a sample")("pairs", value_of(o.pairs), "pairs of key and value")(
      "distance", value_of(o.distance), "tokens at least between a question and where its key was last")(
      "density", value_of(o.density), "share of the places after the pairs that ask; the others are filler")(
      "keys", value_of(o.keys), "different keys")("values", value_of(o.values), "different values")(
      "easy", value_of(o.easy), "share of samples that are shorter and have fewer pairs, for training")(
      "seed", value_of(o.seed), "random numbers");
  if (help_printed("data recall", described, arguments)) return 0;
  SB_CHECK(!output.empty(), Config, "data recall: --output=PREFIX is needed");
  check_new_shard(output);
  const GeneratedTask task = generate_recall(o);
  write_shard(output, task.documents, *task.tokenizer);
  std::printf("%s: %lld samples of %lld tokens, %lld questions\n", output.c_str(), static_cast<long long>(o.count),
              static_cast<long long>(o.length), static_cast<long long>(questions_of(task)));
  return 0;
}

}  // namespace

int data_command(const Arguments& arguments) {
  const std::string command = arguments.empty() ? "" : arguments[0];
  const Arguments rest(arguments.begin() + (arguments.empty() ? 0 : 1), arguments.end());
  if (command == "tokenize") return tokenize(rest);
  if (command == "inspect") return inspect(rest);
  if (command == "listops") return listops(rest);
  if (command == "recall") return recall(rest);
  if (command == "--help") return std::fputs(kUsage, stdout), 0;
  fail(ErrorKind::Config, "data: unknown subcommand '", command, "'; expected tokenize, inspect, listops or recall");
}

}  // namespace smartbird
