// data.generate: data that a configuration asks for and nobody has made yet.
#include "tools/data_generate.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "core/error.h"
#include "data/source_names.h"

namespace smartbird {
namespace {

namespace fs = std::filesystem;

// The folder of a shard, of which one process at a time makes data: others wait and find them made.
class FolderTurn {
 public:
  explicit FolderTurn(const std::string& prefix) {
    const fs::path parent = fs::path(prefix).parent_path(), folder = parent.empty() ? "." : parent;
    std::error_code code;
    fs::create_directories(folder, code);
    file_ = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    SB_CHECK(!code, Io, "data.generate: the folder ", folder.string(), " cannot be made: ", code.message());
    SB_CHECK(file_ >= 0, Io, "data.generate: the folder ", folder.string(),
             " cannot be opened: ", std::strerror(errno));
    while (::flock(file_, LOCK_EX) != 0)
      SB_CHECK(errno == EINTR, Io, "data.generate: the folder ", folder.string(),
               " cannot be locked: ", std::strerror(errno));
  }
  ~FolderTurn() { ::close(file_); }
  FolderTurn(const FolderTurn&) = delete;
  FolderTurn& operator=(const FolderTurn&) = delete;

 private:
  int file_ = -1;
};

// What lies there was made for the sequences of now.
void check_recall_length(const std::string& path, int64_t length) {
  const Shard shard(path);
  int64_t longest = 0;
  for (int64_t d = 0; d < shard.num_documents(); ++d) longest = std::max(longest, shard.num_tokens(d));
  SB_CHECK(longest == length, Data, "data.generate = recall: ", path, " has samples of ", longest,
           " tokens, data.sequence_tokens = ", length, "; name another path, or delete it");
}

GeneratedTask generate(const DataOptions& options, bool for_training, int64_t seed) {
  if (options.generate == "listops") return generate_listops({.count = for_training ? 2000 : 200, .seed = seed});
  const int64_t length = options.sequence_tokens, most = (for_training ? int64_t{20} : int64_t{3}) << 20;
  return generate_recall(
      {.count = std::clamp<int64_t>(most / length, for_training ? std::min<int64_t>(2000, kMostTokens / length) : 20,
                                    for_training ? 40000 : 200),
       .length = length,
       .seed = seed,
       .easy = for_training ? 0.8 : 0});
}

}  // namespace

void generate_on_first_use(const DataOptions& options) {
  const int64_t shortest = 2 * RecallOptions{}.pairs + 2;
  SB_CHECK(options.generate != "recall" || (options.sequence_tokens % 2 == 0 && options.sequence_tokens >= shortest),
           Config, "data.generate = recall: data.sequence_tokens = ", options.sequence_tokens,
           " must be even and at least ", shortest, ", two for each of ", RecallOptions{}.pairs,
           " pairs and a question");
  int64_t seed = 1;
  for (const auto* sources : {&options.train, &options.valid, &options.test}) {
    const int64_t this_seed = seed++;
    if (sources->empty()) continue;
    const std::string path = parse_source("data.generate", (*sources)[0]).path;
    const FolderTurn turn(path);
    if (fs::exists(path + ".idx")) {
      if (options.generate == "recall") check_recall_length(path, options.sequence_tokens);
      continue;
    }
    if (fs::exists(path)) continue;
    std::printf("writing %s (%s)\n", path.c_str(), options.generate.c_str());
    std::fflush(stdout);
    const GeneratedTask task = generate(options, sources == &options.train, this_seed);
    write_shard(path, task.documents, *task.tokenizer);
  }
}

}  // namespace smartbird
