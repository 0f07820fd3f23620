// SPDX-License-Identifier: Apache-2.0
// Print config: every setting in force and where it came from, as a configuration file that can be
// read back. Secrets are blanked.
// Owner:  caller (pure).
#pragma once

#include <string>

#include "broker/config/options.h"
#include "broker/config/table/origins.h"

namespace millrace::config {

std::string PrintConfig(const Options& options, const Origins& origins);

}  // namespace millrace::config
