// SPDX-License-Identifier: Apache-2.0
// JetStreamAccount: what JetStream knows of one account besides its streams, which StreamTable has: its limits, what it
//         uses and has reserved, the subjects that its streams take, and what is counted of its requests.
// JetStreamAccounts: all of them, by id and by name.
// Owner:  shard; part of the engine. One that has gone stays as an object: work under way may name it.
// Tiers:  a single server has streams of one replica only, so all that is used counts in the flat tier, or in R1.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "broker/account/account_table.h"
#include "broker/account/jetstream_limits.h"
#include "broker/jetstream/api/stream_config.h"
#include "broker/jetstream/base/filter_index.h"
#include "broker/jetstream/base/name_map.h"
#include "broker/jetstream/base/storage_use.h"
#include "broker/route/subscription.h"

namespace millrace {

class JetStreamAccount {
 public:
  // `all`: the sums of the shard, in which this account's are.
  JetStreamAccount(const Account& account, StorageSums* all);
  JetStreamAccount(const JetStreamAccount&) = delete;
  JetStreamAccount& operator=(const JetStreamAccount&) = delete;

  AccountId id() const { return id_; }
  const std::string& name() const { return name_; }
  // Of the name, as it stands in the subjects of acknowledgements (ack_subject.h).
  const std::string& hash() const { return hash_; }

  // --- what it may
  bool enabled() const { return jetstream_.enabled; }
  const AccountJetStream& jetstream() const { return jetstream_; }
  void Set(AccountJetStream next);
  bool has_tiers() const { return !jetstream_.tiers.contains(kFlatTier); }
  // nullptr: no tier takes streams with so many replicas.
  const JetStreamAccountLimits* LimitsFor(int64_t replicas) const;
  // Streams with so many replicas are limited together with those that there are.
  bool CountsWithOthers(int64_t replicas) const { return !has_tiers() || replicas <= 1; }

  // --- what it uses
  StorageSums& use() { return use_; }
  const StorageSums& use() const { return use_; }
  // With a message of so many bytes more would be stored than it may. The very first message of an account is not asked
  // for its size, as at the peer.
  bool WouldExceed(Storage storage, uint64_t bytes) {
    const int64_t max = bytes_max_[StorageSums::Place(storage)];
    if (max < 0) [[likely]]
      return false;
    return ExceedsLimit(storage, bytes, static_cast<uint64_t>(max));
  }
  FilterIndex& subjects() { return subjects_; }  // of its streams, by their uids
  const FilterIndex& subjects() const { return subjects_; }
  // max_bytes of its streams.
  int64_t reserved(Storage storage) const { return reserved_[StorageSums::Place(storage)]; }
  void Reserve(Storage storage, int64_t bytes);

  // --- its requests
  struct Counts {
    uint64_t requests = 0;
    uint64_t errors = 0;
  };
  Counts api;
  std::vector<Subscription*> subscriptions;  // of the engine, for it

 private:
  bool ExceedsLimit(Storage storage, uint64_t bytes, uint64_t max);

  const AccountId id_;
  const std::string name_;
  const std::string hash_;
  AccountJetStream jetstream_;
  std::array<int64_t, 2> bytes_max_{-1, -1};  // of streams with one replica; -1: no limit
  StorageSums use_;
  bool has_stored_ = false;
  FilterIndex subjects_;
  std::array<int64_t, 2> reserved_{0, 0};
};

class JetStreamAccounts {
 public:
  explicit JetStreamAccounts(StorageSums* all) : all_(all) {}

  // nullptr: JetStream has never been told of it.
  JetStreamAccount* Find(AccountId id) const { return id < by_id_.size() ? by_id_[id].get() : nullptr; }
  JetStreamAccount* Find(std::string_view name) const;
  // There is one.
  JetStreamAccount& operator[](AccountId id) const {
    MR_DCHECK(Find(id) != nullptr);
    return *by_id_[id];
  }
  JetStreamAccount& FindOrAdd(const Account& account);
  // In the order of their ids.
  template <class Visit>
  void ForEach(Visit visit) const {
    for (size_t id = 0; id < by_id_.size(); ++id) {
      if (by_id_[id] != nullptr) visit(*by_id_[id]);
    }
  }

 private:
  StorageSums* const all_;
  std::vector<std::unique_ptr<JetStreamAccount>> by_id_;
  NameMap<JetStreamAccount*> by_name_;
};

}  // namespace millrace
