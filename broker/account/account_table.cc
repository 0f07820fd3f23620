// SPDX-License-Identifier: Apache-2.0
#include "broker/account/account_table.h"

#include <algorithm>
#include <utility>

#include "proto/base/check.h"

namespace millrace {

AccountTable::AccountTable() : accounts_{{kGlobalAccount, std::string(kGlobalAccountName)},
                                         {kSystemAccount, std::string(kSystemAccountName)}} {}

AccountId AccountTable::Add(std::string name) {
  MR_CHECK(Find(name) == nullptr);
  const auto id = static_cast<AccountId>(accounts_.size());
  accounts_.push_back({id, std::move(name)});
  return id;
}

const Account& AccountTable::operator[](AccountId id) const {
  MR_CHECK_OP(id, <, accounts_.size());
  return accounts_[id];
}

const Account* AccountTable::Find(std::string_view name) const {
  const auto at = std::find_if(accounts_.begin(), accounts_.end(), [name](const Account& a) { return a.name == name; });
  return at == accounts_.end() ? nullptr : &*at;
}

}  // namespace millrace
