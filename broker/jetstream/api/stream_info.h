// SPDX-License-Identifier: Apache-2.0
// What the API tells of streams, consumers and accounts: the values of INFO, LIST and CREATE answers (spec 5e, 5f).
// Owner:  caller (pure).  Times are nanoseconds since 1970, kGoZeroTimeNs when unset (go_time.h). JSON: print.h.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "broker/account/jetstream_limits.h"
#include "broker/jetstream/api/api_error.h"
#include "broker/jetstream/api/consumer_config.h"
#include "broker/jetstream/api/go_time.h"
#include "broker/jetstream/api/stream_config.h"

namespace millrace {

struct LostStreamData {
  std::vector<uint64_t> msgs;
  uint64_t bytes = 0;
  bool operator==(const LostStreamData&) const = default;
};

struct StreamState {
  uint64_t messages = 0;
  uint64_t bytes = 0;
  uint64_t first_seq = 0;
  int64_t first_ts_ns = kGoZeroTimeNs;
  uint64_t last_seq = 0;
  int64_t last_ts_ns = kGoZeroTimeNs;
  int64_t num_subjects = 0;
  std::map<std::string, uint64_t> subjects;  // only when asked for
  std::string subjects_json;  // in its place, to be written: the object as JSON
  int64_t num_deleted = 0;
  std::vector<uint64_t> deleted;  // only when asked for
  std::optional<LostStreamData> lost;
  int64_t consumer_count = 0;
  bool operator==(const StreamState&) const = default;
};

struct PeerInfo {
  std::string name;
  bool current = false;
  bool offline = false;
  int64_t active_ns = 0;
  uint64_t lag = 0;
  std::string peer;
  bool pending = false;
  bool operator==(const PeerInfo&) const = default;
};

struct ClusterInfo {
  std::string name;
  std::string raft_group;
  std::string leader;
  std::optional<int64_t> leader_since_ns;
  bool system_account = false;
  std::string traffic_account;
  std::vector<PeerInfo> replicas;
  bool operator==(const ClusterInfo&) const = default;
};

struct StreamSourceInfo {
  std::string name;
  std::optional<ExternalStream> external;
  uint64_t lag = 0;
  uint64_t seq = 0;
  int64_t active_ns = -1;  // since the last message; -1: none yet
  std::optional<ApiError> error;
  std::string filter_subject;
  std::vector<SubjectTransformConfig> subject_transforms;
  bool operator==(const StreamSourceInfo&) const = default;
};

struct StreamAlternate {
  std::string name;
  std::string domain;
  std::string cluster;
  bool operator==(const StreamAlternate&) const = default;
};

struct StreamInfo {
  StreamConfig config;  // give it AddDynamicMetadata() before printing (versioning.h)
  int64_t created_ns = kGoZeroTimeNs;
  StreamState state;
  std::string domain;
  std::optional<ClusterInfo> cluster;
  std::optional<StreamSourceInfo> mirror;
  std::vector<StreamSourceInfo> sources;
  std::vector<StreamAlternate> alternates;
  int64_t ts_ns = kGoZeroTimeNs;
  bool operator==(const StreamInfo&) const = default;
};

struct SequenceInfo {
  uint64_t consumer_seq = 0;
  uint64_t stream_seq = 0;
  std::optional<int64_t> last_active_ns;
  bool operator==(const SequenceInfo&) const = default;
};

struct PriorityGroupState {
  std::string group;
  std::string pinned_client_id;
  int64_t pinned_ts_ns = kGoZeroTimeNs;  // printed even when unset, as the peer does
  bool operator==(const PriorityGroupState&) const = default;
};

struct ConsumerInfo {
  std::string stream_name;
  std::string name;
  int64_t created_ns = kGoZeroTimeNs;
  std::optional<ConsumerConfig> config;  // give it AddDynamicMetadata() before printing (versioning.h)
  SequenceInfo delivered;
  SequenceInfo ack_floor;
  int64_t num_ack_pending = 0;
  int64_t num_redelivered = 0;
  int64_t num_waiting = 0;
  uint64_t num_pending = 0;
  std::optional<ClusterInfo> cluster;
  bool push_bound = false;
  bool paused = false;
  int64_t pause_remaining_ns = 0;
  int64_t ts_ns = kGoZeroTimeNs;
  std::vector<PriorityGroupState> priority_groups;
  bool operator==(const ConsumerInfo&) const = default;
};

struct AccountTier {
  uint64_t memory = 0;
  uint64_t storage = 0;
  uint64_t reserved_memory = 0;
  uint64_t reserved_storage = 0;
  int64_t streams = 0;
  int64_t consumers = 0;
  JetStreamAccountLimits limits;
  bool operator==(const AccountTier&) const = default;
};

struct ApiStats {
  int64_t level = 0;
  uint64_t total = 0;
  uint64_t errors = 0;
  uint64_t inflight = 0;
  bool operator==(const ApiStats&) const = default;
};

struct AccountInfo {
  AccountTier total;  // with tiers: the sums, and limits that are 0
  std::string domain;
  ApiStats api;
  std::map<std::string, AccountTier> tiers;
  bool operator==(const AccountInfo&) const = default;
};

struct PubAck {
  std::string stream;
  uint64_t seq = 0;
  std::string domain;
  bool duplicate = false;
  std::string val;  // a counter's value
  std::string batch;
  uint64_t count = 0;
  bool operator==(const PubAck&) const = default;
};

// A message as MSG.GET shows it; hdrs and data are raw here and base64 in JSON.
struct ApiMessage {
  std::string subject;
  uint64_t seq = 0;
  std::string hdrs;
  std::string data;
  int64_t time_ns = 0;
  bool operator==(const ApiMessage&) const = default;
};

}  // namespace millrace
