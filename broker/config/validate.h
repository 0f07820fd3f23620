// SPDX-License-Identifier: Apache-2.0
// Validate: what has to fit together in Options, whichever way the values came (spec 3d).
// Owner:  caller (pure).
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "broker/config/options.h"

namespace millrace::config {

// Zero means the default, as it does to the peer; http_host falls back to host.
void FillDefaults(Options* options);

// The error's text is the peer's.
absl::Status Validate(const Options& options);
// client_advertise can be read; `words` begin the error, which differs at start and at reload.
absl::Status ValidateAdvertised(const Options& options, std::string_view words);

// Settings that work but deserve a word in the log: plain passwords, huge payloads.
std::vector<std::string> Concerns(const Options& options);

}  // namespace millrace::config
