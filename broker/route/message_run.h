// SPDX-License-Identifier: Apache-2.0
// MessageRun: publishes in a row of one publisher with one match, collected so that each receiver is looked up, and its
//             output found in memory, once for all of them.
// Owner:  shard (the router's; its receivers get it for the time of a delivery).
// Views:  of what publishers sent: they are delivered, and the run closed, before those end. The match is pinned from
//         Open to Close.
// Bounds: kMessagesMax messages, and as many as Open says.
#pragma once

#include <cstdint>
#include <string_view>

#include "broker/route/interest.h"
#include "broker/route/message.h"
#include "proto/base/check.h"

namespace millrace {

// What messages of one run differ in.
struct RunMessage {
  std::string_view subject;
  std::string_view tail;
  uint32_t payload_bytes;
  uint32_t header_bytes;
};

class MessageRun {
 public:
  static constexpr uint32_t kMessagesMax = 128;

  bool is_open() const { return match_ != nullptr; }
  bool empty() const { return count_ == 0; }
  bool full() const { return count_ == limit_; }
  uint32_t size() const { return count_; }

  // `common`: what the messages share (account, origin), with the subject of the first to come; they have tails, no
  // reply and no trace. `remote`: the other shards that get them.
  void Open(const Message& common, const MatchResult& match, ShardSet remote, uint32_t limit) {
    MR_DCHECK(!is_open() && count_ == 0 && limit > 0 && limit <= kMessagesMax);
    MR_DCHECK(common.reply.empty() && common.trace == nullptr && common.deliver_to.empty());
    common_ = common;
    match_ = &match;
    ++match.pins;
    remote_ = remote;
    mixed_ = false;
    limit_ = limit;
  }
  // The next message has this subject, and the match of those before: whether there are any.
  bool Continue(const MatchResult& match, std::string_view subject) {
    if (count_ == 0 || match_ != &match) return false;
    if (!mixed_) mixed_ = common_.subject != subject;
    return true;
  }
  void Add(std::string_view subject, std::string_view tail, size_t payload_bytes, uint32_t header_bytes) {
    MR_DCHECK(is_open() && !full());
    MR_DCHECK(header_bytes <= payload_bytes && payload_bytes + 2 <= tail.size());
    messages_[count_++] = RunMessage{subject, tail, static_cast<uint32_t>(payload_bytes), header_bytes};
  }
  // What was collected has been delivered.
  void Clear() { count_ = 0; }
  void Close() {
    MR_CHECK(is_open() && count_ == 0);
    MR_CHECK_OP(match_->pins, >, 0u);
    --match_->pins;
    match_ = nullptr;
  }

  const Message& common() const { return common_; }
  const MatchResult& match() const { return *match_; }
  ShardSet remote() const { return remote_; }
  // Subjects differ.
  bool mixed() const { return mixed_; }
  const RunMessage& operator[](uint32_t index) const {
    MR_DCHECK(index < count_);
    return messages_[index];
  }
  Message At(uint32_t index) const {
    const RunMessage& kept = (*this)[index];
    Message message = common_;
    message.subject = kept.subject;
    message.tail = kept.tail;
    message.payload = Message::PayloadOf(kept.tail, kept.payload_bytes);
    message.header_bytes = kept.header_bytes;
    return message;
  }

 private:
  Message common_;
  const MatchResult* match_ = nullptr;  // pinned; nullptr: not open
  ShardSet remote_ = 0;
  uint32_t count_ = 0;
  uint32_t limit_ = kMessagesMax;
  bool mixed_ = false;
  RunMessage messages_[kMessagesMax];
};

}  // namespace millrace
