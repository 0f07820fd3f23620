// SPDX-License-Identifier: Apache-2.0
// User keys: the users of a block in the file, of `authorization` and of each account (rows G-25, G-30).
// Owner:  immutable.
#pragma once

#include <set>
#include <span>
#include <string>
#include <vector>

#include "broker/config/blocks/permissions.h"
#include "broker/config/table/reading.h"
#include "broker/config/table/row.h"

namespace millrace::config {

extern const std::span<const Row> kUserKeys;
// A concern, of the start alone.
inline constexpr std::string_view kPlainPasswords = "Plaintext passwords detected, use nkeys or bcrypt";
inline constexpr std::string_view kUserNoMap = "Expected user entry to be a map/struct, got %v";
inline constexpr std::string_view kUsersNoList = "Expected users field to be an array, got %v";

// Of the block of one user.
bool FinishUser(User& user, Reading& reading, const BlockEnd& end);
// `names` takes theirs: false, and an error at `value`, when one is there already. All are looked at when `all`, else
// those before the first that is.
bool TakeUserNames(const std::vector<User>& users, std::set<std::string>* names, bool all, const Value& value,
                   Reading& reading);

// As --print-config shows them; empty when there are none.
std::string UsersText(const std::vector<User>& users, std::string_view indent);

}  // namespace millrace::config
