// SPDX-License-Identifier: Apache-2.0
// Goal: with a key nothing that users wrote can be found on the disk; another key, no key and a lost key file are
//       errors that change nothing; a key, a cipher and a plain store can be changed; bytes that were changed, moved or
//       put back in the clear are never served.
// Method: a ShardStore with a SegmentStore on a SimDisk, restarted with other keys; every byte of it flipped; blocks
//         swapped with right checksums. tests/crash has the crashes.
#include <gtest/gtest.h>

#include <cstring>
#include <set>

#include "store/segment/block.h"
#include "store/hash.h"
#include "store/segment/segment_store.h"
#include "store/shard/shard_store.h"
#include "store/keys/store_keys.h"
#include "store/log/wal_format.h"
#include "tests/crash/sim_disk.h"
#include "tests/proto/seeded.h"

namespace millrace {
namespace {

constexpr std::string_view kSecrets[] = {"STREAMNAME", "CONSUMERNAME", "subject.marker", "PAYLOADMARKER",
                                         "STATEMARKER"};

KeyOptions Key(std::string key, std::string prev_key = "", Cipher cipher = Cipher::kChaCha) {
  static SeededRandom random(99);
  KeyOptions options;
  options.key = std::move(key);
  options.prev_key = std::move(prev_key);
  options.cipher = cipher;
  options.kdf_passes = 1;
  options.kdf_memory_kib = 8;
  options.random = [](uint8_t* to, size_t bytes) {
    while (bytes-- > 0) *to++ = static_cast<uint8_t>(random.Next());
  };
  return options;
}

// A server's life with a store.
class Life : public ShardStoreListener, public ConsumerStateSource {
 public:
  Life(SimDisk& disk, const KeyOptions& key) : disk_(disk) { status = Open(key); }
  ~Life() override {
    disk_.PullThePlug();
    while (disk_.busy()) disk_.RunCompletions();
    disk_.PlugIn();
  }

  void Turns(int count) {
    while (count-- > 0) {
      now += std::chrono::milliseconds(1);
      disk_.RunCompletions();
      if (now >= store->NextTick()) store->OnTick(now);
      store->EndTurn(now);
    }
  }
  void Close() {
    store->StartClose();
    for (int i = 0; i < 5000 && !store->closed(); ++i) Turns(1);
    EXPECT_TRUE(store->closed());
  }
  // A stream with a consumer, and messages enough for blocks and a run in the segments.
  void Fill(int messages = 40, bool compress = true) {
    StreamLogOptions options;
    options.block_bytes = 4096;
    options.compress = compress;
    Lsn lsn = 0;
    StreamLog* log = store->CreateStream("STREAMNAME", options, &lsn);
    const uint64_t consumer = store->CreateConsumer(log->uid(), "CONSUMERNAME", &lsn);
    for (int i = 0; i < messages; ++i) Append(log);
    store->PutConsumerState(consumer, "STATEMARKER");
    Turns(20);
  }
  void Append(StreamLog* log) {
    StoredMessage message;
    message.seq = log->state().last_seq + 1;
    const std::string payload = "PAYLOADMARKER " + std::to_string(message.seq) + std::string(200, '.');
    message.payload = payload;
    message.subject = "subject.marker";
    log->Append(message);
  }
  StreamLog* log() {
    const auto& streams = store->recovered().streams;
    return streams.empty() ? nullptr : store->FindStream(streams[0].uid);
  }
  // How many messages can be read; each of them has to be right.
  int Readable() {
    int count = 0;
    if (log() == nullptr) return 0;
    for (uint64_t seq = log()->Next({}, 1); seq != 0; seq = log()->Next({}, seq + 1)) {
      StoredMessage message;
      LoadStatus found = log()->Load(seq, &message);
      for (int i = 0; i < 100 && found == LoadStatus::kPending; ++i) {
        Turns(1);
        found = log()->Load(seq, &message);
      }
      if (found != LoadStatus::kFound) continue;
      EXPECT_EQ(message.subject, "subject.marker");
      EXPECT_EQ(message.payload, "PAYLOADMARKER " + std::to_string(seq) + std::string(200, '.'));
      ++count;
    }
    return count;
  }
  void ExpectAll(int messages) {
    ASSERT_TRUE(status.ok()) << status;
    ASSERT_EQ(store->recovered().streams.size(), 1u);
    EXPECT_EQ(store->recovered().streams[0].config, "STREAMNAME");
    ASSERT_EQ(store->recovered().consumers.size(), 1u);
    EXPECT_EQ(store->recovered().consumers[0].config, "CONSUMERNAME");
    EXPECT_EQ(Readable(), messages);
    EXPECT_TRUE(damage.empty()) << damage[0];
  }

  void OnDurable(Lsn) override {}
  void OnStorage(StorageState, std::string_view) override {}
  void EncodeConsumer(uint64_t, std::string* out) override { *out = "STATEMARKER"; }

 private:
  absl::Status Open(const KeyOptions& key) {
    auto opened_keys = OpenStoreKeys(disk_, key);
    if (!opened_keys.ok()) return opened_keys.status();
    keys = *std::move(opened_keys);
    SegmentStoreOptions segments;
    segments.random = 7;
    segments.keys = keys.get();
    segments.on_damage = [this](std::string_view what) { damage.emplace_back(what); };
    auto opened_logs = SegmentStore::Open(disk_, segments);
    if (!opened_logs.ok()) return opened_logs.status();
    logs = *std::move(opened_logs);
    ShardStoreOptions options;
    options.random = 4711;
    options.wal_file_bytes = 64 << 10;
    options.reserve_bytes = 0;
    options.keys = keys.get();
    options.on_keys = [this](const absl::Status& finish) { finished = finish.ok(); };
    auto opened = ShardStore::Open(disk_, *logs, options);
    if (!opened.ok()) return opened.status();
    store = *std::move(opened);
    store->set_listener(this);
    store->set_consumers(this);
    return absl::OkStatus();
  }

  SimDisk& disk_;

 public:
  std::unique_ptr<StoreKeys> keys;
  std::unique_ptr<SegmentStore> logs;
  absl::Status status;
  std::unique_ptr<ShardStore> store;
  Nanos now{std::chrono::seconds(1)};
  std::vector<std::string> damage;
  bool finished = false;
};

std::vector<std::string> Found(const SimDisk& disk) {
  std::vector<std::string> found;
  for (const std::string& path : disk.Paths()) {
    for (const std::string_view secret : kSecrets) {
      if (disk.Content(path).find(secret) != std::string::npos) found.push_back(path + ": " + std::string(secret));
    }
  }
  return found;
}

std::set<std::string> Everything(const SimDisk& disk) {
  std::set<std::string> all;
  for (const std::string& path : disk.Paths()) all.insert(path + disk.Content(path));
  return all;
}

TEST(Encryption, NothingThatUsersWroteIsFoundOnTheDisk) {
  for (const Cipher cipher : {Cipher::kChaCha, Cipher::kAes}) {
    SimDisk disk(1);
    {
      Life life(disk, Key("secret", "", cipher));
      life.Fill();
      EXPECT_TRUE(Found(disk).empty()) << Found(disk)[0];
      life.Close();
      EXPECT_TRUE(Found(disk).empty()) << Found(disk)[0];
    }
    Life life(disk, Key("secret", "", cipher));
    life.ExpectAll(40);
    EXPECT_FALSE(life.keys->converting());
  }
}

TEST(Encryption, ThisTestWouldFindIt) {
  SimDisk disk(1);
  Life life(disk, Key(""));
  EXPECT_EQ(life.keys, nullptr);
  life.Fill();
  life.Close();
  std::set<std::string_view> seen;
  for (const std::string_view secret : kSecrets) {
    for (const std::string& found : Found(disk)) {
      if (found.find(secret) != std::string::npos) seen.insert(secret);
    }
  }
  EXPECT_EQ(seen.size(), std::size(kSecrets));
}

TEST(Encryption, WithoutAKeyTheBytesAreAsBefore) {
  SimDisk disk(1);
  Life life(disk, Key(""));
  life.Fill();
  life.Close();
  for (const std::string& path : disk.Paths()) EXPECT_NE(path.compare(0, 5, "keys/"), 0) << path;
}

TEST(Encryption, AnotherKeyIsAnErrorAndChangesNothing) {
  SimDisk disk(1);
  {
    Life life(disk, Key("right"));
    life.Fill();
  }
  const std::set<std::string> before = Everything(disk);
  {
    Life life(disk, Key("wrong"));
    EXPECT_EQ(life.status.message(), "the store is encrypted with another key");
  }
  {
    Life life(disk, Key("wrong", "wrong as well"));
    EXPECT_EQ(life.status.message(), "the store is encrypted with another key: neither key nor prev_key opens it");
  }
  {
    Life life(disk, Key("", "right"));
    EXPECT_EQ(life.status.message(), "the store is encrypted, and no key is configured");
  }
  EXPECT_EQ(Everything(disk), before);
  Life life(disk, Key("right"));
  life.ExpectAll(40);
}

TEST(Encryption, ALostOrDamagedKeyFileIsAnErrorAndChangesNothing) {
  SimDisk disk(1);
  {
    Life life(disk, Key("right"));
    life.Fill();
    life.Close();
  }
  const std::string content = disk.Content("keys/current");
  ASSERT_EQ(content.size(), 8192u);
  for (size_t offset = 0; offset < 4096; offset += offset < 256 ? 1 : 512) {  // one copy is enough
    disk.FlipBit("keys/current", offset, static_cast<int>(offset % 8));
    Life life(disk, Key("right"));
    EXPECT_TRUE(life.status.ok()) << offset << life.status;
    disk.FlipBit("keys/current", offset, static_cast<int>(offset % 8));
  }
  disk.FlipBit("keys/current", 100, 0);
  disk.FlipBit("keys/current", 4096 + 100, 0);
  {
    Life life(disk, Key("right"));
    EXPECT_EQ(life.status.message(), "keys/current is damaged: put a copy of it back");
  }
  ASSERT_TRUE(disk.Remove("keys/current").ok());
  const std::set<std::string> before = Everything(disk);
  {
    Life life(disk, Key("right"));
    EXPECT_EQ(life.status.message(), "the store is encrypted, and keys/current is missing: put it back");
  }
  {
    Life life(disk, Key(""));
    EXPECT_EQ(life.status.message(), "the store is encrypted, and no key is configured");
  }
  EXPECT_EQ(Everything(disk), before);
}

TEST(Encryption, AKeyFileOfAnotherStoreIsAnError) {
  SimDisk disk(1);
  SimDisk other(2);
  for (SimDisk* each : {&disk, &other}) {
    Life life(*each, Key("right"));
    life.Fill();
    life.Close();
  }
  disk.Overwrite("keys/current", 0, other.Content("keys/current"));
  Life life(disk, Key("right"));
  EXPECT_EQ(life.status.message(), "catalog/current is encrypted with a key that is not there");
}

TEST(Encryption, AKeyIsChangedWithThePreviousOne) {
  SimDisk disk(1);
  {
    Life life(disk, Key("first"));
    life.Fill();
    life.Close();
  }
  {
    Life life(disk, Key("second", "first"));
    life.ExpectAll(40);
    EXPECT_TRUE(life.keys->rotated());
    EXPECT_FALSE(life.keys->converting());  // the data keys are the same
  }
  {
    Life life(disk, Key("first"));
    EXPECT_FALSE(life.status.ok());
  }
  {
    Life life(disk, Key("second"));
    life.ExpectAll(40);
  }
  Life life(disk, Key("second", "first"));  // prev_key stays in the configuration
  life.ExpectAll(40);
  EXPECT_FALSE(life.keys->rotated());
}

// From plain to sealed, and from one cipher to the other: old bytes are read while they are written anew.
TEST(Encryption, WhatWasWrittenBeforeIsWrittenAnew) {
  SimDisk disk(1);
  {
    Life life(disk, Key(""));
    life.Fill();
    life.Close();
  }
  EXPECT_FALSE(Found(disk).empty());
  const auto convert = [&disk](const KeyOptions& key, int messages) {
    Life life(disk, key);
    life.ExpectAll(messages);
    EXPECT_TRUE(life.keys->converting());
    life.Append(life.log());
    for (int i = 0; i < 5000 && !life.finished; ++i) life.Turns(1);
    EXPECT_TRUE(life.finished);
    EXPECT_FALSE(life.keys->converting());
    EXPECT_EQ(life.Readable(), messages + 1);
    EXPECT_TRUE(Found(disk).empty()) << Found(disk)[0];
  };
  convert(Key("secret"), 40);
  convert(Key("secret", "", Cipher::kAes), 41);
  convert(Key("secret"), 42);
  {
    Life life(disk, Key(""));
    EXPECT_FALSE(life.status.ok());
  }
  Life life(disk, Key("secret"));
  life.ExpectAll(43);
}

TEST(Encryption, EveryFlippedByteIsNoticed) {
  for (const bool closed : {false, true}) {  // in the log; in the catalog and the segments
    SimDisk original(1);
    {
      Life life(original, Key("right"));
      life.Fill(6);
      if (closed) life.Close();
      life.Turns(200);  // the watermark as well
    }
    const auto disk = original.Survivor(1, Survival::kEverything);
    for (const std::string& path : disk->Paths()) {
      if (path.compare(0, 5, "keys/") == 0) continue;
      const std::string content = disk->Content(path);
      for (size_t offset = 0; offset < content.size(); ++offset) {
        const bool zeros = content.compare(offset, 64, std::string(64, '\0')) == 0;
        if (zeros && offset % 4093 != 0) continue;
        const auto copy = disk->Survivor(1, Survival::kEverything);
        copy->FlipBit(path, offset, static_cast<int>(offset % 8));
        Life life(*copy, Key("right"));
        ASSERT_TRUE(life.status.ok()) << path << " " << offset << life.status;
        const int readable = life.Readable();  // none of them is wrong
        if (readable == 6) continue;           // two roots, a watermark, a run that is made anew
        const bool said = !life.damage.empty() || !life.store->recovered().report.notes.empty();
        ASSERT_TRUE(said) << path << " " << offset;
      }
    }
  }
}

// What somebody puts there who can write to the disk and compute checksums, but has no key.
TEST(Encryption, BlocksAtAnotherPlaceDoNotOpen) {
  SimDisk disk(1);
  {
    Life life(disk, Key("right"));
    life.Fill(60, false);
    life.Close();
  }
  std::string path;
  for (const std::string& each : disk.Paths()) {
    if (each.compare(0, 9, "segments/") == 0) path = each;
  }
  const std::string content = disk.Content(path);
  uint64_t uuid;
  std::memcpy(&uuid, content.data() + 16, sizeof uuid);
  // Two blocks of the same size change places, each with the header that its new place wants.
  struct Place {
    size_t offset;
    BlockHeader header;
  };
  std::vector<Place> places;
  for (size_t at = 4096; at + sizeof(BlockHeader) < content.size(); at += 8) {
    BlockHeader header;
    std::memcpy(&header, content.data() + at, sizeof header);
    if (header.magic == kBlockMagic) places.push_back({at, header});
  }
  ASSERT_GE(places.size(), 2u);
  int tried = 0;
  for (size_t a = 0; a < places.size(); ++a) {
    for (size_t b = 0; b < places.size(); ++b) {
      if (a == b || places[a].header.stored_bytes != places[b].header.stored_bytes) continue;
      ++tried;
      const auto copy = disk.Survivor(1, Survival::kEverything);
      BlockHeader header = places[b].header;
      const std::string moved = content.substr(places[a].offset + sizeof header, header.stored_bytes);
      const uint64_t seed = uuid ^ places[b].offset * 0x9e3779b97f4a7c15;
      header.stored_hash = Hash64(moved, seed);
      header.header_hash =
          Hash64({reinterpret_cast<const char*>(&header), offsetof(BlockHeader, header_hash)}, seed);
      copy->Overwrite(path, places[b].offset, {reinterpret_cast<const char*>(&header), sizeof header});
      copy->Overwrite(path, places[b].offset + sizeof header, moved);
      Life life(*copy, Key("right"));
      EXPECT_LT(life.Readable(), 60);
      EXPECT_FALSE(life.damage.empty());
    }
  }
  // A plain block in a store that has none is no block either.
  const auto copy = disk.Survivor(1, Survival::kEverything);
  BlockHeader header = places[0].header;
  header.key_id = 0;
  header.header_hash = Hash64({reinterpret_cast<const char*>(&header), offsetof(BlockHeader, header_hash)},
                              uuid ^ places[0].offset * 0x9e3779b97f4a7c15);
  copy->Overwrite(path, places[0].offset, {reinterpret_cast<const char*>(&header), sizeof header});
  Life life(*copy, Key("right"));
  EXPECT_LT(life.Readable(), 60);
  EXPECT_FALSE(life.damage.empty());
  EXPECT_GT(tried, 0);
}

TEST(Encryption, ABatchOfTheLogDoesNotOpenElsewhere) {
  SimDisk disk(1);
  {
    Life life(disk, Key("right"));
    life.Fill(5);
    life.Turns(200);
  }
  const auto copy = disk.Survivor(1, Survival::kEverything);
  std::string path;
  for (const std::string& each : copy->Paths()) {
    if (each.compare(0, 4, "wal/") == 0 && copy->Content(each).find("MRWL") == 0) path = each;
  }
  const std::string content = copy->Content(path);
  WalBatchHeader header;
  std::memcpy(&header, content.data(), sizeof header);
  const uint64_t bytes = WalBatchBytes(header);
  // The first batch, moved behind everything else. Its checksums do not mind.
  copy->Overwrite(path, 0, std::string(bytes, '\0'));
  copy->Overwrite(path, 48 << 10, content.substr(0, bytes));
  Life life(*copy, Key("right"));
  ASSERT_TRUE(life.status.ok()) << life.status;
  EXPECT_TRUE(life.store->recovered().streams.empty());
  EXPECT_FALSE(life.store->recovered().report.notes.empty());
}

// The same bytes at the same place, twice: nothing of what is stored repeats.
TEST(Encryption, NothingIsSealedTheSameWayTwice) {
  SimDisk disk(1);
  auto keys = *OpenStoreKeys(disk, Key("right"));
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    if (i % 100 == 0) {
      keys = nullptr;
      keys = *OpenStoreKeys(disk, Key("right"));
    }
    char out[16 + kSealBytes];
    keys->Seal("here", "0123456789abcdef", 16, out);
    EXPECT_TRUE(seen.insert(std::string(out, 16)).second);
    EXPECT_TRUE(seen.insert(std::string(out + 16, kSessionBytes + 8)).second);
    char back[16];
    EXPECT_TRUE(keys->Open(keys->current(), "here", out, sizeof out, back));
    EXPECT_EQ(std::string(back, 16), "0123456789abcdef");
  }
}

}  // namespace
}  // namespace millrace
