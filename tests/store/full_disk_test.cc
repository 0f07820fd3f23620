// SPDX-License-Identifier: Apache-2.0
// Goal: a full disk ends: what makes room makes it now, by itself, also when not one byte is left; what refuses says
// so at
//       once, in words. Not one confirmed message is lost over it.
// Method: a store on a small SimDisk that is filled, emptied in each of the ways there are, and given two seconds.
#include <cerrno>

#include "tests/store/disk_shop.h"

namespace millrace {
namespace {

constexpr uint64_t kVolume = 3 << 20;
constexpr uint64_t kReserve = 128 << 10;
constexpr Nanos kSoon = std::chrono::seconds(2);

enum class Way { kPurge, kKeepTen, kDelete, kOneByOne };

void MakeRoom(DiskShop* shop, StreamLog* log, Way way) {
  switch (way) {
    case Way::kPurge:
      log->Purge();
      break;
    case Way::kKeepTen:
      log->TrimBelow(log->state().last_seq - 9);
      break;
    case Way::kDelete:
      shop->Delete(log);
      break;
    case Way::kOneByOne:
      while (log->state().messages > 0) {
        log->Remove(log->state().first_seq, StreamLog::Erase::kNo);
        if (log->state().messages % 64 == 0) shop->Turn();
      }
      break;
  }
  shop->Turn();
}

void ExpectRoomSoon(DiskShop* shop, SimDisk* disk, StreamLog* log, const std::string& how) {
  const Lsn staged = shop->store->staged();
  shop->Wait(kSoon);
  EXPECT_GE(shop->store->durable(), staged) << how;
  EXPECT_TRUE(shop->store->accepting()) << how << ": " << shop->whys.back() << "\n" << shop->Listing();
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(shop->Publish(log, "again", 500)) << how << " " << i;
  shop->Wait(std::chrono::milliseconds(100));
  EXPECT_EQ(shop->durable, shop->store->staged()) << how;
}

TEST(FullDisk, WhatMakesRoomMakesItNow) {
  for (const Way way : {Way::kPurge, Way::kKeepTen, Way::kDelete, Way::kOneByOne}) {
    for (const bool to_the_last_byte : {false, true}) {
      const std::string how =
          "way " + std::to_string(static_cast<int>(way)) + (to_the_last_byte ? ", to the last byte" : "");
      SimDisk disk(1);
      disk.set_capacity(kVolume);
      DiskShop shop(disk, kReserve);
      StreamLog* other = shop.NewStream();
      StreamLog* log = shop.NewStream();
      shop.Fill(other, 100 << 10);
      shop.FillTheDisk(log);
      if (to_the_last_byte) disk.set_capacity(disk.used_bytes());  // somebody else has taken the rest
      shop.Wait(std::chrono::seconds(1));
      EXPECT_FALSE(shop.store->accepting()) << how;
      MakeRoom(&shop, log, way);
      ExpectRoomSoon(&shop, &disk, other, how);
      EXPECT_EQ(other->state().messages, 205u + 200u) << how;
    }
  }
}

TEST(FullDisk, ARestartOnAFullDiskChangesNothingAboutThat) {
  for (const bool to_the_last_byte : {false, true}) {
    SimDisk first(1);
    first.set_capacity(kVolume);
    uint64_t uid = 0;
    uint64_t confirmed = 0;
    {
      DiskShop shop(first, kReserve);
      StreamLog* log = shop.NewStream();
      uid = log->uid();
      shop.FillTheDisk(log);
      shop.Wait(std::chrono::seconds(1));
      EXPECT_EQ(shop.durable, shop.store->staged());
      confirmed = log->state().messages;
    }
    const auto disk = first.Survivor(1, Survival::kEverything);
    if (to_the_last_byte) disk->set_capacity(disk->used_bytes());
    DiskShop shop(*disk, kReserve);
    StreamLog* log = shop.store->FindStream(uid);
    ASSERT_NE(log, nullptr);
    EXPECT_EQ(log->state().messages, confirmed);
    shop.FillTheDisk(log);
    log->Purge();
    shop.Turn();
    ExpectRoomSoon(&shop, disk.get(), log, to_the_last_byte ? "to the last byte" : "");
  }
}

TEST(FullDisk, ABoundedStreamOnASmallVolumeGoesOnForEver) {
  SimDisk disk(1);
  disk.set_capacity(kVolume);
  DiskShop shop(disk, kReserve);
  StreamLog* log = shop.NewStream();
  int refused = 0;
  for (int i = 0; i < 40'000; ++i) {
    if (!shop.Publish(log, "s", 1000)) {
      ++refused;
      shop.Wait(kSoon);
      ASSERT_TRUE(shop.store->accepting()) << i << ": " << shop.whys.back() << "\n" << shop.Listing();
    }
    while (log->state().bytes > (256 << 10)) log->TrimBelow(log->state().first_seq + 1);
  }
  EXPECT_EQ(refused, 0);
}

TEST(FullDisk, AVolumeThatIsTooSmallRefusesAtOnce) {
  for (const uint64_t bytes : {uint64_t{100} << 10, uint64_t{300} << 10, uint64_t{1} << 20}) {
    SimDisk disk(1);
    disk.set_capacity(bytes);
    DiskShop shop(disk, 2 << 20);
    StreamLog* log = shop.NewStream();
    shop.FillTheDisk(log);
    shop.Wait(kSoon);
    // What was admitted is confirmed, or it is known that nothing is.
    EXPECT_TRUE(shop.durable == shop.store->staged() || !shop.store->writable()) << bytes;
    for (const std::string& why : shop.whys) EXPECT_EQ(why.find("INTERNAL"), std::string::npos) << why;
  }
}

// All at once, between two turns: what is admitted then has room as well.
TEST(FullDisk, ABurstIsAdmittedForAsFarAsThereIsRoom) {
  for (const uint64_t volume : {uint64_t{500} << 10, uint64_t{980} << 10, uint64_t{3} << 20, uint64_t{12} << 20}) {
    for (const size_t message_bytes : {size_t{500}, size_t{8} << 10, size_t{100} << 10}) {
      if (8 * message_bytes > volume) continue;  // a volume for hardly one message
      const std::string how = std::to_string(volume) + " bytes, messages of " + std::to_string(message_bytes);
      SimDisk disk(1);
      disk.set_capacity(volume);
      DiskShop shop(disk, 2 << 20, message_bytes);
      StreamLog* log = shop.NewStream();
      for (int burst = 0; burst < 20; ++burst) {
        for (uint64_t sent = 0; sent < volume && shop.store->accepting(); sent += message_bytes) {
          shop.Append(log, "s", message_bytes);
        }
        shop.Wait(std::chrono::milliseconds(burst % 2 == 0 ? 1 : 500));
      }
      shop.Wait(kSoon);
      EXPECT_EQ(shop.durable, shop.store->staged()) << how << "\n" << shop.Listing();
      EXPECT_GT(log->state().messages, 0u) << how;
      log->Purge();
      ExpectRoomSoon(&shop, &disk, log, how);
    }
  }
}

TEST(FullDisk, WithoutFileHandlesMessagesAreRefusedUntilThereAreSome) {
  SimDisk disk(1);
  DiskShop shop(disk);
  StreamLog* log = shop.NewStream();
  shop.Fill(log, 10 << 10);
  disk.set_handles(false);
  shop.FillTheDisk(log);
  shop.Wait(kSoon);
  EXPECT_FALSE(shop.store->accepting());
  EXPECT_EQ(shop.durable, shop.store->staged()) << "what was admitted has room";
  ASSERT_FALSE(shop.whys.empty());
  EXPECT_NE(shop.whys.front().find("too many are open"), std::string::npos) << shop.whys.front();
  disk.set_handles(true);
  ExpectRoomSoon(&shop, &disk, log, "handles");
}

// A quota says nothing of itself: space is free, and writes fail.
TEST(FullDisk, BlocksThatMeetAQuotaStopMessages) {
  SimDisk disk(1);
  DiskShop shop(disk);
  StreamLog* log = shop.NewStream();
  shop.Fill(log, 10 << 10);
  disk.set_quota_on("segments/");
  shop.FillTheDisk(log);
  disk.set_quota_on("");
  log->Purge();
  ExpectRoomSoon(&shop, &disk, log, "quota");
}

}  // namespace
}  // namespace millrace
