// SPDX-License-Identifier: Apache-2.0
#include "broker/config/table/hint.h"

#include <algorithm>
#include <cstddef>
#include <vector>

namespace millrace::config {
namespace {

// Insertions, deletions, changes and swaps of neighbours.
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> cost(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) {
    for (size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        cost[i][j] = i + j;
        continue;
      }
      const size_t change = cost[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      cost[i][j] = std::min({change, cost[i - 1][j] + 1, cost[i][j - 1] + 1});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
    }
  }
  return cost[a.size()][b.size()];
}

}  // namespace

std::string_view Nearest(std::string_view words, std::string_view name) {
  std::string_view best;
  if (name.size() > 64) return best;
  size_t best_distance = name.size() <= 4 ? 2 : 3;  // nearer than this
  for (size_t at = 0; at < words.size();) {
    const size_t end = std::min(words.find('|', at), words.size());
    const std::string_view word = words.substr(at, end - at);
    const size_t distance = EditDistance(word, name);
    if (!word.empty() && distance < best_distance) {
      best = word;
      best_distance = distance;
    }
    at = end + 1;
  }
  return best;
}

}  // namespace millrace::config
