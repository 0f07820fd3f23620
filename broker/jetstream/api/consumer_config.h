// SPDX-License-Identifier: Apache-2.0
// ConsumerConfig: what a consumer is, as clients send it and see it (spec 5f).
// Owner:  caller (pure).  Value types with the peer's zero values; consumer_check.h sets defaults and refuses what is
// wrong. Durations are nanoseconds, times nanoseconds since 1970 (go_time.h). JSON: parse.h, print.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "broker/jetstream/api/stream_config.h"

namespace millrace {

enum class DeliverPolicy : uint8_t { kAll, kLast, kNew, kByStartSequence, kByStartTime, kLastPerSubject };
enum class AckPolicy : uint8_t { kNone, kAll, kExplicit, kFlowControl };
enum class ReplayPolicy : uint8_t { kInstant, kOriginal };
enum class PriorityPolicy : uint8_t { kNone, kOverflow, kPinnedClient, kPrioritized };

struct ConsumerConfig {
  std::string durable_name;
  std::string name;
  std::string description;
  DeliverPolicy deliver_policy = DeliverPolicy::kAll;
  uint64_t opt_start_seq = 0;
  std::optional<int64_t> opt_start_time_ns;
  AckPolicy ack_policy = AckPolicy::kNone;
  int64_t ack_wait_ns = 0;
  int64_t max_deliver = 0;
  std::vector<int64_t> backoff_ns;
  std::string filter_subject;
  std::vector<std::string> filter_subjects;
  ReplayPolicy replay_policy = ReplayPolicy::kInstant;
  uint64_t rate_limit_bps = 0;  // bits a second
  std::string sample_freq;      // "100" or "100%"
  int64_t max_waiting = 0;
  int64_t max_ack_pending = 0;
  bool flow_control = false;
  bool headers_only = false;

  // Pull
  int64_t max_batch = 0;
  int64_t max_expires_ns = 0;
  int64_t max_bytes = 0;

  // Push
  std::string deliver_subject;
  std::string deliver_group;
  int64_t idle_heartbeat_ns = 0;

  int64_t inactive_threshold_ns = 0;
  int64_t num_replicas = 0;  // 0: as the stream
  bool mem_storage = false;
  bool direct = false;    // internal, hidden from lists
  bool sourcing = false;  // another stream reads by it
  Metadata metadata;
  std::optional<int64_t> pause_until_ns;

  std::vector<std::string> priority_groups;
  PriorityPolicy priority_policy = PriorityPolicy::kNone;
  int64_t priority_timeout_ns = 0;  // how long a pin lives

  bool operator==(const ConsumerConfig&) const = default;

  bool is_push() const { return !deliver_subject.empty(); }
  bool is_durable() const { return !durable_name.empty(); }
  // The filters in force: filter_subjects, or filter_subject when it is set.
  std::vector<std::string> Filters() const {
    if (!filter_subject.empty()) return {filter_subject};
    return filter_subjects;
  }
};

}  // namespace millrace
