// SPDX-License-Identifier: Apache-2.0
// Pages: what the monitoring pages say of JetStream, taken from the engine.
// Owner:  shard; the engine outlives it. A task asks (JetStream::RunLong): with very many streams it is paused.
#pragma once

#include "broker/monitor/jetstream_monitor.h"

namespace millrace {

class JetStream;

class JetStreamPages final : public JetStreamMonitor {
 public:
  explicit JetStreamPages(JetStream& engine) : engine_(engine) {}

  void FillVarz(JetStreamVarz* varz) const override;
  void FillJsz(const JszOptions& options, JszSnapshot* jsz) const override;
  void FillHealth(const HealthzOptions& options, JetStreamHealth* health) const override;

 private:
  JetStream& engine_;
};

}  // namespace millrace
