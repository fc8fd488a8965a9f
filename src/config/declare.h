// What a declaration of an option may say about its allowed values. `v("model.layers", layers, 4, between(1, 10000),
// "Transformer blocks")` is the only place where an option exists; everything else visits these declarations.
// Bounds are doubles: every bound used is below 2^53, so whole-number bounds are exact. A rule on a list holds for each
// of its elements.
#pragma once

#include <initializer_list>
#include <limits>
#include <string>
#include <vector>

namespace smartbird {

struct Rule {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool above_low = false;            // low itself is not allowed
  std::vector<std::string> choices;  // empty: any text
};

[[nodiscard]] inline Rule any() { return {}; }
[[nodiscard]] inline Rule at_least(double low) { return {.low = low, .choices = {}}; }
[[nodiscard]] inline Rule positive() { return {.low = 0, .above_low = true, .choices = {}}; }
[[nodiscard]] inline Rule between(double low, double high) { return {.low = low, .high = high, .choices = {}}; }
[[nodiscard]] inline Rule one_of(std::initializer_list<const char*> choices) {
  return {.choices = {choices.begin(), choices.end()}};
}
[[nodiscard]] inline Rule each_of(std::initializer_list<const char*> choices) { return one_of(choices); }

}  // namespace smartbird
