// SPDX-License-Identifier: Apache-2.0
// Goal: after a secure deletion the message's text is nowhere on the disk, whatever a crash would leave: not in its
//       block, not where that block was before it moved, not in the log, not in files of the log that wait to be used
//       again; and nobody else waits for that.
// Method: a ShardStore with real streams on a SimDisk, driven by turns; every byte of every file is looked at.
//         tests/crash erases under a random workload with a crash at every point.
#include "store/shard/eraser.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "store/segment/segment_store.h"
#include "store/shard/shard_store.h"
#include "tests/crash/sim_disk.h"

namespace millrace {
namespace {

constexpr std::string_view kSecret = "the-text-that-must-go";

class Driven : public ShardStoreListener, public ConsumerStateSource {
 public:
  explicit Driven(SimDisk& disk) : disk_(disk) {
    SegmentStoreOptions segments;
    segments.random = 815;
    segments.file_bytes = 64 << 10;
    segments.pack_bytes = 48 << 10;
    segments.busy_bytes = 16 << 10;
    segments.scrub_bytes_per_second = 0;
    logs = *SegmentStore::Open(disk, segments);
    ShardStoreOptions options;
    options.random = 4711;
    options.wal_file_bytes = 64 << 10;
    options.checkpoint_bytes = 1 << 20;
    options.reserve_bytes = 0;
    store = *ShardStore::Open(disk, *logs, options);
    store->set_listener(this);
    store->set_consumers(this);
    for (RecoveredStream& stream : store->recovered().streams) uid = stream.uid;
    if (uid == 0) {
      Lsn lsn = 0;
      uid = store->CreateStream("S", {}, &lsn)->uid();
    }
  }
  ~Driven() override {
    disk_.PullThePlug();
    while (disk_.busy()) disk_.RunCompletions();
    store = nullptr;
    logs = nullptr;
  }

  StreamLog* log() { return store->FindStream(uid); }
  Lsn Put(std::string_view payload) {
    StoredMessage message;
    message.seq = log()->state().last_seq + 1;
    message.payload = payload;
    message.subject = "s";
    return log()->Append(message);
  }
  void Turn() {
    now += std::chrono::milliseconds(1);
    disk_.RunCompletions();
    if (now >= store->NextTick()) store->OnTick(now);
    store->EndTurn(now);
  }
  void Turns(int count) {
    while (count-- > 0) Turn();
  }
  void Checkpoint() {
    const uint64_t before = store->stats().checkpoints;
    store->StartCheckpoint();
    for (int i = 0; i < 5000 && store->stats().checkpoints == before; ++i) Turn();
    ASSERT_GT(store->stats().checkpoints, before);
  }
  uint64_t Erase(uint64_t seq) {
    log()->Remove(seq, StreamLog::Erase::kYes);
    return store->EraseFromDisk(uid);
  }
  void Await(uint64_t ticket) {
    for (int i = 0; i < 20'000 && store->erased() < ticket; ++i) Turn();
    ASSERT_GE(store->erased(), ticket);
  }
  void OnDurable(Lsn lsn) override { durable = lsn; }
  void OnStorage(StorageState, std::string_view) override {}
  void EncodeConsumer(uint64_t, std::string*) override {}

 private:
  SimDisk& disk_;

 public:
  std::unique_ptr<SegmentStore> logs;
  std::unique_ptr<ShardStore> store;
  uint64_t uid = 0;
  Lsn durable = 0;
  Nanos now{std::chrono::seconds(1)};
};

// In which files a crash would leave it, if everything that was written survives, or nothing that need not.
std::string Where(const SimDisk& disk) {
  std::string found;
  for (const Survival survival : {Survival::kEverything, Survival::kNothing}) {
    const auto after = disk.Survivor(1, survival);
    for (const std::string& path : after->Paths()) {
      if (after->Content(path).find(kSecret) != std::string::npos) found += path + " ";
    }
  }
  return found;
}

TEST(Eraser, NothingIsLeftOfAMessageThatOnlyTheLogHas) {
  SimDisk disk(1);
  Driven run(disk);
  run.Put("before");
  run.Put(kSecret);
  run.Put("after");
  run.Turns(20);
  ASSERT_NE(Where(disk), "");
  const uint64_t ticket = run.Erase(2);
  EXPECT_LT(run.store->erased(), ticket);
  run.Await(ticket);
  EXPECT_EQ(Where(disk), "");
  const auto after = disk.Survivor(1, Survival::kNothing);
  Driven again(*after);
  EXPECT_EQ(again.log()->state().messages, 2u);
}

TEST(Eraser, NothingIsLeftOfAMessageThatIsInABlock) {
  SimDisk disk(1);
  Driven run(disk);
  for (int i = 0; i < 20; ++i) run.Put(i == 7 ? std::string(kSecret) : std::string(500, 'x'));
  run.Turns(20);
  run.Checkpoint();
  run.Put("more");
  run.Checkpoint();
  ASSERT_NE(Where(disk), "");
  run.Await(run.Erase(8));
  EXPECT_EQ(Where(disk), "");
  StoredMessage message;
  EXPECT_EQ(run.log()->Load(7, &message), LoadStatus::kFound);
  EXPECT_EQ(run.log()->Load(9, &message), LoadStatus::kFound);
}

// Each checkpoint joins small blocks at the end, and leaves the text where they were.
TEST(Eraser, NothingIsLeftWhereItsBlockWasBefore) {
  for (const bool restart : {false, true}) {
    SimDisk disk(1);
    auto first = std::make_unique<Driven>(disk);
    first->Put(kSecret);
    for (int i = 0; i < 12; ++i) {
      first->Put(std::string(100, 'x'));
      first->Checkpoint();
    }
    std::unique_ptr<SimDisk> after;
    SimDisk* now = &disk;
    if (restart) {
      after = disk.Survivor(1, Survival::kEverything);
      now = after.get();
      first = std::make_unique<Driven>(*after);
    }
    first->Await(first->Erase(1));
    EXPECT_EQ(Where(*now), "") << restart;
    EXPECT_EQ(first->log()->state().messages, 12u);
    first = nullptr;
  }
}

TEST(Eraser, NothingIsLeftInFilesOfTheLogThatWereUsedBefore) {
  SimDisk disk(1);
  Driven run(disk);
  run.Put(kSecret);
  for (int round = 0; round < 6; ++round) {
    for (int i = 0; i < 30; ++i) run.Put(std::string(2000, 'x'));
    run.Turns(10);
    run.Checkpoint();
  }
  run.Await(run.Erase(1));
  EXPECT_EQ(Where(disk), "");
  EXPECT_EQ(run.log()->state().messages, 180u);
}

TEST(Eraser, WhoAsksBeforeAPassBeginsSharesIt) {
  SimDisk disk(1);
  Driven run(disk);
  for (int i = 0; i < 50; ++i) run.Put("text " + std::to_string(i));
  run.Turns(20);
  const uint64_t before = run.store->stats().checkpoints;
  uint64_t ticket = 0;
  for (uint64_t seq = 1; seq <= 50; ++seq) ticket = run.Erase(seq);
  run.Await(ticket);
  EXPECT_LE(run.store->stats().checkpoints, before + 2);
}

TEST(Eraser, TrafficGoesOnMeanwhile) {
  SimDisk disk(1);
  Driven run(disk);
  run.Put(kSecret);
  run.Turns(20);
  const uint64_t ticket = run.Erase(1);
  uint64_t slowest = 0;
  for (int i = 0; i < 5000 && run.store->erased() < ticket; ++i) {
    const Lsn lsn = run.Put(std::string(3000, 'x'));
    uint64_t turns = 0;
    for (; run.durable < lsn && turns < 100; ++turns) run.Turn();
    slowest = std::max(slowest, turns);
  }
  EXPECT_GE(run.store->erased(), ticket);
  EXPECT_LT(slowest, 60u);  // a new file of the log takes its zeros and two syncs
  EXPECT_EQ(Where(disk), "");
}

TEST(Eraser, ATryThatFailsIsMadeAgain) {
  for (uint64_t skip = 0; skip < 12; ++skip) {
    SimDisk disk(1);
    Driven run(disk);
    for (int i = 0; i < 20; ++i) run.Put(i == 7 ? std::string(kSecret) : std::string(500, 'x'));
    run.Turns(20);
    run.Checkpoint();
    const uint64_t ticket = run.Erase(8);
    disk.FailSync(skip, EIO);
    run.Await(ticket);
    EXPECT_EQ(Where(disk), "") << skip;
  }
}

}  // namespace
}  // namespace millrace
