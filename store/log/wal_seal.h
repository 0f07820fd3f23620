// SPDX-License-Identifier: Apache-2.0
// WalSeal: the payload of a batch of the log, sealed for one place: its header, its file and its offset are
//          authenticated with it. A watermark has a seal too, around nothing.
// Owner:  shard (WriteAheadLog), or the caller at start (ScanWal).
#pragma once

#include <cstdint>
#include <string_view>

#include "store/keys/store_keys.h"
#include "store/log/wal_format.h"

namespace millrace {

struct WalSeal {
  StoreKeys* keys = nullptr;  // nullptr: nothing is sealed
  uint64_t identity = 0;

  size_t bytes() const { return SealBytes(keys); }

  // `payload` is followed by room for the seal, which header->payload_bytes contains already.
  void Seal(WalBatchHeader* header, uint32_t file, uint64_t offset, char* payload) const {
    if (keys == nullptr) return;
    MR_CHECK_OP(header->payload_bytes, >=, kSealBytes);
    header->key_id = keys->current();
    const Position position(*header, identity, file, offset);
    keys->Seal(position.view(), payload, header->payload_bytes - kSealBytes, payload);
  }

  bool Knows(const WalBatchHeader& header) const {
    return header.key_id == (header.key_id & UINT32_MAX) && KnowsKey(keys, static_cast<KeyId>(header.key_id));
  }

  // The records go to `out`, which may be `payload`; *bytes says how many bytes. False: they are not what was sealed.
  bool Open(const WalBatchHeader& header, uint32_t file, uint64_t offset, const char* payload, char* out,
            size_t* bytes) const {
    *bytes = header.payload_bytes - kSealBytes;
    const Position position(header, identity, file, offset);
    return header.payload_bytes >= kSealBytes &&
           keys->Open(static_cast<KeyId>(header.key_id), position.view(), payload, header.payload_bytes, out);
  }

 private:
  struct Position {
    Position(const WalBatchHeader& batch, uint64_t log, uint32_t number, uint64_t at)
        : header(batch), identity(log), file(number), offset(at) {
      header.magic = header.check = 0;
      header.payload_hash = 0;
    }
    std::string_view view() const { return {reinterpret_cast<const char*>(this), sizeof *this}; }

    WalBatchHeader header;
    uint64_t identity;
    uint64_t file;
    uint64_t offset;
  };
  static_assert(sizeof(Position) == sizeof(WalBatchHeader) + 24);
};

}  // namespace millrace
