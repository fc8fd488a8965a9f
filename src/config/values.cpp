// Parsing and printing of option values.
#include "config/values.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <type_traits>

#include "core/error.h"

namespace smartbird {

namespace {

std::string trim(const std::string& text) {
  const auto begin = text.find_first_not_of(" \t\r"), end = text.find_last_not_of(" \t\r");
  return begin == std::string::npos ? "" : text.substr(begin, end - begin + 1);
}

template <class T>
struct TypeName {
  static constexpr const char* value = std::is_same_v<T, bool>      ? "on or off"
                                       : std::is_same_v<T, int64_t> ? "an integer"
                                       : std::is_same_v<T, double>  ? "a number"
                                                                    : "text";
};
template <class T>
struct TypeName<std::vector<T>> : TypeName<T> {};  // of an element

std::string to_text(const std::string& value) { return value; }
std::string to_text(bool value) { return value ? "on" : "off"; }
template <class T>
std::string number_text(T value) {
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
  return {buffer, end};
}
std::string to_text(int64_t value) { return number_text(value); }
std::string to_text(double value) { return number_text(value); }
template <class T>
std::string to_text(const std::vector<T>& values) {
  std::string out;
  for (const T& value : values) out += (out.empty() ? "" : ",") + to_text(value);
  return out;
}

// "" or what is wrong.
std::string from_text(const std::string& text, std::string& value) { return value = text, ""; }
std::string from_text(const std::string& text, bool& value) {
  value = text == "on" || text == "true" || text == "yes" || text == "1";
  return value || text == "off" || text == "false" || text == "no" || text == "0" ? "" : "expected on or off";
}
template <class T>
std::string from_text(const std::string& text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool number = end == text.data() + text.size() && std::isfinite(static_cast<double>(value));
  if (number && error == std::errc::result_out_of_range)
    return std::is_same_v<T, double> ? "beyond the range of a 64-bit float" : "beyond the range of a 64-bit integer";
  return number && error == std::errc{} ? "" : std::string("expected ") + TypeName<T>::value;
}

template <class T>
std::string broken(const Rule& rule, const T& value) {
  if (!rule.choices.empty()) {
    if (std::find(rule.choices.begin(), rule.choices.end(), to_text(value)) != rule.choices.end()) return "";
    return "expected " + describe(rule);
  }
  if constexpr (std::is_arithmetic_v<T> && !std::is_same_v<T, bool>) {
    const double x = static_cast<double>(value);
    if (x < rule.low || x > rule.high || (rule.above_low && x <= rule.low)) return "allowed: " + describe(rule);
  }
  return "";
}

template <class T>
std::string set_value(const std::string& raw, const Rule& rule, T& field) {
  T value{};
  const std::string text = trim(raw);
  std::string wrong = from_text(text, value);
  if (wrong.empty()) wrong = broken(rule, value);
  if (wrong.empty()) field = value;
  return wrong;
}

template <class T>
std::string set_value(const std::string& raw, const Rule& rule, std::vector<T>& field) {
  std::vector<T> values;
  for (size_t begin = 0; begin <= raw.size();) {
    const size_t end = std::min(raw.find(',', begin), raw.size());
    const std::string element = trim(raw.substr(begin, end - begin));
    begin = end + 1;
    if (element.empty()) {
      if (trim(raw).empty()) break;
      return "an element of the list is empty";
    }
    T value{};
    const std::string wrong = set_value(element, rule, value);
    if (!wrong.empty()) return wrong;
    values.push_back(value);
  }
  field = values;
  return "";
}

struct Collect {
  std::vector<OptionEntry>& out;
  template <class T, class Default>
  void operator()(const char* name, T& field, const Default& standard, const Rule& rule, const char* help) {
    OptionEntry entry{.name = name,
                      .type = TypeName<T>::value,
                      .default_text = "",
                      .help = help,
                      .rule = rule,
                      .text = {},
                      .set = {}};
    if constexpr (std::is_same_v<Default, bool>)
      entry.default_text = standard ? "on" : "off";
    else if constexpr (std::is_arithmetic_v<Default>)
      entry.default_text = to_text(static_cast<T>(standard));
    else
      entry.default_text = standard;
    entry.text = [&field] { return to_text(field); };
    const bool may_be_empty = entry.default_text.empty();
    entry.set = [&field, rule, may_be_empty](const std::string& text) -> std::string {
      if (may_be_empty || !trim(text).empty()) return set_value(text, rule, field);
      return "is empty, expected " + (rule.choices.empty() ? TypeName<T>::value : describe(rule));
    };
    out.push_back(std::move(entry));
  }
};

size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

}  // namespace

std::string describe(const Rule& rule) {
  std::string out;
  for (const std::string& choice : rule.choices) out += (out.empty() ? "" : " | ") + choice;
  if (!out.empty()) return out;
  const bool low = std::isfinite(rule.low), high = std::isfinite(rule.high);
  if (low && high) return "from " + number_text(rule.low) + " to " + number_text(rule.high);
  if (low) return (rule.above_low ? "above " : "at least ") + number_text(rule.low);
  return "";
}

std::vector<OptionEntry> entries_of(Options& options) {
  std::vector<OptionEntry> out;
  Collect collect{out};
  options.visit(collect);
  return out;
}

std::string advice(const std::string& name, const std::vector<OptionEntry>& entries, const std::string& dashes) {
  const auto key_of = [](const std::string& full) { return full.substr(full.rfind('.') + 1); };
  const auto close = [](size_t distance, const std::string& text) {
    return distance <= std::max<size_t>(1, text.size() / 3);
  };
  const std::string key = key_of(name);
  size_t least = SIZE_MAX;
  std::string nearest;
  for (const OptionEntry& entry : entries) {
    const size_t whole = edit_distance(name, entry.name), part = edit_distance(key, key_of(entry.name));
    const size_t distance = std::min(whole, part + 2);  // the same key in another section is further away
    if ((close(whole, name) || close(part, key)) && distance < least) least = distance, nearest = entry.name;
  }
  return nearest.empty() ? "; see smartbird options" : join("; did you mean '", dashes, nearest, "'?");
}

}  // namespace smartbird
