// SPDX-License-Identifier: Apache-2.0
// Debug pages: what stands where the peer shows the inside of its Go runtime (M-11).
// Owner:  control thread.
#pragma once

#include <string>
#include <vector>

namespace millrace {

// /stacksz: one line per thread of this process: id, name, state, CPU time, where it sleeps.
std::string ThreadsPage();

// /debug/vars: JSON with "cmdline" and, under "memstats", the figures that have a meaning here. `is_event`: for the
// system account, which has another order and no lines.
std::string ExpvarPage(const std::vector<std::string>& cmdline, bool is_event);

}  // namespace millrace
