// SPDX-License-Identifier: Apache-2.0
// StoredRuns: the index runs of one stream that are on disk, or on their way there, by key; and the sealed forms of
//             those used last, in memory.
// Owner:  shard (FileStreamLog). owner and store outlive it.
// States: being written → written → moved elsewhere (being written again) or dropped. A run whose write failed is
//         dropped; one that turns out to be damaged stays, is bad, and is made anew from the blocks by who wants it.
// Proof:  tests/store/file_stream_log_test.cc, scrub_test.cc.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "store/index/index_run.h"
#include "store/index/run_codec.h"
#include "store/segment/block_store.h"
#include "store/segment/segment_file.h"

namespace millrace {

struct StoredRun {
  uint64_t key = 0;
  uint64_t tag = 0;      // of the write that is under way
  Extent extent;
  uint32_t named = 0;
  uint32_t through = 0;  // positions below are named: kChunkSpan when the run is complete
  bool written = false;
  bool bad = false;      // its bytes are damaged: made anew from the blocks when wanted
  SubjectFilter filter;  // empty until the index is made

  bool complete() const { return through == LiveSet::kChunkSpan; }
  bool good() const { return written && !bad; }
  bool IsAt(const Extent& place) const { return extent.file == place.file && extent.offset == place.offset; }
};

class StoredRuns {
 public:
  StoredRuns(BlockOwner& owner, BlockStore& store) : owner_(owner), store_(store) {}
  StoredRuns(const StoredRuns&) = delete;
  StoredRuns& operator=(const StoredRuns&) = delete;

  bool empty() const { return runs_.empty(); }
  const std::vector<StoredRun>& all() const { return runs_; }
  // Valid until a run comes or goes; nullptr: there is none.
  StoredRun* Find(uint64_t key);
  // False: damaged.
  bool Read(const StoredRun& run, std::string* bytes);

  // Before anything else: what a checkpoint names.
  void Adopt(std::vector<StoredRun> runs);
  // Takes the place of one with the same key. *run says all but where it is.
  void Put(StoredRun run, std::string_view bytes);
  // The write with this tag has ended well (else its run is gone). nullptr: nobody waits for it any more.
  StoredRun* OnWritten(uint64_t tag, bool ok);
  void Drop(uint64_t key);
  void DropAll();
  template <typename F>
  void DropIf(F&& unwanted) {
    for (size_t i = runs_.size(); i-- > 0;) {
      if (unwanted(runs_[i])) DropAt(i);
    }
  }
  // Writes one that is in this file elsewhere: how many bytes were read, 0: there is none. *moved: it was good.
  uint64_t MoveOut(uint32_t file, bool* moved);
  void ForgetFilters();

  // --- for the scrub. The first good run with a key of at least *key; *key then goes on behind it.
  bool NextGood(uint64_t* key, Extent* extent) const;
  bool HasGoodAt(const Extent& extent) const;
  void OnDamaged(const Extent& extent);

  template <typename F>
  void ForEachExtent(F&& visit) const {
    for (const StoredRun& run : runs_) {
      if (run.extent.file != 0) visit(run.extent);
    }
  }

  // --- sealed forms in memory, valid until the next of these calls
  SealedRun* Cached(uint64_t key);
  SealedRun* Cache(uint64_t key, SealedRun form);
  void ForgetCached(uint64_t key);
  void ForgetCached() { cached_.clear(); }

  size_t memory_bytes() const;
  void Invariant() const;  // runs ascend, and each has a place

 private:
  struct CachedRun {
    uint64_t key;
    SealedRun form;
  };

  size_t AtOrAfter(uint64_t key) const;
  void DropAt(size_t index);
  void Write(StoredRun* run, std::string_view bytes);

  BlockOwner& owner_;
  BlockStore& store_;
  std::vector<StoredRun> runs_;                     // by key
  std::vector<std::unique_ptr<CachedRun>> cached_;  // used last first
  uint64_t next_tag_ = 1;
};

}  // namespace millrace
