// SPDX-License-Identifier: Apache-2.0
// Stream checks: defaults and every rule of spec 5m for streams, in the peer's order, with its texts.
// Owner:  caller (pure).  What else is known comes in StreamCheckContext by functions that are called back at once.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/jetstream/api/api_error.h"
#include "broker/jetstream/api/consumer_config.h"
#include "broker/jetstream/api/requests.h"
#include "broker/jetstream/api/stream_config.h"
#include "broker/jetstream/api/stream_info.h"

namespace millrace {

inline constexpr size_t kAssetNameBytesMax = 255;
inline constexpr size_t kDescriptionBytesMax = 4 * 1024;
inline constexpr size_t kMetadataBytesMax = 128 * 1024;
inline constexpr int64_t kStreamReplicasMax = 5;
inline constexpr int64_t kDuplicateWindowDefaultNs = 120'000'000'000;

// "jetstream { limits { … } }"; 0: no limit.
struct ServerLimits {
  int64_t max_ack_pending = 0;
  int64_t max_request_batch = 0;
  int64_t duplicate_window_ns = 0;
  int64_t default_max_consumers = 1000;  // when neither stream nor account has a limit
};

// What is promised already, of server and account. The account's sum leaves out the stream that is checked.
struct Reservations {
  int64_t server_memory_max = 0;
  int64_t server_memory = 0;
  int64_t server_storage_max = 0;
  int64_t server_storage = 0;
  int64_t account = 0;  // of the storage type and tier of the stream that is checked
};

struct StreamCheckContext {
  ServerLimits server;
  bool standalone = true;  // no cluster: one replica only

  // The account's limits for this many replicas; nullptr when no tier takes them. Absent: no limits.
  std::function<const JetStreamAccountLimits*(int64_t replicas)> account_limits;
  bool account_has_tiers = false;  // limits by tier include replication; flat ones count every replica

  // A stream of the same account, or nullptr. Absent: there is none.
  std::function<const StreamConfig*(std::string_view name)> find_stream;
  // Another stream of the account takes some of these subjects. Absent: there is none.
  std::function<bool(const std::vector<std::string>& subjects)> are_taken;
};

// Sets defaults and checks what the peer's checkStreamCfg does. On error *config is of no use.
std::optional<ApiError> CheckStreamConfig(StreamConfig* config, const StreamCheckContext& context, bool pedantic);

// What the handler of STREAM.CREATE.<name> refuses before that: names differ, sealed, mirror_direct without a mirror.
std::optional<ApiError> CheckStreamCreateRequest(std::string_view name_in_subject, const StreamConfig& config);

// What it refuses next, of the configuration as sent: number of streams, limits of the account, reservations.
// existing_streams: how many the account has in this tier, without the one of this name.
std::optional<ApiError> CheckStreamLimits(const StreamConfig& config, const StreamCheckContext& context,
                                          int64_t existing_streams, const Reservations& reservations);

// More than one replica without a cluster. After CheckStreamConfig, and before looking for a stream of that name.
std::optional<ApiError> CheckReplicas(const StreamConfig& config, const StreamCheckContext& context);

// After CheckStreamConfig, for a stream that does not exist yet: replicas, limits, filters and transforms of mirror and
// sources, subjects of other streams.
std::optional<ApiError> CheckStreamCreate(const StreamConfig& config, const StreamCheckContext& context,
                                          int64_t existing_streams, const Reservations& reservations);

// The configurations are the same but for versioning metadata: create answers with the stream as it is, else
// kStreamNameExist.
bool IsSameStream(StreamConfig config, const StreamConfig& existing);

// Checks *updated (defaults get set) and the change from old to it. Then the caller checks reservations and limits of
// consumers below, and that no other stream takes its subjects (kStreamSubjectOverlap).
std::optional<ApiError> CheckStreamUpdate(const StreamConfig& old, StreamConfig* updated,
                                          const StreamCheckContext& context, bool pedantic);

// max_bytes of old is in the reservations of the server, but not of the account.
std::optional<ApiError> CheckUpdateReservations(const StreamConfig& old, const StreamConfig& updated,
                                                const StreamCheckContext& context, const Reservations& reservations);

// New consumer_limits that a consumer of the stream breaks (kStreamUpdate).
struct NamedConsumer {
  std::string name;
  const ConsumerConfig* config = nullptr;
};
std::optional<ApiError> CheckConsumersAgainstLimits(const StreamConfig& old, const StreamConfig& updated,
                                                    const std::vector<NamedConsumer>& consumers);

// The identity of a source among the sources of a stream, and in the header Nats-Stream-Source:
// "<name>[:<hash of api prefix>][:C=<hash of consumer>] <filters> <destinations>".
std::string SourceIndexName(const StreamSource& source);

// The peer's hash of names and identities: eight digits of base 62 from SHA-256.
std::string ShortHash(std::string_view name);

}  // namespace millrace
