// SPDX-License-Identifier: Apache-2.0
// BlockCodec: see block_codec.h.
#include "store/segment/block_codec.h"

#include <snappy-c.h>

#include "store/segment/block_slices.h"
#include "store/hash.h"

namespace millrace {
namespace {

uint64_t PlaceOf(const SegmentFile& file, uint64_t offset) { return uint64_t{file.number} << 40 | offset; }

uint64_t HeaderHash(const BlockHeader& header, uint64_t seed) {
  return Hash64({reinterpret_cast<const char*>(&header), offsetof(BlockHeader, header_hash)}, seed);
}

// What is authenticated with the records: what the header says of them, and the file.
struct BlockPosition {
  BlockPosition(const BlockHeader& header, const SegmentFile& file) : uuid(file.uuid) {
    std::memcpy(head, &header, sizeof head);
  }
  std::string_view view() const { return {reinterpret_cast<const char*>(this), sizeof *this}; }

  char head[offsetof(BlockHeader, stored_hash)];
  uint64_t uuid;
};
static_assert(sizeof(BlockPosition) == offsetof(BlockHeader, stored_hash) + 8);

// Behind the records of a block that is neither compressed nor sealed.
size_t TableBytes(const BlockBody& body, const StoreKeys* keys) {
  return keys == nullptr ? SliceTableBytes(body.record_bytes(), body.count()) : 0;
}

}  // namespace

size_t CompressBlock(const BlockBody& body, bool compress, std::string* room, const StoreKeys* keys) {
  const size_t seal_bytes = SealBytes(keys);
  const size_t plain_bytes = body.bytes() + seal_bytes + TableBytes(body, keys);
  room->clear();
  if (!compress || body.record_bytes() < 128) return plain_bytes;
  size_t bytes = snappy_max_compressed_length(body.record_bytes());
  room->resize(sizeof(BlockHeader) + bytes);
  const snappy_status status = snappy_compress(body.data() + sizeof(BlockHeader), body.record_bytes(),
                                               room->data() + sizeof(BlockHeader), &bytes);
  if (status != SNAPPY_OK || bytes >= body.record_bytes()) {
    room->clear();
    return plain_bytes;
  }
  room->resize(sizeof(BlockHeader) + bytes);
  return room->size() + seal_bytes;
}

std::string_view PrepareBlock(uint64_t uid, const Block& block, BlockBody* body, std::string* room,
                              const SegmentFile& file, uint64_t offset, StoreKeys* keys) {
  MR_CHECK_OP(body->count(), ==, block.messages);
  MR_CHECK_OP(offset, <, uint64_t{1} << 40);  // PlaceOf
  MR_CHECK(block.messages > 0 && file.uuid != 0);
  const bool compressed = !room->empty();
  const size_t table_bytes = compressed ? 0 : TableBytes(*body, keys);
  char* table = table_bytes > 0 ? body->Spare(table_bytes) : nullptr;
  const char* plain = compressed ? room->data() : body->data();
  const size_t plain_bytes = compressed ? room->size() : body->bytes() + table_bytes;
  const size_t bytes = plain_bytes + SealBytes(keys);
  if (keys != nullptr) {
    room->resize(bytes);
    if (compressed) plain = room->data();
  }
  char* start = room->empty() ? body->data() : room->data();
  BlockHeader header;
  header.version = table_bytes > 0 ? 2 : 1;
  header.flags = compressed ? kBlockCompressed : table_bytes > 0 ? kBlockSliced : 0;
  header.uid = uid;
  header.first_seq = block.first_seq;
  header.last_seq = block.last_seq;
  header.messages = block.messages;
  header.stored_bytes = static_cast<uint32_t>(bytes - sizeof header);
  header.record_bytes = static_cast<uint32_t>(body->record_bytes());
  header.key_id = CurrentKey(keys);
  header.first_time_ns = body->HeaderAt(0).time_ns;
  header.last_time_ns = block.last_time_ns;
  header.place = PlaceOf(file, offset);
  if (keys != nullptr) {
    const BlockPosition position(header, file);
    keys->Seal(position.view(), plain + sizeof header, plain_bytes - sizeof header, start + sizeof header);
  }
  const uint64_t seed = file.SeedAt(offset);
  if (table_bytes > 0) {
    const std::string_view records(start + sizeof header, header.record_bytes);
    header.stored_hash = WriteSliceTable(records, SliceSeeds(uid, block.first_seq, seed), table);
  } else {
    header.stored_hash = Hash64({start + sizeof header, header.stored_bytes}, seed);
  }
  MR_CHECK_OP(header.record_bytes, ==, block.record_bytes);  // or it would not be taken for itself when it is read
  header.header_hash = HeaderHash(header, seed);
  std::memcpy(start, &header, sizeof header);
  return {start, bytes};
}

bool OpenBlock(uint64_t uid, const Block& block, const SegmentFile& file, size_t bytes,
               std::unique_ptr<BlockBody>* body, StoreKeys* keys) {
  if (bytes != block.stored_bytes || bytes < sizeof(BlockHeader)) return false;
  BlockHeader header;
  std::memcpy(&header, (*body)->data(), sizeof header);
  const uint64_t seed = file.SeedAt(block.offset);
  if (header.magic != kBlockMagic || header.uid != uid ||
      header.first_seq != block.first_seq || header.last_seq != block.last_seq || header.messages != block.messages ||
      header.stored_bytes != bytes - sizeof header || header.record_bytes != block.record_bytes ||
      header.place != PlaceOf(file, block.offset) || header.header_hash != HeaderHash(header, seed)) {
    return false;
  }
  size_t stored_bytes = header.stored_bytes;
  const std::string_view all((*body)->data() + sizeof header, stored_bytes);
  if (header.version == 2 && header.flags == kBlockSliced) {
    const size_t table_bytes = SliceTableBytes(header.record_bytes, header.messages);
    if (table_bytes == 0 || stored_bytes != header.record_bytes + table_bytes) return false;
    stored_bytes = header.record_bytes;
    const SliceSeeds seeds(uid, block.first_seq, seed);
    if (!SlicesIntact(all.substr(0, stored_bytes), all.substr(stored_bytes), seeds)) return false;
  } else if (header.version != 1 || header.stored_hash != Hash64(all, seed)) {
    return false;
  }
  if (header.key_id == 0) {
    if (!KnowsKey(keys, 0)) return false;
  } else {
    const BlockPosition position(header, file);
    char* records = (*body)->data() + sizeof header;
    if (keys == nullptr || !keys->Open(header.key_id, position.view(), records, stored_bytes, records)) return false;
    stored_bytes -= kSealBytes;
  }
  const uint64_t span = block.last_seq - block.first_seq;
  if ((header.flags & kBlockCompressed) == 0) {
    return (*body)->Index(sizeof header + stored_bytes, block.messages, span);
  }
  auto plain = std::make_unique<BlockBody>(sizeof header + header.record_bytes);
  const char* stored = (*body)->data() + sizeof header;
  size_t plain_bytes = 0;
  if (snappy_uncompressed_length(stored, stored_bytes, &plain_bytes) != SNAPPY_OK ||
      plain_bytes != header.record_bytes ||
      snappy_uncompress(stored, stored_bytes, plain->data() + sizeof header, &plain_bytes) != SNAPPY_OK) {
    return false;
  }
  std::memcpy(plain->data(), &header, sizeof header);
  *body = std::move(plain);
  return (*body)->Index(sizeof header + plain_bytes, block.messages, span);
}

}  // namespace millrace
