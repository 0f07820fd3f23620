// SPDX-License-Identifier: Apache-2.0
#include "broker/account/account_table.h"

#include <algorithm>
#include <utility>

#include "proto/base/check.h"

namespace millrace {

AccountTable::AccountTable() : AccountTable({}, {}, nullptr) {}

AccountTable::AccountTable(const std::vector<AccountSpec>& specs, std::string_view system, const AccountTable* before) {
  const std::string system_name(SystemAccountName(system));
  if (before == nullptr) {
    Add(std::string(kGlobalAccountName));
    Add(system_name);
  } else {
    // Mail that is under way may name an account that has just gone: its id stays its own.
    for (const Account& account : before->accounts_) Add(account.name);
    for (Account& account : accounts_) account.exists = account.id <= kSystemAccount;
  }
  MR_CHECK(accounts_[kSystemAccount].name == system_name);  // a reload cannot change it
  for (const AccountSpec& spec : specs) {
    const auto known = by_name_.find(spec.name);
    Account& account = accounts_[known == by_name_.end() ? Add(spec.name) : known->second];
    account.exists = true;
    account.limits = spec.limits;
    account.jetstream = spec.jetstream;
    account.trace = spec.trace;
  }
  accounts_.shrink_to_fit();
  // JetStream is for whom it is given to; where there is nobody else, for those who are in no account.
  const bool are_others = std::any_of(specs.begin(), specs.end(), [this](const AccountSpec& spec) {
    return by_name_.at(spec.name) > kSystemAccount;
  });
  if (!are_others && !accounts_[kGlobalAccount].jetstream.enabled) {
    accounts_[kGlobalAccount].jetstream = UnlimitedJetStream();
  }
}

AccountId AccountTable::Add(std::string name) {
  const auto id = static_cast<AccountId>(accounts_.size());
  const bool is_new = by_name_.emplace(name, id).second;
  MR_CHECK(is_new);
  accounts_.push_back({.id = id, .name = std::move(name)});
  return id;
}

const Account& AccountTable::operator[](AccountId id) const {
  MR_CHECK_OP(id, <, accounts_.size());
  return accounts_[id];
}

const Account* AccountTable::Find(std::string_view name) const {
  const auto at = by_name_.find(name);
  return at == by_name_.end() || !accounts_[at->second].exists ? nullptr : &accounts_[at->second];
}

}  // namespace millrace
