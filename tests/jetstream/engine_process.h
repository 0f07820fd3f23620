// SPDX-License-Identifier: Apache-2.0
// EngineProcess: JetStream over the real store on a SimDisk: what its disk has is all that it knows when it starts, and
//                it ends as a process does that is killed.
// Owner:  caller (the test); everything on its one thread.
#pragma once

#include <memory>
#include <utility>

#include "store/segment/segment_store.h"
#include "store/shard/shard_store.h"
#include "tests/crash/sim_disk.h"
#include "tests/jetstream/engine_harness.h"

namespace millrace {

class EngineProcess {
 public:
  static constexpr int64_t kStartNs = 1'700'000'000'000'000'000;

  explicit EngineProcess(SimDisk& disk, int64_t wall_ns = kStartNs) : disk_(disk) {
    SegmentStoreOptions segments;
    segments.random = 815 + static_cast<uint64_t>(wall_ns);
    segments.file_bytes = 64 << 10;
    auto opened_segments = SegmentStore::Open(disk, segments);
    MR_CHECK(opened_segments.ok());
    segments_ = *std::move(opened_segments);
    auto opened = ShardStore::Open(disk, *segments_, SmallStore());
    MR_CHECK(opened.ok());
    store_ = *std::move(opened);
    EngineHarness::Setting setting;
    setting.store = store_.get();
    setting.wall_ns = wall_ns;
    setting.on_turn = [this] {
      const bool busy = disk_.busy();
      disk_.RunCompletions();
      return busy;
    };
    js_ = std::make_unique<EngineHarness>(JetStreamEngineOptions{}, setting);
  }
  ~EngineProcess() {
    disk_.PullThePlug();
    while (disk_.busy()) disk_.RunCompletions();
    js_.reset();
    store_.reset();
    while (disk_.busy()) disk_.RunCompletions();
    disk_.PlugIn();
  }
  EngineProcess(const EngineProcess&) = delete;
  EngineProcess& operator=(const EngineProcess&) = delete;

  EngineHarness& js() { return *js_; }
  ShardStore& store() { return *store_; }
  void Checkpoint() {
    const uint64_t before = store_->stats().checkpoints;
    store_->StartCheckpoint();
    for (int i = 0; i < 1000 && store_->stats().checkpoints == before; ++i) js_->Settle();
    MR_CHECK(store_->stats().checkpoints > before);
  }

 private:
  static ShardStoreOptions SmallStore() {
    ShardStoreOptions options;
    options.random = 4711;
    options.wal_file_bytes = 32 << 10;
    options.checkpoint_bytes = 48 << 10;
    options.reserve_bytes = 0;
    options.seen_header = "Nats-Msg-Id";
    return options;
  }

  SimDisk& disk_;
  std::unique_ptr<SegmentStore> segments_;
  std::unique_ptr<ShardStore> store_;
  std::unique_ptr<EngineHarness> js_;
};

}  // namespace millrace
