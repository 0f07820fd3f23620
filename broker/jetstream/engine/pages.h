// SPDX-License-Identifier: Apache-2.0
// Pages: what the monitoring pages say of JetStream, taken from the engine.
// Owner:  shard; the engine outlives it. A task asks (JetStream::RunLong): with very many streams it is paused.
#pragma once

#include <vector>

#include "broker/monitor/pages.h"
#include "broker/monitor/snapshot.h"

namespace millrace {

class JetStream;
class JetStreamAccount;

class JetStreamPages final {
 public:
  explicit JetStreamPages(JetStream& engine) : engine_(engine) {}

  // Here and in JszSnapshot::server: the counters in `stats`, and the limit of the disk in config.max_storage. The rest
  // (configuration, limits, API level) is added by the server, which knows it.
  void FillVarz(JetStreamVarz* varz) const;
  // Details only of SelectJszAccounts(options, names), streams and consumers only when options ask for them.
  void FillJsz(const JszOptions& options, JszSnapshot* jsz) const;
  // Of what the options name, or of everything.
  void FillHealth(const HealthzOptions& options, JetStreamHealth* health) const;

 private:
  // Those that have JetStream, by id.
  std::vector<const JetStreamAccount*> Accounts() const;
  JszAccount Describe(const JetStreamAccount& account, const JszOptions& options) const;

  JetStream& engine_;
};

}  // namespace millrace
