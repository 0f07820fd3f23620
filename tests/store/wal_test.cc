// SPDX-License-Identifier: Apache-2.0
// Goal: what the write-ahead log reported durable is read back, in order, whatever happens to the disk; what was torn
// is cut; what is damaged is reported and takes nothing else with it.
// Method: a log on a SimDisk beside a plain list of what was appended; every truncation and every bit of a small log;
// failing writes and flushes; a full disk.
#include <algorithm>
#include <cerrno>

#include "tests/proto/seeded.h"
#include "tests/store/wal_harness.h"

namespace millrace {
namespace {

std::string Body(uint64_t i, size_t bytes) {
  std::string body = std::to_string(i) + ":";
  body.resize(std::max(body.size(), bytes), static_cast<char>('a' + i % 26));
  return body;
}

std::unique_ptr<SimDisk> Crash(SimDisk& disk, uint64_t seed, Survival survival = Survival::kSome) {
  return disk.Survivor(seed, survival);
}

TEST(Wal, WhatWasStagedBeforeAFlushIsDurableAfterIt) {
  SimDisk disk(1);
  WalRun run(disk);
  EXPECT_EQ(run.wal.durable(), 0u);
  const Lsn first = run.Put("one");
  const Lsn second = run.Put("two");
  EXPECT_EQ(first + 1, second);
  run.Settle();
  EXPECT_EQ(run.wal.durable(), second);
  EXPECT_EQ(run.reported, second);
  EXPECT_EQ(run.wal.flushes(), 1u);

  const auto after = Crash(disk, 1, Survival::kNothing);
  WalRun again(*after);
  EXPECT_EQ(again.read.bodies, (std::vector<std::string>{"one", "two"}));
  EXPECT_EQ(again.read.objects, (std::vector<uint64_t>{7, 7}));
  EXPECT_TRUE(again.read.scan.gaps.empty());
}

TEST(Wal, OverheadOfAShortMessageStaysSmall) { EXPECT_LE(kWalRecordHeaderBytes, 12u); }

TEST(Wal, AnAtomicUnitIsThereAsAWholeOrNotAtAll) {
  // Larger than a batch, than a file, and begun in a batch that has records already.
  for (uint64_t seed = 0; seed < Rounds(200); ++seed) {
    SimDisk disk(seed);
    SeededRandom random(seed);
    const uint64_t records = 1 + random.Below(300);
    const bool settle = seed % 10 == 0;
    {
      WalRun run(disk);
      run.Put("before");
      run.wal.BeginAtomic();
      for (uint64_t i = 0; i < records; ++i) run.Put(Body(i, random.Below(1000)));
      run.wal.EndAtomic();
      run.Put("after");
      if (settle) run.Settle();
      for (uint64_t turn = random.Below(6); turn > 0; --turn) run.Turn();
      const auto after = Crash(disk, seed);
      run.Stop();
      WalRun again(*after);
      const size_t read = again.read.bodies.size();
      EXPECT_TRUE(read <= 1 || read >= 1 + records) << read << " of " << records;
      if (settle) {
        EXPECT_EQ(read, records + 2);
      }
    }
  }
}

TEST(Wal, MatchesAPlainListThroughCrashesAndRecycling) {
  SeededRandom random(11);
  for (size_t round = 0; round < Rounds(40); ++round) {
    auto disk = std::make_unique<SimDisk>(round);
    std::vector<std::string> all;  // by position; empty: given up by a crash
    all.emplace_back();
    Lsn checkpoint = 0;
    Lsn durable = 0;
    for (int life = 0; life < 4; ++life) {
      WalRun run(*disk, SmallWal(), checkpoint);
      ASSERT_TRUE(run.read.scan.gaps.empty());
      // Everything durable is there; what follows is a prefix of what was staged.
      std::vector<std::string> expected;
      Lsn lsn = checkpoint;
      for (const WalBatch& batch : run.read.scan.batches) {
        for (Lsn at = std::max(batch.header.lsn, checkpoint + 1); at <= batch.header.last_lsn(); ++at) {
          expected.push_back(all.at(at));
          lsn = at;
        }
      }
      ASSERT_EQ(run.read.bodies, expected);
      ASSERT_GE(lsn, durable);
      all.resize(run.wal.staged() + 1);
      durable = run.wal.durable();
      const uint64_t operations = 50 + random.Below(400);
      for (uint64_t i = 0; i < operations; ++i) {
        const size_t bytes = random.OneIn(50) ? random.Below(60000) : random.Below(300);
        all.push_back(Body(all.size(), bytes));
        ASSERT_EQ(run.Put(all.back()), all.size() - 1);
        if (random.OneIn(5)) run.Turn(std::chrono::milliseconds(random.Below(40)));
        if (random.OneIn(100)) {
          checkpoint = run.wal.durable();
          run.wal.Recycle(checkpoint);
        }
      }
      if (random.OneIn(3)) run.Settle();
      durable = std::max(durable, run.wal.durable());
      auto next = Crash(*disk, random.Next());
      run.Stop();
      disk.swap(next);
      // `next` outlives `run`, which is destroyed first at the end of this scope only if it is declared before it.
      static std::vector<std::unique_ptr<SimDisk>> graveyard;
      graveyard.clear();
      graveyard.push_back(std::move(next));
    }
  }
}

// A small log in one file: three batches and their place.
struct SmallLog {
  SimDisk disk{5};
  std::vector<std::string> bodies;
  std::string path = WalFiles::PathOf(1);
  uint64_t end = 0;
  Lsn durable = 0;

  explicit SmallLog(bool watermark) {
    WalRun run(disk);
    for (int batch = 0; batch < 3; ++batch) {
      for (int i = 0; i < 3; ++i) {
        bodies.push_back(Body(bodies.size(), batch == 1 ? 2000 : 40));
        run.Put(bodies.back());
      }
      run.Settle();
    }
    if (watermark) {
      run.Turn(std::chrono::milliseconds(60));
      run.Settle();
    }
    durable = run.wal.durable();
    image = disk.Survivor(1, Survival::kEverything);
    const std::string content = image->Content(path);
    end = content.find_last_not_of('\0') + 1;
  }
  std::unique_ptr<SimDisk> Copy() const { return image->Survivor(1, Survival::kEverything); }
  std::unique_ptr<SimDisk> image;
};

// What is read is a subsequence of what was written, and the gaps say exactly what is missing of it.
void ExpectHonest(const SmallLog& log, const WalRun& run, size_t acked_and_recorded, const std::string& what) {
  std::vector<bool> seen(log.bodies.size(), false);
  size_t at = 0;
  for (const std::string& body : run.read.bodies) {
    while (at < log.bodies.size() && log.bodies[at] != body) ++at;
    ASSERT_LT(at, log.bodies.size()) << what << ": not what was written, or out of order";
    seen[at++] = true;
  }
  for (size_t i = 0; i < acked_and_recorded; ++i) {
    if (seen[i]) continue;
    const Lsn lsn = i + 1;
    bool reported = false;
    for (const WalGap& gap : run.read.scan.gaps) reported |= gap.first <= lsn && lsn <= gap.last;
    ASSERT_TRUE(reported) << what << ": record " << lsn << " vanished without a word";
  }
}

TEST(Wal, EveryTruncationOfASmallLogIsATornTailOrReported) {
  const SmallLog log(true);
  for (uint64_t bytes = 0; bytes <= log.end; bytes += 64) {
    const auto disk = log.Copy();
    const std::string content = log.disk.Content(log.path);
    disk->Overwrite(log.path, bytes, std::string(content.size() - bytes, '\0'));
    WalRun run(*disk);
    // Zeros from here on: the file knows nothing of what came later. What is before must be all there.
    uint64_t offset = 0;
    size_t whole = 0;
    for (const WalBatch& batch : run.read.scan.batches) {
      EXPECT_EQ(batch.offset, offset);
      offset += WalBatchBytes(batch.header);
      whole += batch.header.records;
    }
    EXPECT_EQ(run.read.bodies.size(), whole);
    ExpectHonest(log, run, static_cast<size_t>(run.read.scan.durable), "truncated at " + std::to_string(bytes));
  }
}

TEST(Wal, EveryBitFlipOfASmallLogIsReportedAndTakesNothingElseAway) {
  const SmallLog log(true);
  ASSERT_EQ(log.durable, log.bodies.size());
  for (uint64_t offset = 0; offset < log.end; ++offset) {
    const auto disk = log.Copy();
    disk->FlipBit(log.path, offset, static_cast<int>(offset % 8));
    WalRun run(*disk);
    // The watermark stands behind the last batch, so that no damage looks like a torn tail, unless it hits the
    // watermark.
    ExpectHonest(log, run, run.read.scan.durable == 9 ? 9u : 6u, "bit of byte " + std::to_string(offset));
    EXPECT_GE(run.read.bodies.size(), 6u) << offset;  // one batch of three at most
    EXPECT_LE(run.read.scan.gaps.size(), 1u);
    EXPECT_TRUE(run.read.scan.torn.empty() || run.read.scan.durable < 9);
  }
}

TEST(Wal, DamageToTheLastBatchWithoutASuccessorIsCutAndLaterBatchesGoOn) {
  const SmallLog log(false);
  const auto disk = log.Copy();
  disk->FlipBit(log.path, log.end - 1, 0);
  {
    WalRun run(*disk);
    EXPECT_EQ(run.read.bodies.size(), 6u);
    EXPECT_EQ(run.read.scan.torn.size(), 1u);
    EXPECT_TRUE(run.read.scan.gaps.empty());
    EXPECT_EQ(run.wal.staged(), 9u);  // positions are never given twice
    EXPECT_EQ(run.Put("after"), 10u);
    run.Settle();
    const auto after = disk->Survivor(3, Survival::kNothing);
    WalRun again(*after);
    EXPECT_EQ(again.read.bodies.size(), 7u);
    EXPECT_EQ(again.read.bodies.back(), "after");
    EXPECT_TRUE(again.read.scan.gaps.empty());
    EXPECT_TRUE(again.read.scan.torn.empty());
    EXPECT_EQ(again.read.scan.damaged, 0u);
  }
}

TEST(Wal, AFailedFlushSealsTheFileAndTheBatchGoesElsewhere) {
  for (const bool write_fails : {false, true}) {
    SimDisk disk(2);
    WalRun run(disk);
    run.Put("first");
    run.Settle();
    run.Put("second");
    if (write_fails) {
      disk.FailWrite(0, EIO);
    } else {
      disk.FailSync(0, EIO);
    }
    run.Turn();
    run.Put("third");  // staged while the failing one is in flight
    run.Settle();
    EXPECT_EQ(run.wal.durable(), run.wal.staged());
    EXPECT_TRUE(run.wal.accepting());
    ASSERT_EQ(run.whys.size(), 1u);
    const auto after = disk.Survivor(1, Survival::kNothing);
    WalRun again(*after);
    EXPECT_EQ(again.read.bodies, (std::vector<std::string>{"first", "second", "third"}));
    EXPECT_TRUE(again.read.scan.gaps.empty());
    // The checkpoint that makes it worthless takes it away: it is not used again.
    const std::string sealed = run.whys[0].substr(run.whys[0].find("wal/"), WalFiles::PathOf(1).size());
    ASSERT_TRUE(disk.Has(sealed)) << sealed;
    run.wal.Recycle(run.wal.durable());
    EXPECT_FALSE(disk.Has(sealed)) << sealed;
  }
}

TEST(Wal, TheSecondFailureInARowStopsAcknowledging) {
  SimDisk disk(3);
  WalRun run(disk);
  run.Put("first");
  run.Settle();
  const Lsn lost = run.Put("second");
  for (uint64_t i = 0; i < 200; ++i) disk.FailSync(i, EIO);
  run.Settle(100);
  EXPECT_FALSE(run.wal.accepting());
  EXPECT_EQ(run.wal.state(), WalState::kFailed);
  EXPECT_LT(run.wal.durable(), lost);
  for (int i = 0; i < 1000; ++i) run.Put(std::string(1000, 'x'));  // takes no memory, and nothing breaks
  run.Settle(10);
  EXPECT_LT(run.wal.durable(), lost);
}

TEST(Wal, AFullDiskRefusesBeforeItLosesAndResumesByItself) {
  SimDisk disk(4);
  WalRun run(disk);
  run.Put("first");
  run.Settle();
  disk.set_capacity(disk.used_bytes());  // what is made is made; not one byte more
  std::vector<std::string> admitted{"first"};
  for (int i = 0; i < 10000 && run.wal.accepting(); ++i) {
    admitted.push_back(Body(static_cast<uint64_t>(i), 900));
    run.Put(admitted.back());
    run.Turn(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(run.wal.state(), WalState::kFull);
  run.Settle(50);
  EXPECT_EQ(run.wal.durable(), run.wal.staged()) << "what was admitted has room";
  run.Put("deletion");
  run.Settle(50);
  EXPECT_EQ(run.wal.durable(), run.wal.staged()) << "and so has what makes room";
  admitted.push_back("deletion");

  disk.set_capacity(UINT64_MAX);
  for (int i = 0; i < 100 && !run.wal.accepting(); ++i) run.Turn(std::chrono::milliseconds(100));
  EXPECT_TRUE(run.wal.accepting());
  run.Put("last");
  run.Settle();
  admitted.push_back("last");
  const auto after = disk.Survivor(1, Survival::kNothing);
  WalRun again(*after);
  EXPECT_EQ(again.read.bodies, admitted);
}

TEST(Wal, LittleFreeSpaceRefusesMessagesWithHysteresis) {
  WalOptions options = SmallWal();
  options.reserve_bytes = 1 << 20;
  SimDisk disk(4);
  disk.set_capacity(8 << 20);
  WalRun run(disk, options);
  run.Put("a");
  run.Settle();
  EXPECT_TRUE(run.wal.accepting());
  disk.set_capacity(disk.used_bytes() + (1 << 20) - 1);
  for (int i = 0; i < 30; ++i) {
    run.Put("b");
    run.Turn(std::chrono::milliseconds(100));
  }
  EXPECT_FALSE(run.wal.accepting());
  disk.set_capacity(disk.used_bytes() + (1 << 20) + 1000);
  for (int i = 0; i < 30; ++i) run.Turn(std::chrono::milliseconds(100));
  EXPECT_FALSE(run.wal.accepting());
  disk.set_capacity(disk.used_bytes() + (2 << 20));
  for (int i = 0; i < 30; ++i) run.Turn(std::chrono::milliseconds(100));
  EXPECT_TRUE(run.wal.accepting());
  EXPECT_EQ(run.states, (std::vector<WalState>{WalState::kFull, WalState::kOk}));
}

TEST(Wal, FilesAreRecycledAndTheirNumberStaysBounded) {
  SimDisk disk(6);
  WalRun run(disk);
  size_t most = 0;
  for (int i = 0; i < 5000; ++i) {
    run.Put(Body(static_cast<uint64_t>(i), 500));
    if (i % 8 == 0) run.Turn();
    if (i % 200 == 0) run.wal.Recycle(run.wal.durable());
    most = std::max(most, disk.Paths().size());
  }
  run.Settle();
  EXPECT_LE(most, 6u);
  const Lsn checkpoint = run.wal.durable();
  run.wal.Recycle(checkpoint);
  const auto after = disk.Survivor(1, Survival::kNothing);
  WalRun again(*after, SmallWal(), checkpoint);
  EXPECT_TRUE(again.read.bodies.empty());
  EXPECT_TRUE(again.read.scan.gaps.empty());
  EXPECT_EQ(again.Put("x"), checkpoint + 1);
}

TEST(Wal, ARecordLargerThanAnyBatchOrFileGetsItsOwn) {
  SimDisk disk(7);
  WalRun run(disk);
  const std::vector<std::string> bodies{"small", Body(1, 50'000), Body(2, 300'000), "tail"};
  for (const std::string& body : bodies) run.Put(body);
  EXPECT_TRUE(run.wal.Congested());
  run.Settle();
  EXPECT_FALSE(run.wal.Congested());
  EXPECT_EQ(run.wal.durable(), 4u);
  const auto after = disk.Survivor(1, Survival::kNothing);
  WalRun again(*after);
  EXPECT_EQ(again.read.bodies, bodies);
}

TEST(Wal, AMisdirectedWriteIsReported) {
  SimDisk disk(8);
  WalRun run(disk);
  run.Put("first");
  run.Settle();
  run.Put("second");
  run.Settle();
  disk.Misdirect(0, -2 * static_cast<int64_t>(kDiskAlignment));  // the third batch lands on the first
  run.Put("third");
  run.Settle();
  run.Put("fourth");
  run.Settle();
  const auto after = disk.Survivor(1, Survival::kNothing);
  WalRun again(*after);
  EXPECT_EQ(again.read.bodies, (std::vector<std::string>{"second", "third", "fourth"}));
  ASSERT_EQ(again.read.scan.gaps.size(), 1u);
  EXPECT_EQ(again.read.scan.gaps[0].first, 1u);
  EXPECT_EQ(again.read.scan.gaps[0].last, 1u);
}

TEST(Wal, AnotherLogsFilesAreNotRead) {
  const SmallLog log(true);
  const auto disk = log.Copy();
  WalOptions options = SmallWal();
  options.identity = 99;
  WalRun run(*disk, options);
  EXPECT_TRUE(run.read.bodies.empty());
}

TEST(Wal, FilesWithOtherNamesAreLeftAlone) {
  SimDisk disk(1);
  std::vector<std::string> foreign;
  for (const char* name : {"00000:.wal", "0000a1.wal", "abcdef.wal", "-00001.wal", "000 01.wal", "00001.wal",
                           "0000001.wal", "000001.wa", "000001.wam", "000001.wal~", "9", ".wal", "notes"}) {
    foreign.push_back("wal/" + std::string(name));
  }
  ASSERT_TRUE(disk.MakeDirectory("wal").ok());
  for (const std::string& path : foreign) {
    const absl::StatusOr<Disk::File> file = disk.Open(path, FileUse::kWrite, true);
    ASSERT_TRUE(file.ok()) << file.status();
    disk.Close(*file);
  }
  WalRun run(disk);
  run.Put("one");
  run.Settle();
  const auto after = Crash(disk, 1, Survival::kEverything);
  WalRun again(*after);
  EXPECT_EQ(again.read.bodies, std::vector<std::string>{"one"});
  for (const std::string& path : foreign) EXPECT_TRUE(after->Has(path)) << path;
  // Files are numbered from one on: a foreign name has not been read as a number.
  EXPECT_TRUE(after->Has("wal/000001.wal"));
}

TEST(Wal, AnIdleLogWritesItsWatermarkOnceAndWantsNoMoreTicks) {
  SimDisk disk(9);
  WalRun run(disk);
  run.Put("first");
  run.Settle();
  for (int i = 0; i < 50; ++i) run.Turn(std::chrono::milliseconds(100));
  const uint64_t writes = disk.writes();
  for (int i = 0; i < 50; ++i) run.Turn(std::chrono::milliseconds(100));
  EXPECT_EQ(disk.writes(), writes);
  EXPECT_EQ(run.wal.NextTick(), Nanos::max());
  const auto after = disk.Survivor(1, Survival::kEverything);
  WalRun again(*after);
  EXPECT_EQ(again.read.scan.durable, 1u);
}

}  // namespace
}  // namespace millrace
