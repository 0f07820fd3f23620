// SPDX-License-Identifier: Apache-2.0
#include "store/segment/segment_scrub.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "store/segment/block_codec.h"
#include "store/segment/file_stream_log.h"

namespace millrace {
namespace {

constexpr Nanos kLookAgain = std::chrono::milliseconds(10);
constexpr size_t kStreamsPerStep = 64;  // that have nothing on disk

}  // namespace

SegmentScrub::SegmentScrub(Disk& disk, const SegmentStoreOptions& options, BlockStore& blocks, const LogTable& logs)
    : disk_(disk), options_(options), blocks_(blocks), files_(blocks.files()), logs_(logs), next_at_(Nanos::min()) {
  MR_CHECK(options.scrub_bytes_per_second > 0);
  read_.Bind<&SegmentScrub::OnRead>(this);
}

SegmentScrub::~SegmentScrub() { CloseFile(); }

Nanos SegmentScrub::Step(Nanos now) {
  if (next_at_ == Nanos::min()) next_at_ = now + options_.scrub_after;
  if (now < next_at_) return next_at_;
  if (read_.busy()) return now + kLookAgain;
  if (again_) {
    StartRead(now);
    return next_at_;
  }
  if (!running_) BeginPass(now);
  for (size_t i = 0; i < kStreamsPerStep; ++i) {
    if (at_ == uids_.size()) {
      EndPass();
      return next_at_;
    }
    part_uid_ = uids_[at_];
    if (FindPart()) {
      StartRead(now);
      return next_at_;
    }
    ++at_;
    BeginStream();
  }
  next_at_ = now + kLookAgain;
  return next_at_;
}

void SegmentScrub::BeginPass(Nanos now) {
  running_ = true;
  pass_at_ = now;
  uids_.clear();
  for (const auto& [uid, log] : logs_.all()) uids_.push_back(uid);
  std::sort(uids_.begin(), uids_.end());
  if (!uids_.empty()) {
    const size_t first = options_.random % uids_.size();
    std::rotate(uids_.begin(), uids_.begin() + static_cast<ptrdiff_t>(first), uids_.end());
  }
  at_ = 0;
  BeginStream();
}

void SegmentScrub::BeginStream() {
  next_seq_ = next_run_ = 0;
  blocks_done_ = false;
}

void SegmentScrub::EndPass() {
  running_ = false;
  next_at_ = std::max(next_at_, pass_at_ + options_.scrub_every);
  uids_ = {};
  at_ = 0;
  buffer_ = nullptr;
  CloseFile();
  if (options_.on_scrubbed) options_.on_scrubbed(0, true);
}

bool SegmentScrub::FindPart() {
  FileStreamLog* log = logs_.Find(part_uid_);
  if (log == nullptr) return false;  // deleted meanwhile
  part_ = {};
  if (!blocks_done_) {
    if (const Block* block = log->StoredBlockFrom(next_seq_)) {
      part_.extent = {block->file, block->stored_bytes, block->offset};
      part_.first_seq = block->first_seq;
      next_seq_ = block->last_seq + 1;
      return true;
    }
    blocks_done_ = true;
  }
  part_.run = true;
  return log->runs().NextGood(&next_run_, &part_.extent);
}

void SegmentScrub::StartRead(Nanos now) {
  read_from_ = part_.extent.offset & ~uint64_t{kDiskAlignment - 1};
  const uint64_t bytes = AlignUp(part_.extent.offset + part_.extent.bytes) - read_from_;
  // Multiplied out in 64 bits: a part is smaller than 2^32 bytes.
  next_at_ = now + Nanos(bytes * 1'000'000'000 / options_.scrub_bytes_per_second);
  if (opened_ != part_.extent.file) {
    CloseFile();
    const absl::StatusOr<Disk::File> file =
        disk_.Open(SegmentFile::PathOf(part_.extent.file), FileUse::kDirect, false);
    if (!file.ok()) return;  // a reader will say so; a pass goes on
    handle_ = *file;
    opened_ = part_.extent.file;
  }
  if (buffer_ == nullptr) buffer_ = std::make_unique<AlignedBuffer>(bytes);
  buffer_->Grow(bytes);
  MR_CHECK(file_ == nullptr);
  file_ = files_.Of(part_.extent.file);
  ++file_->in_flight;
  disk_.Read(handle_, read_from_, buffer_->data, bytes, &read_);
}

bool SegmentScrub::Good(const Block* block, std::string_view bytes) {
  // Opens the file if need be: its header says which key its index runs want.
  if (bytes.size() != part_.extent.bytes || files_.UuidOf(part_.extent.file) == 0) return false;
  if (part_.run) {
    std::string copy(bytes);
    return blocks_.OpenBlob(part_.extent, &copy);
  }
  auto body = std::make_unique<BlockBody>(bytes.size());
  std::memcpy(body->data(), bytes.data(), bytes.size());
  return OpenBlock(part_uid_, *block, *files_.Of(part_.extent.file), bytes.size(), &body, options_.keys);
}

void SegmentScrub::OnRead(const IoResult& result) {
  const bool second = std::exchange(again_, false);
  const uint32_t number = file_->number;
  MR_CHECK(file_->in_flight > 0);
  --file_->in_flight;
  file_ = nullptr;
  FileStreamLog* log = logs_.Find(part_uid_);
  // It may have left while it was read: then whatever is there now is nobody's.
  Block* block = log == nullptr || part_.run ? nullptr : log->StoredBlockAt(part_.extent, part_.first_seq);
  if (log != nullptr && (part_.run ? log->runs().HasGoodAt(part_.extent) : block != nullptr)) {
    const uint64_t skip = part_.extent.offset - read_from_;
    const uint64_t got = result.ok() ? static_cast<uint64_t>(result.value) : 0;
    const uint64_t bytes = got < skip ? 0 : std::min<uint64_t>(got - skip, part_.extent.bytes);
    OnPartRead(log, block, {buffer_->data + skip, bytes}, second);
  }
  files_.RemoveIfUnwanted(number);
}

void SegmentScrub::OnPartRead(FileStreamLog* log, Block* block, std::string_view bytes, bool second) {
  if (Good(block, bytes)) {
    if (options_.on_scrubbed) options_.on_scrubbed(part_.extent.bytes, false);
  } else if (!second) {
    again_ = true;
  } else if (part_.run) {
    blocks_.ReportBadBlob(part_.extent);
    log->runs().OnDamaged(part_.extent);
  } else {
    blocks_.ReportBadBlock(part_uid_, *block);
    log->OnBlockDamaged(block);
  }
}

void SegmentScrub::CloseFile() {
  if (handle_ >= 0) disk_.Close(handle_);
  handle_ = -1;
  opened_ = 0;
}

void SegmentScrub::Invariant() const {
  MR_CHECK(read_.busy() == (file_ != nullptr));
  MR_CHECK((handle_ >= 0) == (opened_ != 0));
  MR_CHECK_OP(at_, <=, uids_.size());
  MR_CHECK(running_ || (uids_.empty() && buffer_ == nullptr));
}

}  // namespace millrace
