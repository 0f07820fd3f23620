// SPDX-License-Identifier: Apache-2.0
// StreamHost: what a stream, and whoever works on streams, has of its surroundings: the parts of the engine that all
//         streams of the shard share, and a few questions that only the engine as a whole can answer.
// Owner:  shard; the engine. It outlives streams.
// Parts:  what is asked for each message is a part, and a plain call; the virtual functions are for what is seldom.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "broker/jetstream/api/stored_config.h"
#include "broker/jetstream/base/accounts.h"
#include "broker/jetstream/base/options.h"
#include "broker/jetstream/base/port.h"
#include "broker/jetstream/base/replies.h"
#include "broker/jetstream/base/staged_queue.h"
#include "broker/jetstream/base/storage_use.h"
#include "broker/jetstream/base/store_records.h"
#include "broker/jetstream/base/stream_work.h"
#include "broker/jetstream/consumer/delivery_queue.h"
#include "broker/jetstream/stream/batch.h"
#include "broker/jetstream/stream/stream_readers.h"
#include "store/shard/shard_store.h"

namespace millrace {

class Stream;

class StreamHost {
 public:
  struct Parts {
    JetStreamPort& port;
    ShardStore& store;
    const JetStreamEngineOptions& options;
    StreamWork& work;
    Replies& replies;
    StagedQueue& staged;
    StoreRecords& records;
    StorageUse& storage;
    DeliveryQueue& deliveries;
    StreamReaders& readers;
    BatchUse& batch_use;
    JetStreamAccounts& accounts;
  };
  StreamHost(const StreamHost&) = delete;
  StreamHost& operator=(const StreamHost&) = delete;

  JetStreamPort& port() const { return parts_.port; }
  ShardStore& store() const { return parts_.store; }
  const JetStreamEngineOptions& options() const { return parts_.options; }
  JetStreamAccounts& accounts() const { return parts_.accounts; }
  StreamWork& work() const { return parts_.work; }
  LongTasks& tasks() const { return parts_.work.tasks(); }
  Replies& replies() const { return parts_.replies; }
  StagedQueue& staged() const { return parts_.staged; }
  StoreRecords& records() const { return parts_.records; }
  StorageUse& storage() const { return parts_.storage; }
  DeliveryQueue& deliveries() const { return parts_.deliveries; }
  StreamReaders& readers() const { return parts_.readers; }
  BatchUse& batch_use() const { return parts_.batch_use; }

  // Producers of messages should pause.
  bool Congested() const { return store().Congested() || work().crowded(); }

  // nullptr: it is at rest, or gone.
  virtual Stream* FindAwake(uint64_t uid) const = 0;
  virtual Lsn StoreConfig(const Stream& stream, const StreamConfig& config, Applied applied) = 0;
  // The one that its configuration asks for; nullptr: none. `positions`: what Upstream::EncodePositions said last.
  virtual std::unique_ptr<Upstream> MakeUpstream(Stream& stream, std::string_view positions) = 0;
  // A reader of these streams of the account is no longer there, for good: what only it still wanted goes.
  virtual void OnReaderGone(AccountId account, const std::vector<std::string>& origins) = 0;
  // Something that was not at hand has been loaded, or found: who waits for that is asked again.
  virtual void OnLoaded() = 0;
  // The stream is told of the acknowledgement again when something was loaded.
  virtual void AckLater(uint64_t stream_uid, uint64_t seq) = 0;

 protected:
  explicit StreamHost(const Parts& parts) : parts_(parts) {}
  ~StreamHost() = default;

 private:
  const Parts parts_;
};

}  // namespace millrace
