// SPDX-License-Identifier: Apache-2.0
// ReplyQueue: answers that wait until what they confirm is durable. They leave in the order in which they were queued.
// Owner:  shard.  No allocation per answer; memory follows what waits.
// Views:  what Release hands out stays where it is until the call that got it returns, also when that queues more.
#pragma once

#include <algorithm>
#include <cstring>
#include <deque>
#include <memory>
#include <string_view>
#include <utility>

#include "broker/route/subscription.h"
#include "proto/base/bytes.h"
#include "proto/base/check.h"
#include "store/journal.h"

namespace millrace {

class ReplyQueue {
 public:
  // `lsn` is not below that of any answer queued before, or 0: may leave at once, but not before those.
  void Push(Lsn lsn, AccountId account, std::string_view to, std::string_view payload, uint32_t header_bytes = 0) {
    MR_DCHECK(lsn == 0 || lsn >= last_lsn_);
    last_lsn_ = std::max(last_lsn_, lsn);
    const Head head{lsn, account, header_bytes, static_cast<uint32_t>(to.size()),
                    static_cast<uint32_t>(payload.size())};
    char* out = Take(sizeof head + to.size() + payload.size());
    std::memcpy(out, &head, sizeof head);
    CopyBytes(CopyBytes(out + sizeof head, to), payload);
    ++count_;
  }

  // send(account, to, payload, header_bytes) for what waits for nothing beyond `durable`, until so many bytes have
  // gone.
  template <class Send>
  void Release(Lsn durable, Send&& send, size_t bytes_max = SIZE_MAX) {
    for (size_t sent = 0; count_ > 0 && sent < bytes_max;) {
      if (begin_ == chunks_.front().bytes) DropFirst();
      MR_DCHECK(!chunks_.empty() && begin_ + sizeof(Head) <= chunks_.front().bytes);
      const char* at = chunks_.front().data.get() + begin_;
      Head head;
      std::memcpy(&head, at, sizeof head);
      if (head.lsn > durable) return;
      const char* text = at + sizeof head;
      send(head.account, std::string_view(text, head.to_bytes),
           std::string_view(text + head.to_bytes, head.payload_bytes), head.header_bytes);
      begin_ += sizeof head + head.to_bytes + head.payload_bytes;
      MR_DCHECK(begin_ <= chunks_.front().bytes);
      sent += sizeof head + head.payload_bytes;
      --count_;
    }
    if (count_ > 0) return;
    while (!chunks_.empty()) DropFirst();
  }

  // Release would send something.
  bool Due(Lsn durable) const {
    if (count_ == 0) return false;
    const bool used_up = begin_ == chunks_.front().bytes;
    MR_DCHECK(!used_up || chunks_.size() > 1);
    Head head;
    std::memcpy(&head, used_up ? chunks_[1].data.get() : chunks_.front().data.get() + begin_, sizeof head);
    return head.lsn <= durable;
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
  // Chunks do not grow, so nothing in them moves. An answer is whole in one of them.
  struct Chunk {
    std::unique_ptr<char[]> data;
    size_t room = 0;
    size_t bytes = 0;
  };
  static constexpr size_t kChunkBytes = 64 * 1024;

  char* Take(size_t bytes) {
    if (chunks_.empty() || chunks_.back().room - chunks_.back().bytes < bytes) AddChunk(bytes);
    Chunk& last = chunks_.back();
    char* const out = last.data.get() + last.bytes;
    last.bytes += bytes;
    return out;
  }
  void AddChunk(size_t bytes) {
    if (spare_.room < bytes) {
      const size_t room = std::max(bytes, kChunkBytes);
      spare_ = Chunk{std::make_unique_for_overwrite<char[]>(room), room, 0};
    }
    chunks_.push_back(std::exchange(spare_, {}));
    MR_DCHECK(chunks_.back().bytes == 0 && chunks_.back().room >= bytes);
  }
  void DropFirst() {
    if (chunks_.front().room == kChunkBytes) {
      spare_ = std::move(chunks_.front());
      spare_.bytes = 0;
    }
    chunks_.pop_front();
    begin_ = 0;
  }

  std::deque<Chunk> chunks_;
  Chunk spare_;       // the last one that became empty
  size_t begin_ = 0;  // of the first answer, in the first chunk
  size_t count_ = 0;
  Lsn last_lsn_ = 0;  // of Push
};

}  // namespace millrace
