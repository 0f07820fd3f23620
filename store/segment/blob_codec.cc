// SPDX-License-Identifier: Apache-2.0
#include "store/segment/blob_codec.h"

#include <cstdint>
#include <cstring>

#include "store/hash.h"

namespace millrace {
namespace {

// What is authenticated with an index run: where it stands.
struct BlobPosition {
  BlobPosition(const SegmentFile& segment, const Extent& extent)
      : uuid(segment.uuid), file(extent.file), bytes(extent.bytes), offset(extent.offset) {}
  std::string_view view() const { return {reinterpret_cast<const char*>(this), sizeof *this}; }

  uint64_t uuid;
  uint32_t file;
  uint32_t bytes;  // hash and seal included
  uint64_t offset;
};
static_assert(sizeof(BlobPosition) == 24);

}  // namespace

std::string PrepareBlob(std::string_view bytes, const SegmentFile& file, const Extent& extent, StoreKeys* keys) {
  std::string stored(kBlobHashBytes, '\0');
  if (keys == nullptr) {
    stored.append(bytes);
  } else {
    stored.resize(BlobBytes(bytes.size(), keys));
    const BlobPosition position(file, extent);
    keys->Seal(position.view(), bytes.data(), bytes.size(), stored.data() + kBlobHashBytes);
  }
  const uint64_t hash = Hash64(std::string_view(stored).substr(kBlobHashBytes), file.SeedAt(extent.offset));
  std::memcpy(stored.data(), &hash, sizeof hash);
  return stored;
}

bool OpenBlob(const SegmentFile& file, const Extent& extent, std::string* bytes, StoreKeys* keys) {
  if (bytes->size() < kBlobHashBytes) return false;
  uint64_t hash = 0;
  std::memcpy(&hash, bytes->data(), sizeof hash);
  if (hash != Hash64(std::string_view(*bytes).substr(kBlobHashBytes), file.SeedAt(extent.offset))) return false;
  if (file.key_id == 0) {
    if (!KnowsKey(keys, 0)) return false;
  } else {
    const BlobPosition position(file, extent);
    char* stored = bytes->data() + kBlobHashBytes;
    const size_t stored_bytes = bytes->size() - kBlobHashBytes;
    if (keys == nullptr || !keys->Open(file.key_id, position.view(), stored, stored_bytes, stored)) return false;
    bytes->resize(bytes->size() - kSealBytes);
  }
  bytes->erase(0, kBlobHashBytes);
  return true;
}

}  // namespace millrace
