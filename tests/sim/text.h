// SPDX-License-Identifier: Apache-2.0
// Reading what servers say, in the simulation's clients.
// Owner:  caller (pure).
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "tests/sim/sim_io.h"  // Fail

namespace millrace::sim {

// What stands between `by`s, however many there are in a row.
inline std::vector<std::string_view> Split(std::string_view text, char by) {
  std::vector<std::string_view> words;
  while (!text.empty()) {
    const size_t end = std::min(text.find(by), text.size());
    if (end > 0) words.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return words;
}

// Fails the run when it is none.
inline uint64_t Number(std::string_view text) {
  if (text.empty() || text.find_first_not_of("0123456789") != std::string_view::npos)
    Fail("not a number: " + std::string(text));
  return std::strtoull(std::string(text).c_str(), nullptr, 10);
}

}  // namespace millrace::sim
