// SPDX-License-Identifier: Apache-2.0
// StreamConfig: what a stream is, as clients send it and see it (spec 5e).
// Owner:  caller (pure).  Value types with the peer's zero values; stream_check.h sets defaults and refuses what is
// wrong. Durations are nanoseconds, sizes bytes; -1 is no limit. JSON: parse.h, print.h.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "broker/jetstream/api/boxed.h"

namespace millrace {

enum class Retention : uint8_t { kLimits, kInterest, kWorkQueue };
enum class Discard : uint8_t { kOld, kNew };
enum class Storage : uint8_t { kFile, kMemory };
enum class Compression : uint8_t { kNone, kS2 };
enum class PersistMode : uint8_t { kDefault, kAsync };

struct Placement {
  std::string cluster;
  std::vector<std::string> tags;
  std::string preferred;  // only for stepdown requests
  bool operator==(const Placement&) const = default;
};

struct SubjectTransformConfig {
  std::string src;
  std::string dest;
  bool operator==(const SubjectTransformConfig&) const = default;
};

struct Republish {
  std::string src;
  std::string dest;
  bool headers_only = false;
  bool operator==(const Republish&) const = default;
};

struct ExternalStream {
  std::string api;      // prefix instead of "$JS.API"
  std::string deliver;  // prefix of the delivery subject
  bool operator==(const ExternalStream&) const = default;
};

// The durable consumer of the origin that a mirror or source reads by.
struct StreamConsumerSource {
  std::string name;
  std::string deliver_subject;
  bool operator==(const StreamConsumerSource&) const = default;
};

struct StreamSource {
  std::string name;
  uint64_t opt_start_seq = 0;
  std::optional<int64_t> opt_start_time_ns;
  std::string filter_subject;
  std::vector<SubjectTransformConfig> subject_transforms;
  std::optional<ExternalStream> external;
  std::optional<StreamConsumerSource> consumer;
  bool operator==(const StreamSource&) const = default;
};

struct StreamConsumerLimits {
  int64_t inactive_threshold_ns = 0;
  int64_t max_ack_pending = 0;
  bool operator==(const StreamConsumerLimits&) const = default;
};

using Metadata = std::map<std::string, std::string>;

struct StreamConfig {
  std::string name;
  std::string description;
  std::vector<std::string> subjects;
  Retention retention = Retention::kLimits;
  int64_t max_consumers = 0;
  int64_t max_msgs = 0;
  int64_t max_bytes = 0;
  int64_t max_age_ns = 0;
  int64_t max_msgs_per_subject = 0;
  int32_t max_msg_size = 0;
  Discard discard = Discard::kOld;
  Storage storage = Storage::kFile;
  int64_t num_replicas = 0;
  bool no_ack = false;
  int64_t duplicate_window_ns = 0;
  Boxed<Placement> placement;
  Boxed<StreamSource> mirror;
  std::vector<StreamSource> sources;
  Compression compression = Compression::kNone;
  uint64_t first_seq = 0;
  Boxed<SubjectTransformConfig> subject_transform;
  Boxed<Republish> republish;
  bool allow_direct = false;
  bool mirror_direct = false;
  bool discard_new_per_subject = false;
  bool sealed = false;
  bool deny_delete = false;
  bool deny_purge = false;
  bool allow_rollup_hdrs = false;
  StreamConsumerLimits consumer_limits;
  bool allow_msg_ttl = false;
  int64_t subject_delete_marker_ttl_ns = 0;
  bool allow_msg_counter = false;
  bool allow_atomic = false;
  bool allow_msg_schedules = false;
  PersistMode persist_mode = PersistMode::kDefault;
  bool allow_batched = false;
  Metadata metadata;
  bool operator==(const StreamConfig&) const = default;
};

}  // namespace millrace
