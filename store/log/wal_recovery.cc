// SPDX-License-Identifier: Apache-2.0
#include "store/log/wal_recovery.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "proto/base/check.h"
#include "proto/base/status.h"

namespace millrace {
namespace {

constexpr uint64_t kWindowBytes = 1 << 20;

// A view of a file through a window that moves forward.
class Window {
 public:
  Window(Disk& disk, Disk::File file, uint64_t file_bytes) : disk_(disk), file_(file), file_bytes_(file_bytes) {}

  // `bytes` at `offset`, or an empty view when the file ends before.
  absl::StatusOr<std::string_view> At(uint64_t offset, uint64_t bytes) {
    if (offset + bytes > file_bytes_) return std::string_view{};
    if (offset < start_ || offset + bytes > start_ + held_) {
      const uint64_t want = std::min(std::max(AlignUp(bytes), kWindowBytes), file_bytes_ - offset);
      buffer_.resize(want);
      MR_ASSIGN_OR_RETURN(held_, disk_.ReadNow(file_, offset, buffer_.data(), want));
      start_ = offset;
      if (held_ < bytes) return std::string_view{};
    }
    return std::string_view(buffer_).substr(offset - start_, bytes);
  }

 private:
  Disk& disk_;
  const Disk::File file_;
  const uint64_t file_bytes_;
  std::string buffer_;
  uint64_t start_ = 0;
  size_t held_ = 0;
};

struct Found {
  WalBatch batch;
  bool intact = false;
};

// *records: the payload before, the records after. False: they are not what was written here.
bool OpenRecords(const WalSeal& seal, const WalBatch& batch, std::string_view* records, std::string* room) {
  if (batch.header.key_id == 0) return seal.Knows(batch.header);
  room->resize(records->size());
  size_t bytes = 0;
  if (!seal.Open(batch.header, batch.file->number, batch.offset, records->data(), room->data(), &bytes)) return false;
  *records = std::string_view(*room).substr(0, bytes);
  return true;
}

// All batches of the file whose header is intact. A batch that is not intact does not hide what follows it: the search
// goes on at the next block, for its length may be right and what follows may have been acknowledged.
absl::Status ScanFile(Disk& disk, WalFile& file, const WalSeal& seal, Lsn from, const WalGlance& glance,
                      std::vector<Found>* found) {
  const uint64_t identity = seal.identity;
  std::string opened;
  MR_ASSIGN_OR_RETURN(const Disk::File reader, disk.Open(WalFiles::PathOf(file.number), FileUse::kRead, false));
  Window window(disk, reader, file.bytes);
  absl::Status status;
  for (uint64_t offset = 0; offset + kDiskAlignment <= file.bytes;) {
    const absl::StatusOr<std::string_view> head = window.At(offset, kWalBatchHeaderBytes);
    if (!head.ok()) {  // an unreadable block is a damaged block
      offset += kDiskAlignment;
      continue;
    }
    Found entry;
    entry.batch.file = &file;
    entry.batch.offset = offset;
    if (head->empty() || !ReadWalHeader(head->data(), identity, &entry.batch.header)) {
      offset += kDiskAlignment;
      continue;
    }
    const WalBatchHeader& header = entry.batch.header;
    const absl::StatusOr<std::string_view> all = window.At(offset, kWalBatchHeaderBytes + header.payload_bytes);
    entry.intact = all.ok() && !all->empty() &&
                   WalPayloadIntact(header, all->substr(kWalBatchHeaderBytes), identity);
    const uint64_t bytes = entry.intact ? WalBatchBytes(header) : kDiskAlignment;
    if (entry.intact && header.last_lsn() > from) {
      std::string_view records = all->substr(kWalBatchHeaderBytes);
      if (header.key_id != 0 && !seal.Knows(header)) {
        status = absl::FailedPreconditionError(absl::StrFormat(
            "%s: the batch at %d is encrypted with a key that is not there", WalFiles::PathOf(file.number), offset));
        break;
      }
      if (!OpenRecords(seal, entry.batch, &records, &opened)) entry.intact = false;
      if (entry.intact && glance) glance(records);
    }
    offset += bytes;
    found->push_back(std::move(entry));
  }
  disk.Close(reader);
  return status;
}

// A batch may be there twice, when it was rewritten after a failed flush.
bool Before(const Found& a, const Found& b) {
  const WalBatchHeader& x = a.batch.header;
  const WalBatchHeader& y = b.batch.header;
  if (x.lsn != y.lsn) return x.lsn < y.lsn;
  return std::pair(x.epoch, x.file_seq) < std::pair(y.epoch, y.file_seq);
}

}  // namespace

absl::StatusOr<WalScan> ScanWal(Disk& disk, WalFiles& files, uint64_t identity, Lsn from, const WalProgress& progress,
                                const WalGlance& glance, StoreKeys* keys) {
  const WalSeal seal{keys, identity};
  WalScan scan;
  uint64_t total = 0;
  for (const auto& file : files.files()) total += file->bytes;
  std::vector<Found> found;
  for (const auto& file : files.files()) {
    const size_t first = found.size();
    MR_RETURN_IF_ERROR(ScanFile(disk, *file, seal, from, glance, &found));
    for (size_t i = first; i < found.size(); ++i) {
      const WalBatchHeader& header = found[i].batch.header;
      if (header.last_lsn() > from) {
        file->seq = std::max(file->seq, header.file_seq);
        file->last_lsn = std::max(file->last_lsn, header.last_lsn());
      }
    }
    scan.bytes += file->bytes;
    if (progress) progress(scan.bytes, total);
  }
  for (const Found& entry : found) {
    const WalBatchHeader& header = entry.batch.header;
    scan.durable = std::max(scan.durable, header.durable_lsn);
    scan.highest = std::max({scan.highest, header.last_lsn(), header.durable_lsn});
    scan.epoch = std::max(scan.epoch, header.epoch);
    scan.file_seq = std::max(scan.file_seq, header.file_seq);
  }
  std::erase_if(found, [from](const Found& entry) {
    return entry.batch.header.records == 0 || entry.batch.header.last_lsn() <= from;
  });
  std::stable_sort(found.begin(), found.end(), Before);

  Lsn at = from;
  for (const Found& entry : found) {
    const WalBatchHeader& header = entry.batch.header;
    if (!entry.intact || header.last_lsn() <= at) continue;
    if (header.prev_lsn > at) scan.gaps.push_back({at + 1, header.prev_lsn, at >= scan.durable, scan.batches.size()});
    scan.batches.push_back(entry.batch);
    at = header.last_lsn();
  }
  if (at < scan.durable) scan.gaps.push_back({at + 1, scan.durable, false, scan.batches.size()});
  scan.end = std::max({at, scan.durable, from});
  scan.highest = std::max(scan.highest, scan.end);
  MR_DCHECK(std::is_sorted(scan.gaps.begin(), scan.gaps.end(),
                           [](const WalGap& a, const WalGap& b) { return a.last < b.first; }));
  MR_CHECK_OP(scan.durable, <=, scan.end);

  const auto readable = [&scan](Lsn lsn) {
    const auto after = std::partition_point(scan.batches.begin(), scan.batches.end(),
                                            [lsn](const WalBatch& batch) { return batch.header.last_lsn() < lsn; });
    return after != scan.batches.end() && after->header.lsn <= lsn;
  };
  for (const Found& entry : found) {
    const WalBatchHeader& header = entry.batch.header;
    if (entry.intact || readable(header.lsn)) continue;
    // Neither: the torn tail of an earlier crash, which the log has gone past since.
    const bool missing = std::any_of(scan.gaps.begin(), scan.gaps.end(), [&header](const WalGap& gap) {
      return !gap.uncertain && gap.first <= header.last_lsn() && header.lsn <= gap.last;
    });
    if (header.lsn > scan.end) {
      scan.torn.push_back(entry.batch);
    } else if (missing) {
      ++scan.damaged;
    }
  }
  return scan;
}

absl::Status ReadWalPayload(Disk& disk, const WalBatch& batch, uint64_t identity, std::string* records,
                            StoreKeys* keys) {
  MR_ASSIGN_OR_RETURN(const Disk::File reader, disk.Open(WalFiles::PathOf(batch.file->number), FileUse::kRead, false));
  records->resize(batch.header.payload_bytes);
  const absl::StatusOr<size_t> got =
      disk.ReadNow(reader, batch.offset + kWalBatchHeaderBytes, records->data(), records->size());
  disk.Close(reader);
  MR_RETURN_IF_ERROR(got.status());
  bool same = *got == records->size() && WalPayloadIntact(batch.header, *records, identity);
  if (same && batch.header.key_id != 0) {
    const WalSeal seal{keys, identity};
    size_t bytes = 0;
    same = seal.Open(batch.header, batch.file->number, batch.offset, records->data(), records->data(), &bytes);
    if (same) records->resize(bytes);
  }
  if (!same) {
    return absl::DataLossError(absl::StrFormat("%s: batch at %d changed between two reads",
                                               WalFiles::PathOf(batch.file->number), batch.offset));
  }
  return absl::OkStatus();
}

}  // namespace millrace
