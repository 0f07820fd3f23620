// SPDX-License-Identifier: Apache-2.0
// Authorization options: who may connect, and what users may do (rows G-25..G-27).
// Owner:  immutable once a configuration is applied.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "broker/account/account_spec.h"
#include "broker/config/blocks/permissions.h"

namespace millrace {

namespace config {
struct Table;
}

struct AuthorizationOptions {
  std::string username;
  std::string password;
  std::string authorization;  // the token; "" is none
  double auth_timeout = 2.0;  // seconds, as INFO and varz show it; 0 never survives ParseStartup
  std::vector<User> users;
  std::optional<Permissions> default_permissions;  // filled in to users that have none of their own
  bool has_block = false;      // `authorization` is in the file
  std::string no_auth_user;
  std::string system_account;  // its name; "" is $SYS
  std::vector<AccountSpec> accounts;  // in the order of the file; the global one is there if something is said of it
  std::vector<User> account_users;    // of all of them, with the names of theirs

  // True when a CONNECT must bring credentials.
  bool AuthRequired() const {
    return !username.empty() || !authorization.empty() || !users.empty() || !account_users.empty();
  }
  // Users there are, but only of the system account, and nothing is said of who else may connect: anybody may, into
  // the global account, as if there were none.
  bool OnlySystemUsers() const;
  std::chrono::nanoseconds AuthTimeout() const {
    return std::chrono::nanoseconds(static_cast<int64_t>(auth_timeout * 1e9));
  }

  static const config::Table kTable;
  bool operator==(const AuthorizationOptions&) const = default;
};

}  // namespace millrace
