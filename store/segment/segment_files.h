// SPDX-License-Identifier: Apache-2.0
// SegmentFiles: which files of blocks there are, how they are open, and how much in each is wanted, held or dead.
// Owner:  shard (SegmentStore). disk, options and owners outlive it.
// Files:  DIR/segments/NNNNNNNN.seg, only ever appended to. A busy stream has files of its own (64 MiB); small streams
//         share packs (32 MiB): 100,000 idle streams cost no file each. Where little is stored, files are smaller: an
//         eighth of it. A file goes when nothing in it is wanted, neither by a stream nor by a checkpoint that a
//         restart could begin with.
// Places: wanted by a stream → held by checkpoints only (Hold) → given back (GiveBack). What else is in a file is dead.
// Damage: a file with something damaged in it is never removed, but moved to DIR/quarantine.
// Format: store/FORMAT.md.
#pragma once

#include <map>
#include <memory>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "store/disk.h"
#include "store/segment/block_owner.h"
#include "store/segment/segment_file.h"
#include "store/segment/segment_options.h"
#include "store/segment/sweep_marks.h"
#include "store/stored_log.h"

namespace millrace {

class SegmentFiles {
 public:
  using ByNumber = std::map<uint32_t, std::unique_ptr<SegmentFile>>;

  SegmentFiles(Disk& disk, const SegmentStoreOptions& options) : disk_(disk), options_(options) {}
  ~SegmentFiles();
  SegmentFiles(const SegmentFiles&) = delete;
  SegmentFiles& operator=(const SegmentFiles&) = delete;

  // --- start. Blocking.
  absl::Status Start();
  // All that is wanted has been adopted: what is left goes, or into quarantine if somebody unknown may want it.
  void OnRecovered(bool keep_unknown);
  bool recovering() const { return recovering_; }
  // A checkpoint names this file, with the seed of its checksums.
  void AdoptFile(uint32_t number, uint64_t uuid);
  // A checkpoint names this place.
  void AdoptPlace(uint64_t uid, const Extent& extent, uint64_t live_bytes);

  // --- files
  SegmentFile* Of(uint32_t number);  // known from now on
  SegmentFile* Find(uint32_t number) const;  // nullptr: not known
  const ByNumber& all() const { return files_; }
  Disk::File directory() const { return directory_; }
  absl::Status OpenFile(SegmentFile* file);  // and reads its header, if need be. Unavailable: no handle is left
  uint64_t UuidOf(uint32_t number);          // 0: not to be had
  // One with room for so many bytes of this stream.
  absl::StatusOr<SegmentFile*> ForAppend(BlockOwner* owner, uint64_t bytes);
  void StopAppends(SegmentFile* file);
  // A write or a sync of it failed: what stands there is not known any more.
  static void ForgetDead(SegmentFile* file);
  void RemoveIfUnwanted(uint32_t number);
  void ReportDamage(std::string_view what, uint32_t number);
  uint64_t damaged() const { return damaged_; }
  void NextTurn() { ++turn_; }
  uint64_t turn() const { return turn_; }
  void CloseUnused();

  // --- places
  void Place(SegmentFile* file, uint64_t uid, uint64_t bytes, Extent* extent);
  void AddLive(SegmentFile* file, uint64_t bytes);
  void DropLive(SegmentFile* file, uint64_t bytes);
  // No stream wants a place any more; checkpoints still do.
  void Hold(SegmentFile* file, uint64_t bytes);
  // Nobody does. What becomes of it, and of the file, is the caller's to say: NoteDead, RemoveIfUnwanted.
  SegmentFile* GiveBack(const FreedExtent& freed);
  static void NoteDead(SegmentFile* file, const Extent& extent);

  // --- room
  const DiskUse& use() const { return use_; }
  uint64_t dead_bytes() const;
  // The last bytes are for the catalog: the checkpoint that is committed with them gives back what blocks need.
  bool TakesTheLast(uint64_t bytes);
  bool full() const { return full_; }  // the last write met a full disk
  void set_full(bool full) { full_ = full; }

  SweepMarks& marks() { return marks_; }

  // No sum is more than what it is a part of.
  void Invariant() const;
  // Each sum is counted again, with `places` as streams and checkpoints count theirs.
  struct Places {
    uint64_t wanted = 0;
    uint64_t held = 0;
    uint64_t held_bytes = 0;
    void Add(const FreedExtent& freed);
  };
  using PlacesByFile = absl::flat_hash_map<uint32_t, Places>;
  void Recount(const PlacesByFile& places) const;

 private:
  void SetEnd(SegmentFile* file, uint64_t end);
  absl::Status ReadHeader(SegmentFile* file);
  absl::StatusOr<SegmentFile*> NewFile(uint64_t uid);
  uint64_t SizeFor(uint64_t stored_bytes, uint64_t most) const;
  void AdoptFound(uint32_t number);
  void CloseFile(SegmentFile* file);
  bool CloseOneFile();  // because there is no handle for another

  Disk& disk_;
  const SegmentStoreOptions& options_;
  Disk::File directory_ = -1;
  bool recovering_ = true;
  bool full_ = false;
  uint32_t next_number_ = 1;
  uint32_t pack_ = 0;  // takes the blocks of small streams
  uint32_t open_files_ = 0;
  uint64_t turn_ = 0;
  ByNumber files_;
  DiskUse use_;  // sums over files_
  uint64_t damaged_ = 0;
  SweepMarks marks_;
};

}  // namespace millrace
