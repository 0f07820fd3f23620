// SPDX-License-Identifier: Apache-2.0
// Reload: what a new configuration changes, or why it cannot be taken (rows G-60, G-61, G-66).
// Owner:  caller (pure).
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "broker/config/options.h"

namespace millrace::config {

struct Change {
  std::string option;  // the key: "max_payload"; "users", "accounts"
  std::string text;    // for the log: "Reloaded: max_payload = 2097152"; may be empty
};

struct ReloadPlan {
  Options options;              // to be in force from now on; a random port is the one in use
  std::vector<Change> changes;  // in the order in which they are applied and logged
  bool logging = false;         // reopen or reconfigure the log
  bool trace_level = false;     // connections remember theirs
  bool authorization = false;   // users, passwords or permissions differ: check all connections
  bool jetstream = false;       // its limits differ
  bool statsz = false;          // tags or metadata differ
  std::string done;             // the last line: "Reloaded server configuration (sha256:...)"

  bool Changes(std::string_view option) const;
};

// `old` is what is in force, with the ports really in use. The error's text follows the peer's
// "config reload not supported for X: old=…, new=…".
absl::StatusOr<ReloadPlan> PlanReload(const Options& old, const Options& new_);

}  // namespace millrace::config
