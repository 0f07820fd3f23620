// SPDX-License-Identifier: Apache-2.0
#include "store/segment/segment_files.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "proto/base/status.h"
#include "proto/hash.h"
#include "store/hash.h"

namespace millrace {
namespace {

constexpr std::string_view kDirectory = "segments";
constexpr uint64_t kFilesPerStored = 8;  // of what is stored, a file has an eighth
constexpr uint64_t kFloorBytesLeast = 16 << 10;
constexpr uint64_t kTurnsOpen = 100;  // a file that was not used for so many may be closed
constexpr size_t kDeadMax = 4096;     // places remembered of one file

uint64_t HeaderHash(const SegmentFileHeader& header) {
  return Hash64({reinterpret_cast<const char*>(&header), offsetof(SegmentFileHeader, header_hash)}, kSegmentMagic);
}

bool MayBeClosed(const SegmentFile& file) {
  return file.file >= 0 && file.in_flight == 0 && !file.unsynced && !file.takes_appends;
}

}  // namespace

SegmentFiles::~SegmentFiles() {
  for (const auto& [number, file] : files_) {
    if (file->file >= 0) disk_.Close(file->file);
  }
  if (directory_ >= 0) disk_.Close(directory_);
}

// --- start

absl::Status SegmentFiles::Start() {
  MR_RETURN_IF_ERROR(disk_.MakeDirectory(kDirectory));
  MR_ASSIGN_OR_RETURN(directory_, disk_.Open(kDirectory, FileUse::kRead, false));
  MR_ASSIGN_OR_RETURN(const std::vector<std::string> names, disk_.List(kDirectory));
  for (const std::string& name : names) {
    uint32_t number = 0;
    if (SegmentFile::ParseName(name, &number)) next_number_ = std::max(next_number_, number + 1);
  }
  return absl::OkStatus();
}

// Whatever was written after the checkpoint that the restart began with is in nobody's directory: it has been written
// again. A file with nothing else in it goes; in others it counts as dead.
void SegmentFiles::OnRecovered(bool keep_unknown) {
  recovering_ = false;
  const absl::StatusOr<std::vector<std::string>> names = disk_.List(kDirectory);
  if (!names.ok()) return;
  for (const std::string& name : *names) {
    uint32_t number = 0;
    if (!SegmentFile::ParseName(name, &number)) continue;
    const SegmentFile* known = Find(number);
    if (known != nullptr && (known->wanted > 0 || known->takes_appends)) {
      AdoptFound(number);
    } else {
      SegmentFile* file = Of(number);
      file->quarantined = file->quarantined || keep_unknown;  // recovery may have met damage in it
      RemoveIfUnwanted(number);
    }
  }
}

// A pack that is not half full goes on.
void SegmentFiles::AdoptFound(uint32_t number) {
  SegmentFile* file = Of(number);
  const bool was_open = file->file >= 0;
  if (!OpenFile(file).ok() && file->file < 0) return;
  if (const absl::StatusOr<uint64_t> size = disk_.Size(file->file); size.ok()) {
    SetEnd(file, std::max(file->end, *size));
  }
  const bool usable = !file->quarantined && !file->stale && !file->takes_appends;
  if (file->uid == 0 && usable && file->end < options_.pack_bytes / 2) {
    if (pack_ != 0 && pack_ != number) Of(pack_)->takes_appends = false;
    pack_ = number;
    file->takes_appends = true;
  }
  if (!was_open && open_files_ > options_.open_files_max / 2) CloseFile(file);
}

void SegmentFiles::AdoptFile(uint32_t number, uint64_t uuid) {
  SegmentFile* file = Of(number);
  if (file->uuid == 0) file->uuid = uuid;
  next_number_ = std::max(next_number_, number + 1);
}

void SegmentFiles::AdoptPlace(uint64_t uid, const Extent& extent, uint64_t live_bytes) {
  SegmentFile* file = Of(extent.file);
  ++file->wanted;
  AddLive(file, live_bytes);
  SetEnd(file, std::max(file->end, extent.offset + extent.bytes));
  if (file->uids.empty() || file->uids.back() != uid) file->uids.push_back(uid);
}

// --- files

SegmentFile* SegmentFiles::Of(uint32_t number) {
  std::unique_ptr<SegmentFile>& file = files_[number];
  if (file == nullptr) {
    file = std::make_unique<SegmentFile>();
    file->number = number;
    SetEnd(file.get(), kSegmentHeaderBytes);
  }
  return file.get();
}

SegmentFile* SegmentFiles::Find(uint32_t number) const {
  const auto at = files_.find(number);
  return at == files_.end() ? nullptr : at->second.get();
}

absl::Status SegmentFiles::OpenFile(SegmentFile* file) {
  file->used_turn = turn_;
  if (file->file < 0) {
    const std::string path = SegmentFile::PathOf(file->number);
    absl::StatusOr<Disk::File> opened = disk_.Open(path, FileUse::kWrite, false);
    if (absl::IsUnavailable(opened.status()) && CloseOneFile()) opened = disk_.Open(path, FileUse::kWrite, false);
    MR_RETURN_IF_ERROR(opened.status());
    file->file = *opened;
    ++open_files_;
  }
  return file->header_read ? absl::OkStatus() : ReadHeader(file);
}

absl::Status SegmentFiles::ReadHeader(SegmentFile* file) {
  file->header_read = true;
  SegmentFileHeader header;
  MR_ASSIGN_OR_RETURN(const size_t bytes,
                      disk_.ReadNow(file->file, 0, reinterpret_cast<char*>(&header), sizeof header));
  if (bytes == sizeof header && header.magic == kSegmentMagic && header.version == 1 &&
      header.number == file->number && header.header_hash == HeaderHash(header) &&
      (file->uuid == 0 || file->uuid == header.uuid)) {
    file->uuid = header.uuid;
    file->uid = header.uid;
    file->key_id = header.key_id;
    file->stale = options_.keys != nullptr && header.key_id != options_.keys->current();
    return absl::OkStatus();
  }
  // Its blocks say themselves which key they want.
  file->stale = options_.keys != nullptr;
  // Checkpoints know the uuid as well: the blocks can be read all the same.
  const std::string what = absl::StrFormat("segment file %08x: bad header", file->number);
  ReportDamage(what, file->number);
  return file->uuid != 0 ? absl::OkStatus() : absl::DataLossError(what);
}

uint64_t SegmentFiles::UuidOf(uint32_t number) {
  SegmentFile* file = Of(number);
  return OpenFile(file).ok() || file->uuid != 0 ? file->uuid : 0;
}

absl::StatusOr<SegmentFile*> SegmentFiles::NewFile(uint64_t uid) {
  const uint32_t number = next_number_++;
  MR_CHECK(!files_.contains(number));
  const absl::StatusOr<Disk::File> opened = disk_.Open(SegmentFile::PathOf(number), FileUse::kWrite, true);
  full_ = full_ || absl::IsResourceExhausted(opened.status());
  MR_RETURN_IF_ERROR(opened.status());
  const Disk::File handle = *opened;
  std::string first(kSegmentHeaderBytes, '\0');
  SegmentFileHeader header;
  header.number = number;
  header.uuid = MixBits(options_.random ^ kHashKey1, number + kHashKey0) | 1;
  header.uid = uid;
  header.key_id = CurrentKey(options_.keys);
  header.header_hash = HeaderHash(header);
  std::memcpy(first.data(), &header, sizeof header);
  if (absl::Status written = disk_.WriteNow(handle, 0, first); !written.ok()) {
    disk_.Close(handle);
    (void)disk_.Remove(SegmentFile::PathOf(number));
    full_ = full_ || absl::IsResourceExhausted(written);
    return written;
  }
  SegmentFile* file = Of(number);
  file->file = handle;
  file->uuid = header.uuid;
  file->key_id = header.key_id;
  file->header_read = true;
  file->uid = uid;
  file->takes_appends = true;
  file->unsynced = true;
  file->tracks_dead = true;
  file->used_turn = turn_;
  ++open_files_;
  return file;
}

// What is dead in a file is given back with the whole of it: small files, where that matters.
uint64_t SegmentFiles::SizeFor(uint64_t stored_bytes, uint64_t most) const {
  return std::min(most, std::max({stored_bytes / kFilesPerStored, options_.slack_bytes / 2, kOpenFileBytes}));
}

absl::StatusOr<SegmentFile*> SegmentFiles::ForAppend(BlockOwner* owner, uint64_t bytes) {
  const bool busy = owner->disk_bytes >= options_.busy_bytes;
  const uint32_t number = busy ? owner->file : pack_;
  const uint64_t limit = busy ? SizeFor(owner->disk_bytes, options_.file_bytes)
                              : SizeFor(use_.live_bytes, options_.pack_bytes);
  if (number != 0) {
    SegmentFile* file = Find(number);
    MR_CHECK(file != nullptr);  // who goes is forgotten (StopAppends)
    if (file->takes_appends && (file->end == kSegmentHeaderBytes || file->end + bytes <= limit) &&
        OpenFile(file).ok()) {
      return file;
    }
    StopAppends(file);
    RemoveIfUnwanted(number);
  }
  MR_ASSIGN_OR_RETURN(SegmentFile* file, NewFile(busy ? owner->stream_uid : 0));
  if (busy) {
    owner->file = file->number;
    file->appender = owner;
  } else {
    pack_ = file->number;
  }
  return file;
}

void SegmentFiles::StopAppends(SegmentFile* file) {
  file->takes_appends = false;
  if (pack_ == file->number) pack_ = 0;
  if (BlockOwner* owner = std::exchange(file->appender, nullptr); owner != nullptr) {
    MR_CHECK_OP(owner->file, ==, file->number);
    owner->file = 0;
  }
}

void SegmentFiles::ForgetDead(SegmentFile* file) {
  file->tracks_dead = false;
  std::vector<Extent>().swap(file->dead);
}

void SegmentFiles::CloseFile(SegmentFile* file) {
  MR_CHECK(file->file >= 0 && open_files_ > 0);
  disk_.Close(std::exchange(file->file, -1));
  --open_files_;
}

bool SegmentFiles::CloseOneFile() {
  for (const auto& [number, file] : files_) {
    if (!MayBeClosed(*file)) continue;
    CloseFile(file.get());
    return true;
  }
  return false;
}

void SegmentFiles::CloseUnused() {
  if (open_files_ <= options_.open_files_max) return;
  for (const auto& [number, file] : files_) {
    if (MayBeClosed(*file) && file->used_turn + kTurnsOpen <= turn_) CloseFile(file.get());
  }
}

void SegmentFiles::RemoveIfUnwanted(uint32_t number) {
  const auto at = files_.find(number);
  if (at == files_.end() || recovering_) return;
  SegmentFile* file = at->second.get();
  if (file->wanted > 0 || file->held > 0 || file->in_flight > 0) return;
  if (file->takes_appends && file->end < kOpenFileBytes) return;
  StopAppends(file);
  MR_CHECK_OP(file->held_bytes, ==, file->held_rest);  // no place is held any more
  SetEnd(file, 0);
  DropLive(file, file->live_bytes);
  use_.held_bytes -= file->held_rest;
  if (file->file >= 0) CloseFile(file);
  const std::string path = SegmentFile::PathOf(number);
  if (file->quarantined) {
    (void)disk_.MakeDirectory("quarantine");
    (void)disk_.Rename(path, absl::StrFormat("quarantine/%08x.seg", number));
  } else if (!marks_.under_way || !disk_.Remove(path).ok()) {
    disk_.RemoveLater(path);
  }
  files_.erase(at);
}

void SegmentFiles::ReportDamage(std::string_view what, uint32_t number) {
  Of(number)->quarantined = true;
  ++damaged_;
  if (options_.on_damage) options_.on_damage(what);
}

// --- places

void SegmentFiles::SetEnd(SegmentFile* file, uint64_t end) {
  MR_CHECK_OP(use_.file_bytes, >=, file->end);
  use_.file_bytes += end - file->end;
  file->end = end;
}

void SegmentFiles::Place(SegmentFile* file, uint64_t uid, uint64_t bytes, Extent* extent) {
  const uint64_t offset = (file->end + kSegmentAlignment - 1) & ~(kSegmentAlignment - 1);
  // A place is 40 bits of offset in a file's number (PlaceOf), and nothing goes behind what has failed.
  MR_CHECK(file->takes_appends && !file->failed && file->file >= 0);
  MR_CHECK_OP(offset + bytes, <, uint64_t{1} << 40);
  MR_CHECK_OP(bytes, <=, UINT32_MAX);
  *extent = {file->number, static_cast<uint32_t>(bytes), offset};
  SetEnd(file, offset + bytes);
  MR_CHECK_OP(file->held_bytes, >=, file->held_rest);
  use_.held_bytes -= file->held_rest;  // it stays after all
  file->held_bytes -= std::exchange(file->held_rest, 0);
  ++file->wanted;
  ++file->in_flight;
  if (file->uids.empty() || file->uids.back() != uid) file->uids.push_back(uid);
}

void SegmentFiles::AddLive(SegmentFile* file, uint64_t bytes) {
  use_.live_bytes += bytes;
  file->live_bytes += bytes;
}

void SegmentFiles::DropLive(SegmentFile* file, uint64_t bytes) {
  bytes = std::min(bytes, file->live_bytes);
  MR_CHECK_OP(use_.live_bytes, >=, bytes);
  use_.live_bytes -= bytes;
  file->live_bytes -= bytes;
}

void SegmentFiles::Hold(SegmentFile* file, uint64_t bytes) {
  MR_CHECK(file->wanted > 0);
  --file->wanted;
  ++file->held;
  file->held_bytes += bytes;
  use_.held_bytes += bytes;
  if (file->wanted > 0 || (file->takes_appends && file->end < kOpenFileBytes)) return;
  const uint64_t rest = file->dead_bytes();
  file->held_rest += rest;
  file->held_bytes += rest;
  use_.held_bytes += rest;
}

SegmentFile* SegmentFiles::GiveBack(const FreedExtent& freed) {
  SegmentFile* file = Of(freed.extent.file);
  uint32_t& count = freed.wanted ? file->wanted : file->held;
  MR_CHECK(count > 0);
  --count;
  if (freed.wanted) {
    DropLive(file, freed.extent.bytes);
  } else {
    MR_CHECK_OP(file->held_bytes, >=, freed.extent.bytes);
    use_.held_bytes -= freed.extent.bytes;
    file->held_bytes -= freed.extent.bytes;
  }
  return file;
}

// So that a sweep need not go through all that lives in the file.
void SegmentFiles::NoteDead(SegmentFile* file, const Extent& extent) {
  if (!file->tracks_dead) return;
  file->dead.push_back(extent);
  if (file->dead.size() > kDeadMax) ForgetDead(file);
}

// --- room

uint64_t SegmentFiles::dead_bytes() const {
  const uint64_t used = use_.live_bytes + use_.held_bytes + files_.size() * kSegmentHeaderBytes;
  return use_.file_bytes - std::min(use_.file_bytes, used);
}

bool SegmentFiles::TakesTheLast(uint64_t bytes) {
  if (recovering_) return false;
  const absl::StatusOr<uint64_t> free = disk_.FreeBytes();
  return free.ok() && *free < bytes + std::max(options_.slack_bytes / 8, kFloorBytesLeast);
}

void SegmentFiles::Places::Add(const FreedExtent& freed) {
  wanted += freed.wanted ? 1 : 0;
  held += freed.wanted ? 0 : 1;
  held_bytes += freed.wanted ? 0 : freed.extent.bytes;
}

void SegmentFiles::Invariant() const {
  MR_CHECK_OP(use_.live_bytes + use_.held_bytes, <=, use_.file_bytes);
  MR_CHECK_OP(open_files_, <=, files_.size());
  MR_CHECK(pack_ == 0 || files_.contains(pack_));
  MR_CHECK(marks_.under_way || (marks_.listed == 0 && !marks_.failed));
  MR_CHECK(marks_.listed != 0 || marks_.kept.empty());
}

void SegmentFiles::Recount(const PlacesByFile& places) const {
  Invariant();
  DiskUse use;
  uint32_t open_files = 0;
  for (const auto& [number, file] : files_) {
    use.file_bytes += file->end;
    use.live_bytes += file->live_bytes;
    use.held_bytes += file->held_bytes;
    open_files += file->file >= 0 ? 1 : 0;
    const auto found = places.find(number);
    const Places at = found == places.end() ? Places{} : found->second;
    MR_CHECK_OP(file->wanted, ==, at.wanted);
    MR_CHECK_OP(file->held, ==, at.held);
    MR_CHECK_OP(file->held_bytes, ==, at.held_bytes + file->held_rest);
    MR_CHECK_OP(file->live_bytes + file->held_bytes, <=, file->end);
    MR_CHECK(file->tracks_dead || file->dead.empty());
    MR_CHECK(file->appender == nullptr ||
             (file->appender->file == number && file->appender->stream_uid == file->uid && number != pack_));
    MR_CHECK_OP(number, <, next_number_);
  }
  // Nobody wants anything of one that is gone.
  for (const auto& [number, at] : places) MR_CHECK(files_.contains(number));
  MR_CHECK_OP(use.file_bytes, ==, use_.file_bytes);
  MR_CHECK_OP(use.live_bytes, ==, use_.live_bytes);
  MR_CHECK_OP(use.held_bytes, ==, use_.held_bytes);
  MR_CHECK_OP(open_files, ==, open_files_);
}

}  // namespace millrace
