// SPDX-License-Identifier: Apache-2.0
// The bodies of JetStream API requests (spec 5d). An empty body is a default request, as at the peer.
// Owner:  caller (pure).  Values as sent; nothing is checked but types. JSON: parse.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "broker/jetstream/api/consumer_config.h"
#include "broker/jetstream/api/go_time.h"
#include "broker/jetstream/api/stream_config.h"
#include "broker/jetstream/api/stream_info.h"

namespace millrace {

// STREAM.CREATE, STREAM.UPDATE
struct StreamConfigRequest {
  StreamConfig config;
  bool pedantic = false;
};

struct StreamNamesRequest {
  int64_t offset = 0;
  std::string subject;
};

struct StreamListRequest {
  int64_t offset = 0;
  std::string subject;
};

struct StreamInfoRequest {
  int64_t offset = 0;
  bool deleted_details = false;
  std::string subjects_filter;
};

struct StreamPurgeRequest {
  uint64_t seq = 0;  // up to, not including
  std::string filter;
  uint64_t keep = 0;
};

// STREAM.MSG.GET and DIRECT.GET
struct MessageGetRequest {
  uint64_t seq = 0;
  std::string last_by_subj;
  std::string next_by_subj;
  int64_t batch = 0;
  int64_t max_bytes = 0;
  std::optional<int64_t> start_time_ns;
  std::vector<std::string> multi_last;
  uint64_t up_to_seq = 0;
  std::optional<int64_t> up_to_time_ns;
  bool no_hdr = false;
};

struct MessageDeleteRequest {
  uint64_t seq = 0;
  bool no_erase = false;
};

struct StreamSnapshotRequest {
  std::string deliver_subject;
  bool no_consumers = false;
  int64_t chunk_size = 0;
  int64_t window_size = 0;
  bool check_messages = false;  // "jsck"
};

struct StreamRestoreRequest {
  StreamConfig config;
  StreamState state;
};

enum class ConsumerAction : uint8_t { kCreateOrUpdate, kUpdate, kCreate };

struct ConsumerCreateRequest {
  std::string stream_name;
  ConsumerConfig config;
  ConsumerAction action = ConsumerAction::kCreateOrUpdate;
  bool pedantic = false;
};

// CONSUMER.NAMES, CONSUMER.LIST
struct ConsumerListRequest {
  int64_t offset = 0;
};

struct PriorityGroupRequest {
  std::string group;
  int64_t min_pending = 0;
  int64_t min_ack_pending = 0;
  std::string id;
  int64_t priority = 0;
  bool operator==(const PriorityGroupRequest&) const = default;
};

// CONSUMER.MSG.NEXT
struct ConsumerNextRequest {
  int64_t expires_ns = 0;
  int64_t batch = 0;
  int64_t max_bytes = 0;
  bool no_wait = false;
  int64_t idle_heartbeat_ns = 0;
  PriorityGroupRequest priority_group;
  bool has_priority_group = false;  // the body was JSON: empty values in it are what the client asks for
};

struct ConsumerPauseRequest {
  int64_t pause_until_ns = kGoZeroTimeNs;
};

struct ConsumerUnpinRequest {
  std::string group;
};

struct ConsumerResetRequest {
  uint64_t seq = 0;
};

// META, STREAM and CONSUMER.LEADER.STEPDOWN
struct LeaderStepdownRequest {
  std::optional<Placement> placement;
};

// STREAM and CONSUMER.PEER.REMOVE, PEER.EVACUATE
struct PeerRequest {
  std::string peer;
};

// SERVER.REMOVE, SERVER.EVACUATE
struct MetaServerRequest {
  std::string server;   // "peer": a name
  std::string peer_id;  // goes before the name
};

struct MetaRescueRequest {
  int64_t quorum_needed = 0;
};

struct StreamMoveRequest {
  std::string server;
  std::string cluster;
  std::string domain;
  std::vector<std::string> tags;
};

// The payload of -NAK: {"delay": ns}
struct NakOptions {
  int64_t delay_ns = 0;
};

}  // namespace millrace
