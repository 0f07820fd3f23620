// SPDX-License-Identifier: Apache-2.0
// WalRun: a write-ahead log on a SimDisk, driven by turns, and what a restart reads back.
// Owner:  caller (a test).
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "store/log/wal_recovery.h"
#include "store/log/write_ahead_log.h"
#include "tests/crash/sim_disk.h"

namespace millrace {

inline constexpr uint64_t kIdentity = 0x1234567890abcdef;

inline WalOptions SmallWal() {
  WalOptions options;
  options.identity = kIdentity;
  options.file_bytes = 64 << 10;
  options.files_keep = 3;
  options.buffer_bytes = 8 << 10;
  options.batch_bytes = 32 << 10;
  options.congested_bytes = 64 << 10;
  options.reserve_bytes = 0;
  return options;
}

struct ReadBack {
  std::vector<std::string> bodies;
  std::vector<uint64_t> objects;
  WalScan scan;
};

// Opens the log on `disk` and replays it from `from`.
class WalRun : public WalListener {
 public:
  explicit WalRun(SimDisk& disk, const WalOptions& options = SmallWal(), Lsn from = 0)
      : disk_(disk), wal(disk, options, this) {
    EXPECT_TRUE(wal.Open().ok());
    absl::StatusOr<WalScan> scan = ScanWal(disk, wal.files(), options.identity, from, nullptr, nullptr);
    EXPECT_TRUE(scan.ok());
    read.scan = *std::move(scan);
    std::string payload;
    for (const WalBatch& batch : read.scan.batches) {
      EXPECT_TRUE(ReadWalPayload(disk, batch, options.identity, &payload).ok());
      std::string_view rest = payload;
      WalRecord record;
      Lsn lsn = batch.header.lsn;
      while (NextWalRecord(&rest, &record)) {
        if (lsn++ <= from) continue;
        read.bodies.emplace_back(record.body);
        read.objects.push_back(record.object);
      }
      EXPECT_EQ(lsn, batch.header.last_lsn() + 1);
    }
    wal.files().DropUnfinished();
    wal.Start(read.scan.highest, read.scan.end, read.scan.epoch + 1, read.scan.file_seq + 1);
  }
  ~WalRun() override { Stop(); }

  void Stop() {
    disk_.PullThePlug();
    while (disk_.busy()) disk_.RunCompletions();
  }

  Lsn Put(std::string_view body, uint64_t object = 7) { return wal.Append(RecordKind::kAppend, object, {body}); }
  void Turn(Nanos passed = Nanos{0}) {
    now += passed;
    disk_.RunCompletions();
    if (now >= wal.NextTick()) wal.OnTick(now);
    wal.EndTurn(now);
    wal.Invariant();
  }
  // Until everything that was staged is durable, or nothing moves any more.
  void Settle(int turns = 2000) {
    while (turns-- > 0 && (!wal.idle() || disk_.busy())) Turn();
  }

  void OnWalDurable(Lsn durable) override { reported = durable; }
  void OnWalState(WalState state, const std::string& why) override {
    states.push_back(state);
    whys.push_back(why);
  }

 private:
  SimDisk& disk_;

 public:
  ReadBack read;
  WriteAheadLog wal;
  Nanos now{std::chrono::seconds(5)};
  Lsn reported = 0;
  std::vector<WalState> states;
  std::vector<std::string> whys;
};

}  // namespace millrace
