// SPDX-License-Identifier: Apache-2.0
// StoreHome: all that a shard's store rests on, down to the hold on its directory, so that it can be let go while the
//         shard lives on (lame duck mode: another server takes it over). DiskHome is the one of a server.
// Owner:  shard, from JetStreamPart on; made before by the control thread, and outlives the shard.
#pragma once

#include <memory>

#include "broker/io/uring_disk.h"
#include "store/segment/segment_store.h"
#include "store/shard/shard_store.h"
#include "store/keys/store_keys.h"

namespace millrace {

class StoreHome {
 public:
  virtual ~StoreHome() = default;
  virtual ShardStore& store() = 0;
  // Of a store that is closed() and that nobody uses: ends it, and with it our hold on the directory. False: something
  // nobody waited for is under way still; ask again in the next turn.
  virtual bool Close() = 0;
};

class DiskHome final : public StoreHome {
 public:
  ShardStore& store() override { return *shard_store; }
  bool Close() override {
    shard_store.reset();
    segments.reset();
    keys.reset();
    if (disk != nullptr && !disk->idle()) return false;
    disk.reset();
    return true;
  }

  // In the order in which they are opened.
  std::unique_ptr<UringDisk> disk;
  std::unique_ptr<StoreKeys> keys;
  std::unique_ptr<SegmentStore> segments;
  std::unique_ptr<ShardStore> shard_store;
};

}  // namespace millrace
