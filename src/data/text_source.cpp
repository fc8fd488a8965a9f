// Readers of raw text.
#include "data/text_source.h"

#include <simdjson.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "core/error.h"
#include "data/source_names.h"

namespace smartbird {
namespace {

namespace fs = std::filesystem;

std::string read_all(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  SB_CHECK(in, Data, path, ": cannot be opened");
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

std::vector<std::string> files_below(const std::string& folder) {
  std::vector<std::string> files;
  for (auto entry = fs::recursive_directory_iterator(folder); entry != fs::recursive_directory_iterator(); ++entry) {
    const bool hidden = entry->path().filename().string()[0] == '.';
    if (hidden && entry->is_directory()) entry.disable_recursion_pending();
    if (!hidden && entry->is_regular_file()) files.push_back(entry->path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

bool ends_with(const std::string& text, const std::string& ending) {
  return text.size() >= ending.size() && text.compare(text.size() - ending.size(), ending.size(), ending) == 0;
}

// Windows editors begin a UTF-8 file with a mark that belongs to no field.
void skip_byte_order_mark(std::istream& in) {
  std::string mark(3, '\0');
  in.read(mark.data(), 3);
  if (mark != "\xEF\xBB\xBF") in.clear(), in.seekg(0);
}

// A line without its end, be that LF or CR LF.
bool read_line(std::istream& in, std::string& line) {
  if (!std::getline(in, line)) return false;
  if (!line.empty() && line.back() == '\r') line.pop_back();
  return true;
}

std::vector<std::string> split_tabs(const std::string& line) {
  std::vector<std::string> out;
  for (size_t begin = 0; begin <= line.size();) {
    const size_t end = std::min(line.find('\t', begin), line.size());
    out.push_back(line.substr(begin, end - begin));
    begin = end + 1;
  }
  return out;
}

void check_label(const std::string& place, const std::string& label) {
  SB_CHECK(is_utf8(label), Data, printable(place), ": the label '", printable(label),
           "' is not UTF-8; rename the folder or convert the file");
}

std::string unescape(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out += text[i];
      continue;
    }
    const char next = text[++i];
    out += next == 'n' ? '\n' : next == 't' ? '\t' : next == 'r' ? '\r' : next;
  }
  return out;
}

}  // namespace

std::unique_ptr<Tokenizer> make_text_tokenizer(const std::string& key, const DataOptions& options) {
  if (options.tokenizer == "bytes") return make_byte_tokenizer();
  SB_CHECK(!options.vocabulary.empty(), Config, key,
           ": raw text in words needs data.vocabulary = FILE, a file with one word a line");
  return make_word_tokenizer(read_words(options.vocabulary));
}

TextReader::TextReader(std::string key, const DataOptions& options, const Tokenizer& tokenizer)
    : key_(std::move(key)), options_(options), tokenizer_(tokenizer), classify_(options.task == "classify") {}

void TextReader::add(const std::string& path) {
  if (fs::is_directory(path)) {
    const std::vector<std::string> files = files_below(path);
    SB_CHECK(!files.empty(), Data, key_, ": the folder ", path, " holds no file");
    for (const std::string& file : files) add_file(file, fs::path(file).parent_path().filename().string());
    return;
  }
  if (fs::exists(path)) return add_file(path, "");
  const std::vector<std::string> files = glob_paths(path);
  SB_CHECK(!files.empty(), Data, key_, ": nothing at ", path, " (current folder ", fs::current_path().string(),
           "): no file, folder, glob match, or shard ", path, ".idx");
  for (const std::string& file : files) add(file);
}

void TextReader::add_file(const std::string& path, const std::string& label) {
  if (ends_with(path, ".jsonl")) return add_jsonl(path);
  if (ends_with(path, ".tsv")) return add_tsv(path);
  SB_CHECK(!ends_with(path, ".bin") && !ends_with(path, ".idx"), Data, key_, ": ", path,
           " is half of a shard, not text; name the shard itself, ", path.substr(0, path.size() - 4));
  const std::string text = read_all(path);
  if (!classify_) return add_document(path, "", text, "", false);
  SB_CHECK(!label.empty(), Data, key_, ": ", path,
           " has no label; classify takes TSV, JSONL or a folder with one folder a class");
  check_label(path, label);
  std::vector<int32_t> ids;
  encode(path, text, ids);
  const size_t piece = static_cast<size_t>(options_.sequence_tokens);
  SB_CHECK(ids.size() >= piece, Data, path, ": ", ids.size(),
           " tokens are less than one piece of data.sequence_tokens = ", piece);
  for (size_t begin = 0; begin + piece <= ids.size(); begin += piece) {
    out_.tokens.insert(out_.tokens.end(), ids.begin() + static_cast<int64_t>(begin),
                       ids.begin() + static_cast<int64_t>(begin + piece));
    out_.counts.resize(out_.tokens.size(), 1);
    out_.end_document();
    label_names_.push_back(label);
    places_.push_back(path);
  }
}

void TextReader::add_jsonl(const std::string& path) {
  std::ifstream in(path);
  SB_CHECK(in, Data, path, ": cannot be opened");
  skip_byte_order_mark(in);
  simdjson::dom::parser parser;
  std::string line;
  for (int64_t number = 1; std::getline(in, line); ++number) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const std::string place = join(path, ":", number);
    simdjson::dom::element object;
    SB_CHECK(parser.parse(simdjson::padded_string(line)).get(object) == simdjson::SUCCESS && object.is_object(), Data,
             place, ": not a JSON object");
    const auto field = [&](const std::string& name) {
      simdjson::dom::element value;
      SB_CHECK(object[name].get(value) == simdjson::SUCCESS, Data, place, ": no field '", name, "'");
      std::string_view text;
      if (value.get(text) == simdjson::SUCCESS) return std::string(text);
      // Labels may be numbers.
      SB_CHECK(value.is_number() || value.is_bool(), Data, place, ": field '", name, "' is not a text");
      return std::string(simdjson::minify(value));
    };
    const bool has_response = !classify_ && object[options_.response_field].error() == simdjson::SUCCESS;
    if (has_response)
      add_document(place, field(options_.prompt_field), field(options_.response_field), "", true);
    else
      add_document(place, "", field(options_.field), classify_ ? field(options_.label_field) : "", false);
  }
}

void TextReader::add_tsv(const std::string& path) {
  std::ifstream in(path);
  std::string line;
  if (in) skip_byte_order_mark(in);
  SB_CHECK(in && read_line(in, line), Data, path, ": empty or unreadable; a TSV begins with a header line");
  const std::vector<std::string> header = split_tabs(line);
  const auto column = [&](const std::string& name) {
    const auto found = std::find(header.begin(), header.end(), name);
    SB_CHECK(found != header.end(), Data, path, ":1: no column '", name, "' in the header");
    return static_cast<size_t>(found - header.begin());
  };
  const size_t text = column(options_.field), label = classify_ ? column(options_.label_field) : 0;
  for (int64_t number = 2; read_line(in, line); ++number) {
    if (line.empty()) continue;
    const std::vector<std::string> fields = split_tabs(line);
    SB_CHECK(fields.size() == header.size(), Data, path, ":", number, ": ", fields.size(), " columns, the header has ",
             header.size());
    add_document(join(path, ":", number), "", unescape(fields[text]), classify_ ? fields[label] : "", false);
  }
}

void TextReader::encode(const std::string& place, std::string_view text, std::vector<int32_t>& ids) const {
  try {
    tokenizer_.encode(text, ids);
  } catch (const Error& error) {
    fail(error.kind(), place, ": ", error.what());
  }
}

void TextReader::add_document(const std::string& place, std::string_view prompt, std::string_view text,
                              const std::string& label, bool has_prompt) {
  const size_t before = out_.tokens.size();
  encode(place, prompt, out_.tokens);
  out_.counts.resize(out_.tokens.size(), has_prompt ? 0 : 1);
  encode(place, text, out_.tokens);
  SB_CHECK(out_.tokens.size() > before, Data, place, ": the document is empty");
  SB_CHECK(!classify_ || !label.empty(), Data, place, ": the label is empty");
  check_label(place, label);
  if (!classify_) out_.tokens.push_back(tokenizer_.separator_id());
  out_.counts.resize(out_.tokens.size(), 1);
  out_.end_document();
  label_names_.push_back(label);
  places_.push_back(place);
}

void TextReader::collect_labels(std::set<std::string>& names) const {
  if (classify_) names.insert(label_names_.begin(), label_names_.end());
}

Documents TextReader::finish(const std::vector<std::string>& classes) {
  if (!classify_) return std::move(out_);
  out_.classes = classes;
  for (size_t i = 0; i < label_names_.size(); ++i) {
    const auto found = std::find(classes.begin(), classes.end(), label_names_[i]);
    SB_CHECK(found != classes.end(), Data, key_, ": ", places_[i], ": label '", label_names_[i], "' is not among the ",
             classes.size(), " classes of training");
    out_.labels.push_back(static_cast<int32_t>(found - classes.begin()));
  }
  return std::move(out_);
}

}  // namespace smartbird
