// SPDX-License-Identifier: Apache-2.0
// DiskShop: a shard's store with everything behind it, on a SimDisk of some capacity, driven by turns whose time is
//           simulated. Publishes as the engine does: not while messages are refused, not while congested.
// Owner:  caller (a test).
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "store/segment/segment_store.h"
#include "store/shard/shard_store.h"
#include "tests/crash/sim_disk.h"

namespace millrace {

class DiskShop final : public ShardStoreListener, public ConsumerStateSource {
 public:
  static constexpr uint64_t kWalFileBytes = 128 << 10;
  static constexpr uint32_t kWalFiles = 3;
  static constexpr uint64_t kTurnsPerRecount = 64;

  explicit DiskShop(SimDisk& disk, uint64_t reserve_bytes = 0, uint64_t record_bytes = 0) : disk_(disk) {
    SegmentStoreOptions segments;
    segments.random = 7;
    segments.scrub_bytes_per_second = 0;
    segments.cache_bytes = 256 << 10;
    segments.slack_bytes = kWalFileBytes * kWalFiles / 4;
    segments.on_damage = [](std::string_view what) { ADD_FAILURE() << what; };
    auto opened_logs = SegmentStore::Open(disk, segments);
    EXPECT_TRUE(opened_logs.ok()) << opened_logs.status();
    logs = *std::move(opened_logs);
    ShardStoreOptions options;
    options.random = 4711;
    options.wal_file_bytes = kWalFileBytes;
    options.wal_files = kWalFiles;
    options.reserve_bytes = reserve_bytes;
    options.record_bytes = record_bytes;
    options.congested_bytes = 32 << 10;
    auto opened = ShardStore::Open(disk, *logs, options);
    EXPECT_TRUE(opened.ok()) << opened.status();
    store = *std::move(opened);
    store->set_listener(this);
    store->set_consumers(this);
  }
  ~DiskShop() override {
    disk_.PullThePlug();
    while (disk_.busy()) disk_.RunCompletions();
  }

  void Turn(Nanos passed = std::chrono::milliseconds(1)) {
    now += passed;
    disk_.RunCompletions();
    if (now >= store->NextTick()) store->OnTick(now);
    store->EndTurn(now);
    if (++turns % kTurnsPerRecount == 0) store->Recount();
    if (after_turn) after_turn();
  }
  // As the shard does it: turns come when there is work, and when somebody wants to be called.
  void Wait(Nanos passed) {
    const Nanos end = now + passed;
    while (now < end) {
      const bool soon = store->HasWork() || disk_.busy();
      const Nanos next = soon ? now + std::chrono::microseconds(100) : store->NextTick();
      Turn(std::clamp(next, now + std::chrono::microseconds(100), end) - now);
    }
  }
  StreamLog* NewStream(uint32_t block_bytes = 8 << 10) {
    StreamLogOptions options;
    options.block_bytes = block_bytes;
    Lsn lsn = 0;
    StreamLog* log = store->CreateStream("S", options, &lsn);
    logs_of_streams.push_back(log);
    return log;
  }
  void Delete(StreamLog* log) {
    std::erase(logs_of_streams, log);
    store->DeleteStream(log->uid());
  }
  // False: it was refused.
  bool Publish(StreamLog* log, std::string_view subject, size_t bytes) {
    for (int i = 0; i < 100'000 && store->Congested() && store->accepting(); ++i) Turn();
    if (!store->accepting()) return false;
    Append(log, subject, bytes);
    if (log->state().last_seq % 8 == 0) Turn(std::chrono::microseconds(100));
    return true;
  }
  void Append(StreamLog* log, std::string_view subject, size_t bytes) {
    payload.resize(bytes, 'p');
    StoredMessage message;
    message.seq = log->state().last_seq + 1;
    message.time_ns = static_cast<int64_t>(message.seq);
    message.subject = subject;
    message.payload = payload;
    log->Append(message);
  }
  void Fill(StreamLog* log, uint64_t bytes, size_t message_bytes = 500) {
    for (uint64_t done = 0; done < bytes; done += message_bytes) ASSERT_TRUE(Publish(log, "s", message_bytes));
  }
  void FillTheDisk(StreamLog* log, size_t message_bytes = 500) {
    // Checkpoints make some room now and then, for as long as the log holds what the files of blocks hold as well.
    do {
      for (int i = 0; i < 1'000'000 && Publish(log, "s", message_bytes); ++i) {
      }
      Wait(std::chrono::seconds(3));
    } while (store->accepting());
  }
  std::string Listing() const {
    std::string text;
    for (const std::string& path : disk_.Paths()) {
      text += path + " " + std::to_string(disk_.Content(path).size()) + "\n";
    }
    const DiskUse use = logs->disk_use();
    return text + "files " + std::to_string(use.file_bytes) + " live " + std::to_string(use.live_bytes) + " held " +
           std::to_string(use.held_bytes) + " of " + std::to_string(live_bytes()) + " bytes of messages";
  }
  uint64_t live_bytes() const {
    uint64_t bytes = 0;
    for (StreamLog* log : logs_of_streams) bytes += log->state().bytes;
    return bytes;
  }

  void OnDurable(Lsn lsn) override { durable = lsn; }
  void OnStorage(StorageState, std::string_view why) override { whys.emplace_back(why); }
  void EncodeConsumer(uint64_t, std::string* out) override { *out = "state"; }

 private:
  SimDisk& disk_;

 public:
  std::unique_ptr<SegmentStore> logs;
  std::unique_ptr<ShardStore> store;
  std::vector<StreamLog*> logs_of_streams;
  std::function<void()> after_turn;
  std::string payload;
  std::vector<std::string> whys;
  Nanos now{std::chrono::seconds(1)};
  uint64_t turns = 0;
  Lsn durable = 0;
};

}  // namespace millrace
