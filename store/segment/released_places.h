// SPDX-License-Identifier: Apache-2.0
// ReleasedPlaces: places that no stream wants any more, on their way through the checkpoints that still name them; and
//                 what streams have left behind that are deleted, until the deletion is durable.
// Owner:  shard (BlockStore).
// Order:  a log's checkpoint is encoded without them (encoded) → all is synced (StartSync: synced) → that checkpoint is
//         what a restart begins with (TakeSynced), or came to nothing: then they are their log's again (TakeAll), for
//         the next checkpoint may leave that log out.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "proto/base/check.h"
#include "store/segment/segment_file.h"

namespace millrace {

class ReleasedPlaces {
 public:
  void OnEncoded(uint64_t uid, const std::vector<FreedExtent>& released) {
    for (const FreedExtent& freed : released) encoded_.push_back({uid, freed});
  }
  // One whose stream is gone: the next checkpoint says so.
  void OnEncoded(const EncodedExtent& place) { encoded_.push_back(place); }
  void StartSync() {
    synced_.insert(synced_.end(), encoded_.begin(), encoded_.end());
    encoded_.clear();
  }
  const std::vector<EncodedExtent>& synced() const { return synced_; }
  std::vector<EncodedExtent> TakeSynced() { return std::exchange(synced_, {}); }
  std::vector<EncodedExtent> TakeAll() {
    std::vector<EncodedExtent> all = std::exchange(encoded_, {});
    all.insert(all.end(), synced_.begin(), synced_.end());
    synced_.clear();
    return all;
  }

  void OnLeft(uint64_t uid, std::vector<FreedExtent> left) {
    if (left.empty()) return;
    const bool fresh = left_behind_.emplace(uid, std::move(left)).second;
    MR_CHECK(fresh);  // a log that has places goes for good, and its deletion follows
  }
  bool HasLeft(uint64_t uid) const { return left_behind_.contains(uid); }
  std::vector<FreedExtent> TakeLeft(uint64_t uid) {
    const auto left = left_behind_.find(uid);
    if (left == left_behind_.end()) return {};
    std::vector<FreedExtent> places = std::move(left->second);
    left_behind_.erase(left);
    return places;
  }

  template <typename F>
  void ForEach(F&& visit) const {
    for (const auto& [uid, left] : left_behind_) {
      for (const FreedExtent& freed : left) visit(freed);
    }
    for (const auto* waiting : {&encoded_, &synced_}) {
      for (const EncodedExtent& place : *waiting) visit(place.freed);
    }
  }

 private:
  std::vector<EncodedExtent> encoded_;
  std::vector<EncodedExtent> synced_;
  absl::flat_hash_map<uint64_t, std::vector<FreedExtent>> left_behind_;  // by uid
};

}  // namespace millrace
