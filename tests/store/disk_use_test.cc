// SPDX-License-Identifier: Apache-2.0
// Goal: disk in use stays within its bounds, whatever is stored and given up: under load 2 x what is live + 2 x the
// log as
//       configured, ten quiet seconds later 1.3 x that + 2 x the log; the log alone is then what is configured.
// Method: a store on a SimDisk whose log is 3 x 128 KiB, ways to give messages up, the bound looked at after every
// turn.
#include "tests/proto/seeded.h"
#include "tests/store/disk_shop.h"

namespace millrace {
namespace {

constexpr uint64_t kLog = DiskShop::kWalFileBytes * DiskShop::kWalFiles;
constexpr Nanos kQuiet = std::chrono::seconds(10);
constexpr uint64_t kTurns = 400;  // of 4 KiB of messages: what is given up in one of them is not gone in the next

class DiskUseTest : public testing::Test {
 protected:
  DiskUseTest() : shop(disk, 64 << 10) {
    shop.after_turn = [this] {
      const bool over = disk.used_bytes() > 2 * shop.live_bytes() + 2 * kLog;
      turns_over_ = over ? turns_over_ + 1 : 0;
      if (turns_over_ > kTurns && over_.empty()) {
        over_ = std::to_string(disk.used_bytes()) + " bytes are in use under load\n" + shop.Listing();
      }
    };
  }
  void ExpectBounds() {
    EXPECT_EQ(over_, "");
    shop.after_turn = nullptr;
    shop.Turn();
    shop.Wait(kQuiet);
    EXPECT_LE(disk.used_bytes(), shop.live_bytes() * 13 / 10 + 2 * kLog) << shop.Listing();
    EXPECT_LE(shop.store->stats().log_file_bytes, kLog) << shop.Listing();
    EXPECT_FALSE(shop.store->HasWork());
    EXPECT_EQ(shop.store->NextTick(), Nanos::max()) << "nothing is left to do";
  }

  SimDisk disk{1};
  DiskShop shop;

 private:
  uint64_t turns_over_ = 0;
  std::string over_;
};

TEST_F(DiskUseTest, Purge) {
  StreamLog* log = shop.NewStream();
  shop.Fill(log, 4 << 20);
  ExpectBounds();
  log->Purge();
  ExpectBounds();
}

TEST_F(DiskUseTest, PurgeThatKeepsTen) {
  StreamLog* log = shop.NewStream();
  shop.Fill(log, 4 << 20);
  log->TrimBelow(log->state().last_seq - 9);
  ExpectBounds();
}

TEST_F(DiskUseTest, ExpiryWhileMessagesCome) {
  StreamLog* log = shop.NewStream();
  for (int i = 0; i < 20'000; ++i) {
    ASSERT_TRUE(shop.Publish(log, "s", 500));
    while (log->state().messages > 1000) log->TrimBelow(log->state().first_seq + 1);
  }
  ExpectBounds();
}

TEST_F(DiskUseTest, AcknowledgedAtRandom) {
  StreamLog* log = shop.NewStream();
  SeededRandom random(3);
  std::vector<uint64_t> open;
  for (int i = 0; i < 15'000; ++i) {
    ASSERT_TRUE(shop.Publish(log, "s", 500));
    open.push_back(log->state().last_seq);
    while (open.size() > 500) {
      std::swap(open[random.Below(open.size())], open.back());
      log->Remove(open.back(), StreamLog::Erase::kNo);
      open.pop_back();
    }
  }
  ExpectBounds();
}

TEST_F(DiskUseTest, EverySecondOneDeleted) {
  StreamLog* log = shop.NewStream();
  shop.Fill(log, 4 << 20);
  const uint64_t last = log->state().last_seq;
  for (uint64_t seq = 1; seq <= last; seq += 2) {
    log->Remove(seq, StreamLog::Erase::kNo);
    if (seq % 64 == 1) shop.Turn();
  }
  ExpectBounds();
}

TEST_F(DiskUseTest, KeysOverwritten) {
  StreamLog* log = shop.NewStream();
  SeededRandom random(5);
  for (int i = 0; i < 20'000; ++i) {
    const std::string subject = "k." + std::to_string(random.OneIn(5) ? random.Below(2000) : random.Below(50));
    ASSERT_TRUE(shop.Publish(log, subject, 400));
    const auto state = log->FindSubject(subject);
    if (state->messages > 1) log->Remove(state->first_seq, StreamLog::Erase::kNo);
  }
  ExpectBounds();
}

TEST_F(DiskUseTest, ObjectsReplaced) {
  StreamLog* log = shop.NewStream();
  uint64_t before = 0;
  for (int object = 0; object < 6; ++object) {
    const uint64_t first = log->state().last_seq + 1;
    for (int i = 0; i < 60; ++i) ASSERT_TRUE(shop.Publish(log, "o." + std::to_string(object), 16 << 10));
    std::vector<uint64_t> old;
    for (uint64_t seq = before; seq != 0 && seq < first; ++seq) old.push_back(seq);
    log->RemoveMany(old);
    before = first;
  }
  ExpectBounds();
}

TEST_F(DiskUseTest, StreamsDeleted) {
  StreamLog* stays = shop.NewStream();
  std::vector<StreamLog*> logs;
  for (int i = 0; i < 20; ++i) logs.push_back(shop.NewStream());
  for (int i = 0; i < 4000; ++i) {
    for (StreamLog* log : {logs[static_cast<size_t>(i) % logs.size()], stays}) ASSERT_TRUE(shop.Publish(log, "s", 500));
  }
  for (StreamLog* log : logs) shop.Delete(log);
  ExpectBounds();
}

TEST_F(DiskUseTest, ManySmallStreamsComeAndGo) {
  for (int round = 0; round < 40; ++round) {
    std::vector<StreamLog*> logs;
    for (int i = 0; i < 20; ++i) {
      logs.push_back(shop.NewStream());
      for (int n = 0; n < 10; ++n) ASSERT_TRUE(shop.Publish(logs.back(), "s", 300));
    }
    for (StreamLog* log : logs) shop.Delete(log);
    shop.Turn();
  }
  ExpectBounds();
}

TEST_F(DiskUseTest, ATrickleDoesNotKeepItBack) {
  StreamLog* log = shop.NewStream();
  shop.Fill(log, 4 << 20);
  log->Purge();
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(shop.Publish(log, "s", 100));
    shop.Turn();
    shop.Wait(std::chrono::milliseconds(500));
  }
  EXPECT_LE(disk.used_bytes(), shop.live_bytes() * 13 / 10 + 2 * kLog) << shop.Listing();
}

}  // namespace
}  // namespace millrace
