// SPDX-License-Identifier: Apache-2.0
// Goal: the promises of shard_store.h besides crashes (tests/crash has those): damage is reported to those it concerns,
// a full or failing disk stops acknowledgements and nothing else, checkpoints free the log, closing ends.
// Method: a ShardStore with streams in maps (once with real ones) on a SimDisk, driven by turns.
#include "store/shard/shard_store.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "store/log/wal_files.h"
#include "tests/crash/fake_logs.h"
#include "tests/crash/sim_disk.h"
#include "tests/store/disk_shop.h"

namespace millrace {
namespace {

ShardStoreOptions Small() {
  ShardStoreOptions options;
  options.random = 4711;
  options.wal_file_bytes = 64 << 10;
  options.checkpoint_bytes = 1 << 20;
  options.reserve_bytes = 0;
  return options;
}

class Driven : public ShardStoreListener, public ConsumerStateSource {
 public:
  explicit Driven(SimDisk& disk, const ShardStoreOptions& options = Small()) : disk_(disk), logs(disk) {
    auto opened = ShardStore::Open(disk, logs, options);
    status = opened.status();
    if (!opened.ok()) return;
    store = *std::move(opened);
    store->set_listener(this);
    store->set_consumers(this);
  }
  ~Driven() override {
    disk_.PullThePlug();
    while (disk_.busy()) disk_.RunCompletions();
  }
  void Turn(Nanos passed = std::chrono::milliseconds(1)) {
    now += passed;
    disk_.RunCompletions();
    if (now >= store->NextTick()) store->OnTick(now);
    store->EndTurn(now);
  }
  void Turns(int count, Nanos passed = std::chrono::milliseconds(1)) {
    while (count-- > 0) Turn(passed);
  }
  void Settle() { Turns(200); }
  void Close() {
    store->StartClose();
    for (int i = 0; i < 5000 && !store->closed(); ++i) Turn();
    EXPECT_TRUE(store->closed());
  }
  StreamLog* NewStream(std::string_view config, bool memory = false) {
    StreamLogOptions options;
    options.memory = memory;
    Lsn lsn = 0;
    return store->CreateStream(config, options, &lsn);
  }
  StreamLog* LogOf(size_t index) { return store->FindStream(store->recovered().streams[index].uid); }
  Lsn Put(StreamLog* log, std::string_view payload) {
    StoredMessage message;
    message.seq = log->state().last_seq + 1;
    message.payload = payload;
    return log->Append(message);
  }
  void OnDurable(Lsn lsn) override { durable = lsn; }
  void OnStorage(StorageState state, std::string_view why) override {
    states.push_back(state);
    whys.emplace_back(why);
  }
  void EncodeConsumer(uint64_t uid, std::string* out) override { *out = "state of " + std::to_string(uid); }

 private:
  SimDisk& disk_;

 public:
  FakeLogs logs;
  absl::Status status;
  std::unique_ptr<ShardStore> store;
  Nanos now{std::chrono::seconds(1)};
  Lsn durable = 0;
  std::vector<StorageState> states;
  std::vector<std::string> whys;
};

std::string PathOfLog(const SimDisk& disk) {
  for (const std::string& path : disk.Paths()) {
    if (path.compare(0, 4, "wal/") == 0 && disk.Content(path).find("MRWL") == 0) return path;
  }
  return "";
}

TEST(ShardStore, KeepsStreamsConsumersAndTheirDeltas) {
  SimDisk disk(1);
  uint64_t stream_uid = 0;
  uint64_t consumer_uid = 0;
  {
    Driven run(disk);
    StreamLog* log = run.NewStream("ORDERS");
    stream_uid = log->uid();
    Lsn lsn = 0;
    consumer_uid = run.store->CreateConsumer(stream_uid, "worker", &lsn);
    run.Put(log, "one");
    run.store->PutConsumerState(consumer_uid, "d1");
    const Lsn last = run.store->PutConsumerState(consumer_uid, "d2");
    run.Settle();
    EXPECT_EQ(run.durable, last);
  }
  const auto after = disk.Survivor(1, Survival::kNothing);
  {
    Driven run(*after);
    const Recovered& found = run.store->recovered();
    ASSERT_EQ(found.streams.size(), 1u);
    EXPECT_EQ(found.streams[0].uid, stream_uid);
    EXPECT_EQ(found.streams[0].config, "ORDERS");
    EXPECT_EQ(run.LogOf(0)->state().messages, 1u);
    ASSERT_EQ(found.consumers.size(), 1u);
    EXPECT_EQ(found.consumers[0].stream_uid, stream_uid);
    EXPECT_EQ(found.consumers[0].config, "worker");
    EXPECT_EQ(found.consumers[0].state, "");
    EXPECT_EQ(found.consumers[0].deltas, (std::vector<std::string>{"d1", "d2"}));
    run.Close();  // with a checkpoint
  }
  const auto later = after->Survivor(1, Survival::kNothing);
  Driven run(*later);
  const Recovered& found = run.store->recovered();
  ASSERT_EQ(found.consumers.size(), 1u);
  EXPECT_EQ(found.consumers[0].state, "state of " + std::to_string(consumer_uid));
  EXPECT_TRUE(found.consumers[0].deltas.empty());
  EXPECT_EQ(found.report.records, 0u);
  EXPECT_EQ(run.LogOf(0)->state().messages, 1u);
}

TEST(ShardStore, ALogThatNobodyHasGoesWhenACheckpointHasWhatIsInIt) {
  SimDisk disk(1);
  Driven run(disk);
  const uint64_t used = run.NewStream("USED")->uid();
  const uint64_t fresh = run.NewStream("FRESH")->uid();
  const uint64_t held = run.NewStream("HELD")->uid();
  run.Put(run.store->FindStream(used), "one");
  run.store->FindStream(held);
  EXPECT_EQ(run.logs.live(), 3u);
  run.store->LetRest(fresh);
  EXPECT_EQ(run.logs.live(), 2u);  // nothing was ever in it
  run.store->LetRest(used);
  run.Settle();
  EXPECT_EQ(run.logs.live(), 2u);
  run.store->StartCheckpoint();
  run.Settle();
  EXPECT_EQ(run.logs.live(), 1u);
  EXPECT_EQ(run.store->FindStream(used)->state().messages, 1u);
  EXPECT_EQ(run.store->FindStream(fresh)->state().last_seq, 0u);
  EXPECT_EQ(run.logs.live(), 3u);
  // Changed while the checkpoint ran that was to let it go: it waits for the next one.
  run.Put(run.store->FindStream(used), "two");
  run.store->LetRest(used);
  run.store->StartCheckpoint();
  while (!run.store->HasWork()) run.Turn();
  run.Turn();
  run.Put(run.store->FindStream(used), "three");
  run.store->LetRest(used);
  run.Settle();
  run.store->StartCheckpoint();
  run.Settle();
  EXPECT_EQ(run.logs.live(), 2u);
  EXPECT_EQ(run.store->FindStream(used)->state().messages, 3u);
  // Asked for in between: it stays.
  run.Put(run.store->FindStream(used), "four");
  run.store->LetRest(used);
  run.store->FindStream(used);
  run.store->StartCheckpoint();
  run.Settle();
  EXPECT_EQ(run.logs.live(), 3u);
  // Configured and deleted while at rest.
  run.store->LetRest(fresh);
  run.store->UpdateStream(fresh, "FRESHER", {});
  run.store->LetRest(held);
  run.store->DeleteStream(held);
  run.Close();
  const auto after = disk.Survivor(1, Survival::kNothing);
  Driven again(*after);
  const Recovered& found = again.store->recovered();
  ASSERT_EQ(found.streams.size(), 2u);
  EXPECT_EQ(again.logs.live(), 1u);
  EXPECT_EQ(found.streams[0].config, "USED");
  EXPECT_EQ(again.LogOf(0)->state().messages, 4u);
  EXPECT_EQ(found.streams[1].config, "FRESHER");
  EXPECT_EQ(again.LogOf(1)->state().last_seq, 0u);
}

TEST(ShardStore, AMemoryStreamComesBackEmpty) {
  SimDisk disk(1);
  {
    Driven run(disk);
    StreamLog* log = run.NewStream("MEM", true);
    EXPECT_EQ(run.Put(log, "one"), 0u);
    run.Settle();
  }
  const auto after = disk.Survivor(1, Survival::kNothing);
  Driven run(*after);
  ASSERT_EQ(run.store->recovered().streams.size(), 1u);
  EXPECT_EQ(run.store->recovered().streams[0].config, "MEM");
  EXPECT_TRUE(run.LogOf(0)->options().memory);
  EXPECT_EQ(run.LogOf(0)->state().messages, 0u);
}

TEST(ShardStore, ADeletedStreamsFilesGoWhenTheDeletionIsDurable) {
  SimDisk disk(1);
  Driven run(disk);
  StreamLog* log = run.NewStream("A");
  const uint64_t uid = log->uid();
  Lsn lsn = 0;
  const uint64_t consumer = run.store->CreateConsumer(uid, "c", &lsn);
  run.Settle();
  run.store->DeleteStream(uid);
  EXPECT_EQ(run.store->FindStream(uid), nullptr);
  run.store->EndTurn(run.now);
  EXPECT_EQ(run.logs.discarded.count(uid), 0u);
  run.Settle();
  EXPECT_EQ(run.logs.discarded.count(uid), 1u);
  EXPECT_EQ(run.store->DeleteConsumer(consumer), 0u);
  run.Close();
  const auto after = disk.Survivor(1, Survival::kNothing);
  Driven again(*after);
  EXPECT_TRUE(again.store->recovered().streams.empty());
  EXPECT_TRUE(again.store->recovered().consumers.empty());
  EXPECT_GT(again.NewStream("B")->uid(), consumer);
}

TEST(ShardStore, CheckpointsFreeTheLogWhileTheShardServes) {
  ShardStoreOptions options = Small();
  options.checkpoint_bytes = 256 << 10;
  SimDisk disk(1);
  Driven run(disk, options);
  std::vector<StreamLog*> logs;
  for (int i = 0; i < 20; ++i) logs.push_back(run.NewStream("S" + std::to_string(i)));
  const std::string payload(500, 'p');
  for (int i = 0; i < 20'000; ++i) {
    StreamLog* log = logs[static_cast<size_t>(i) % logs.size()];
    run.Put(log, payload);
    if (log->state().messages > 10) log->TrimBelow(log->state().last_seq - 5);
    if (i % 20 == 0) run.Turn();
  }
  run.Settle();
  EXPECT_GT(run.store->stats().checkpoints, 5u);
  EXPECT_LT(run.store->stats().log_files, 16u);
  EXPECT_EQ(run.store->durable(), run.store->staged());
  EXPECT_TRUE(run.whys.empty());
}

TEST(ShardStore, WhatABurstLeftInTheLogIsCheckpointedWhenItIsOver) {
  ShardStoreOptions options = Small();
  options.checkpoint_idle_bytes = 64 << 10;
  SimDisk disk(1);
  Driven run(disk, options);
  StreamLog* log = run.NewStream("S");
  for (int i = 0; i < 200; ++i) run.Put(log, std::string(500, 'p'));
  run.Settle();
  EXPECT_EQ(run.store->stats().checkpoints, 0u);
  run.Turn(run.store->NextTick() - run.now);  // the log's watermark, and so on
  for (int i = 0; i < 20 && run.store->NextTick() != Nanos::max(); ++i) {
    run.Turn(std::max(Nanos{1}, run.store->NextTick() - run.now));
    run.Settle();
  }
  EXPECT_EQ(run.store->stats().checkpoints, 1u);
  EXPECT_LT(run.store->stats().log_bytes, options.checkpoint_idle_bytes);
  // A trickle is not worth it.
  run.Put(log, "one");
  run.Settle();
  run.Turn(std::chrono::hours(1));
  run.Settle();
  EXPECT_EQ(run.store->stats().checkpoints, 1u);
}

TEST(ShardStore, DamageInTheLogIsReportedToTheStreamsItConcerns) {
  SimDisk disk(1);
  uint64_t hit = 0;
  {
    Driven run(disk);
    StreamLog* a = run.NewStream("A");
    StreamLog* b = run.NewStream("B");
    hit = a->uid();
    run.Put(a, "a1");
    run.Put(b, "b1");
    run.Turns(5);  // batch 1
    run.Put(a, "a2");
    run.Put(a, "a3");
    run.Turns(5);  // batch 2
    run.Put(a, "a4");
    run.Put(b, "b2");
    run.Settle();  // batch 3, and the watermark
  }
  const auto after = disk.Survivor(1, Survival::kNothing);
  const std::string path = PathOfLog(*after);
  const std::string content = after->Content(path);
  after->FlipBit(path, content.find("a3"), 0);
  for (int time = 0; time < 2; ++time) {
    after->PlugIn();
    Driven run(*after);
    const Recovered& found = run.store->recovered();
    ASSERT_EQ(found.streams.size(), 2u);
    EXPECT_EQ(found.report.damaged_batches, 1u);
    EXPECT_FALSE(found.report.notes.empty());
    EXPECT_TRUE(run.logs.kept);
    for (const RecoveredStream& stream : found.streams) {
      if (stream.uid == hit) {
        ASSERT_EQ(stream.lost.size(), 1u);
        EXPECT_EQ(stream.lost[0].first_seq, 2u);
        EXPECT_EQ(stream.lost[0].last_seq, 3u);
        EXPECT_EQ(run.store->FindStream(stream.uid)->state().last_seq, 4u);
      } else {
        EXPECT_TRUE(stream.lost.empty());
        EXPECT_EQ(run.store->FindStream(stream.uid)->state().messages, 2u);
      }
    }
  }
}

TEST(ShardStore, ATornTailIsKeptInQuarantine) {
  SimDisk disk(1);
  {
    Driven run(disk);
    StreamLog* a = run.NewStream("A");
    run.Turns(300, std::chrono::microseconds(10));
    run.Put(a, "whole");
    run.Turns(5, std::chrono::microseconds(10));
    run.Put(a, "torn");
    run.Turns(5, std::chrono::microseconds(10));
  }
  const auto after = disk.Survivor(1, Survival::kNothing);
  const std::string path = PathOfLog(*after);
  const std::string content = after->Content(path);
  after->FlipBit(path, content.find("torn"), 0);
  Driven run(*after);
  EXPECT_EQ(run.store->recovered().report.torn_bytes, 4096u);
  EXPECT_EQ(run.LogOf(0)->state().messages, 1u);
  ASSERT_EQ(after->List("quarantine")->size(), 1u);
  EXPECT_FALSE(run.logs.kept);
}

TEST(ShardStore, ALogWithoutItsCatalogIsNotServed) {
  SimDisk disk(1);
  {
    Driven run(disk);
    run.NewStream("A");
    run.Settle();
  }
  const auto after = disk.Survivor(1, Survival::kNothing);
  ASSERT_TRUE(after->Remove("catalog/current").ok());
  Driven run(*after);
  EXPECT_FALSE(run.status.ok());
}

TEST(ShardStore, AFailedCheckpointIsReportedTriedAgainAndLosesNothing) {
  for (uint64_t at = 0; at < 4; ++at) {
    SimDisk disk(1);
    Driven run(disk);
    StreamLog* log = run.NewStream("A");
    run.Put(log, "one");
    run.Settle();
    disk.FailSync(at, EIO);
    run.store->StartCheckpoint();
    run.Turns(100);
    if (at < 3) {
      ASSERT_EQ(run.whys.size(), 1u) << at;
    }
    EXPECT_TRUE(run.store->accepting());
    run.Put(log, "two");
    run.Turns(3000);
    EXPECT_GE(run.store->stats().checkpoints, 1u);
    run.Close();
    const auto after = disk.Survivor(1, Survival::kNothing);
    Driven again(*after);
    ASSERT_EQ(again.store->recovered().streams.size(), 1u);
    EXPECT_EQ(again.LogOf(0)->state().messages, 2u);
  }
}

// A key gets a new value while its stream is encoded, and the log cannot be written for a second. The state without the
// old value and without the new one is none that ever was: no restart may begin with it.
TEST(ShardStore, ACheckpointWaitsUntilTheLogHasWhatItLeavesOut) {
  SimDisk disk(1);
  DiskShop shop(disk);
  StreamLog* log = shop.NewStream();
  shop.Append(log, "key", 100);
  for (int i = 0; i < 20; ++i) shop.Turn();
  shop.store->StartCheckpoint();
  shop.Turn();  // it begins
  shop.Turn();  // the block is on its way
  shop.Append(log, "key", 100);
  log->Remove(1, StreamLog::Erase::kNo);
  disk.FailWrite(0, ENOSPC);  // the log's, at the end of the turn that encodes the stream
  for (int i = 0; i < 200; ++i) shop.Turn();
  ASSERT_LT(shop.durable, shop.store->staged());
  EXPECT_EQ(shop.store->stats().checkpoints, 0u);
  const auto first_found = [&] {
    const auto after = disk.Survivor(1, Survival::kNothing);
    DiskShop again(*after);
    StreamLog* found = again.store->FindStream(log->uid());
    return found == nullptr || found->state().messages != 1 ? 0 : found->state().first_seq;
  };
  EXPECT_EQ(first_found(), 1u);
  shop.Wait(std::chrono::seconds(3));
  EXPECT_EQ(shop.durable, shop.store->staged());
  EXPECT_GE(shop.store->stats().checkpoints, 1u);
  EXPECT_EQ(first_found(), 2u);
}

TEST(ShardStore, AFullDiskStopsMessagesAndDeletingMakesRoom) {
  SimDisk disk(1);
  Driven run(disk);
  StreamLog* log = run.NewStream("A");
  run.Settle();
  disk.set_capacity(disk.used_bytes() + (300 << 10));
  const std::string payload(2000, 'p');
  uint64_t admitted = 0;
  for (int i = 0; i < 10'000 && run.store->accepting(); ++i) {
    run.Put(log, payload);
    ++admitted;
    run.Turn(std::chrono::milliseconds(2));
  }
  EXPECT_EQ(run.store->state(), StorageState::kFull);
  run.Turns(100);
  // The stream is in the catalog as well by now, where the fake one puts its messages: a deletion frees that.
  const Lsn lsn = log->Purge();
  run.Turns(8000, std::chrono::milliseconds(5));
  EXPECT_GE(run.store->durable(), lsn);
  EXPECT_TRUE(run.store->accepting()) << run.whys.back();
  EXPECT_EQ(log->state().last_seq, admitted);
}

TEST(ShardStore, ALogThatFailsTwiceEndsAcknowledgementsAndCloses) {
  SimDisk disk(1);
  Driven run(disk);
  StreamLog* log = run.NewStream("A");
  run.Settle();
  for (uint64_t i = 0; i < 100; ++i) disk.FailSync(i, EIO);
  const Lsn lsn = run.Put(log, "one");
  run.Settle();
  EXPECT_EQ(run.store->state(), StorageState::kFailed);
  EXPECT_FALSE(run.store->accepting());
  EXPECT_LT(run.store->durable(), lsn);
  run.Close();
}

TEST(ShardStore, AFullDiskDoesNotKeepAStoreOpen) {
  SimDisk disk(1);
  {
    Driven run(disk);
    StreamLog* log = run.NewStream("A");
    Lsn lsn = 0;
    const uint64_t consumer = run.store->CreateConsumer(log->uid(), "c", &lsn);
    run.Settle();
    disk.set_capacity(disk.used_bytes());
    // More than the files that are there have room for.
    for (int i = 0; i < 200; ++i) {
      run.store->PutConsumerState(consumer, std::string(4000, 'a'));
      run.Turn();
    }
    run.Settle();
    EXPECT_LT(run.store->durable(), run.store->staged());
    run.Close();
  }
  disk.PlugIn();
  Driven again(disk);
  ASSERT_TRUE(again.store != nullptr) << again.status;
  EXPECT_EQ(again.store->recovered().consumers.size(), 1u);
}

TEST(ShardStore, RecoveryTellsHowFarItIs) {
  SimDisk disk(1);
  {
    Driven run(disk);
    StreamLog* log = run.NewStream("A");
    for (int i = 0; i < 3000; ++i) {
      run.Put(log, std::string(3000, 'x'));
      run.Turn();
    }
    run.Settle();
  }
  const auto after = disk.Survivor(1, Survival::kNothing);
  ShardStoreOptions options = Small();
  uint64_t calls = 0;
  uint64_t before = 0;
  options.progress = [&](uint64_t done, uint64_t total, uint64_t) {
    EXPECT_LE(done, total);
    before = done;
    ++calls;
  };
  Driven run(*after, options);
  EXPECT_GT(calls, 1u);
}

}  // namespace
}  // namespace millrace
