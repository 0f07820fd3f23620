// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/dedupe.h"

#include "proto/hash.h"

namespace millrace {

Dedupe::Key Dedupe::KeyOf(std::string_view id) {
  return Key{HashBytes(id, 0x9e3779b97f4a7c15ull), HashBytes(id, 0xc2b2ae3d27d4eb4full)};
}

uint64_t Dedupe::Find(std::string_view id, int64_t now_ns) {
  Expire(now_ns);
  const auto it = seqs_.find(KeyOf(id));
  return it == seqs_.end() ? 0 : it->second;
}

void Dedupe::Add(std::string_view id, uint64_t seq, int64_t now_ns) {
  if (window_ns_ <= 0) return;
  const Key key = KeyOf(id);
  seqs_[key] = seq;
  order_.push_back(Entry{key, seq, now_ns});
}

void Dedupe::Expire(int64_t now_ns) {
  while (!order_.empty() && now_ns - order_.front().time_ns >= window_ns_) {
    const Entry& oldest = order_.front();
    const auto it = seqs_.find(oldest.key);
    if (it != seqs_.end() && it->second == oldest.seq) seqs_.erase(it);
    order_.pop_front();
  }
}

}  // namespace millrace
