// SPDX-License-Identifier: Apache-2.0
// Banner: the lines that JetStream writes into the log when it starts, word for word the peer's.
// Owner:  caller (pure).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "broker/account/account_table.h"
#include "broker/jetstream/engine/settings.h"

namespace millrace {

// All of level INF, after "Starting JetStream". Two lines are ours: Durability, Sync Method.
std::vector<std::string> JetStreamBanner(const JetStreamSettings& settings);
// DBG, before the banner, when settings.dynamic.
std::string DynamicLimitsLine(const JetStreamSettings& settings);

// DBG, after the banner: who has JetStream, and how much of it.
std::vector<std::string> AccountEnabledLines(const AccountTable& accounts);

// INF, last, behind what is said of each stream (start_lines.h).
std::string JetStreamStartedLine(int64_t took_ns);

}  // namespace millrace
