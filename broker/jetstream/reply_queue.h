// SPDX-License-Identifier: Apache-2.0
// ReplyQueue: answers that wait until what they confirm is durable. They leave in the order in which they were queued.
// Owner:  shard.  No allocation per answer; memory follows what waits.
#pragma once

#include <cstring>
#include <string_view>
#include <vector>

#include "broker/route/subscription.h"
#include "proto/base/bytes.h"
#include "proto/base/check.h"
#include "store/journal.h"

namespace millrace {

class ReplyQueue {
 public:
  // `lsn` is not below that of any answer queued before, or 0: may leave at once, but not before those.
  void Push(Lsn lsn, AccountId account, std::string_view to, std::string_view payload, uint32_t header_bytes = 0) {
    const Head head{lsn, account, header_bytes, static_cast<uint32_t>(to.size()),
                    static_cast<uint32_t>(payload.size())};
    const size_t at = bytes_.size();
    bytes_.resize(at + sizeof head + to.size() + payload.size());
    char* out = bytes_.data() + at;
    std::memcpy(out, &head, sizeof head);
    CopyBytes(CopyBytes(out + sizeof head, to), payload);
    ++count_;
  }

  // send(account, to, payload, header_bytes) for everything that waits for nothing beyond `durable`.
  template <class Send>
  void Release(Lsn durable, Send&& send) {
    while (count_ > 0) {
      Head head;
      std::memcpy(&head, bytes_.data() + begin_, sizeof head);
      if (head.lsn > durable) break;
      const char* text = bytes_.data() + begin_ + sizeof head;
      send(head.account, std::string_view(text, head.to_bytes),
           std::string_view(text + head.to_bytes, head.payload_bytes), head.header_bytes);
      begin_ += sizeof head + head.to_bytes + head.payload_bytes;
      --count_;
    }
    Compact();
  }

  size_t size() const { return count_; }
  bool empty() const { return count_ == 0; }

 private:
  struct Head {
    Lsn lsn;
    AccountId account;
    uint32_t header_bytes;
    uint32_t to_bytes;
    uint32_t payload_bytes;
  };
  static constexpr size_t kKeepBytes = 256 * 1024;

  void Compact() {
    if (count_ == 0) {
      bytes_.clear();
      begin_ = 0;
      if (bytes_.capacity() > kKeepBytes) std::vector<char>().swap(bytes_);
    } else if (begin_ > bytes_.size() / 2) {
      bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<ptrdiff_t>(begin_));
      begin_ = 0;
    }
  }

  std::vector<char> bytes_;
  size_t begin_ = 0;
  size_t count_ = 0;
};

}  // namespace millrace
