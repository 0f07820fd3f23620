// SPDX-License-Identifier: Apache-2.0
// WriteAheadLog: the journal of a shard on disk. What is staged during a flush is the next flush (group commit without
//                a delay timer); one write with its flush is in flight at a time, so that a batch on disk proves that
//                its predecessor was flushed, and recovery can tell a torn tail from damage.
// Owner:  shard.  Append copies into a buffer and never waits; EndTurn submits.
// Batches are aligned and never overwrite each other: a torn write cannot reach an acknowledged record.
// Memory: two buffers of 64 KiB, growing to batch_bytes under load; more of them only while the disk falls behind
//         (Congested() tells), given back when the shard falls idle.
//
// state      event                        becomes
// kOk        no file can be made: full    kFull     (messages refused; what was admitted is kept and written)
// kOk        little free space            kFull     (looked at once a second, and for every eighth of the reserve)
// kOk        a turn stages too much       kOk       (messages refused until it is written and the space is looked at)
// kOk        write or flush fails         kOk       (file sealed; the same batch goes to another file from its buffer)
// kOk,kFull  that write fails as well     kFailed   (nothing is written any more)
// kFull      room again                   kOk
#pragma once

#include <deque>
#include <initializer_list>
#include <memory>
#include <string>
#include <utility>

#include "proto/base/bytes.h"
#include "proto/base/check.h"
#include "proto/base/nanos.h"
#include "store/disk.h"
#include "store/journal.h"
#include "store/log/wal_buffer.h"
#include "store/log/wal_files.h"
#include "store/log/wal_format.h"
#include "store/log/wal_seal.h"

namespace millrace {

struct WalOptions {
  uint64_t identity = 0;  // of this log: seeds every checksum
  uint64_t file_bytes = 16 << 20;
  uint32_t files_keep = 3;
  uint64_t congested_bytes = 4 << 20;
  uint64_t reserve_bytes = 32 << 20;
  uint64_t floor_bytes = 0;  // of free space: the log takes none of it
  size_t buffer_bytes = 64 << 10;
  size_t batch_bytes = 1 << 20;
  StoreKeys* keys = nullptr;  // that seal it
};

enum class WalState : uint8_t { kOk, kFull, kFailed };

class WalListener {
 public:
  virtual ~WalListener() = default;
  virtual void OnWalDurable(Lsn durable) = 0;
  virtual void OnWalState(WalState state, const std::string& why) = 0;  // also for errors that were made good
};

class WriteAheadLog final : public Journal {
 public:
  WriteAheadLog(Disk& disk, const WalOptions& options, WalListener* listener);
  ~WriteAheadLog() override;

  // Blocking, at start: finds the files; ScanWal (wal_recovery.h) then reads them and says where the log goes on.
  absl::Status Open() { return files_.Open(); }
  WalFiles& files() { return files_; }
  const WalFiles& files() const { return files_; }
  // Then looks at the space that is left, with the first tick.
  // `last`: the highest position ever given; `previous`: the last one whose record exists, or is known to have existed.
  void Start(Lsn last, Lsn previous, uint32_t epoch, uint32_t next_file_seq);

  // --- Journal
  Lsn Append(RecordKind kind, uint64_t object, std::initializer_list<std::string_view> parts) override {
    size_t bytes = kWalRecordHeaderBytes;
    for (const std::string_view part : parts) bytes += part.size();
    if (filling_->used + bytes > filling_->capacity) [[unlikely]] MakeRoom(bytes);
    WalBuffer& buffer = *filling_;
    MR_DCHECK(buffer.used + bytes <= buffer.capacity);
    char* to = PutWalRecordHeader(buffer.data + buffer.used, kind, object, bytes - kWalRecordHeaderBytes);
    for (const std::string_view part : parts) to = CopyBytes(to, part);
    buffer.used += bytes;
    ++buffer.records;
    return ++staged_;
  }
  // A batch is whole on disk or not there at all: it is enough to keep the records in one.
  void BeginAtomic() override {
    MR_CHECK(!atomic_);
    atomic_ = true;
  }
  void EndAtomic() override {
    MR_CHECK(atomic_);
    atomic_ = false;
  }
  Lsn staged() const override { return staged_; }
  Lsn durable() const override { return durable_; }
  bool accepting() const override { return state_ == WalState::kOk && WithinRoom(); }

  // --- turns
  void EndTurn(Nanos now);  // submits what was staged, if nothing is in flight
  void OnTick(Nanos now);
  Nanos NextTick() const;
  bool Congested() const { return waiting_bytes_ + filling_->used > congested_bytes_; }
  // The next batch goes to another file. False: not now, one is on its way.
  bool LeaveFile() {
    if (flight_.busy() || flying_ != nullptr) return false;
    current_ = nullptr;
    return true;
  }
  // Nothing is under way, and nothing will be before there is room on the disk.
  bool stuck() const {
    return state_ == WalState::kFull && !flight_.busy() && !files_.preparing() && !files_.cleaning();
  }
  bool idle() const {
    const bool busy = flight_.busy() || files_.preparing() || files_.cleaning();
    return !busy && (failed() || staged_ == durable_);
  }

  WalState state() const { return state_; }
  bool failed() const { return state_ == WalState::kFailed; }
  // Nothing up to `lsn` is needed any more: files are recycled.
  void Recycle(Lsn lsn);
  // There may be more space than a moment ago, or less: looks at it with the next tick.
  void LookAtSpace() {
    files_.RetryNow();
    check_at_ = now_;
  }
  // Blocks of messages meet a full disk, whatever the space that is said to be free (a quota).
  void NoteBlocksFull(bool full) {
    if (std::exchange(blocks_full_, full) != full) LookAtSpace();
  }
  // Full, and what was staged has no place in the log.
  bool starved() const { return state_ == WalState::kFull && starved_; }

  size_t file_count() const { return files_.files().size(); }
  uint64_t flushes() const { return flushes_; }
  uint64_t written_bytes() const { return written_bytes_; }  // grows for ever

  // After Start, between two calls: every staged record is in one buffer or durable, and positions, bytes and files
  // agree with that. The files' too.
  void Invariant() const;

 private:
  void MakeRoom(size_t bytes);
  bool WithinRoom() const { return written_bytes_ + waiting_bytes_ + filling_->used <= admitted_end_; }
  void Submit();
  bool FindPlace(uint64_t bytes);
  void OnWritten(const IoResult& result);
  void OnFailure(int error);
  void OpenFlying();
  void WriteWatermark();
  void OnWatermark(const IoResult& result);
  void CheckSpace();
  void Admit(const absl::StatusOr<uint64_t>& free_bytes);
  // None is ready, or none that is large enough, and none can be made.
  bool NoFile() const { return (files_.full() || files_.failing()) && (starved_ || !files_.HasReady()); }
  void SetState(WalState state, const std::string& why);
  WalBatchHeader NextHeader(Lsn first, uint32_t records, uint32_t payload_bytes) const;

  Disk& disk_;
  WalListener* const listener_;
  const uint64_t identity_;
  const WalSeal seal_;
  const uint64_t congested_bytes_;
  const uint64_t reserve_bytes_;
  WalFiles files_;
  WalBufferPool pool_;
  uint32_t epoch_ = 0;

  // hot
  std::unique_ptr<WalBuffer> filling_;
  bool atomic_ = false;  // the filling buffer grows instead of being full
  Lsn staged_ = 0;
  Lsn durable_ = 0;
  Lsn previous_ = 0;  // last position that was written, or skipped on purpose, before the batch to be submitted next
  uint64_t waiting_bytes_ = 0;  // in waiting_ and flying_

  std::deque<std::unique_ptr<WalBuffer>> waiting_;  // full batches, oldest first
  std::unique_ptr<WalBuffer> flying_;               // kept until it is durable
  WalFile* current_ = nullptr;
  uint64_t flying_at_ = 0;  // its offset in current_
  Completion write_;
  Completion watermark_write_;
  struct Flight {
    const Completion& a;
    const Completion& b;
    bool busy() const { return a.busy() || b.busy(); }
  } flight_{write_, watermark_write_};
  std::unique_ptr<WalBuffer> watermark_;
  Lsn recorded_ = 0;  // highest durable position that some batch on disk carries

  WalState state_ = WalState::kOk;
  uint32_t failures_ = 0;  // in a row
  bool low_space_ = false;
  bool starved_ = false;
  bool blocks_full_ = false;
  uint64_t admitted_end_ = UINT64_MAX;  // of written_bytes_, with all that is staged written: no message is taken then
  uint64_t check_bytes_at_ = 0;  // of written_bytes_: the space is looked at then, if not before
  Nanos now_{0};
  Nanos watermark_at_ = Nanos::max();
  Nanos check_at_ = Nanos::max();
  Nanos retry_at_ = Nanos::max();
  uint64_t flushes_ = 0;
  uint64_t written_bytes_ = 0;
};

}  // namespace millrace
