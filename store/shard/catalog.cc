// SPDX-License-Identifier: Apache-2.0
#include "store/shard/catalog.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_format.h"
#include "proto/base/status.h"
#include "store/hash.h"

namespace millrace {
namespace {

constexpr char kPath[] = "catalog/current";
constexpr char kNextPath[] = "catalog/next";
constexpr uint32_t kRootMagic = 0x5443524d;   // "MRCT"
constexpr uint32_t kFrameMagic = 0x5246524d;  // "MRFR"
constexpr uint64_t kFramesAt = 2 * kDiskAlignment;
constexpr size_t kFramePayloadBytes = 64 << 10;  // reached, not kept to: one blob may be larger
constexpr size_t kCopyBytes = 256 << 10;         // of a compaction, per turn
constexpr size_t kReadBytes = 1 << 20;

struct EntryHeader {
  uint32_t check;  // of all that follows
  uint8_t kind;
  uint8_t removed;
  uint16_t reserved;
  uint32_t bytes;
  KeyId key_id;  // that seals the blob; 0: none
  uint64_t uid;
  uint64_t lsn;
};
static_assert(sizeof(EntryHeader) == 32);

uint32_t EntryCheck(std::string_view entry, uint64_t identity) {
  return static_cast<uint32_t>(Hash64(entry.substr(4), identity));
}

template <class T>
uint32_t HeaderCheck(T header, uint64_t seed) {
  header.check = 0;
  return static_cast<uint32_t>(Hash64({reinterpret_cast<const char*>(&header), sizeof header}, seed));
}

// What is authenticated with the blob of an entry: the entry's header, and where it stands.
struct EntryPosition {
  EntryPosition(EntryHeader entry, uint64_t catalog, uint64_t at) : header(entry), identity(catalog), offset(at) {
    header.check = 0;
  }
  std::string_view view() const { return {reinterpret_cast<const char*>(this), sizeof *this}; }

  EntryHeader header;
  uint64_t identity;
  uint64_t offset;
};
static_assert(sizeof(EntryPosition) == sizeof(EntryHeader) + 16);

absl::Status UnknownKey() {
  return absl::FailedPreconditionError(absl::StrFormat("%s is encrypted with a key that is not there", kPath));
}

std::string KindName(CatalogKind kind) {
  switch (kind) {
    case CatalogKind::kStreamConfig:
      return "configuration of stream";
    case CatalogKind::kStreamState:
      return "state of stream";
    case CatalogKind::kConsumerConfig:
      return "configuration of consumer";
    case CatalogKind::kConsumerState:
      return "state of consumer";
    case CatalogKind::kDeleted:
      return "deletion of";
  }
  return "something";
}

}  // namespace

Catalog::~Catalog() {
  if (file_ >= 0) disk_.Close(file_);
  if (next_file_ >= 0) disk_.Close(next_file_);
  if (directory_ >= 0) disk_.Close(directory_);
}

absl::StatusOr<std::unique_ptr<Catalog>> Catalog::Open(Disk& disk, uint64_t identity, StoreKeys* keys) {
  std::unique_ptr<Catalog> catalog(new Catalog(disk, keys));
  MR_RETURN_IF_ERROR(disk.MakeDirectory("catalog"));
  MR_ASSIGN_OR_RETURN(catalog->directory_, disk.Open("catalog", FileUse::kRead, false));
  absl::StatusOr<Disk::File> file = disk.Open(kPath, FileUse::kWrite, false);
  if (absl::IsNotFound(file.status())) {
    // A compaction that put a damaged file aside, and was cut before it put the new one in its place.
    const absl::StatusOr<std::vector<std::string>> aside = disk.List("quarantine");
    const bool put_aside = aside.ok() && std::any_of(aside->begin(), aside->end(), [](const std::string& name) {
                             return name.compare(0, 8, "catalog.") == 0;
                           });
    if (put_aside && disk.Rename(kNextPath, kPath).ok()) {
      MR_RETURN_IF_ERROR(disk.SyncDirectory("catalog"));
      file = disk.Open(kPath, FileUse::kWrite, false);
    }
  }
  if (absl::IsNotFound(file.status())) {
    MR_RETURN_IF_ERROR(catalog->Create(identity));
    return catalog;
  }
  MR_RETURN_IF_ERROR(file.status());
  catalog->file_ = *file;
  MR_RETURN_IF_ERROR(catalog->ReadIndex());
  MR_RETURN_IF_ERROR(catalog->MakeStable());
  MR_RETURN_IF_ERROR(disk.Remove(kNextPath));
  return catalog;
}

absl::Status Catalog::Create(uint64_t identity) {
  // Under another name first: a catalog that can be seen is whole.
  root_.identity = identity;
  root_.committed_bytes = kFramesAt;
  MR_ASSIGN_OR_RETURN(file_, disk_.Open(kNextPath, FileUse::kWrite, true));
  for (int i = 0; i < 2; ++i) {
    root_.generation = static_cast<uint64_t>(i) + 1;
    MR_RETURN_IF_ERROR(disk_.WriteNow(file_, (root_.generation & 1) * kDiskAlignment, RootBlock(root_)));
  }
  MR_RETURN_IF_ERROR(disk_.SyncNow(file_));
  MR_RETURN_IF_ERROR(disk_.Rename(kNextPath, kPath));
  MR_RETURN_IF_ERROR(disk_.SyncDirectory("catalog"));
  end_ = kFramesAt;
  created_ = true;
  return absl::OkStatus();
}

absl::StatusOr<std::optional<KeyId>> Catalog::SealedWith(Disk& disk) {
  absl::StatusOr<Disk::File> file = disk.Open(kPath, FileUse::kRead, false);
  if (absl::IsNotFound(file.status())) file = disk.Open(kNextPath, FileUse::kRead, false);
  if (absl::IsNotFound(file.status())) return std::nullopt;
  MR_RETURN_IF_ERROR(file.status());
  std::string buffer(kFramesAt, '\0');
  const absl::StatusOr<size_t> got = disk.ReadNow(*file, 0, buffer.data(), buffer.size());
  disk.Close(*file);
  MR_RETURN_IF_ERROR(got.status());
  KeyId key = 0;
  uint64_t newest = 0;
  for (size_t at = 0; at + kDiskAlignment <= *got; at += kDiskAlignment) {
    Root root;
    RootSeal seal;
    if (!ReadRoot(std::string_view(buffer).substr(at), &root, &seal) || root.generation < newest) continue;
    newest = root.generation;
    key = seal.key_id;
  }
  return key;
}

std::string Catalog::RootBlock(const Root& root) const {
  Root sealed = root;
  sealed.magic = kRootMagic;
  sealed.check = HeaderCheck(sealed, sealed.identity);
  std::string block(kDiskAlignment, '\0');
  std::memcpy(block.data(), &sealed, sizeof sealed);
  if (keys_ == nullptr) return block;
  RootSeal seal;
  seal.key_id = keys_->current();
  keys_->Seal(std::string_view(block).substr(0, sizeof sealed), nullptr, 0, seal.seal);
  seal.check = HeaderCheck(seal, sealed.identity ^ sealed.check);
  std::memcpy(block.data() + sizeof sealed, &seal, sizeof seal);
  return block;
}

bool Catalog::ReadRoot(std::string_view block, Root* root, RootSeal* seal) {
  std::memcpy(root, block.data(), sizeof *root);
  std::memcpy(seal, block.data() + sizeof *root, sizeof *seal);
  if (root->magic != kRootMagic || root->check != HeaderCheck(*root, root->identity)) return false;
  const RootSeal none;
  if (std::memcmp(seal, &none, sizeof none) == 0) return true;
  return seal->key_id != 0 && seal->check == HeaderCheck(*seal, root->identity ^ root->check);
}

absl::StatusOr<bool> Catalog::OpenRoot(std::string_view block, Root* root) {
  RootSeal seal;
  if (!ReadRoot(block, root, &seal)) return false;
  if (seal.key_id == 0) {
    stale_ = stale_ || keys_ != nullptr;
    return KnowsKey(keys_, 0);
  }
  if (!KnowsKey(keys_, seal.key_id)) return UnknownKey();
  stale_ = stale_ || seal.key_id != keys_->current();
  char nothing = 0;
  return keys_->Open(seal.key_id, block.substr(0, sizeof *root), seal.seal, sizeof seal.seal, &nothing);
}

bool Catalog::OpenEntry(std::string_view entry, uint64_t offset, std::string* room, std::string_view* blob) const {
  EntryHeader header;
  std::memcpy(&header, entry.data(), sizeof header);
  *blob = entry.substr(sizeof header);
  if (header.key_id == 0) return KnowsKey(keys_, 0);
  if (blob->size() < kSealBytes || keys_ == nullptr) return false;
  room->resize(blob->size() - kSealBytes);
  const EntryPosition position(header, root_.identity, offset);
  if (!keys_->Open(header.key_id, position.view(), blob->data(), blob->size(), room->data())) return false;
  *blob = *room;
  return true;
}

// --- reading

absl::Status Catalog::ReadIndex() {
  MR_ASSIGN_OR_RETURN(const uint64_t size, disk_.Size(file_));
  std::string buffer(kFramesAt, '\0');
  MR_ASSIGN_OR_RETURN(const size_t got, disk_.ReadNow(file_, 0, buffer.data(), buffer.size()));
  bool rooted = false;
  for (int i = 0; i < 2 && got == buffer.size(); ++i) {
    Root root;
    const std::string_view block = std::string_view(buffer).substr(static_cast<size_t>(i) * kDiskAlignment);
    MR_ASSIGN_OR_RETURN(const bool intact, OpenRoot(block, &root));
    if (!intact) continue;  // the one that a crash tore, or damage: the other one counts
    if (!rooted || root.generation > root_.generation) {
      root_ = root;
      writing_ = block.substr(0, kDiskAlignment);
    }
    rooted = true;
  }
  uint64_t end = std::min(size, root_.committed_bytes);
  if (!rooted) {
    end = size;
    damage_.push_back({{}, 0, "both roots of the catalog are unreadable: every frame that is whole counts"});
  } else if (size < root_.committed_bytes) {
    damage_.push_back({{}, 0, absl::StrFormat("the catalog ends at %d, %d bytes short", size,
                                              root_.committed_bytes - size)});
  }
  uint64_t damaged_from = 0;
  for (uint64_t offset = kFramesAt; offset + sizeof(FrameHeader) <= end;) {
    FrameHeader header;
    char head[sizeof header];
    MR_ASSIGN_OR_RETURN(const size_t read, disk_.ReadNow(file_, offset, head, sizeof head));
    std::memcpy(&header, head, sizeof header);
    const bool whole = read == sizeof head && header.magic == kFrameMagic && header.offset == offset &&
                       (!rooted || header.identity == root_.identity) &&
                       header.check == HeaderCheck(header, header.identity) &&
                       offset + sizeof header + header.payload_bytes <= end;
    if (!whole) {  // not a frame: the next one begins at some later block
      if (damaged_from == 0) damaged_from = offset;
      offset += kDiskAlignment;
      continue;
    }
    if (damaged_from != 0) {
      damage_.push_back({{}, 0, absl::StrFormat("%s: bytes %d to %d are unreadable", kPath, damaged_from, offset)});
      damaged_from = 0;
    }
    if (!rooted) {
      root_.identity = header.identity;
      root_.replay_from = std::max(root_.replay_from, header.replay_from);
      root_.next_uid = std::max(root_.next_uid, header.next_uid);
    }
    buffer.resize(header.payload_bytes);
    MR_ASSIGN_OR_RETURN(const size_t body, disk_.ReadNow(file_, offset + sizeof header, buffer.data(), buffer.size()));
    const bool intact = body == buffer.size() && Hash64(buffer, header.identity ^ offset) == header.payload_hash;
    MR_RETURN_IF_ERROR(ReadFrame(buffer, offset + sizeof header, intact));
    offset += AlignUp(sizeof header + header.payload_bytes);
  }
  if (damaged_from != 0 && rooted) {
    damage_.push_back({{}, 0, absl::StrFormat("%s: bytes %d to %d are unreadable", kPath, damaged_from, end)});
  }
  if (!rooted && root_.identity == 0) {
    return absl::DataLossError(absl::StrFormat("%s: neither a root nor a frame is readable", kPath));
  }
  for (const auto& [key, place] : index_) root_.next_uid = std::max(root_.next_uid, key.uid + 1);
  // Beyond the commit stands what a crash cut short. It is overwritten, never read.
  end_ = AlignUp(rooted ? root_.committed_bytes : size);
  suspect_ = damaged_ = !damage_.empty();  // damage is copied away from, not built upon
  return absl::OkStatus();
}

// The last process may have failed to sync the root that was read here (the page cache calls the lost page clean and
// still has it), or have ended before the file's name was stable. From here on the log is recycled by what it says.
absl::Status Catalog::MakeStable() {
  if (!writing_.empty()) {
    MR_RETURN_IF_ERROR(disk_.WriteNow(file_, (root_.generation & 1) * kDiskAlignment, writing_));
    writing_.clear();
  }
  MR_RETURN_IF_ERROR(disk_.SyncNow(file_));
  return disk_.SyncDirectory("catalog");
}

absl::Status Catalog::ReadFrame(std::string_view payload, uint64_t offset, bool intact) {
  while (payload.size() >= sizeof(EntryHeader)) {
    EntryHeader header;
    std::memcpy(&header, payload.data(), sizeof header);
    const size_t bytes = sizeof header + header.bytes;
    if (bytes > payload.size()) break;
    const std::string_view entry = payload.substr(0, bytes);
    const Key key{static_cast<CatalogKind>(header.kind), header.uid};
    const bool whole = intact || header.check == EntryCheck(entry, root_.identity);
    if (whole && header.key_id != 0 && !KnowsKey(keys_, header.key_id)) return UnknownKey();
    std::string_view blob;
    if (whole && OpenEntry(entry, offset, &room_, &blob)) {
      stale_ = stale_ || (keys_ != nullptr && header.key_id != keys_->current());
      Apply(key, Place{offset, header.removed != 0 ? 0 : static_cast<uint32_t>(bytes)});
    } else {
      // Whose it was may itself be wrong. An older entry of that key stays: it is what is left.
      damage_.push_back({key.kind, key.uid, absl::StrFormat("%s %d is damaged at %d of %s", KindName(key.kind), key.uid,
                                                            offset, kPath)});
    }
    payload.remove_prefix(bytes);
    offset += bytes;
  }
  if (!intact && !payload.empty()) {
    damage_.push_back({{}, 0, absl::StrFormat("%s: %d bytes at %d are damaged", kPath, payload.size(), offset)});
  }
  return absl::OkStatus();
}

void Catalog::Apply(const Key& key, const Place& place) {
  if (place.bytes == 0) {
    const auto at = index_.find(key);
    if (at == index_.end()) return;
    MR_CHECK_OP(live_bytes_, >=, at->second.bytes);
    live_bytes_ -= at->second.bytes;
    index_.erase(at);
    return;
  }
  Place& known = index_[key];
  MR_CHECK_OP(live_bytes_, >=, known.bytes);
  live_bytes_ = live_bytes_ - known.bytes + place.bytes;
  known = place;
}

absl::Status Catalog::Load(const Visitor& visit) {
  std::vector<std::pair<Key, Place>> order(index_.begin(), index_.end());
  std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.second.offset < b.second.offset; });
  std::string buffer;
  uint64_t start = 0;
  for (const auto& [key, place] : order) {
    if (place.offset < start || place.offset + place.bytes > start + buffer.size()) {
      start = place.offset;
      buffer.resize(std::max<size_t>(kReadBytes, place.bytes));
      MR_ASSIGN_OR_RETURN(const size_t got, disk_.ReadNow(file_, start, buffer.data(), buffer.size()));
      buffer.resize(got);
    }
    EntryHeader header{};
    const bool there = place.offset + place.bytes <= start + buffer.size();
    const std::string_view entry =
        there ? std::string_view(buffer).substr(place.offset - start, place.bytes) : std::string_view{};
    if (there) std::memcpy(&header, entry.data(), sizeof header);
    std::string_view blob;
    if (!there || header.check != EntryCheck(entry, root_.identity) ||
        !OpenEntry(entry, place.offset, &room_, &blob)) {
      damage_.push_back({key.kind, key.uid, absl::StrFormat("%s %d changed between two reads", KindName(key.kind),
                                                            key.uid)});
      suspect_ = damaged_ = true;
      continue;
    }
    visit(key.kind, key.uid, header.lsn, blob);
  }
  return absl::OkStatus();
}

// --- a transaction

void Catalog::Invariant() const {
  MR_CHECK_OP(file_, >=, 0);
  MR_CHECK(phase_ != Phase::kIdle || !io_.busy());
  MR_CHECK(phase_ == Phase::kIdle || phase_ == Phase::kCopy || io_.busy());
  const bool copies = phase_ == Phase::kCopy || phase_ == Phase::kCopySync || phase_ == Phase::kCopyRoot;
  MR_CHECK(copies == (next_file_ >= 0));
  MR_CHECK_OP(copied_, <=, copy_.size());
  MR_CHECK((frame_entries_ == 0) == frame_.empty());
  MR_CHECK(end_ % kDiskAlignment == 0 && out_.size() % kDiskAlignment == 0);
  MR_CHECK_OP(end_, >=, kFramesAt);
  MR_CHECK(staged_bytes() == 0 || !changes_.empty());
  // While the file is copied, and until the copy is adopted, the end is that of the copy.
  if (copies || phase_ == Phase::kCopyName) return;
  MR_CHECK_OP(root_.committed_bytes, <=, end_);
  MR_CHECK_OP(live_bytes_ + kFramesAt, <=, end_);
}

void Catalog::Recount() const {
  Invariant();
  const bool placed = phase_ < Phase::kCopy;
  uint64_t bytes = 0;
  for (const auto& [key, place] : index_) {
    MR_CHECK_OP(place.bytes, >=, sizeof(EntryHeader));
    MR_CHECK_OP(place.offset, >=, kFramesAt + sizeof(FrameHeader));
    if (placed) MR_CHECK_OP(place.offset + place.bytes, <=, end_);
    bytes += place.bytes;
  }
  MR_CHECK_OP(bytes, ==, live_bytes_);
}

void Catalog::Put(CatalogKind kind, uint64_t uid, Lsn lsn, std::string_view blob) {
  StageEntry(kind, uid, lsn, false, blob);
}

void Catalog::Remove(CatalogKind kind, uint64_t uid) { StageEntry(kind, uid, 0, true, {}); }

void Catalog::StageEntry(CatalogKind kind, uint64_t uid, Lsn lsn, bool removed, std::string_view blob) {
  MR_CHECK_OP(blob.size(), <, size_t{1} << 30);
  EntryHeader header{};
  header.kind = static_cast<uint8_t>(kind);
  header.removed = removed ? 1 : 0;
  header.bytes = static_cast<uint32_t>(blob.size() + SealBytes(keys_));
  header.key_id = CurrentKey(keys_);
  header.uid = uid;
  header.lsn = lsn;
  if (frame_entries_ == 0 && out_.empty()) out_offset_ = end_;
  const size_t at = frame_.size();
  const uint64_t offset = out_offset_ + out_.size() + sizeof(FrameHeader) + at;
  frame_.append(reinterpret_cast<const char*>(&header), sizeof header);
  if (keys_ == nullptr) {
    frame_.append(blob);
  } else {
    frame_.resize(at + sizeof header + header.bytes);
    const EntryPosition position(header, root_.identity, offset);
    keys_->Seal(position.view(), blob.data(), blob.size(), frame_.data() + at + sizeof header);
  }
  const uint32_t check = EntryCheck(std::string_view(frame_).substr(at), root_.identity);
  std::memcpy(frame_.data() + at, &check, sizeof check);
  ++frame_entries_;
  const auto bytes = static_cast<uint32_t>(frame_.size() - at);
  changes_.emplace_back(Key{kind, uid}, Place{offset, removed ? 0 : bytes});
  if (frame_.size() >= kFramePayloadBytes) CloseFrame();
}

void Catalog::CloseFrame() {
  if (frame_entries_ == 0) return;
  FrameHeader header;
  header.magic = kFrameMagic;
  header.identity = root_.identity;
  header.offset = out_offset_ + out_.size();
  header.replay_from = root_.replay_from;
  header.next_uid = root_.next_uid;
  header.payload_bytes = static_cast<uint32_t>(frame_.size());
  header.entries = frame_entries_;
  header.payload_hash = Hash64(frame_, root_.identity ^ header.offset);
  header.check = HeaderCheck(header, root_.identity);
  out_.append(reinterpret_cast<const char*>(&header), sizeof header);
  out_.append(frame_);
  out_.resize(AlignUp(out_.size()));
  frame_.clear();
  frame_entries_ = 0;
}

void Catalog::WriteOut(Phase phase) {
  CloseFrame();
  MR_CHECK(!io_.busy());  // what is in flight is in writing_
  phase_ = phase;
  writing_.clear();
  writing_.swap(out_);
  const uint64_t offset = end_;
  MR_CHECK_OP(offset, ==, out_offset_);  // frames and entries are bound to where they stand
  end_ += writing_.size();
  out_offset_ = end_;
  disk_.Write(next_file_ >= 0 ? next_file_ : file_, offset, writing_, &io_);
}

void Catalog::StartFlush() {
  MR_CHECK(!busy() && !suspect_);
  failed_ = false;
  if (staged_bytes() == 0) return;
  WriteOut(Phase::kFlush);
}

void Catalog::StartCommit(Lsn replay_from, uint64_t next_uid) {
  MR_CHECK(!busy() && !suspect_);
  failed_ = false;
  next_root_ = root_;
  ++next_root_.generation;
  next_root_.replay_from = replay_from;
  next_root_.next_uid = std::max(next_uid, root_.next_uid);
  if (staged_bytes() > 0) return WriteOut(Phase::kFrames);
  phase_ = Phase::kSync;
  disk_.Sync(file_, &io_);
}

void Catalog::Drop() {
  MR_CHECK(!busy());
  frame_.clear();
  frame_entries_ = 0;
  out_.clear();
  changes_.clear();
  end_ = AlignUp(root_.committed_bytes);
}

bool Catalog::wants_compaction() const {
  return suspect_ || stale_ || end_ > 2 * live_bytes_ + slack_bytes_;
}

void Catalog::StartCompaction() {
  MR_CHECK(!busy() && staged_bytes() == 0 && changes_.empty());
  failed_ = false;
  const absl::Status removed = disk_.Remove(kNextPath);
  const absl::StatusOr<Disk::File> file =
      removed.ok() ? disk_.Open(kNextPath, FileUse::kWrite, true) : absl::StatusOr<Disk::File>(removed);
  if (!file.ok()) {
    failed_ = true;
    error_ = absl::IsResourceExhausted(file.status()) ? ENOSPC : EIO;
    return;
  }
  next_file_ = *file;
  copy_.assign(index_.begin(), index_.end());
  std::sort(copy_.begin(), copy_.end(), [](const auto& a, const auto& b) { return a.second.offset < b.second.offset; });
  copied_ = 0;
  end_ = kFramesAt;
  next_root_ = root_;
  ++next_root_.generation;
  phase_ = Phase::kCopy;
}

void Catalog::Step() {
  if (needs_step()) CopySlice();
}

// Reads the next entries and writes them as frames of the new file. They come from the page cache, as a rule.
void Catalog::CopySlice() {
  MR_CHECK(next_file_ >= 0 && phase_ == Phase::kCopy);
  std::string entry;
  while (copied_ < copy_.size() && staged_bytes() < kCopyBytes) {
    const auto& [key, place] = copy_[copied_++];
    entry.resize(place.bytes);
    const absl::StatusOr<size_t> got = disk_.ReadNow(file_, place.offset, entry.data(), entry.size());
    EntryHeader header{};
    const bool there = got.ok() && *got == entry.size();
    if (there) std::memcpy(&header, entry.data(), sizeof header);
    std::string_view blob;
    if (!there || header.check != EntryCheck(entry, root_.identity) ||
        !OpenEntry(entry, place.offset, &room_, &blob)) {
      damage_.push_back({key.kind, key.uid, absl::StrFormat("%s %d is damaged", KindName(key.kind), key.uid)});
      damaged_ = true;
      changes_.emplace_back(key, Place{});
      continue;
    }
    StageEntry(key.kind, key.uid, header.lsn, false, blob);
  }
  if (staged_bytes() > 0) return WriteOut(Phase::kCopy);
  phase_ = Phase::kCopySync;
  disk_.Sync(next_file_, &io_);
}

void Catalog::OnIo(const IoResult& result) {
  if (!result.ok()) return Fail(result.error());
  switch (phase_) {
    case Phase::kIdle:
      MR_CHECK(false);
      break;
    case Phase::kFlush:
      phase_ = Phase::kIdle;
      break;
    case Phase::kFrames:
      phase_ = Phase::kSync;
      disk_.Sync(file_, &io_);
      break;
    case Phase::kSync:
      phase_ = Phase::kRoot;
      next_root_.committed_bytes = end_;
      writing_ = RootBlock(next_root_);
      disk_.WriteDurable(file_, (next_root_.generation & 1) * kDiskAlignment, writing_, &io_);
      break;
    case Phase::kRoot:
      Adopt();
      break;
    case Phase::kCopy:  // Step goes on
      break;
    case Phase::kCopySync: {
      phase_ = Phase::kCopyRoot;
      next_root_.committed_bytes = end_;
      Root twin = next_root_;
      --twin.generation;
      const bool odd = (next_root_.generation & 1) != 0;
      writing_ = odd ? RootBlock(twin) + RootBlock(next_root_) : RootBlock(next_root_) + RootBlock(twin);
      disk_.WriteDurable(next_file_, 0, writing_, &io_);
      break;
    }
    case Phase::kCopyRoot:
      Replace();
      break;
    case Phase::kCopyName:
      suspect_ = stale_ = false;
      Adopt();
      break;
  }
}

// The transaction is committed.
void Catalog::Adopt() {
  MR_CHECK_OP(next_root_.generation, >, root_.generation);  // a restart takes the root of the higher one
  MR_CHECK_OP(next_root_.replay_from, >=, root_.replay_from);
  for (const auto& [key, place] : changes_) Apply(key, place);
  changes_.clear();
  changes_.shrink_to_fit();
  root_ = next_root_;
  phase_ = Phase::kIdle;
}

// The new file is whole and stable: it takes the name.
void Catalog::Replace() {
  MR_CHECK_OP(next_root_.committed_bytes, ==, end_);
  absl::Status status;
  if (damaged_) {
    status = disk_.MakeDirectory("quarantine");
    if (status.ok()) status = disk_.Rename(kPath, absl::StrFormat("quarantine/catalog.%d", root_.generation));
    if (status.ok()) status = disk_.SyncDirectory("quarantine");
  }
  if (status.ok()) status = disk_.Rename(kNextPath, kPath);
  if (!status.ok()) return Fail(EIO);
  disk_.Close(file_);
  file_ = std::exchange(next_file_, -1);
  damaged_ = false;
  phase_ = Phase::kCopyName;
  disk_.Sync(directory_, &io_);
}

void Catalog::Fail(int error) {
  const Phase at = std::exchange(phase_, Phase::kIdle);
  failed_ = true;
  error_ = error;
  if (at == Phase::kCopyName) {
    // The new file is in use, but its name may not be stable: once more, before anything is built upon it.
    suspect_ = true;
    return Adopt();
  }
  Drop();
  if (next_file_ >= 0) {  // the compaction is given up, the old file is as it was
    disk_.Close(std::exchange(next_file_, -1));
    (void)disk_.Remove(kNextPath);
  } else {
    // A full disk refuses a write before it becomes a dirty page. After any other error nobody knows what is stable.
    const bool harmless = (error == ENOSPC || error == EDQUOT) && (at == Phase::kFlush || at == Phase::kFrames);
    suspect_ = suspect_ || !harmless;
  }
}

}  // namespace millrace
