// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/base/accounts.h"

#include <algorithm>
#include <utility>

#include "broker/jetstream/api/stream_check.h"
#include "proto/base/check.h"

namespace millrace {

JetStreamAccount::JetStreamAccount(const Account& account, StorageSums* all)
    : id_(account.id), name_(account.name), hash_(ShortHash(name_)), use_(all) {}

void JetStreamAccount::Set(AccountJetStream next) {
  if (next.enabled && !enabled()) api = {};  // it begins anew
  jetstream_ = std::move(next);
  const JetStreamAccountLimits* limits = LimitsFor(1);
  // Without a tier for them nothing goes into its streams.
  bytes_max_ = limits == nullptr ? std::array<int64_t, 2>{0, 0}
                                 : std::array<int64_t, 2>{limits->max_storage, limits->max_memory};
}

const JetStreamAccountLimits* JetStreamAccount::LimitsFor(int64_t replicas) const {
  auto tier = jetstream_.tiers.find(kFlatTier);
  if (tier == jetstream_.tiers.end())
    tier = jetstream_.tiers.find("R" + std::to_string(std::max<int64_t>(replicas, 1)));
  return tier == jetstream_.tiers.end() ? nullptr : &tier->second;
}

bool JetStreamAccount::ExceedsLimit(Storage storage, uint64_t bytes, uint64_t max) {
  has_stored_ |= use_.used(Storage::kFile) + use_.used(Storage::kMemory) > 0;
  if (LimitsFor(1) == nullptr) return true;
  return has_stored_ && use_.used(storage) + bytes > max;
}

void JetStreamAccount::Reserve(Storage storage, int64_t bytes) {
  int64_t& reserved = reserved_[StorageSums::Place(storage)];
  reserved += bytes;
  MR_CHECK_OP(reserved, >=, 0);
}

JetStreamAccount* JetStreamAccounts::Find(std::string_view name) const {
  const auto at = by_name_.find(name);
  return at == by_name_.end() ? nullptr : at->second;
}

JetStreamAccount& JetStreamAccounts::FindOrAdd(const Account& account) {
  MR_CHECK(account.id != kNoAccount);
  if (account.id >= by_id_.size()) by_id_.resize(size_t{account.id} + 1);
  std::unique_ptr<JetStreamAccount>& at = by_id_[account.id];
  if (at == nullptr) {
    at = std::make_unique<JetStreamAccount>(account, all_);
    by_name_[account.name] = at.get();
  }
  MR_CHECK(at->name() == account.name);
  return *at;
}

}  // namespace millrace
