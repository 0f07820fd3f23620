// SPDX-License-Identifier: Apache-2.0
// LogTable: the streams on disk of a shard by their uid, and which of them have their index in memory.
// Owner:  shard (SegmentStore). A log is in it from its first to its last moment.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "proto/base/check.h"

namespace millrace {

class FileStreamLog;

class LogTable {
 public:
  void Add(uint64_t uid, FileStreamLog* log) {
    const bool fresh = logs_.emplace(uid, log).second;
    MR_CHECK(fresh);
  }
  void Remove(uint64_t uid) {
    const size_t known = logs_.erase(uid);
    MR_CHECK_OP(known, ==, 1u);
    // By itself it does not shrink.
    if (logs_.capacity() > 1024 && logs_.capacity() > 8 * logs_.size()) logs_.rehash(0);
  }
  FileStreamLog* Find(uint64_t uid) const {  // nullptr: it is gone
    const auto at = logs_.find(uid);
    return at == logs_.end() ? nullptr : at->second;
  }
  const absl::flat_hash_map<uint64_t, FileStreamLog*>& all() const { return logs_; }

  // Its index was made. Whoever finds the index gone, or the log, takes the uid out again.
  void OnHydrated(uint64_t uid) { hydrated_.push_back(uid); }
  std::vector<uint64_t>& hydrated() { return hydrated_; }
  const std::vector<uint64_t>& hydrated() const { return hydrated_; }
  // An index run that is on disk had to be made anew from blocks.
  void OnRebuiltRun() { ++rebuilt_runs_; }
  uint64_t rebuilt_runs() const { return rebuilt_runs_; }

 private:
  absl::flat_hash_map<uint64_t, FileStreamLog*> logs_;
  std::vector<uint64_t> hydrated_;
  uint64_t rebuilt_runs_ = 0;
};

}  // namespace millrace
