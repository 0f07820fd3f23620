// SPDX-License-Identifier: Apache-2.0
#include "store/segment/segment_scrub.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "store/segment/block_codec.h"
#include "store/segment/file_stream_log.h"

namespace millrace {
namespace {

constexpr Nanos kLookAgain = std::chrono::milliseconds(10);
constexpr size_t kStreamsPerStep = 64;  // that have nothing on disk

}  // namespace

SegmentStore::Scrub::Scrub(SegmentStore& owner)
    : store(owner), bytes_per_second(owner.options_.scrub_bytes_per_second), next_at(Nanos::min()) {
  read.Bind<&Scrub::OnRead>(this);
}

SegmentStore::Scrub::~Scrub() { CloseFile(); }

Nanos SegmentStore::Scrub::Step(Nanos now) {
  if (next_at == Nanos::min()) next_at = now + store.options_.scrub_after;
  if (now < next_at) return next_at;
  if (read.busy()) return now + kLookAgain;
  if (again) {
    StartRead(now);
    return next_at;
  }
  if (!running) BeginPass(now);
  for (size_t i = 0; i < kStreamsPerStep; ++i) {
    if (at == uids.size()) {
      EndPass();
      return next_at;
    }
    part_uid = uids[at];
    if (FindPart()) {
      StartRead(now);
      return next_at;
    }
    ++at;
    next_seq = next_run = 0;
    blocks_done = false;
  }
  next_at = now + kLookAgain;
  return next_at;
}

void SegmentStore::Scrub::BeginPass(Nanos now) {
  running = true;
  pass_at = now;
  uids.clear();
  for (const auto& [uid, log] : store.logs_) uids.push_back(uid);
  std::sort(uids.begin(), uids.end());
  if (!uids.empty()) {
    const size_t first = store.options_.random % uids.size();
    std::rotate(uids.begin(), uids.begin() + static_cast<ptrdiff_t>(first), uids.end());
  }
  at = 0;
  next_seq = next_run = 0;
  blocks_done = false;
}

void SegmentStore::Scrub::EndPass() {
  running = false;
  next_at = std::max(next_at, pass_at + store.options_.scrub_every);
  uids = {};
  buffer = nullptr;
  CloseFile();
  if (store.options_.on_scrubbed) store.options_.on_scrubbed(0, true);
}

bool SegmentStore::Scrub::FindPart() {
  const auto log = store.logs_.find(part_uid);
  if (log == store.logs_.end()) return false;  // deleted meanwhile
  part = {};
  if (!blocks_done) {
    if (const Block* block = log->second->StoredBlockFrom(next_seq)) {
      part.extent = {block->file, block->stored_bytes, block->offset};
      part.first_seq = block->first_seq;
      next_seq = block->last_seq + 1;
      return true;
    }
    blocks_done = true;
  }
  part.run = true;
  return log->second->StoredRunFrom(&next_run, &part.extent);
}

void SegmentStore::Scrub::StartRead(Nanos now) {
  read_from = part.extent.offset & ~uint64_t{kDiskAlignment - 1};
  const uint64_t bytes = AlignUp(part.extent.offset + part.extent.bytes) - read_from;
  // Multiplied out in 64 bits: a part is smaller than 2^32 bytes.
  next_at = now + Nanos(bytes * 1'000'000'000 / bytes_per_second);
  if (opened != part.extent.file) {
    CloseFile();
    const absl::StatusOr<Disk::File> file =
        store.disk_.Open(SegmentFile::PathOf(part.extent.file), FileUse::kDirect, false);
    if (!file.ok()) return;  // a reader will say so; a pass goes on
    handle = *file;
    opened = part.extent.file;
  }
  if (buffer == nullptr) buffer = std::make_unique<AlignedBuffer>(bytes);
  buffer->Grow(bytes);
  MR_CHECK(file == nullptr);
  file = store.FileOf(part.extent.file);
  ++file->in_flight;
  store.disk_.Read(handle, read_from, buffer->data, bytes, &read);
}

bool SegmentStore::Scrub::Good(FileStreamLog* log, const Block* block, std::string_view bytes) const {
  // Opens the file if need be: its header says which key its index runs want.
  if (bytes.size() != part.extent.bytes || store.UuidOf(part.extent.file) == 0) return false;
  if (part.run) {
    std::string copy(bytes);
    return store.OpenBlob(part.extent, &copy);
  }
  auto body = std::make_unique<BlockBody>(bytes.size());
  std::memcpy(body->data(), bytes.data(), bytes.size());
  return OpenBlock(log->uid(), *block, *store.FileOf(part.extent.file), bytes.size(), &body, store.options_.keys);
}

void SegmentStore::Scrub::OnRead(const IoResult& result) {
  const bool second = std::exchange(again, false);
  const uint32_t number = file->number;
  MR_CHECK(file->in_flight > 0);
  --file->in_flight;
  file = nullptr;
  const auto found = store.logs_.find(part_uid);
  FileStreamLog* log = found == store.logs_.end() ? nullptr : found->second;
  // It may have left while it was read: then whatever is there now is nobody's.
  Block* block = log == nullptr || part.run ? nullptr : log->StoredBlockAt(part.extent, part.first_seq);
  if (log != nullptr && (part.run ? log->HasRunAt(part.extent) : block != nullptr)) {
    const uint64_t skip = part.extent.offset - read_from;
    const uint64_t got = result.ok() ? static_cast<uint64_t>(result.value) : 0;
    const uint64_t bytes = got < skip ? 0 : std::min<uint64_t>(got - skip, part.extent.bytes);
    if (Good(log, block, {buffer->data + skip, bytes})) {
      if (store.options_.on_scrubbed) store.options_.on_scrubbed(part.extent.bytes, false);
    } else if (!second) {
      again = true;
    } else if (part.run) {
      store.ReportBadRun(part.extent);
      log->OnRunDamaged(part.extent);
    } else {
      store.ReportBadBlock(log, *block);
      log->OnBlockDamaged(block);
    }
  }
  store.RemoveIfUnwanted(number);
}

void SegmentStore::Scrub::CloseFile() {
  if (handle >= 0) store.disk_.Close(handle);
  handle = -1;
  opened = 0;
}

}  // namespace millrace
