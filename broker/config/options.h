// SPDX-License-Identifier: Apache-2.0
// Options: every setting of the broker as plain values, after file, flags and defaults are merged.
// Owner:  immutable once a configuration is applied; a reload makes a new one.
// Fields bear the names of the configuration keys (rows G-20..G-27); durations are nanoseconds.
// ParseStartup() in startup.h makes them; a default constructed one is right for tests.
#pragma once

#include <string>

#include "broker/config/blocks/authorization.h"
#include "broker/config/blocks/jetstream.h"
#include "broker/config/blocks/lifecycle.h"
#include "broker/config/blocks/client_limits.h"
#include "broker/config/blocks/logging.h"
#include "broker/config/blocks/monitoring.h"
#include "broker/config/blocks/not_built.h"
#include "broker/config/blocks/server.h"
#include "broker/config/blocks/tuning.h"

namespace millrace {

template <typename... Block>
struct OptionsOf : Block... {
  bool operator==(const OptionsOf&) const = default;
};

// The list of blocks: a feature is a line here. Each has a table, Block::kTable. Checks and concerns come in this
// order.
using BlockOptions = OptionsOf<
    AuthorizationOptions,
    LifecycleOptions,
    LimitsOptions,
    ServerOptions,
    LoggingOptions,
    MonitoringOptions,
    JetStreamBlock,
    TuningBlock,
    NotBuilt>;

struct Options : BlockOptions {
  // --- where it came from
  std::string config_file;
  std::string config_digest;  // "sha256:..." or empty without a file
  bool check_config = false;  // -t

  bool operator==(const Options&) const = default;
};

}  // namespace millrace
