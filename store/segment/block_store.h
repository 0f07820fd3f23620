// SPDX-License-Identifier: Apache-2.0
// BlockStore: blocks and index runs on their way to the files of a shard and back. It knows nothing of streams but that
//             blocks have an owner (block_owner.h).
// Owner:  shard (SegmentStore). disk, options, files, cache and owners outlive it.
// Memory: bodies of blocks that are on disk are in the cache; those that are not yet are kept in any case.
// Damage: what fails its checksum is never served. on_damage says so once per block.
// Format: store/FORMAT.md.  Proof: tests/store/file_stream_log_test.cc, segment_store_test.cc.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "store/disk.h"
#include "store/segment/block.h"
#include "store/segment/block_cache.h"
#include "store/segment/block_owner.h"
#include "store/segment/released_places.h"
#include "store/segment/segment_file.h"
#include "store/segment/segment_files.h"
#include "store/segment/segment_options.h"

namespace millrace {

struct BlockRead;
struct BlockWrite;

class BlockStore {
 public:
  BlockStore(Disk& disk, const SegmentStoreOptions& options, SegmentFiles& files, BlockCache& cache);
  ~BlockStore();
  BlockStore(const BlockStore&) = delete;
  BlockStore& operator=(const BlockStore&) = delete;

  SegmentFiles& files() { return files_; }
  BlockCache& cache() { return cache_; }
  ReleasedPlaces& released() { return released_; }
  const ReleasedPlaces& released() const { return released_; }

  // --- writing
  // The block's body stays where it is until it is written; afterwards it is in the cache. A block that could not be
  // written is in memory as before.
  void Write(BlockOwner* owner, Block* block, bool compress);
  // Blobs: index runs. Where the bytes go is known at once (file 0: nowhere); BlockOwner::OnBlobWritten(tag) comes when
  // they are there, during recovery before this returns.
  Extent WriteBlob(BlockOwner* owner, uint64_t tag, std::string_view bytes);
  void WriteZeros(SegmentFile* file, const Extent& extent);

  // --- giving back
  // The block leaves its stream: its place is given back once no checkpoint wants it. wipe: and overwritten then.
  void Release(BlockOwner* owner, Block* block, bool wipe);
  void ReleaseBlob(BlockOwner* owner, const Extent& extent);
  // Part of a block is dead now.
  void OnShrunk(const Block& block, uint64_t record_bytes);
  // What was released before the owner's checkpoint was encoded waits for that checkpoint to become durable.
  void OnEncoded(BlockOwner* owner);
  // The owner is no more, and these are its places, which stay on disk until Discard. What is in flight for it comes to
  // nothing.
  void Leave(BlockOwner* owner, std::vector<FreedExtent> left);
  // Nobody wants this place any more.
  void Free(const FreedExtent& freed);

  // --- reading
  // Reads and waits; nullptr: damaged.
  BlockBody* ReadNow(BlockOwner* owner, Block* block);
  // At once if the bytes are at hand (then *why is kFound and the body returned); else kPending or kDamaged.
  BlockBody* ReadSoon(BlockOwner* owner, Block* block, LoadStatus* why);
  void ReadAhead(BlockOwner* owner, Block* block);
  // One message, read without the rest of its block; the views are valid until the next call. False: the block has no
  // table of slices, is not in the page cache (unless `wait`), is damaged, or is asked for so often that it had better
  // be in memory.
  bool Peek(BlockOwner* owner, Block* block, uint64_t seq, bool wait, StoredMessage* message);
  bool ReadBlob(const Extent& extent, std::string* bytes);  // false: damaged
  // *bytes are what was read from there. False: not what was written.
  bool OpenBlob(const Extent& extent, std::string* bytes);
  void ReportBadBlock(uint64_t uid, const Block& block);
  void ReportBadBlob(const Extent& extent);

  // --- turns
  void EndTurn();  // goes on with what had to wait
  bool idle() const { return writes_.empty() && queued_.empty() && reads_.empty(); }
  bool queue_empty() const { return queued_.empty(); }
  uint64_t unwritten_bytes() const;
  size_t zeros_in_flight() const;
  void Invariant() const;

 private:
  friend struct BlockRead;
  friend struct BlockWrite;

  void StartWrite(std::unique_ptr<BlockWrite> op);
  void OnWritten(BlockWrite* op, int error);
  void OnBlockWritten(BlockWrite* op, bool ok);
  void OnRead(BlockRead* op, const IoResult& result);
  // The block's body, made of the bytes that were read; nullptr: damaged.
  BlockBody* TakeBody(uint64_t uid, Block* block, std::unique_ptr<BlockBody> body, size_t bytes);
  template <typename F>
  void ForEachWrite(F&& visit);

  Disk& disk_;
  const SegmentStoreOptions& options_;
  SegmentFiles& files_;
  BlockCache& cache_;
  ReleasedPlaces released_;
  std::vector<std::unique_ptr<BlockWrite>> writes_;  // in flight
  std::deque<std::unique_ptr<BlockWrite>> queued_;
  std::vector<std::unique_ptr<BlockRead>> reads_;
  std::vector<BlockOwner*> without_handle_;  // that wait for a read: no file handle was left for it
  std::vector<BlockOwner*> to_tell_;         // that waited until this turn, while they are told one by one
  std::string peek_room_;
  uint64_t peeks_ = 0;
};

}  // namespace millrace
