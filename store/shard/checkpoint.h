// SPDX-License-Identifier: Apache-2.0
// Checkpoint: moves the state of a shard into the catalog, so that the log before it may be recycled.
// Owner:  shard.  A little per turn; the shard serves meanwhile.
// A fuzzy one: `bound` is what was durable when it began, and every record up to there is in what the catalog then has.
// Each object is encoded at its own moment and carries that position; replaying skips what it contains. What is encoded
// may run ahead of what is durable in the log: positions are never given twice, so a crash merely keeps a change that
// nobody was promised. But a stream's state has all removals and not the newest messages, which are still on their way
// out: without them it would be no state that ever was (a key's old value gone, its new one not there). The root
// therefore waits until the log holds them. A deletion that the log does not hold yet is in the catalog itself, lest
// what the log says of the object before it makes an empty one.
//
// A full disk: a stream whose blocks cannot be written keeps the state that the catalog has. The log is not recycled
// then (the root's replay_from stays), but what the other streams have given up goes, and makes the room that was
// missing.
//
// step      does                                                    then
// kIdle     waits to be wanted                                      kCompact or kFlush
// kCompact  the catalog moves to a new file                         kFlush, failure: kIdle and again later
// kFlush    the next group of streams pushes its blocks out         kEncode
// kEncode   waits for them; stages their state, then consumers'     kSync; they cannot be written: kIdle, again later
// kSync     waits for the segments to be on stable storage          kWrite
// kWrite    waits for the group's frames to be written              kFlush, or kSettle after the last group
// kSettle   waits until the log holds what the states leave out     kCommit; the log is full: kIdle and anew
// kCommit   waits for the catalog's root                            kIdle
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "proto/base/completion.h"
#include "proto/base/nanos.h"
#include "store/shard/catalog.h"
#include "store/shard/shard_objects.h"
#include "store/shard/shard_store.h"
#include "store/log/write_ahead_log.h"

namespace millrace {

class Checkpoint {
 public:
  Checkpoint(Catalog& catalog, WriteAheadLog& wal, StoredLogs& logs, ShardObjects& objects,
             const ShardStoreOptions& options);

  void set_consumers(ConsumerStateSource* consumers) { consumers_ = consumers; }
  void Want() { wanted_ = true; }
  void RetryNow() { retry_at_ = Nanos{0}; }  // what has failed may succeed by now
  bool wanted() const { return wanted_; }
  // Goes on; false: there is nothing to do, or something to wait for.
  void Step(Nanos now);
  bool has_work() const;
  bool running() const { return step_ != Phase::kIdle; }
  bool in_flight() const { return sync_.busy() || !catalog_.idle(); }
  Nanos retry_at() const {
    if (step_ == Phase::kEncode) return flush_again_at_;
    return wanted_ && step_ == Phase::kIdle ? retry_at_ : Nanos::max();
  }
  // Gives what went wrong, once.
  std::string TakeError() { return std::exchange(error_, {}); }

  uint64_t count() const { return count_; }
  // How many have begun, and the last of them that is done: a restart reads nothing of the log before it began.
  uint64_t begun() const { return begun_; }
  uint64_t succeeded() const { return succeeded_; }
  uint64_t failures() const { return failures_; }
  uint64_t partial_count() const { return partial_count_; }  // left a stream out; not all of them are in count()
  uint64_t written_at_last() const { return written_at_last_; }
  uint64_t cost_bytes() const { return cost_bytes_; }  // what the last one wrote into the catalog
  // Between two calls: the cursors stay within their lists, positions within the log, and an idle one has nothing in
  // its hands.
  void Invariant() const;

 private:
  enum class Phase : uint8_t { kIdle, kCompact, kFlush, kEncode, kSync, kWrite, kSettle, kCommit };
  struct Flushed {
    uint64_t uid;
    Lsn lsn;
    size_t index;  // in streams_
  };

  void SetStep(Phase step);
  void Begin();
  void FlushGroup();
  void EncodeGroup();
  void EncodeConsumers();
  bool LeavesOut(const StoredStream& stream) const;
  bool Pays() const;
  void Commit();
  void Succeed();
  void Abort(std::string why);
  void PutBack();
  void ForgetWork();
  void OnSynced(const IoResult& result);

  Catalog& catalog_;
  WriteAheadLog& wal_;
  StoredLogs& logs_;
  ShardObjects& objects_;
  const uint64_t group_bytes_;
  const uint32_t slice_;
  ConsumerStateSource* consumers_ = nullptr;

  Phase step_ = Phase::kIdle;
  bool wanted_ = false;
  Nanos now_{0};
  Nanos retry_at_{0};
  Nanos flush_again_at_ = Nanos::max();
  uint32_t flush_tries_ = 0;
  Lsn bound_ = 0;
  Lsn settled_at_ = 0;  // what the encoded states leave out is in the log up to here
  uint64_t begun_at_ = 0;  // wal_.written_bytes()
  std::vector<uint64_t> streams_;    // to look at
  std::vector<uint64_t> consumers_todo_;
  std::vector<DeletedObject> removing_;
  size_t next_stream_ = 0;
  size_t next_consumer_ = 0;
  std::vector<Flushed> group_;
  size_t encoded_ = 0;  // of group_
  std::string blob_;
  // What this checkpoint has taken out of the dirty state; put back when it fails.
  struct Taken {
    uint64_t uid;
    Lsn lsn;  // configuration: its version
    enum class What : uint8_t { kStreamConfig, kStreamState, kConsumerConfig, kConsumerState } what;
  };
  std::vector<Taken> taken_;
  Completion sync_;
  bool sync_failed_ = false;
  int sync_error_ = 0;
  std::string error_;
  uint64_t count_ = 0;
  uint64_t begun_ = 0;
  uint64_t succeeded_ = 0;
  uint64_t failures_ = 0;
  uint64_t partial_count_ = 0;
  bool partial_ = false;
  uint64_t written_at_last_ = 0;
  uint64_t catalog_at_begin_ = 0;
  uint64_t cost_bytes_ = 0;
};

}  // namespace millrace
