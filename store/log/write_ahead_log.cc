// SPDX-License-Identifier: Apache-2.0
#include "store/log/write_ahead_log.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_format.h"

namespace millrace {
namespace {

constexpr Nanos kIdleAfter = std::chrono::milliseconds(50);
constexpr Nanos kCheckEvery = std::chrono::seconds(1);
constexpr Nanos kCheckFullEvery = std::chrono::milliseconds(250);
constexpr size_t kSpareBuffers = 3;
constexpr uint64_t kAdmitPart = 4;  // of the free space: each byte takes place in the log and once more in a block

}  // namespace

WriteAheadLog::WriteAheadLog(Disk& disk, const WalOptions& options, WalListener* listener)
    : disk_(disk),
      listener_(listener),
      identity_(options.identity),
      seal_{options.keys, options.identity},
      congested_bytes_(options.congested_bytes),
      reserve_bytes_(options.reserve_bytes),
      files_(disk, options.file_bytes, options.files_keep, options.floor_bytes),
      pool_(options.buffer_bytes, options.batch_bytes, kSpareBuffers),
      filling_(pool_.Take(options.buffer_bytes)) {
  MR_CHECK_OP(options.buffer_bytes, <=, options.batch_bytes);
  MR_CHECK_OP(options.batch_bytes, <=, options.file_bytes);
  write_.Bind<&WriteAheadLog::OnWritten>(this);
  watermark_write_.Bind<&WriteAheadLog::OnWatermark>(this);
}

WriteAheadLog::~WriteAheadLog() = default;

void WriteAheadLog::Start(Lsn last, Lsn previous, uint32_t epoch, uint32_t next_file_seq) {
  MR_CHECK(staged_ == 0 && previous <= last);
  MR_CHECK(filling_->records == 0 && !flight_.busy());
  staged_ = durable_ = last;
  previous_ = previous;
  // Recovery has flushed what it read. No batch says so yet, but a batch of this epoch will before anything is cut.
  recorded_ = last;
  epoch_ = epoch;
  files_.set_next_seq(next_file_seq);
  check_at_ = Nanos{0};
  Admit(disk_.FreeBytes());
}

void WriteAheadLog::Invariant() const {
  files_.Invariant();
  MR_CHECK_OP(durable_, <=, staged_);
  MR_CHECK_OP(previous_, <=, durable_);
  MR_CHECK_OP(recorded_, <=, durable_);
  MR_CHECK(!write_.busy() || !watermark_write_.busy());
  MR_CHECK(!write_.busy() || flying_ != nullptr);
  MR_CHECK(!flight_.busy() || current_ != nullptr);
  bool current_is_here = current_ == nullptr;
  for (const auto& file : files_.files()) {
    MR_CHECK_OP(file->last_lsn, <=, durable_);
    current_is_here = current_is_here || (file.get() == current_ && file->seq != 0 && !file->bad);
  }
  MR_CHECK(current_is_here);
  if (failed()) return;  // what is staged from then on is in no buffer
  MR_CHECK_OP(failures_, <, 2);
  uint64_t records = filling_->records;
  uint64_t bytes = 0;
  const auto count = [&](const WalBuffer& buffer) {
    MR_CHECK(buffer.records > 0);
    records += buffer.records;
    bytes += buffer.used;
  };
  if (flying_ != nullptr) {
    count(*flying_);
    MR_CHECK_OP(flying_->first_lsn, ==, durable_ + 1);
  }
  for (const auto& buffer : waiting_) count(*buffer);
  MR_CHECK_OP(durable_ + records, ==, staged_);
  MR_CHECK_OP(bytes, ==, waiting_bytes_);
  MR_CHECK((filling_->records == 0) == (filling_->used == kWalBatchHeaderBytes));
}

void WriteAheadLog::Recycle(Lsn lsn) {
  MR_CHECK_OP(lsn, <=, durable_);
  files_.Retire(lsn, current_);
  LookAtSpace();
}

// The filling buffer has no room for a record of `bytes`, its header included.
void WriteAheadLog::MakeRoom(size_t bytes) {
  MR_CHECK_OP(bytes - kWalRecordHeaderBytes, <=, kWalRecordBytesMax);
  if (failed()) {  // what is staged now will never be durable
    filling_->Clear();
    filling_->Grow(kWalBatchHeaderBytes + bytes);
    return;
  }
  WalBuffer& buffer = *filling_;
  if (buffer.records == 0 || atomic_ || buffer.used + bytes <= pool_.large_bytes()) {
    const size_t twice = atomic_ ? 2 * buffer.capacity : std::min(2 * buffer.capacity, pool_.large_bytes());
    buffer.Grow(std::max(buffer.used + bytes, twice));
    return;
  }
  waiting_bytes_ += buffer.used;
  waiting_.push_back(std::move(filling_));
  filling_ = pool_.Take(kWalBatchHeaderBytes + bytes);
}

void WriteAheadLog::EndTurn(Nanos now) {
  now_ = now;
  MR_CHECK(!atomic_);  // what is begun ends in the same turn
  if (failed()) return;
  // The reserve file is in use and no other can be made: refuse while what was admitted still has room.
  if (state_ == WalState::kOk && (NoFile() || !WithinRoom())) CheckSpace();
  if (flight_.busy()) return;
  if (flying_ == nullptr) {
    if (!waiting_.empty()) {
      flying_ = std::move(waiting_.front());
      waiting_.pop_front();
    } else if (filling_->records > 0) {
      waiting_bytes_ += filling_->used;
      flying_ = std::move(filling_);
      filling_ = pool_.Take(pool_.small_bytes());
    } else {
      return;
    }
    flying_->first_lsn = durable_ + 1;
  }
  if (retry_at_ != Nanos::max() && now < retry_at_) return;
  Submit();
}

WalBatchHeader WriteAheadLog::NextHeader(Lsn first, uint32_t records, uint32_t payload_bytes) const {
  WalBatchHeader header;
  header.lsn = first;
  header.prev_lsn = previous_;
  header.durable_lsn = previous_;  // durable_, but for what recovery cut and no batch holds
  header.payload_bytes = payload_bytes;
  header.records = records;
  header.file_seq = current_->seq;
  header.epoch = epoch_;
  return header;
}

void WriteAheadLog::Submit() {
  WalBuffer& buffer = *flying_;
  MR_CHECK(!flight_.busy());  // the second of two batches in flight would prove nothing of the first
  MR_CHECK_OP(buffer.first_lsn, ==, durable_ + 1);
  const size_t end = buffer.used + seal_.bytes();
  const uint64_t bytes = AlignUp(end);
  starved_ = !FindPlace(bytes);
  if (starved_) return;
  buffer.Grow(end);
  std::memset(buffer.data + buffer.used, 0, bytes - buffer.used);
  WalBatchHeader header =
      NextHeader(buffer.first_lsn, buffer.records, static_cast<uint32_t>(end - kWalBatchHeaderBytes));
  MR_CHECK(!current_->bad && current_->seq != 0);  // nothing is written again on pages whose flush has failed
  MR_CHECK_OP(bytes, <=, current_->bytes - current_->end);
  flying_at_ = current_->end;
  seal_.Seal(&header, current_->number, flying_at_, buffer.data + kWalBatchHeaderBytes);
  SealWalBatch(buffer.data, header, identity_);
  current_->end += bytes;
  watermark_at_ = Nanos::max();
  disk_.WriteDurable(current_->file, flying_at_, {buffer.data, bytes}, &write_);
}

// Makes current_ a file with room for `bytes` at its end. False: not now; EndTurn tries again.
bool WriteAheadLog::FindPlace(uint64_t bytes) {
  if (current_ == nullptr || current_->bytes - current_->end < bytes) {
    WalFile* next = files_.Take(bytes);
    if (next == nullptr) {
      files_.Prepare(bytes, now_);
      if (files_.full() || files_.failing()) CheckSpace();
      return false;
    }
    MR_CHECK(next->end == 0);
    current_ = next;
    if (check_at_ == Nanos::max()) check_at_ = now_;
  }
  // With little space left a checkpoint makes the next file ready: a new one would take what that checkpoint needs.
  if (!files_.HasReady() && !low_space_) files_.Prepare(0, now_);
  return true;
}

void WriteAheadLog::OnWritten(const IoResult& result) {
  if (!result.ok()) return OnFailure(result.error());
  MR_CHECK_OP(waiting_bytes_, >=, flying_->used);
  MR_CHECK_OP(flying_->first_lsn + flying_->records - 1, <=, staged_);
  failures_ = 0;
  retry_at_ = Nanos::max();
  ++flushes_;
  written_bytes_ += AlignUp(flying_->used + seal_.bytes());
  waiting_bytes_ -= flying_->used;
  recorded_ = previous_;  // what the header said
  durable_ = previous_ = current_->last_lsn = flying_->first_lsn + flying_->records - 1;
  pool_.Return(std::move(flying_));
  watermark_at_ = now_ + kIdleAfter;
  // A fast writer fills the reserve in less than a second.
  if (check_at_ == Nanos::max()) check_at_ = now_ + kCheckEvery;
  if (reserve_bytes_ > 0 && written_bytes_ >= check_bytes_at_) check_at_ = now_;
  listener_->OnWalDurable(durable_);
}

void WriteAheadLog::OnFailure(int error) {
  // After a failed flush nobody knows which pages are on the medium: nothing in this file is written again, and the
  // batch goes elsewhere from our own copy.
  MR_CHECK(current_ != nullptr && flying_ != nullptr);
  if (seal_.keys != nullptr) OpenFlying();
  current_->bad = true;
  const std::string why = absl::StrFormat("write-ahead log: %s: %s; the file is sealed",
                                          WalFiles::PathOf(current_->number), std::strerror(error));
  current_ = nullptr;
  if (error == ENOSPC || error == EDQUOT) {
    retry_at_ = check_at_ = now_ + kCheckEvery;
    return SetState(WalState::kFull, why);
  }
  if (++failures_ < 2) return listener_->OnWalState(state_, why);
  SetState(WalState::kFailed, why + ", and this was the second failure: nothing is acknowledged any more");
  waiting_.clear();
}

// It was sealed for the place that failed.
void WriteAheadLog::OpenFlying() {
  WalBatchHeader header;
  std::memcpy(&header, flying_->data, sizeof header);
  char* payload = flying_->data + kWalBatchHeaderBytes;
  size_t bytes = 0;
  const bool opened = seal_.Open(header, current_->number, flying_at_, payload, payload, &bytes);
  MR_CHECK(opened && bytes == flying_->used - kWalBatchHeaderBytes);
}

void WriteAheadLog::OnTick(Nanos now) {
  now_ = now;
  if (failed()) return;
  if (now >= check_at_) CheckSpace();
  if (now < watermark_at_) return;
  watermark_at_ = Nanos::max();
  const bool quiet = !flight_.busy() && flying_ == nullptr && waiting_.empty() && filling_->records == 0;
  if (!quiet) return;
  if (recorded_ < durable_) WriteWatermark();
  if (filling_->capacity > pool_.small_bytes()) filling_->Shrink(pool_.small_bytes());
  pool_.Trim();
}

Nanos WriteAheadLog::NextTick() const { return failed() ? Nanos::max() : std::min(watermark_at_, check_at_); }

// Damage to the very last batch, while it has no successor, would look like a torn tail. So when none comes, one empty
// batch says that the last one was flushed. It needs no flush of its own.
void WriteAheadLog::WriteWatermark() {
  MR_CHECK(!flight_.busy());
  if (current_ == nullptr || current_->bytes - current_->end < kDiskAlignment) return;
  if (watermark_ == nullptr) watermark_ = std::make_unique<WalBuffer>(kDiskAlignment);
  std::memset(watermark_->data, 0, kDiskAlignment);
  const uint64_t offset = current_->end;
  WalBatchHeader header = NextHeader(durable_ + 1, 0, static_cast<uint32_t>(seal_.bytes()));
  seal_.Seal(&header, current_->number, offset, watermark_->data + kWalBatchHeaderBytes);
  SealWalBatch(watermark_->data, header, identity_);
  current_->end += kDiskAlignment;
  disk_.Write(current_->file, offset, {watermark_->data, kDiskAlignment}, &watermark_write_);
}

void WriteAheadLog::OnWatermark(const IoResult& result) {
  MR_CHECK(current_ != nullptr);
  if (result.ok()) {
    recorded_ = durable_;
    written_bytes_ += kDiskAlignment;
    return;
  }
  current_->bad = true;
  current_ = nullptr;
  listener_->OnWalState(state_,
                        absl::StrFormat("write-ahead log: %s; the file is sealed", std::strerror(result.error())));
}

// Once a second while there is traffic and whenever a part of the reserve could be used up; until there is room again.
void WriteAheadLog::CheckSpace() {
  check_bytes_at_ = written_bytes_ + reserve_bytes_ / 8;
  const absl::StatusOr<uint64_t> free = disk_.FreeBytes();
  const uint64_t need = low_space_ ? reserve_bytes_ + reserve_bytes_ / 4 : reserve_bytes_;
  low_space_ = free.ok() && *free < need;
  Admit(free);
  const bool in_use = current_ != nullptr || state_ != WalState::kOk;
  if (!files_.HasReady() && !files_.preparing() && in_use && !low_space_) files_.Prepare(0, now_);
  // The rest of the current file is kept for what was admitted, and for the deletions that make room.
  const bool refused = retry_at_ != Nanos::max();
  const bool no_file = refused || NoFile();
  if (low_space_ || no_file || blocks_full_) {
    SetState(WalState::kFull, low_space_  ? absl::StrFormat("the disk is nearly full: %d bytes are free, and messages "
                                                            "are taken with %d", *free, need)
                              : refused || blocks_full_ ? std::string("the last write met a full disk")
                                                        : files_.error());
  } else {
    SetState(WalState::kOk, "there is disk space again");
  }
  // Without traffic nothing changes; EndTurn starts the clock again.
  const bool busy = state_ != WalState::kOk || flying_ != nullptr || staged_ != durable_ || files_.preparing();
  check_at_ = !busy ? Nanos::max() : now_ + (state_ == WalState::kFull ? kCheckFullEvery : kCheckEvery);
}

void WriteAheadLog::Admit(const absl::StatusOr<uint64_t>& free_bytes) {
  const bool known = free_bytes.ok() && reserve_bytes_ > 0;
  admitted_end_ = known ? written_bytes_ + *free_bytes / kAdmitPart : UINT64_MAX;
}

void WriteAheadLog::SetState(WalState state, const std::string& why) {
  if (state_ == state || failed()) return;
  state_ = state;
  listener_->OnWalState(state, why);
}

}  // namespace millrace
