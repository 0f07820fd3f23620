// SPDX-License-Identifier: Apache-2.0
// Goal: the whole store on the kernel's disk: what was acknowledged before an abrupt end is there after a restart.
// Method: ShardStore, SegmentStore and UringDisk in a directory of its own; one life ends in the middle, one is closed.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "broker/io/uring.h"
#include "broker/io/uring_disk.h"
#include "store/segment/segment_store.h"
#include "store/shard/shard_store.h"

namespace millrace {
namespace {

class Shop : public ShardStoreListener, public ConsumerStateSource {
 public:
  explicit Shop(const std::string& path) : io(*UringIo::Create(UringOptions{})) {
    io->Enable({});
    std::filesystem::create_directories(path);
    disk = *UringDisk::Open(*io, path + "/shard-0", *ProbeSync(path, false));
    SegmentStoreOptions segments;
    segments.random = 17;
    logs = *SegmentStore::Open(*disk, segments);
    ShardStoreOptions options;
    options.random = 4711;
    options.wal_file_bytes = 1 << 20;
    options.checkpoint_bytes = 2 << 20;
    options.reserve_bytes = 0;
    store = *ShardStore::Open(*disk, *logs, options);
    store->set_listener(this);
    store->set_consumers(this);
  }
  ~Shop() override {
    while (!disk->idle()) Run();  // operations in flight end; nothing new is staged
  }
  void Run() {
    io->SubmitAndWait(io->Now() + std::chrono::milliseconds(20), !store->HasWork());
    io->RunCompletions(UINT64_MAX);
  }
  void Turn() {
    const Nanos now = io->Now();
    if (now >= store->NextTick()) store->OnTick(now);
    store->EndTurn(now);
    Run();
  }
  void OnDurable(Lsn lsn) override { durable = lsn; }
  void OnStorage(StorageState, std::string_view why) override { ADD_FAILURE() << why; }
  void EncodeConsumer(uint64_t, std::string* out) override { *out = "state"; }

  std::unique_ptr<UringIo> io;
  std::unique_ptr<UringDisk> disk;
  std::unique_ptr<SegmentStore> logs;
  std::unique_ptr<ShardStore> store;
  Lsn durable = 0;
};

TEST(RealDisk, WhatWasAcknowledgedIsThereAfterARestart) {
  char name[] = "real_disk_test.XXXXXX";
  ASSERT_NE(mkdtemp(name), nullptr);
  const std::string path = std::filesystem::absolute(name).string();
  uint64_t acknowledged = 0;
  uint64_t uid = 0;
  {
    Shop shop(path);
    Lsn lsn = 0;
    StreamLog* log = shop.store->CreateStream("ORDERS", StreamLogOptions{}, &lsn);
    uid = log->uid();
    shop.store->CreateConsumer(uid, "worker", &lsn);
    std::vector<Lsn> positions;
    for (uint64_t seq = 1; seq <= 20'000; ++seq) {
      StoredMessage message;
      message.seq = seq;
      message.time_ns = static_cast<int64_t>(seq);
      message.subject = "orders.eu";
      const std::string payload = "payload " + std::to_string(seq) + std::string(100, 'x');
      message.payload = payload;
      positions.push_back(log->Append(message));
      if (seq % 500 == 0) shop.Turn();
      while (shop.store->Congested()) shop.Turn();
    }
    for (const Lsn position : positions) acknowledged += position <= shop.durable ? 1 : 0;
    EXPECT_GT(acknowledged, 0u);
  }
  for (int life = 0; life < 2; ++life) {
    Shop shop(path);
    const Recovered& found = shop.store->recovered();
    ASSERT_EQ(found.streams.size(), 1u);
    EXPECT_EQ(found.streams[0].uid, uid);
    EXPECT_EQ(found.streams[0].config, "ORDERS");
    EXPECT_TRUE(found.report.notes.empty());
    StreamLog* log = shop.store->FindStream(uid);
    EXPECT_GE(log->state().messages, acknowledged);
    for (uint64_t seq = 1; seq <= acknowledged; ++seq) {
      StoredMessage message;
      LoadStatus status = log->Load(seq, &message);
      for (int i = 0; status == LoadStatus::kPending && i < 1000; ++i) {
        shop.Turn();
        status = log->Load(seq, &message);
      }
      ASSERT_EQ(status, LoadStatus::kFound) << seq;
      ASSERT_EQ(message.payload.compare(0, 8 + std::to_string(seq).size(), "payload " + std::to_string(seq)), 0);
    }
    ASSERT_EQ(found.consumers.size(), 1u);
    shop.store->StartClose();
    while (!shop.store->closed()) shop.Turn();
    EXPECT_GT(shop.store->stats().checkpoints, 0u);
  }
  std::filesystem::remove_all(path);
}

}  // namespace
}  // namespace millrace
