// Few cases out of many independent choices, such that any two choices meet in some case: what a test runs instead of
// the full product of its axes. Greedy and without chance: the same cases every time.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace smartbird::testing {

// num_choices[a]: choices of axis a. Rows of one choice an axis; every pair of choices of two axes is in some row.
inline std::vector<std::vector<int>> cover_pairs(const std::vector<int>& num_choices) {
  using Pair = std::tuple<size_t, int, size_t, int>;  // axis, choice, later axis, choice
  const size_t axes = num_choices.size();
  std::set<Pair> open;
  for (size_t a = 0; a < axes; ++a)
    for (size_t b = a + 1; b < axes; ++b)
      for (int x = 0; x < num_choices[a]; ++x)
        for (int y = 0; y < num_choices[b]; ++y) open.insert({a, x, b, y});
  std::vector<std::vector<int>> rows;
  while (!open.empty()) {
    const auto [first, first_choice, second, second_choice] = *open.begin();
    std::vector<int> row(axes, -1);
    row[first] = first_choice, row[second] = second_choice;
    const auto newly_met = [&](size_t axis, int choice) {
      int met = 0;
      for (size_t other = 0; other < axes; ++other)
        if (row[other] >= 0)
          met += static_cast<int>(other < axis ? open.count({other, row[other], axis, choice})
                                               : open.count({axis, choice, other, row[other]}));
      return met;
    };
    for (size_t axis = 0; axis < axes; ++axis) {
      if (row[axis] >= 0) continue;
      const int shift = static_cast<int>(rows.size()) % num_choices[axis];  // ties: no choice is preferred for ever
      int best = -1, best_met = -1;
      for (int i = 0; i < num_choices[axis]; ++i) {
        const int choice = (i + shift) % num_choices[axis], met = newly_met(axis, choice);
        if (met > best_met) best = choice, best_met = met;
      }
      row[axis] = best;
    }
    for (size_t a = 0; a < axes; ++a)
      for (size_t b = a + 1; b < axes; ++b) open.erase({a, row[a], b, row[b]});
    rows.push_back(std::move(row));
  }
  return rows;
}

template <class Case>
struct Choice {
  std::string name;
  std::function<void(Case&)> apply;
};

template <class Case>
using Axis = std::vector<Choice<Case>>;

// One axis of all choices of two: where their combination matters together with a third.
template <class Case>
Axis<Case> crossed(const Axis<Case>& a, const Axis<Case>& b) {
  Axis<Case> out;
  for (const Choice<Case>& x : a)
    for (const Choice<Case>& y : b)
      out.push_back({x.name + ", " + y.name, [x, y](Case& c) { x.apply(c), y.apply(c); }});
  return out;
}

template <class Case>
struct NamedCase {
  std::string name;  // of its choices
  Case value;
};

// Cases of the axes' choices, applied to `plain` in the order of the axes.
template <class Case>
std::vector<NamedCase<Case>> covering_cases(const Case& plain, const std::vector<Axis<Case>>& axes) {
  std::vector<int> num_choices;
  for (const Axis<Case>& axis : axes) num_choices.push_back(static_cast<int>(axis.size()));
  std::vector<NamedCase<Case>> out;
  for (const std::vector<int>& row : cover_pairs(num_choices)) {
    out.push_back({"", plain});
    for (size_t a = 0; a < axes.size(); ++a) {
      const Choice<Case>& choice = axes[a][static_cast<size_t>(row[a])];
      choice.apply(out.back().value);
      out.back().name += (a == 0 ? "" : ", ") + choice.name;
    }
  }
  return out;
}

}  // namespace smartbird::testing
