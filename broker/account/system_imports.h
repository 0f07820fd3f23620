// SPDX-License-Identifier: Apache-2.0
// SystemImports: what every account has of the system account without saying so: its own connections, its statistics,
// and who its user is (E-11). They are the same for all, so that no account pays for them.
// Owner:  immutable.
#pragma once

#include <string>
#include <string_view>

namespace millrace {

struct SystemImport {
  std::string_view local;   // its subject in each account
  std::string_view before;  // the subject in the system account: this, the account's name,
  std::string_view behind;  // and this
  bool share;               // the requestor is named
  bool of_system;           // the system account has it, too
  bool streamed;            // more than one answer may come

  std::string SubjectFor(std::string_view account) const {
    return std::string(before) + std::string(account) + std::string(behind);
  }
};

inline constexpr SystemImport kSystemImports[] = {
    {"$SYS.REQ.ACCOUNT.PING.CONNZ", "$SYS.REQ.ACCOUNT.", ".CONNZ", false, false, true},
    {"$SYS.REQ.SERVER.PING.CONNZ", "$SYS.REQ.ACCOUNT.", ".CONNZ", false, false, true},
    {"$SYS.REQ.ACCOUNT.PING.STATZ", "$SYS.REQ.ACCOUNT.", ".STATZ", false, false, true},
    {"$SYS.REQ.USER.INFO", "$SYS.REQ.USER.", ".INFO", true, true, false},
};

}  // namespace millrace
