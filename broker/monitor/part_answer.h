// SPDX-License-Identifier: Apache-2.0
// What monitoring asks of the parts of a shard (broker/part.h), and what they answer.
// Owner:  caller (pure).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "broker/monitor/pages.h"
#include "broker/monitor/snapshot.h"

namespace millrace {

struct PartQuestion {
  uint32_t needs = 0;      // MonitorNeed bits
  JszOptions jsz;          // with kNeedJsz
  HealthzOptions healthz;  // with kNeedJetStreamHealth
  std::string account = {};  // with kNeedSublistStats: whose; empty: of all accounts
};

// Each by the part that knows, where it was asked for.
struct PartAnswer {
  std::optional<JetStreamVarz> jetstream;
  std::optional<JszSnapshot> jsz;
  std::optional<JetStreamHealth> health;
};

}  // namespace millrace
