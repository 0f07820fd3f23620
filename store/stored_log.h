// SPDX-License-Identifier: Apache-2.0
// StoredLog: one stream's messages as recovery and checkpoints see them. StoredLogs: makes them, and owns what the logs
//            of a shard share (segments, caches). FileStreamLog and SegmentStore stand behind it;
//            tests have a small fake.
// Owner:  shard.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "proto/base/completion.h"
#include "proto/base/nanos.h"
#include "store/journal.h"
#include "store/stream_log.h"

namespace millrace {

class StoredLog {
 public:
  virtual ~StoredLog() = default;
  virtual StreamLog* log() = 0;

  // --- recovery, before anything else: Restore at most once, then Replay in the order of the journal.
  virtual absl::Status Restore(std::string_view checkpoint) = 0;
  // Ignores what the restored checkpoint contains already.
  virtual void Replay(RecordKind kind, std::string_view body) = 0;

  // --- checkpoint: Flush; when flushed(), EncodeCheckpoint; the result counts once a SyncAll that was asked for
  // afterwards has succeeded. It contains every record staged before Flush; of later ones all removals, and messages as
  // far as they are written.
  virtual bool dirty() const = 0;  // there is something that the last EncodeCheckpoint does not contain
  virtual void Flush() = 0;
  virtual bool flushed() const = 0;
  // Not flushed, and not for the disk's sake: work is under way that may be paused.
  virtual bool at_work() const { return false; }
  // Flush came during such work, which is over now: to be asked again.
  virtual bool flush_waits() const { return false; }
  // Something that Flush wants written has failed to be, and waits for another Flush.
  virtual bool stuck() const { return false; }
  virtual void EncodeCheckpoint(std::string* out) = 0;

  // There is nothing in it but what EncodeCheckpoint tells, at most its counters: while it is clean it may be
  // destroyed, and Restore makes another like it.
  virtual bool hollow() const { return false; }
};

// What is left of files under old keys, or under none (store_keys.h).
enum class OldKeys : uint8_t {
  kNone,
  kMoving,  // what lives in them is on its way out
  kMoved,   // nothing does; a checkpoint lets them go
};

// How much room the files of a shard's streams take up.
struct DiskUse {
  uint64_t file_bytes = 0;
  uint64_t live_bytes = 0;  // of them: what streams want; an estimate
  uint64_t held_bytes = 0;  // of them: what only checkpoints want; the next one gives it back
};

// What room is worth: how much of it may be dead before it is given back by writing anew what lives around it.
enum class Thrift : uint8_t {
  kBusy,   // there is other work: half of what lives
  kQuiet,  // there is none: a fifth
  kFull,   // messages are refused: as kQuiet, and only what fits into the room that is left, one file at a time
};

class StoredLogs {
 public:
  virtual ~StoredLogs() = default;
  // Memory streams too: of them nothing but log() is used.
  virtual std::unique_ptr<StoredLog> Create(uint64_t uid, const StreamLogOptions& options, Journal& journal) = 0;
  // The deletion is durable: the stream's files and blocks may go. Its StoredLog is gone already.
  virtual void Discard(uint64_t uid) = 0;
  // Recovery has created and replayed all streams that exist: what belongs to no stream is garbage.
  virtual void OnRecovered() = 0;
  // Before OnRecovered: some stream's metadata could not be read. Files that nobody knows are moved to quarantine then.
  virtual void KeepUnknown() {}
  // Everything written before this call reaches stable storage.
  virtual void SyncAll(Completion* completion) = 0;
  // What was encoded before the last SyncAll is what a restart begins with (true), or that checkpoint came to nothing
  // (false). Only after `true` may places go that earlier checkpoints refer to.
  virtual void OnCheckpointed(bool durable) = 0;
  virtual uint64_t freed_by_checkpoint() const { return 0; }  // of the disk, by OnCheckpointed(true) at this moment
  virtual void EndTurn() = 0;
  virtual bool idle() const = 0;  // no operation in flight
  virtual DiskUse disk_use() const { return {}; }
  virtual bool full() const { return false; }  // the last write met a full disk
  virtual void ForgetFull() {}                 // there is nothing that could not be written
  virtual void SetThrift(Thrift) {}
  virtual bool has_work() const { return false; }  // turns are wanted, because of kQuiet or kFull
  // Looks for damage; returns when it wants to be called again.
  virtual Nanos StepScrub(Nanos) { return Nanos::max(); }
  virtual OldKeys old_keys() const { return OldKeys::kNone; }
  // Counters agree with each other; cheap. Recount: and with what they are counters of, in all logs.
  virtual void Invariant() const {}
  virtual void Recount() const {}

  // Secure deletion (eraser.h): before the checkpoint that lets go of what was removed.
  virtual void PrepareSweep() {}
  // After it: what is dead in files where these streams have been becomes zeros.
  virtual void StartSweep(const std::vector<uint64_t>& /*uids*/) {}
  virtual bool Sweep() { return true; }               // goes on; true: all of it is written
  virtual bool SweepFailed() const { return false; }  // something of it could not be
  virtual void EndSweep() {}
};

}  // namespace millrace
