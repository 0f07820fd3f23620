// SPDX-License-Identifier: Apache-2.0
// Goal:   two streams never take the same subject, and what is free is not refused.
// Method: random filters of few tokens against a list that is looked through.
#include "broker/jetstream/base/filter_index.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "proto/subject.h"

namespace millrace {
namespace {

std::string RandomFilter(std::mt19937_64& random) {
  constexpr std::string_view kTokens[] = {"a", "b", "ab", "a0", "*", "*a", ">a", ">"};
  std::string filter;
  for (size_t left = 1 + random() % 4; left > 0; --left) {
    const std::string_view token = kTokens[random() % (left == 1 ? 8 : 7)];
    filter.append(filter.empty() ? "" : ".").append(token);
  }
  return filter;
}

TEST(FilterIndex, AgreesWithAList) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    std::mt19937_64 random(seed);
    FilterIndex index;
    std::vector<std::pair<std::string, uint64_t>> list;
    for (int step = 0; step < 2'000; ++step) {
      const std::string filter = RandomFilter(random);
      const uint64_t owner = 1 + random() % 5;
      bool expected = false;
      for (const auto& [other, its_owner] : list)
        expected = expected || (its_owner != owner && SubjectsCollide(filter, other));
      ASSERT_EQ(index.Collides(filter, owner), expected) << filter << " seed " << seed;
      if (list.size() < 20 && std::find(list.begin(), list.end(), std::pair(filter, owner)) == list.end()) {
        index.Add(filter, owner);
        list.emplace_back(filter, owner);
      } else if (!list.empty()) {
        const auto gone = list.begin() + static_cast<ptrdiff_t>(random() % list.size());
        index.Remove(gone->first, gone->second);
        list.erase(gone);
      }
    }
  }
}

}  // namespace
}  // namespace millrace
