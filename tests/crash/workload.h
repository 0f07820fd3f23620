// SPDX-License-Identifier: Apache-2.0
// Workload: seeded operations on a ShardStore, and an oracle that knows what each crash may leave.
// Owner:  caller (a test).
// Oracle: what a restart finds of an object is its state after some prefix of the operations on it, and that prefix
//         holds every operation that had been reported durable. Nothing else of the shard matters to it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "store/shard/shard_store.h"
#include "tests/crash/fake_logs.h"
#include "tests/crash/sim_disk.h"
#include "tests/proto/seeded.h"

namespace millrace {

ShardStoreOptions SmallStore();

class Workload : public ShardStoreListener, public ConsumerStateSource {
 public:
  // `real`: with SegmentStore and FileStreamLog, otherwise with FakeLogs (faster, and exact about the rest).
  Workload(uint64_t seed, bool real)
      : random_(seed),
        rest_random_(~seed),
        process_random_(seed ^ 0x5eed),
        kill_random_(seed + 9),
        erase_random_(seed + 77),
        real_(real) {}

  // Opens the store on `disk` and runs `operations`, checking a survivor at every boundary. Then crashes, and the next
  // call goes on with what survived. Returns false at the first disagreement (see failure()).
  bool Life(uint64_t operations);

  const std::string& failure() const { return failure_; }
  uint64_t boundaries() const { return boundaries_; }
  uint64_t checkpoints() const { return checkpoints_; }
  uint64_t failures() const { return failed_; }
  uint64_t erased() const { return erased_; }  // securely
  uint64_t acknowledged() const { return acknowledged_; }
  uint64_t scrubbed_bytes() const { return scrubbed_bytes_; }

  // Single writes and syncs fail now and then.
  void set_faults(bool on) { faults_ = on; }
  // The disk is small, and full now and then; two seconds after everything was purged messages are taken again.
  void set_full(bool on) { full_ = on; }
  uint64_t met_full() const { return met_full_; }
  // Which boundaries are checked: every n-th.
  void set_every(uint64_t n) { every_ = n; }
  // The first life writes plain bytes; the second one encrypts them, the third one has another key, the fourth another
  // cipher, and so on. What was written before is written anew meanwhile; when that is done no byte of it is left.
  void set_encrypt(bool on) { encrypt_ = on; }
  // Other processes try to open the store while it is in use, and some lives end in lame duck mode: the next process
  // waits for the store, gets it when all is closed, and goes on with the disk as it is. Others end with kill -9, and
  // the next process goes on at once.
  void set_processes(bool on) { processes_ = on; }
  uint64_t handed_over() const { return handed_over_; }
  uint64_t killed() const { return killed_; }
  uint64_t refused() const { return refused_; }
  uint64_t finished() const { return finished_; }  // lives that ended with nothing under old keys

 private:
  struct Version {  // of an object, after an operation
    Lsn lsn;
    uint64_t digest;  // of a stream's messages; a consumer's value
    bool deleted = false;
    uint64_t config = 0;
  };
  struct Object {
    bool stream = true;
    bool memory = false;
    uint64_t stream_uid = 0;
    std::vector<Version> history;
  };

  void OnDurable(Lsn durable) override { durable_ = durable; }
  void OnStorage(StorageState state, std::string_view why) override;
  void EncodeConsumer(uint64_t uid, std::string* out) override;

  bool Lock(Disk& disk);
  void Intrude();
  void HandOver();
  void Kill();
  void EndProcess();
  void Operate();
  void OperateOnFullDisk();
  void PurgeEverything();
  void MaybeRest(uint64_t stream);
  void MaybeErase(StreamLog* log, uint64_t seq);
  void LookForErased(const SimDisk& disk);
  void Turn();
  void OnBoundary();
  bool Check(SimDisk& disk, const char* when);
  bool CheckFound(ShardStore* store, const char* when);
  static uint64_t DigestOf(StreamLog* log);  // of the messages and of last_seq
  KeyOptions Keys();
  bool OpenKeys(Disk& disk, std::unique_ptr<StoreKeys>* keys);
  std::unique_ptr<StoredLogs> OpenLogs(Disk& disk, StoreKeys* keys);
  void LookForPlainBytes();
  void Record(uint64_t uid, Lsn lsn, uint64_t digest, bool deleted);
  void Adopt();
  bool Fail(std::string what);
  uint64_t Pick(bool stream);
  std::string Config(uint64_t version) const { return "config " + std::to_string(version); }

  SeededRandom random_;
  SeededRandom rest_random_;  // of its own: what else a seed does stays as it was
  SeededRandom process_random_;  // the same
  SeededRandom kill_random_;
  SeededRandom erase_random_;
  // Secure deletions: what stood at the beginning of the payload.
  struct Erasure {
    uint64_t ticket;
    std::string text;
  };
  std::vector<Erasure> erasing_;
  std::vector<std::string> gone_;  // their text is nowhere any more: the last ones
  uint64_t erased_ = 0;
  uint64_t texts_ = 0;
  const bool real_;
  std::unique_ptr<SimDisk> disk_ = std::make_unique<SimDisk>(1);
  std::unique_ptr<Disk> process_;  // the disk as the process of this life has it
  std::unique_ptr<Disk> next_;     // that of the next one, which has the store already
  std::unique_ptr<StoreKeys> keys_;
  std::unique_ptr<StoredLogs> logs_;
  std::unique_ptr<ShardStore> store_;
  std::map<uint64_t, Object> objects_;
  std::map<uint64_t, uint64_t> values_;  // of consumers, now
  Lsn durable_ = 0;
  Nanos now_{std::chrono::seconds(1)};
  uint64_t turns_ = 0;
  uint64_t configs_ = 0;
  uint64_t boundaries_ = 0;
  uint64_t checkpoints_ = 0;
  uint64_t acknowledged_ = 0;
  uint64_t every_ = 1;
  bool faults_ = false;
  bool full_ = false;
  uint64_t met_full_ = 0;
  bool encrypt_ = false;
  bool processes_ = false;
  uint64_t handed_over_ = 0;
  uint64_t killed_ = 0;
  uint64_t refused_ = 0;
  uint64_t lives_ = 0;
  uint64_t finished_ = 0;
  uint64_t scrubbed_bytes_ = 0;
  uint64_t failed_ = 0;
  bool checking_ = false;
  std::string failure_;
};

}  // namespace millrace
