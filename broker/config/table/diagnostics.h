// SPDX-License-Identifier: Apache-2.0
// Diagnostics: what there is to say about a configuration; texts are complete lines.
// Owner:  caller (pure).
#pragma once

#include <string>
#include <vector>

namespace millrace::config {

struct Diagnostics {
  std::vector<std::string> errors;    // "file:line:column: reason"
  std::vector<std::string> warnings;  // the same; with -t they fail the check, as in the peer
  std::vector<std::string> refused;   // features this build lacks and must not pretend to have
  std::vector<std::string> ignored;   // features this build lacks and may go on without
};

}  // namespace millrace::config
