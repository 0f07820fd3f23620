// SPDX-License-Identifier: Apache-2.0
// StorageUse: how many bytes the streams of a shard take of each kind of storage, and whether more may be stored.
// Owner:  shard; part of the engine.
#pragma once

#include <cstddef>
#include <cstdint>

#include "broker/jetstream/api/stream_config.h"
#include "broker/jetstream/base/options.h"
#include "broker/jetstream/base/port.h"
#include "store/shard/shard_store.h"

namespace millrace {

class StorageUse {
 public:
  StorageUse(JetStreamPort& port, ShardStore& store, const JetStreamEngineOptions& options)
      : port_(port), store_(store), options_(options) {}

  // What counts against the server's limit: StreamLogState::bytes of all streams, and what a restore holds for messages
  // to come.
  uint64_t used(Storage storage) const { return in_use_[Place(storage)] + at_rest_[Place(storage)]; }
  // Where streams in use and restores add their bytes to.
  uint64_t* in_use(Storage storage) { return &in_use_[Place(storage)]; }
  // And the table of streams those of streams at rest.
  uint64_t* at_rest(Storage storage) { return &at_rest_[Place(storage)]; }
  const uint64_t* at_rest(Storage storage) const { return &at_rest_[Place(storage)]; }

  // No message may be stored: the disk is full, or the server's limit is exceeded (by the last one that was stored;
  // with `more`: once so many bytes have been stored). Says so in the log.
  bool OutOfResources(Storage storage, uint64_t more = 0) {
    if (storage == Storage::kFile && !store_.accepting()) return true;
    const int64_t max = storage == Storage::kMemory ? options_.memory_max : options_.storage_max;
    if (used(storage) + more <= static_cast<uint64_t>(max)) [[likely]]
      return false;
    TellLimit(storage);
    return true;
  }

 private:
  static size_t Place(Storage storage) { return storage == Storage::kMemory ? 1 : 0; }
  void TellLimit(Storage storage);

  JetStreamPort& port_;
  ShardStore& store_;
  const JetStreamEngineOptions& options_;
  uint64_t in_use_[2] = {0, 0};  // by Place
  uint64_t at_rest_[2] = {0, 0};
  Nanos tell_limit_at_{0};  // not before
};

}  // namespace millrace
