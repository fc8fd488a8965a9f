// Reading a rank's rows and forming their targets.
#include "data/stream.h"

#include "core/error.h"

namespace smartbird {
namespace {

// Tokens [begin, begin + count) of a sample, plus the one after where the document has it.
struct Piece {
  std::vector<int32_t> ids;
  std::vector<uint8_t> counts;
  bool has_next = false;
};

Piece read_piece(const Corpus& corpus, const Sample& sample, int64_t begin, int64_t count) {
  const int64_t first = sample.begin + begin;
  Piece piece;
  piece.has_next = first + count < corpus.document(sample.document).num_tokens;
  piece.ids.resize(static_cast<size_t>(count + (piece.has_next ? 1 : 0)));
  piece.counts.resize(piece.ids.size());
  corpus.read(sample.document, first, piece.ids);
  corpus.read_target_mask(sample.document, first, piece.counts);
  return piece;
}

void mask_token(const Sample& sample, int64_t position, double share, PhiloxKey key, const Tokenizer& tokenizer,
                int64_t& token, int64_t& target) {
  target = -1;
  key.high ^= static_cast<uint32_t>(static_cast<uint64_t>(sample.number) >> 32);
  const PhiloxCounter x = philox({static_cast<uint32_t>(sample.number), static_cast<uint32_t>(position), 0, 0}, key);
  if (uniform(x[0]) >= share) return;
  target = token;
  const double choice = uniform(x[1]);
  if (choice < 0.8)
    token = tokenizer.mask_id();
  else if (choice < 0.9)
    token = static_cast<int64_t>(uniform(x[2]) * static_cast<double>(tokenizer.separator_id()));
}

}  // namespace

Task task_from_name(const std::string& name) {
  if (name == "clm") return Task::Clm;
  if (name == "mlm") return Task::Mlm;
  SB_CHECK(name == "classify", Config, "data.task = ", name, ": expected clm, mlm or classify");
  return Task::Classify;
}

std::vector<Sequence> sequences_of(const std::vector<Sample>& samples) {
  std::vector<Sequence> out;
  int64_t begin = 0;
  for (const Sample& sample : samples) {
    out.push_back({static_cast<uint64_t>(sample.number), begin, sample.length});
    begin += sample.length;
  }
  return out;
}

Stream make_stream(const Corpus& corpus, const Layout& layout, const std::vector<Sample>& samples, int rank, Task task,
                   double mask_share, PhiloxKey key) {
  Stream out;
  const Tokenizer& tokenizer = corpus.tokenizer();
  if (task == Task::Classify)
    for (const Sample& sample : samples) out.label.push_back(corpus.document(sample.document).label);
  for (auto* column : {&out.token, &out.target, &out.position, &out.sequence})
    column->reserve(static_cast<size_t>(layout.rank_tokens(rank)));
  for (const Run& run : layout.runs()) {
    if (run.rank != rank) continue;
    for (int64_t token = run.begin; token < run.end;) {
      const int64_t index = layout.sequence_of(token);
      const Sequence& sequence = layout.sequences()[static_cast<size_t>(index)];
      const Sample& sample = samples[static_cast<size_t>(index)];
      const int64_t begin = token - sequence.begin, count = std::min(run.end, sequence.begin + sequence.length) - token;
      const Piece piece = read_piece(corpus, sample, begin, count);
      for (int64_t i = 0; i < count; ++i) {
        const size_t at = static_cast<size_t>(i);
        int64_t id = piece.ids[at], target = -1;
        if (task == Task::Clm && at + 1 < piece.ids.size() && piece.counts[at + 1] != 0) target = piece.ids[at + 1];
        if (task == Task::Mlm) mask_token(sample, begin + i, mask_share, key, tokenizer, id, target);
        out.token.push_back(id);
        out.target.push_back(target);
        out.position.push_back(begin + i);
        out.sequence.push_back(index);
        if (target < 0) continue;
        ++out.counted;
        out.target_bytes += tokenizer.text_bytes(static_cast<int32_t>(target));
      }
      token += count;
    }
  }
  return out;
}

}  // namespace smartbird
