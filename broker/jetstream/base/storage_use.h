// SPDX-License-Identifier: Apache-2.0
// StorageSums: how many bytes streams take of each kind of storage: those of an account, or of all accounts.
// StorageUse: those of all streams of a shard, and whether more may be stored.
// Owner:  shard; part of the engine.
#pragma once

#include <cstddef>
#include <cstdint>

#include "broker/jetstream/api/stream_config.h"
#include "broker/jetstream/base/options.h"
#include "broker/jetstream/base/port.h"
#include "store/shard/shard_store.h"

namespace millrace {

// Bytes of streams, as StreamLogState counts them, by kind of storage.
class StorageSums {
 public:
  explicit StorageSums(StorageSums* above = nullptr) {
    if (above == nullptr) return;
    for (const Storage storage : {Storage::kFile, Storage::kMemory}) {
      in_use_[Place(storage)].above = above->in_use(storage);
      at_rest_[Place(storage)].above = above->at_rest(storage);
    }
  }
  StorageSums(const StorageSums&) = delete;
  StorageSums& operator=(const StorageSums&) = delete;

  static size_t Place(Storage storage) { return storage == Storage::kMemory ? 1 : 0; }
  // What counts against limits: all streams, and what a restore holds for messages to come.
  uint64_t used(Storage storage) const { return in_use_[Place(storage)].bytes + at_rest_[Place(storage)].bytes; }
  // Where streams in use and restores add their bytes to.
  BytesSum* in_use(Storage storage) { return &in_use_[Place(storage)]; }
  // And the table of streams those of streams at rest.
  BytesSum* at_rest(Storage storage) { return &at_rest_[Place(storage)]; }
  const BytesSum* at_rest(Storage storage) const { return &at_rest_[Place(storage)]; }

 private:
  BytesSum in_use_[2];  // by Place
  BytesSum at_rest_[2];
};

class StorageUse {
 public:
  StorageUse(JetStreamPort& port, ShardStore& store, const JetStreamEngineOptions& options)
      : port_(port), store_(store), options_(options) {}

  // Of all accounts.
  StorageSums& sums() { return sums_; }
  const StorageSums& sums() const { return sums_; }
  uint64_t used(Storage storage) const { return sums_.used(storage); }

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
  void TellLimit(Storage storage);

  JetStreamPort& port_;
  ShardStore& store_;
  const JetStreamEngineOptions& options_;
  StorageSums sums_;
  Nanos tell_limit_at_{0};  // not before
};

}  // namespace millrace
