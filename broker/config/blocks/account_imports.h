// SPDX-License-Identifier: Apache-2.0
// Exports, imports and mappings of an account as the file lists them (rows G-30, G-31, A-31..A-37, A-60). What they
// mean together is found out when all accounts are known.
// Owner:  caller (pure).
#pragma once

#include "broker/account/account_spec.h"
#include "broker/config/table/reading.h"

namespace millrace::config {

void ReadExports(AccountSpec& account, Reading& reading, const Value& value);
void ReadImports(AccountSpec& account, Reading& reading, const Value& value);
void ReadMappings(AccountSpec& account, Reading& reading, const Value& value);

}  // namespace millrace::config
