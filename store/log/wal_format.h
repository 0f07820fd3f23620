// SPDX-License-Identifier: Apache-2.0
// The bytes of the write-ahead log: batches and records. FORMAT.md has the tables.
// Owner:  caller (pure).  Input of the readers is not trusted: lengths are checked before anything is looked at.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "proto/base/check.h"
#include "store/disk.h"
#include "store/hash.h"
#include "store/journal.h"

namespace millrace {

static_assert(std::endian::native == std::endian::little, "the store's integers are little-endian on disk");

// One flush. Starts on a multiple of kDiskAlignment, is followed by `payload_bytes` of records, and zeros up to the
// next multiple.
struct WalBatchHeader {
  uint32_t magic = 0;
  uint32_t check = 0;         // of this header with check = 0; seeded with the log's identity
  uint64_t lsn = 0;           // of the first record
  uint64_t prev_lsn = 0;      // of the last record before this batch
  uint64_t durable_lsn = 0;   // all up to here had been flushed when this was written
  uint32_t payload_bytes = 0;
  uint32_t records = 0;       // 0: a watermark, says only durable_lsn
  uint32_t file_seq = 0;      // grows each time a file is taken into use: tells old batches of a recycled file
  uint32_t epoch = 0;         // grows with every recovery
  uint64_t payload_hash = 0;  // seeded with identity ^ lsn
  uint64_t key_id = 0;        // of the data key that seals the payload (store_keys.h); 0: plain

  Lsn last_lsn() const { return lsn + records - 1; }
};
static_assert(sizeof(WalBatchHeader) == 64);

inline constexpr uint32_t kWalMagic = 0x4c57524d;  // "MRWL"
inline constexpr size_t kWalBatchHeaderBytes = sizeof(WalBatchHeader);
inline constexpr size_t kWalRecordHeaderBytes = 12;  // u32 bytes << 5 | kind, u64 object
inline constexpr size_t kWalRecordBytesMax = (size_t{1} << 27) - 1;

inline uint64_t WalBatchBytes(const WalBatchHeader& header) {
  return AlignUp(kWalBatchHeaderBytes + header.payload_bytes);
}

inline uint32_t WalHeaderCheck(WalBatchHeader header, uint64_t identity) {
  header.check = 0;
  return static_cast<uint32_t>(Hash64({reinterpret_cast<const char*>(&header), sizeof header}, identity));
}

// The hash covers what is on disk, sealed or not.
inline void SealWalBatch(char* batch, WalBatchHeader header, uint64_t identity) {
  MR_CHECK_OP(header.prev_lsn, <, header.lsn);
  MR_CHECK_OP(header.durable_lsn, <, header.lsn);
  header.magic = kWalMagic;
  header.payload_hash = Hash64({batch + kWalBatchHeaderBytes, header.payload_bytes}, identity ^ header.lsn);
  header.check = WalHeaderCheck(header, identity);
  std::memcpy(batch, &header, sizeof header);
}

// False: no batch of this log begins here.
inline bool ReadWalHeader(const char* at, uint64_t identity, WalBatchHeader* header) {
  std::memcpy(header, at, sizeof *header);
  return header->magic == kWalMagic && header->check == WalHeaderCheck(*header, identity);
}

inline bool WalPayloadIntact(const WalBatchHeader& header, std::string_view payload, uint64_t identity) {
  return Hash64(payload, identity ^ header.lsn) == header.payload_hash;
}

inline char* PutWalRecordHeader(char* to, RecordKind kind, uint64_t object, size_t body_bytes) {
  MR_DCHECK(static_cast<uint32_t>(kind) < 32 && body_bytes <= kWalRecordBytesMax);
  const uint32_t word = static_cast<uint32_t>(body_bytes) << 5 | static_cast<uint32_t>(kind);
  std::memcpy(to, &word, 4);
  std::memcpy(to + 4, &object, 8);
  return to + kWalRecordHeaderBytes;
}

struct WalRecord {
  RecordKind kind = RecordKind::kNone;
  uint64_t object = 0;
  std::string_view body;
};

// Takes the next record off `rest`. False: `rest` does not begin with a whole record.
inline bool NextWalRecord(std::string_view* rest, WalRecord* record) {
  if (rest->size() < kWalRecordHeaderBytes) return false;
  uint32_t word;
  std::memcpy(&word, rest->data(), 4);
  std::memcpy(&record->object, rest->data() + 4, 8);
  const size_t bytes = word >> 5;
  if (rest->size() - kWalRecordHeaderBytes < bytes) return false;
  record->kind = static_cast<RecordKind>(word & 31);
  record->body = rest->substr(kWalRecordHeaderBytes, bytes);
  rest->remove_prefix(kWalRecordHeaderBytes + bytes);
  return true;
}

}  // namespace millrace
