// SPDX-License-Identifier: Apache-2.0
// AccountTable: the accounts of a server, by id and by name.
// Owner:  immutable once a configuration holds it; read by all shards. A later table has the same accounts under the
//         same ids, and more.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "broker/account/account_id.h"
#include "broker/account/account_spec.h"

namespace millrace {

struct Account {
  AccountId id = kNoAccount;
  std::string name;
  bool exists = true;  // false: an earlier configuration had it
  AccountLimits limits = {};
  AccountJetStream jetstream = {};
  AccountTrace trace = {};
};

class AccountTable {
 public:
  // With the two that every server has.
  AccountTable();
  // Those two and `specs`, whose names differ. `system`: the name of the system account; empty: the usual one. With
  // `before`, everybody who is in it has the same id as there.
  AccountTable(const std::vector<AccountSpec>& specs, std::string_view system, const AccountTable* before);
  // One more; there is none of this name.
  AccountId Add(std::string name);

  // The one of those who are in no account, and the server's own.
  const Account& global() const { return accounts_[kGlobalAccount]; }
  const Account& system() const { return accounts_[kSystemAccount]; }
  bool is_system(AccountId id) const { return id == kSystemAccount; }

  // `id` is of this table.
  const Account& operator[](AccountId id) const;
  // nullptr when there is none, or none any more.
  const Account* Find(std::string_view name) const;
  // By id.
  const std::vector<Account>& all() const { return accounts_; }

 private:
  std::vector<Account> accounts_;
  std::map<std::string, AccountId, std::less<>> by_name_;
};

}  // namespace millrace
