// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/sim_store.h"

#include <string>
#include <utility>

#include "broker/jetstream/api/message_headers.h"
#include "tests/sim/sim_io.h"

namespace millrace::sim {

OpenedStore OpenOn(Disk& disk) {
  SegmentStoreOptions segments;
  segments.random = 815;
  segments.file_bytes = 256 << 10;
  segments.cache_bytes = 32 << 10;
  segments.on_damage = [](std::string_view what) { Fail(std::string(what)); };
  ShardStoreOptions options;
  options.random = 4711;
  options.seen_header = kMsgIdHeader;
  options.wal_file_bytes = 64 << 10;
  options.checkpoint_bytes = 128 << 10;
  options.congested_bytes = 128 << 10;
  options.reserve_bytes = 0;
  options.checkpoint_slice = 3;
  OpenedStore opened;
  absl::StatusOr<std::unique_ptr<SegmentStore>> store = SegmentStore::Open(disk, segments);
  if (!store.ok()) Fail(store.status().ToString());
  opened.segments = *std::move(store);
  absl::StatusOr<std::unique_ptr<ShardStore>> shard = ShardStore::Open(disk, *opened.segments, options);
  if (!shard.ok()) Fail(shard.status().ToString());
  opened.shard = *std::move(shard);
  return opened;
}

void Drop(SimDisk& disk, OpenedStore* opened) {
  disk.PullThePlug();
  while (disk.busy()) disk.RunCompletions();
  opened->shard.reset();
  opened->segments.reset();
}

SimHome::SimHome(SimDisk& disk) : disk_(disk), process_(disk.Join()) {
  if (const absl::Status status = LockStore(*process_, Server()); !status.ok()) Fail(status.ToString());
  opened_ = OpenOn(*process_);
}

bool SimHome::Close() {
  opened_.shard.reset();
  opened_.segments.reset();
  if (disk_.busy()) return false;
  process_.reset();
  return true;
}

}  // namespace millrace::sim
