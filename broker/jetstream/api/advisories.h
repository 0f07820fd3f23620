// SPDX-License-Identifier: Apache-2.0
// Advisories: what a JetStream server tells about itself on $JS.EVENT.> (spec 5i): subjects and JSON.
// Owner:  caller (pure).  Each struct is the peer's; AdvisoryJson prints it, AdvisorySubject says where it goes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/jetstream/api/stream_info.h"

namespace millrace {

struct AdvisoryHead {
  std::string id;  // a NUID
  int64_t time_ns = 0;
};

// The client that asked, as the peer's ClientInfo.
struct AdvisoryClient {
  std::optional<int64_t> start_ns;
  std::string host;
  uint64_t id = 0;
  std::string account;
  std::string service;
  std::string user;
  std::string name;
  std::string lang;
  std::string version;
  int64_t rtt_ns = 0;
  std::string server;
  std::string cluster;
  std::vector<std::string> alternates;
  std::optional<int64_t> stop_ns;
  std::string jwt;
  std::string issuer_key;
  std::string name_tag;
  std::vector<std::string> tags;
  std::string kind;
  std::string client_type;
  std::string mqtt_client_id;
  std::string nonce;
  std::string reply;
};

enum class AdvisoryAction : uint8_t { kCreate, kDelete, kModify };

struct ApiAuditAdvisory {
  std::string server;
  std::optional<AdvisoryClient> client;
  std::string subject;
  std::string request;
  std::string response;
  std::string domain;
};

struct StreamActionAdvisory {
  std::string stream;
  AdvisoryAction action = AdvisoryAction::kCreate;
  std::string domain;
};

struct ConsumerActionAdvisory {
  std::string stream;
  std::string consumer;
  AdvisoryAction action = AdvisoryAction::kCreate;  // not kModify
  std::string domain;
};

struct ConsumerPauseAdvisory {
  std::string stream;
  std::string consumer;
  bool paused = false;
  int64_t pause_until_ns = kGoZeroTimeNs;
  std::string domain;
};

// On $JS.EVENT.METRIC.
struct ConsumerAckMetric {
  std::string stream;
  std::string consumer;
  uint64_t consumer_seq = 0;
  uint64_t stream_seq = 0;
  int64_t ack_time_ns = 0;
  uint64_t deliveries = 0;
  std::string domain;
};

struct MaxDeliverAdvisory {
  std::string stream;
  std::string consumer;
  uint64_t stream_seq = 0;
  uint64_t deliveries = 0;
  std::string domain;
};

struct NakAdvisory {
  std::string stream;
  std::string consumer;
  uint64_t consumer_seq = 0;
  uint64_t stream_seq = 0;
  uint64_t deliveries = 0;
  std::string domain;
};

struct TerminatedAdvisory {
  std::string stream;
  std::string consumer;
  uint64_t consumer_seq = 0;
  uint64_t stream_seq = 0;
  uint64_t deliveries = 0;
  std::string reason;
  std::string domain;
};

struct SnapshotCreateAdvisory {
  std::string stream;
  StreamState state;
  std::optional<AdvisoryClient> client;
  std::string domain;
};

struct SnapshotCompleteAdvisory {
  std::string stream;
  int64_t start_ns = 0;
  int64_t end_ns = 0;
  std::optional<AdvisoryClient> client;
  std::string domain;
  std::string error;
};

struct RestoreCreateAdvisory {
  std::string stream;
  std::optional<AdvisoryClient> client;
  std::string domain;
};

struct RestoreCompleteAdvisory {
  std::string stream;
  int64_t start_ns = 0;
  int64_t end_ns = 0;
  int64_t bytes = 0;
  std::optional<AdvisoryClient> client;
  std::string domain;
};

struct BatchAbandonedAdvisory {
  std::string account;
  std::string stream;
  std::string domain;
  std::string batch;
  std::string reason;  // timeout, large, incomplete, unsupported
};

struct GroupPinnedAdvisory {
  std::string account;
  std::string stream;
  std::string consumer;
  std::string domain;
  std::string group;
  std::string pinned_id;
};

struct GroupUnpinnedAdvisory {
  std::string account;
  std::string stream;
  std::string consumer;
  std::string domain;
  std::string group;
  std::string reason;  // admin, timeout
};

struct OutOfStorageAdvisory {
  std::string server;
  std::string server_id;
  std::string stream;
  std::string cluster;
  std::string domain;
};

struct ApiLimitReachedAdvisory {
  std::string server;
  std::string domain;
  int64_t dropped = 0;
};

// Both are instantiated for every struct above but AdvisoryClient.
template <typename Advisory>
std::string AdvisoryJson(const AdvisoryHead& head, const Advisory& advisory);
template <typename Advisory>
std::string AdvisorySubject(const Advisory& advisory);

}  // namespace millrace
