// SPDX-License-Identifier: Apache-2.0
// Eraser: secure deletions: what a removal took out of a stream is nowhere on the disk afterwards.
// Owner:  shard.  A pass serves all who have asked before it begins; it goes on a little per turn, beside everything
//         else.
// A message may stand in its block, where that block was before it moved, and in the log: its batch, and whatever a
// file that is used again still has of it. Nothing that a restart would read is written over: a checkpoint makes it
// worthless first. So a crash at any point leaves the removal whole or not begun, and text at most until somebody is
// told.
//
// step         waits until                                    then
// kIdle        somebody asks                                  zeros go over files of the log that are not in use
// kLeave       the removals are durable, a file is clean      the log leaves its file for that one; wants a checkpoint
// kCheckpoint  one that began since then is done              zeros go over the files left, and dead parts of segments
// kOverwrite   they are written, no checkpoint runs           syncs; no checkpoint goes on meanwhile
// kSync        they are on stable storage                     kIdle; who asked is told
// A pass that fails begins anew after a second, and later each time. A restart ends it: who has not been told cannot
// rely on it.
#pragma once

#include <cstdint>
#include <vector>

#include "proto/base/completion.h"
#include "proto/base/nanos.h"
#include "store/shard/checkpoint.h"
#include "store/stored_log.h"
#include "store/log/write_ahead_log.h"

namespace millrace {

class Eraser {
 public:
  Eraser(WriteAheadLog& wal, StoredLogs& logs, Checkpoint& checkpoint);

  // For what was removed from this stream until now; the ticket is done when done() has reached it.
  uint64_t Ask(uint64_t uid);
  uint64_t done() const { return done_; }

  void Step(Nanos now);
  bool has_work() const { return more_; }      // true: run another turn without waiting
  bool idle() const { return !sync_.busy(); }  // no operation in flight
  // Tickets are done in the order in which they were given, and each waits in one list.
  void Invariant() const;
  Nanos retry_at() const { return asked_ == done_ ? Nanos::max() : retry_at_; }  // Nanos::max(): waits for others

 private:
  enum class Phase : uint8_t { kIdle, kLeave, kCheckpoint, kOverwrite, kSync };

  void StepPass(Nanos now);
  void Begin();
  void Again();
  void Fail(Nanos now);
  void OnSynced(const IoResult& result);

  WriteAheadLog& wal_;
  StoredLogs& logs_;
  Checkpoint& checkpoint_;
  Phase step_ = Phase::kIdle;
  uint64_t asked_ = 0;
  uint64_t done_ = 0;
  uint64_t serves_ = 0;           // this pass: tickets up to here
  std::vector<uint64_t> asking_;  // streams, of the tickets behind serves_
  std::vector<uint64_t> streams_;
  Lsn cut_ = 0;                   // the removals are in the log up to here
  uint64_t checkpoint_number_ = 0;
  Nanos retry_at_ = Nanos::max();
  uint32_t failures_ = 0;         // in a row
  bool more_ = false;
  Completion sync_;
  bool sync_failed_ = false;
};

}  // namespace millrace
