// SPDX-License-Identifier: Apache-2.0
// Dedupe: which Nats-Msg-Id a stream has seen within its duplicate window, and under which sequence (spec J-19).
// Owner:  shard.  Memory: 40 bytes an id (a 128-bit hash stands for it), none when the window is empty.
#pragma once

#include <cstdint>
#include <deque>
#include <string_view>

#include "absl/container/flat_hash_map.h"

namespace millrace {

class Dedupe {
 public:
  void set_window(int64_t window_ns) { window_ns_ = window_ns; }
  int64_t window_ns() const { return window_ns_; }

  // The sequence that this id was stored under within the window; 0: it is new.
  uint64_t Find(std::string_view id, int64_t now_ns);
  void Add(std::string_view id, uint64_t seq, int64_t now_ns);
  void Expire(int64_t now_ns);
  size_t size() const { return seqs_.size(); }
  void Clear() {
    seqs_.clear();
    order_.clear();
  }

 private:
  struct Key {
    uint64_t high;
    uint64_t low;
    bool operator==(const Key&) const = default;
    template <class H>
    friend H AbslHashValue(H h, const Key& key) {
      return H::combine(std::move(h), key.low);
    }
  };
  struct Entry {
    Key key;
    uint64_t seq;
    int64_t time_ns;
  };
  static Key KeyOf(std::string_view id);

  int64_t window_ns_ = 0;
  absl::flat_hash_map<Key, uint64_t> seqs_;
  std::deque<Entry> order_;  // oldest first
};

}  // namespace millrace
