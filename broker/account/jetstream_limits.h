// SPDX-License-Identifier: Apache-2.0
// JetStreamAccountLimits, AccountJetStream: what an account may use of JetStream, as configuration or claims say it.
// Owner:  none (values, comparable: a reload that changes one shows by that).  Source: spec J-02, G-29.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace millrace {

// -1: no limit.
struct JetStreamAccountLimits {
  int64_t max_memory = -1;
  int64_t max_storage = -1;
  int64_t max_streams = -1;
  int64_t max_consumers = -1;    // of a stream
  int64_t max_ack_pending = -1;  // of a consumer
  int64_t memory_max_stream_bytes = -1;
  int64_t storage_max_stream_bytes = -1;
  bool max_bytes_required = false;  // of streams
  bool operator==(const JetStreamAccountLimits&) const = default;
};

// By tier: "R1", "R3" and so on count streams of so many replicas, each with limits of its own; the tier without a name
// counts all of them. Configuration knows only that one, claims may have either kind.
using JetStreamTiers = std::map<std::string, JetStreamAccountLimits, std::less<>>;
inline constexpr std::string_view kFlatTier;

struct AccountJetStream {
  bool enabled = false;
  JetStreamTiers tiers;  // empty unless it is enabled
  bool operator==(const AccountJetStream&) const = default;
};

// Enabled without more being said.
inline AccountJetStream UnlimitedJetStream() { return {true, {{std::string(kFlatTier), {}}}}; }

}  // namespace millrace
