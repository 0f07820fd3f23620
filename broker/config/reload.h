// SPDX-License-Identifier: Apache-2.0
// Reload: what a new configuration changes, or why it cannot be taken (rows G-60, G-61, G-66).
// Owner:  caller (pure).
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "broker/config/options.h"
#include "broker/config/table/changes.h"

namespace millrace::config {

struct ReloadPlan : PlannedChanges {
  Options options;   // to be in force from now on; a random port is the one in use
  std::string done;  // the last line: "Reloaded server configuration (sha256:...)"

  bool Changes(std::string_view option) const;
};

// `old` is what is in force, with the ports really in use. The error's text follows the peer's
// "config reload not supported for X: old=…, new=…".
absl::StatusOr<ReloadPlan> PlanReload(const Options& old, Options next);

}  // namespace millrace::config
