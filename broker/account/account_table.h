// SPDX-License-Identifier: Apache-2.0
// AccountTable: the accounts of a server, by id and by name.
// Owner:  immutable once a policy holds it; read by all shards. A later table has the same accounts under the same ids,
//         and more.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "broker/account/account_id.h"

namespace millrace {

struct Account {
  AccountId id = kNoAccount;
  std::string name;
};

class AccountTable {
 public:
  // With the two that every server has.
  AccountTable();
  // One more; there is none of this name.
  AccountId Add(std::string name);

  // The one of those who are in no account, and the server's own.
  const Account& global() const { return accounts_[kGlobalAccount]; }
  const Account& system() const { return accounts_[kSystemAccount]; }
  bool is_system(AccountId id) const { return id == kSystemAccount; }

  // `id` is of this table.
  const Account& operator[](AccountId id) const;
  // nullptr when there is none.
  const Account* Find(std::string_view name) const;
  // By id.
  const std::vector<Account>& all() const { return accounts_; }

 private:
  std::vector<Account> accounts_;
};

}  // namespace millrace
