// Picks to and from safetensors, and their way to all ranks.
#include "train/picks_file.h"

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>
#include <type_traits>

#include "core/error.h"
#include "interop/safetensors.h"

namespace smartbird {
namespace {

// Every number of a record under its name, for writing and reading.
template <class Record, class Visit>
void visit_numbers(Record& r, Visit visit) {
  visit("heads", r.heads), visit("kv_heads", r.kv_heads), visit("pick_heads", r.pick_heads);
  visit("head_width", r.head_width), visit("query_block", r.query_block), visit("window", r.window);
  visit("prefix", r.prefix), visit("causal", r.causal), visit("global_positions", r.global_positions);
  visit("layers_by_sketch", r.layers_by_sketch), visit("row_fetches", r.row_fetches);
  visit("other_fetches", r.other_fetches), visit("element_bytes", r.element_bytes);
  visit("kv_element_bytes", r.kv_element_bytes), visit("parameters", r.parameters);
  visit("parameter_bytes", r.parameter_bytes), visit("step", r.step);
  visit("compute_s", r.compute_s), visit("scan_s", r.scan_s);
}

template <class T>
std::vector<T> read_all(const std::string& path, const SafetensorsFile& file, const std::string& name, DType type) {
  const TensorEntry& entry = file.at(name).entry;
  SB_CHECK(entry.type == type && entry.shape.size() == 1, Data, path, ": ", name, " is not a list of integers");
  std::vector<T> out(static_cast<size_t>(entry.count()));
  file.read_slice(name, 0, entry.count(), out.data());
  return out;
}

int64_t num_blocks(const RecordedStream& stream, int64_t query_block) {
  int64_t blocks = 0;
  for (int64_t length : stream.lengths) blocks += (length + query_block - 1) / query_block;
  return blocks;
}

// That lists are what their stream can have, so that nobody need look again.
void check_lists(const std::string& path, const PicksRecord& r, const RecordedStream& stream, const DrawnLists& lists) {
  const auto right = [&](bool holds) { SB_CHECK(holds, Data, path, ": its lists of picks are damaged"); };
  right(static_cast<int64_t>(lists.start.size()) == num_blocks(stream, r.query_block) * r.pick_heads + 1);
  right(lists.start.front() == 0 && std::is_sorted(lists.start.begin(), lists.start.end()) &&
        lists.start.back() == static_cast<int64_t>(lists.key.size()));
  size_t list = 0;
  for (int64_t length : stream.lengths)
    for (int64_t end = list + (length + r.query_block - 1) / r.query_block * r.pick_heads;
         list < static_cast<size_t>(end); ++list)
      for (int64_t i = lists.start[list]; i < lists.start[list + 1]; ++i)
        right(lists.key[static_cast<size_t>(i)] >= 0 && lists.key[static_cast<size_t>(i)] < length);
}

void check_numbers(const std::string& path, const PicksRecord& r) {
  constexpr int64_t kLargest = int64_t{1} << 50;  // products stay far from overflow
  const auto right = [&](bool holds) { SB_CHECK(holds, Data, path, ": its description of the model is damaged"); };
  for (int64_t number : {r.heads, r.kv_heads, r.pick_heads, r.head_width, r.query_block, r.row_fetches, r.other_fetches,
                         r.element_bytes, r.kv_element_bytes, r.parameter_bytes})
    right(number >= 1 && number <= INT32_MAX);
  right(r.heads % r.kv_heads == 0 && r.pick_heads % r.kv_heads == 0);
  for (int64_t layers : r.layers_by_sketch) right(layers >= 1 && layers <= INT32_MAX);
  for (int64_t number : {r.window, r.prefix, r.parameters}) right(number >= 0 && number <= kLargest);
  const auto& globals = r.global_positions;
  right(std::adjacent_find(globals.begin(), globals.end(), std::greater_equal<>()) == globals.end());
  right(globals.empty() || (globals.front() >= 0 && globals.back() <= kLargest));
  right(r.compute_s >= 0 && r.compute_s < 1e12 && r.scan_s >= 0 && r.scan_s <= r.compute_s * (1 + 1e-9));
}

}  // namespace

AttentionSettings PicksRecord::settings() const {
  AttentionSettings s;
  s.visibility = {.causal = causal, .prefix = prefix};
  s.window = window;
  s.heads = static_cast<int>(heads), s.kv_heads = static_cast<int>(kv_heads);
  s.pick_heads = static_cast<int>(pick_heads);
  s.global_positions = global_positions;
  return s;
}

ExchangeUse PicksRecord::use(size_t sketch) const {
  return {.layers = layers_by_sketch[sketch],
          .row_fetches = row_fetches,
          .other_fetches = other_fetches,
          .returns = true,
          .head_width = head_width,
          .element_bytes = static_cast<double>(element_bytes),
          .kv_element_bytes = static_cast<double>(kv_element_bytes),
          .log_pi_bytes = static_cast<double>(parameter_bytes)};
}

PicksRecord describe_picks(const ModelShape& shape, int query_block, int64_t parameter_bytes, int64_t parameters) {
  const AttentionSettings& s = shape.attention;
  PicksRecord r;
  r.heads = s.heads, r.kv_heads = s.kv_heads, r.pick_heads = s.pick_heads, r.head_width = shape.head_width;
  r.query_block = query_block, r.window = s.window, r.prefix = s.visibility.prefix, r.causal = s.visibility.causal;
  r.global_positions = s.global_positions;
  for (const int64_t draw : shape.draws()) {
    const ExchangeUse use = exchange_use(shape, Pattern::Sparse, draw, parameter_bytes);
    r.layers_by_sketch.push_back(use.layers);
    r.row_fetches = use.row_fetches, r.other_fetches = use.other_fetches;
    r.kv_element_bytes = static_cast<int64_t>(use.kv_element_bytes);
  }
  r.element_bytes = shape.attended_bytes(parameter_bytes);
  r.parameters = parameters, r.parameter_bytes = parameter_bytes;
  return r;
}

void write_picks(const std::string& path, const PicksRecord& record) {
  std::vector<TensorEntry> entries;
  std::vector<const void*> data;
  const auto add = [&](const std::string& name, DType type, size_t size, const void* values) {
    entries.push_back({name, type, {static_cast<int64_t>(size)}});
    data.push_back(values);
  };
  for (size_t i = 0; i < record.streams.size(); ++i) {
    const RecordedStream& stream = record.streams[i];
    add(join(i, ".lengths"), DType::i64, stream.lengths.size(), stream.lengths.data());
    for (size_t s = 0; s < stream.sketches.size(); ++s) {
      add(join(i, ".", s, ".start"), DType::i64, stream.sketches[s].start.size(), stream.sketches[s].start.data());
      add(join(i, ".", s, ".key"), DType::i32, stream.sketches[s].key.size(), stream.sketches[s].key.data());
    }
  }
  nlohmann::json numbers{{"streams", record.streams.size()}};
  visit_numbers(record, [&](const char* name, const auto& value) { numbers[name] = value; });
  write_safetensors(path, entries, data, {{"picks", numbers.dump()}});
}

PicksRecord read_picks(const std::string& path) {
  const SafetensorsFile file(path);
  PicksRecord out;
  const auto text = file.metadata().find("picks");
  SB_CHECK(text != file.metadata().end(), Data, path, " holds no picks; name a file that run.record_picks wrote");
  size_t streams = 0;
  try {
    auto numbers = nlohmann::json::parse(text->second);
    if (!numbers.contains("parameter_bytes") && numbers.contains("element_bytes"))
      numbers["parameter_bytes"] = numbers["element_bytes"];  // files of a time when they were one
    visit_numbers(out, [&](const char* name, auto& value) {
      const bool whole = !std::is_same_v<decltype(value), int64_t&> || numbers.at(name).is_number_integer();
      SB_CHECK(whole, Data, path, ": its description of the model is damaged");
      numbers.at(name).get_to(value);
    });
    streams = numbers.at("streams").get<size_t>();
  } catch (const nlohmann::json::exception&) {
    fail(ErrorKind::Data, path, ": its description of the model is damaged");
  }
  check_numbers(path, out);
  for (size_t i = 0; i < streams; ++i) {
    RecordedStream stream{read_all<int64_t>(path, file, join(i, ".lengths"), DType::i64), {}};
    for (int64_t length : stream.lengths) SB_CHECK(length > 0, Data, path, ": a sequence of ", length, " tokens");
    for (size_t s = 0; s < out.layers_by_sketch.size(); ++s) {
      stream.sketches.push_back({read_all<int64_t>(path, file, join(i, ".", s, ".start"), DType::i64),
                                 read_all<int32_t>(path, file, join(i, ".", s, ".key"), DType::i32)});
      check_lists(path, out, stream, stream.sketches.back());
    }
    out.streams.push_back(std::move(stream));
  }
  return out;
}

DrawnLists gather_lists(const StepContext& context, const Plan& plan) {
  const Layout& layout = context.layout;
  const int64_t heads = plan.drawn_heads;
  std::vector<int64_t> sizes, lists_by_rank, numbers;
  for (size_t list = 0; list + 1 < plan.drawn_start.size(); ++list)
    sizes.push_back(plan.drawn_start[list + 1] - plan.drawn_start[list]);
  for (int rank = 0; rank < layout.num_ranks(); ++rank) {
    const std::vector<Layout::Block> blocks = layout.blocks_of(rank);
    lists_by_rank.push_back(static_cast<int64_t>(blocks.size()) * heads);
    for (const Layout::Block& block : blocks)
      for (int64_t head = 0; head < heads; ++head)
        numbers.push_back((layout.blocks_before(block.sequence) + block.index) * heads + head);
  }
  std::vector<int64_t> all_sizes(numbers.size()), keys_by_rank;
  Communicator& group = context.group();
  group.all_gather("recorded_picks", sizes.data(), all_sizes.data(), lists_by_rank, DType::i64);
  size_t next = 0;
  for (int64_t lists : lists_by_rank) {
    keys_by_rank.push_back(0);
    for (int64_t i = 0; i < lists; ++i) keys_by_rank.back() += all_sizes[next++];
  }
  DrawnLists out;
  out.start.assign(numbers.size() + 1, 0);
  for (size_t i = 0; i < numbers.size(); ++i) out.start[static_cast<size_t>(numbers[i]) + 1] = all_sizes[i];
  for (size_t i = 1; i < out.start.size(); ++i) out.start[i] += out.start[i - 1];
  std::vector<int32_t> by_rank(static_cast<size_t>(out.start.back()));
  group.all_gather("recorded_picks", plan.drawn_key.data(), by_rank.data(), keys_by_rank, DType::i32);
  out.key.resize(by_rank.size());
  auto from = by_rank.begin();
  for (size_t i = 0; i < numbers.size(); ++i, from += all_sizes[i - 1])
    std::copy_n(from, all_sizes[i], out.key.begin() + out.start[static_cast<size_t>(numbers[i])]);
  return out;
}

}  // namespace smartbird
