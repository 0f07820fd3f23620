// SPDX-License-Identifier: Apache-2.0
// JetStreamMonitor: what the pages ask of JetStream. The engine implements it; a shard without one answers nothing.
// Owner:  shard. Called between turns' phases, never from inside a delivery, and by a task of the engine: what is long
//         is paused, and goes on in later turns.
#pragma once

#include "broker/monitor/pages.h"
#include "broker/monitor/snapshot.h"

namespace millrace {

class JetStreamMonitor {
 public:
  virtual ~JetStreamMonitor() = default;

  // Here and in JszSnapshot::server: the counters in `stats`, and the limit of the disk in config.max_storage. The rest
  // (configuration, limits, API level) is added by the server, which knows it.
  virtual void FillVarz(JetStreamVarz* varz) const = 0;
  // Details only of SelectJszAccounts(options, names), streams and consumers only when options ask for them.
  virtual void FillJsz(const JszOptions& options, JszSnapshot* jsz) const = 0;
  // Of what the options name, or of everything.
  virtual void FillHealth(const HealthzOptions& options, JetStreamHealth* health) const = 0;
};

}  // namespace millrace
