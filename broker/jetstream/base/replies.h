// SPDX-License-Identifier: Apache-2.0
// Replies: what JetStream sends by itself, answers and advisories: at once, when what is staged is durable, or when
//         what was removed is nowhere on the disk.
// Owner:  shard; part of the engine.
// At once: later in the turn, so that it may be said from inside of a delivery.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "broker/jetstream/api/advisories.h"
#include "broker/jetstream/base/port.h"
#include "broker/jetstream/base/random_names.h"
#include "broker/jetstream/base/reply_queue.h"
#include "store/shard/shard_store.h"

namespace millrace {

class Replies {
 public:
  Replies(JetStreamPort& port, ShardStore& store) : port_(port), store_(store) {}

  void SendNow(AccountId account, std::string_view to, std::string_view payload, uint32_t header_bytes) {
    MR_DCHECK(header_bytes <= payload.size());
    immediate_.Push(0, account, to, payload, header_bytes);
  }
  // Not before all that has been staged so far is durable.
  void SendWhenDurable(AccountId account, std::string_view to, std::string_view payload, uint32_t header_bytes = 0) {
    durable_.Push(store_.staged(), account, to, payload, header_bytes);
  }
  // The same, unless the log does not promise that.
  void SendWhenDurable(const StreamLogOptions& log, AccountId account, std::string_view to, std::string_view payload,
                       uint32_t header_bytes) {
    if (log.memory || log.async) return SendNow(account, to, payload, header_bytes);
    SendWhenDurable(account, to, payload, header_bytes);
  }
  // `ticket` is ShardStore::EraseFromDisk's.
  void SendOnceErased(uint64_t ticket, AccountId account, std::string_view to, std::string_view payload) {
    erasing_.Push(ticket, account, to, payload);
  }
  // Costs nothing while nobody listens.
  template <class A>
  void Advise(AccountId account, const A& advisory) {
    const std::string subject = AdvisorySubject(advisory);
    if (!port_.HasInterest(account, subject)) return;
    const AdvisoryHead head{NewEventId(port_), port_.WallNs()};
    SendNow(account, subject, AdvisoryJson(head, advisory), 0);
  }

  // --- the turn
  // What waits for nothing may be a batch of many messages; the next turn goes on with it.
  void ReleaseImmediate() { Release(&immediate_, 0, kBytesPerTurn); }
  void ReleaseDurable() {
    ReleaseImmediate();
    Release(&durable_, store_.durable(), SIZE_MAX);
    Release(&erasing_, store_.erased(), SIZE_MAX);
  }
  // Some could leave now.
  bool Due() const { return !immediate_.empty() || erasing_.Due(store_.erased()); }

 private:
  static constexpr size_t kBytesPerTurn = 1 << 20;

  void Release(ReplyQueue* queue, uint64_t position, size_t bytes_max) {
    const auto publish = [this](AccountId account, std::string_view to, std::string_view payload, uint32_t header) {
      Outgoing out;
      out.account = account;
      out.deliver_to = to;
      out.payload = payload;
      out.header_bytes = header;
      port_.Publish(out);
    };
    queue->Release(position, publish, bytes_max);
  }

  JetStreamPort& port_;
  ShardStore& store_;
  ReplyQueue immediate_;
  ReplyQueue durable_;
  ReplyQueue erasing_;  // by tickets
};

}  // namespace millrace
