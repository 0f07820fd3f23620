// SPDX-License-Identifier: Apache-2.0
// Accounts in the file: `accounts {}` and the mappings of those who are in no account (rows G-29..G-32).
// Owner:  immutable.
#pragma once

#include <string>

#include "broker/config/blocks/authorization.h"
#include "broker/config/table/reading.h"
#include "broker/config/table/row.h"

namespace millrace::config {

// Into options.accounts, with one spec per account in the order of the file, and options.account_users.
void ReadAccounts(AuthorizationOptions& options, Reading& reading, const Value& value);
// The mappings at the top of the file are those of the global account.
void ReadGlobalMappings(AuthorizationOptions& options, Reading& reading, const Value& value);

std::string AccountsText(const AuthorizationOptions& options);

}  // namespace millrace::config
