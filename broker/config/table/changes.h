// SPDX-License-Identifier: Apache-2.0
// Changes: what a reload would do, as the rows of the tables find it.
// Owner:  caller (pure).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace millrace::config {

struct Change {
  std::string option;  // the key: "max_payload"; "users", "accounts"
  std::string text;    // for the log: "Reloaded: max_payload = 2097152"; may be empty
};

// What there is to do for the server besides taking the new values.
struct ReloadEffects {
  bool logging = false;        // reopen or reconfigure the log
  bool trace_level = false;    // connections remember theirs
  bool authorization = false;  // users, passwords or permissions differ: check all connections
  bool jetstream = false;      // its limits differ
  bool statsz = false;         // tags or metadata differ
};

struct PlannedChanges : ReloadEffects {
  std::vector<Change> changes;  // in the order in which they are applied and logged
};

// The whole reload is refused, in the peer's words.
absl::Status ReloadRefusal(std::string_view name, std::string_view old, std::string_view now);

}  // namespace millrace::config
