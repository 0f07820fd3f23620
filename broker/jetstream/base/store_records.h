// SPDX-License-Identifier: Apache-2.0
// StoreRecords: whose the records are that the store keeps under the uid of a consumer: of consumers, of message ids
//         and of positions of sources. Their owners say at a checkpoint what is in them.
// Owner:  shard; part of the engine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "proto/base/check.h"
#include "store/shard/shard_store.h"

namespace millrace {

class RecordOwner {
 public:
  // All that the record is to hold at this moment.
  virtual void EncodeRecord(uint64_t uid, std::string* out) = 0;

 protected:
  ~RecordOwner() = default;
};

class StoreRecords final : public ConsumerStateSource {
 public:
  // `owner` removes it before it ends.
  void Add(uint64_t uid, RecordOwner* owner) { MR_CHECK(owners_.emplace(uid, owner).second); }
  void Remove(uint64_t uid) { MR_CHECK(owners_.erase(uid) == 1); }
  bool Has(uint64_t uid, const RecordOwner* owner) const {
    const auto at = owners_.find(uid);
    return at != owners_.end() && at->second == owner;
  }

  void EncodeConsumer(uint64_t uid, std::string* out) override {
    if (const auto at = owners_.find(uid); at != owners_.end()) at->second->EncodeRecord(uid, out);
  }

 private:
  absl::flat_hash_map<uint64_t, RecordOwner*> owners_;
};

}  // namespace millrace
