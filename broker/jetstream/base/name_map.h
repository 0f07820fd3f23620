// SPDX-License-Identifier: Apache-2.0
// NameMap: what is known by name, found by std::string_view without a copy (absl's own hash knows only absl's view).
// AccountNameMap: the same, by an account and a name in it.
// Owner:  caller (pure).
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "broker/account/account_id.h"
#include "proto/hash.h"

namespace millrace {

struct NameHash {
  using is_transparent = void;
  size_t operator()(std::string_view name) const { return HashBytes(name, 0); }
};

// The name of something in one account.
struct AccountName {
  AccountId account = kNoAccount;
  std::string name;
};
struct AccountNameView {
  AccountNameView(AccountId account, std::string_view name) : account(account), name(name) {}
  AccountNameView(const AccountName& owned) : account(owned.account), name(owned.name) {}  // NOLINT: it is one
  bool operator==(const AccountNameView&) const = default;
  AccountId account;
  std::string_view name;
};
struct AccountNameHash {
  using is_transparent = void;
  size_t operator()(const AccountNameView& key) const { return HashBytes(key.name, key.account); }
};
struct AccountNameEqual {
  using is_transparent = void;
  bool operator()(const AccountNameView& a, const AccountNameView& b) const { return a == b; }
};
template <class Value>
using AccountNameMap = absl::flat_hash_map<AccountName, Value, AccountNameHash, AccountNameEqual>;

template <class Value>
using NameMap = absl::flat_hash_map<std::string, Value, NameHash, std::equal_to<>>;

}  // namespace millrace
