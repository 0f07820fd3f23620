// SPDX-License-Identifier: Apache-2.0
// SimHome: the store of a simulated server, small in everything, so that its log wraps, checkpoints and moves blocks
//          all the time; and the same opened by a test, to look at what a disk holds.
// Owner:  the simulating thread.
#pragma once

#include <memory>

#include "broker/jetstream/engine/store_home.h"
#include "store/segment/segment_store.h"
#include "store/shard/store_lock.h"
#include "tests/crash/sim_disk.h"

namespace millrace::sim {

struct OpenedStore {
  std::unique_ptr<SegmentStore> segments;
  std::unique_ptr<ShardStore> shard;
};

// Fails the run when the store cannot be opened, or has found damage.
OpenedStore OpenOn(Disk& disk);
// What was asked of the disk and has not happened never does.
void Drop(SimDisk& disk, OpenedStore* opened);

class SimHome final : public StoreHome {
 public:
  static StoreUser Server() { return {1, "sim"}; }
  static StoreUser Successor() { return {2, "sim"}; }

  explicit SimHome(SimDisk& disk);
  ShardStore& store() override { return *opened_.shard; }
  bool Close() override;
  bool closed() const { return process_ == nullptr; }

 private:
  SimDisk& disk_;
  std::unique_ptr<Disk> process_;
  OpenedStore opened_;
};

}  // namespace millrace::sim
