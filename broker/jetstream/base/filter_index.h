// SPDX-License-Identifier: Apache-2.0
// FilterIndex: subject filters with their owners; whether a new filter shares a subject with one of them.
// Owner:  shard.
// Cost:   a search for each leading literal token of what is asked for, and a look at every filter that begins the same
//         up to a wildcard of either; never at those that differ before.
// Proof:  filter_index_test.cc against a list of filters.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "absl/container/btree_set.h"

namespace millrace {

class FilterIndex {
 public:
  void Add(std::string_view filter, uint64_t owner) { filters_.emplace(filter, owner); }
  void Remove(std::string_view filter, uint64_t owner) { filters_.erase({std::string(filter), owner}); }

  // A filter of another owner than `except` takes a subject that `filter` takes as well.
  bool Collides(std::string_view filter, uint64_t except) const;

 private:
  using Entry = std::pair<std::string, uint64_t>;

  bool Holds(std::string_view filter, uint64_t except) const;
  // The same as Collides, among those filters that begin so.
  bool CollidesBehind(std::string_view beginning, std::string_view filter, uint64_t except) const;

  absl::btree_set<Entry> filters_;
};

}  // namespace millrace
