// SPDX-License-Identifier: Apache-2.0
// Goal: what a committed transaction put is there after a crash at any point, what was not committed is not, damage is
// reported and takes nothing else with it, and the file stays small.
// Method: a catalog on a SimDisk beside a map; a survivor of every boundary; every bit of a small catalog.
#include "store/shard/catalog.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <map>
#include <memory>

#include "tests/crash/sim_disk.h"
#include "tests/proto/seeded.h"

namespace millrace {
namespace {

using Contents = std::map<std::pair<CatalogKind, uint64_t>, std::string>;

void Drive(SimDisk& disk, Catalog& catalog) {
  while (catalog.busy()) {
    disk.RunCompletions();
    catalog.Step();
  }
}

// A new catalog with one committed entry.
std::unique_ptr<Catalog> WithOne(SimDisk& disk) {
  std::unique_ptr<Catalog> catalog = *Catalog::Open(disk, 5);
  catalog->Put(CatalogKind::kStreamConfig, 1, 1, "one");
  catalog->StartCommit(10, 2);
  Drive(disk, *catalog);
  return catalog;
}

Contents Load(Catalog& catalog) {
  Contents contents;
  EXPECT_TRUE(catalog
                  .Load([&](CatalogKind kind, uint64_t uid, Lsn, std::string_view blob) {
                    EXPECT_EQ(contents.count({kind, uid}), 0u);
                    contents[{kind, uid}] = std::string(blob);
                  })
                  .ok());
  return contents;
}

std::string Blob(SeededRandom& random, size_t bytes) {
  std::string blob(random.Below(bytes), ' ');
  for (char& c : blob) c = static_cast<char>('a' + random.Below(26));
  return blob;
}

TEST(Catalog, EveryCrashLeavesOneTransactionOrTheOther) {
  for (size_t round = 0; round < Rounds(10); ++round) {
    SeededRandom random(round);
    SimDisk disk(round);
    std::map<Lsn, Contents> committed;  // by replay_from
    Lsn started = 0;
    Lsn done = 0;
    committed[0] = {};
    bool opened = false;
    disk.on_boundary = [&] {
      const auto after = disk.Survivor(random.Next(), static_cast<Survival>(random.Below(3)));
      auto catalog = Catalog::Open(*after, 77);
      ASSERT_TRUE(catalog.ok()) << catalog.status();
      const Lsn lsn = (*catalog)->replay_from();
      ASSERT_GE(lsn, done);
      ASSERT_LE(lsn, started);
      ASSERT_TRUE((*catalog)->damage().empty()) << (*catalog)->damage()[0].what;
      ASSERT_EQ(Load(**catalog), committed.at(lsn));
      if (opened) {
        ASSERT_EQ((*catalog)->identity(), 5u);
      }
    };
    auto catalog = *Catalog::Open(disk, 5);
    opened = true;
    Contents now;
    for (int transaction = 1; transaction <= 30; ++transaction) {
      if (catalog->wants_compaction() || random.OneIn(6)) {
        catalog->StartCompaction();
        Drive(disk, *catalog);
        ASSERT_FALSE(catalog->failed());
      }
      const uint64_t puts = random.Below(30);
      for (uint64_t i = 0; i < puts; ++i) {
        const auto kind = static_cast<CatalogKind>(1 + random.Below(4));
        const uint64_t uid = 1 + random.Below(20);
        if (random.OneIn(4)) {
          catalog->Remove(kind, uid);
          now.erase({kind, uid});
        } else {
          now[{kind, uid}] = Blob(random, random.OneIn(20) ? 200'000 : 300);
          catalog->Put(kind, uid, started, now[{kind, uid}]);
        }
        if (random.OneIn(10)) {
          catalog->StartFlush();
          Drive(disk, *catalog);
        }
      }
      started = static_cast<Lsn>(transaction);
      committed[started] = now;
      catalog->StartCommit(started, 21);
      Drive(disk, *catalog);
      ASSERT_FALSE(catalog->failed());
      done = started;
    }
    EXPECT_LE(catalog->file_bytes(), 2 * catalog->live_bytes() + (4 << 20));
  }
}

// Another process on the same disk sees what no sync has made stable, and the log is recycled by what it reads.
TEST(Catalog, WhatAnotherProcessReadsSurvivesTheNextCrash) {
  uint64_t newer = 0;
  for (const bool compacts : {false, true}) {
    for (const bool fails : {false, true}) {
      for (uint64_t at = 0; at < 12; ++at) {
        SimDisk disk(1);
        std::unique_ptr<Catalog> catalog = WithOne(disk);
        if (fails) disk.FailSync(at, EIO);
        const uint64_t last = disk.boundary() + at;
        disk.on_boundary = [&] {
          if (!fails && disk.boundary() == last) disk.PullThePlug();
        };
        if (compacts) {
          catalog->StartCompaction();
          Drive(disk, *catalog);
        }
        if (!catalog->suspect()) {
          catalog->Put(CatalogKind::kStreamConfig, 1, 11, "two");
          catalog->StartCommit(20, 2);
          Drive(disk, *catalog);
        }
        catalog = nullptr;
        disk.on_boundary = nullptr;
        disk.PlugIn();
        disk.FailNothing();
        const auto next = *Catalog::Open(disk, 5);
        const auto after = disk.Survivor(1, Survival::kNothing);
        const auto found = Catalog::Open(*after, 5);
        ASSERT_TRUE(found.ok()) << found.status();
        EXPECT_EQ((*found)->replay_from(), next->replay_from()) << compacts << fails << at;
        EXPECT_EQ(Load(**found), Load(*next));
        // And what is built upon it.
        next->Put(CatalogKind::kStreamConfig, 1, 21, "three");
        if (next->suspect()) continue;
        next->StartCommit(30, 2);
        Drive(disk, *next);
        const auto end = disk.Survivor(1, Survival::kNothing);
        const auto later = Catalog::Open(*end, 5);
        ASSERT_TRUE(later.ok()) << later.status();
        EXPECT_EQ((*later)->replay_from(), 30u) << compacts << fails << at;
        newer += next->replay_from() == 30 ? 1 : 0;
      }
    }
  }
  EXPECT_GT(newer, 40u);
}

TEST(Catalog, AFailedWriteOrSyncDropsTheTransactionAndTheNextOneCompacts) {
  for (const bool sync : {false, true}) {
    for (uint64_t at = 0; at < 3; ++at) {
      SimDisk disk(1);
      std::unique_ptr<Catalog> catalog = WithOne(disk);
      if (sync) {
        disk.FailSync(at, EIO);
      } else {
        disk.FailWrite(at, EIO);
      }
      bool failed = false;
      for (int i = 0; i < 4; ++i) {
        if (catalog->wants_compaction()) {
          catalog->StartCompaction();
          Drive(disk, *catalog);
          if (catalog->failed()) continue;
        }
        catalog->Put(CatalogKind::kStreamConfig, 2, 1, "two" + std::to_string(i));
        catalog->StartCommit(11 + static_cast<Lsn>(i), 3);
        Drive(disk, *catalog);
        failed |= catalog->failed();
      }
      EXPECT_TRUE(failed);
      EXPECT_FALSE(catalog->failed());
      const auto after = disk.Survivor(1, Survival::kNothing);
      auto again = *Catalog::Open(*after, 9);
      EXPECT_EQ(again->replay_from(), 14u);
      const Contents contents = Load(*again);
      EXPECT_EQ(contents.at({CatalogKind::kStreamConfig, 1}), "one");
      EXPECT_EQ(contents.at({CatalogKind::kStreamConfig, 2}), "two3");
    }
  }
}

TEST(Catalog, EntriesThatShrinkAreCountedAndItStaysSmall) {
  SimDisk disk(1);
  auto opened = Catalog::Open(disk, 1);
  ASSERT_TRUE(opened.ok());
  Catalog& catalog = **opened;
  catalog.set_slack_bytes(64 << 10);
  const auto finish = [&] {
    while (catalog.busy()) {
      catalog.Step();
      disk.RunCompletions();
    }
  };
  for (uint64_t i = 0; i < 300; ++i) {
    if (catalog.wants_compaction()) {
      catalog.StartCompaction();
      finish();
    }
    catalog.Put(CatalogKind::kStreamState, 1, i, std::string(i % 2 == 0 ? 8000 : 100, 'x'));
    catalog.StartCommit(i, 2);
    finish();
    ASSERT_LE(catalog.live_bytes(), 8192u);
  }
  EXPECT_LT(catalog.file_bytes(), uint64_t{128} << 10);
}

TEST(Catalog, AFullDiskIsNoDamage) {
  SimDisk disk(1);
  auto catalog = *Catalog::Open(disk, 5);
  disk.set_capacity(disk.used_bytes());
  catalog->Put(CatalogKind::kStreamConfig, 1, 1, "one");
  catalog->StartCommit(10, 2);
  Drive(disk, *catalog);
  EXPECT_TRUE(catalog->failed());
  EXPECT_EQ(catalog->error(), ENOSPC);
  EXPECT_FALSE(catalog->wants_compaction());
  disk.set_capacity(UINT64_MAX);
  catalog->Put(CatalogKind::kStreamConfig, 1, 1, "one");
  catalog->StartCommit(10, 2);
  Drive(disk, *catalog);
  EXPECT_FALSE(catalog->failed());
}

TEST(Catalog, EveryBitFlipIsReportedOrHarmless) {
  SimDisk disk(3);
  Contents all;
  {
    auto catalog = *Catalog::Open(disk, 5);
    for (uint64_t transaction = 0; transaction < 3; ++transaction) {
      for (uint64_t uid = 1; uid <= 3; ++uid) {
        const uint64_t id = transaction * 3 + uid;
        all[{CatalogKind::kStreamConfig, id}] = std::string(50, static_cast<char>('a' + id));
        catalog->Put(CatalogKind::kStreamConfig, id, 1, all[{CatalogKind::kStreamConfig, id}]);
      }
      catalog->StartCommit(transaction + 1, 10);
      Drive(disk, *catalog);
    }
  }
  const std::string image = disk.Content("catalog/current");
  for (uint64_t offset = 0; offset < image.size(); ++offset) {
    if (image[offset] == '\0' && offset % 64 != 0) continue;  // padding, or a number's empty bytes: samples of them
    const auto copy = disk.Survivor(1, Survival::kEverything);
    copy->FlipBit("catalog/current", offset, static_cast<int>(offset % 8));
    auto catalog = Catalog::Open(*copy, 9);
    ASSERT_TRUE(catalog.ok()) << offset;
    const Contents contents = Load(**catalog);
    for (const auto& [key, blob] : contents) {
      ASSERT_TRUE(all.count(key) != 0 && all.at(key) == blob) << "made up, at " << offset;
    }
    if ((*catalog)->replay_from() < 3) continue;  // the newer root: the older one counts, the log has the rest
    if (contents.size() < all.size()) {
      EXPECT_FALSE((*catalog)->damage().empty()) << offset;
      EXPECT_GE(contents.size(), 6u) << offset;  // at most the one frame
      // It is put aside when it is replaced, not thrown away.
      (*catalog)->StartCompaction();
      Drive(*copy, **catalog);
      EXPECT_FALSE((*catalog)->failed());
      EXPECT_FALSE((*catalog)->wants_compaction());
      EXPECT_EQ(copy->List("quarantine")->size(), 1u);
      EXPECT_EQ(Load(**catalog), contents);
    }
  }
}

TEST(Catalog, BothRootsDamagedLeavesEveryWholeFrame) {
  SimDisk disk(3);
  {
    auto catalog = *Catalog::Open(disk, 5);
    for (uint64_t uid = 1; uid <= 3; ++uid) {
      catalog->Put(CatalogKind::kStreamConfig, uid, 1, "blob");
      catalog->StartCommit(uid, 10);
      Drive(disk, *catalog);
    }
  }
  disk.Overwrite("catalog/current", 0, std::string(8192, 'x'));
  auto catalog = *Catalog::Open(disk, 9);
  EXPECT_EQ(catalog->identity(), 5u);
  EXPECT_EQ(Load(*catalog).size(), 3u);
  EXPECT_FALSE(catalog->damage().empty());
  disk.Overwrite("catalog/current", 0, std::string(disk.Content("catalog/current").size(), 'x'));
  EXPECT_FALSE(Catalog::Open(disk, 9).ok());
}

TEST(Catalog, AHundredThousandStreamsLoadFast) {
  SimDisk disk(4);
  const std::string blob(500, 'c');
  {
    auto catalog = *Catalog::Open(disk, 5);
    for (uint64_t uid = 1; uid <= 100'000; ++uid) {
      catalog->Put(CatalogKind::kStreamConfig, uid, 1, blob);
      if (catalog->staged_bytes() > (4 << 20)) {
        catalog->StartFlush();
        Drive(disk, *catalog);
      }
    }
    catalog->StartCommit(1, 100'001);
    Drive(disk, *catalog);
  }
  const auto start = std::chrono::steady_clock::now();
  auto catalog = *Catalog::Open(disk, 9);
  size_t entries = 0;
  ASSERT_TRUE(catalog->Load([&](CatalogKind, uint64_t, Lsn, std::string_view) { ++entries; }).ok());
  const auto took = std::chrono::steady_clock::now() - start;
  EXPECT_EQ(entries, 100'000u);
  std::printf("100,000 entries of 500 B: %.0f ms\n", std::chrono::duration<double, std::milli>(took).count());
}

}  // namespace
}  // namespace millrace
