// SPDX-License-Identifier: Apache-2.0
// Consumer checks: defaults and every rule of spec 5m for consumers, in the peer's order, with its texts.
// Owner:  caller (pure).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/jetstream/api/api_error.h"
#include "broker/jetstream/api/consumer_config.h"
#include "broker/jetstream/api/requests.h"
#include "broker/jetstream/api/stream_check.h"

namespace millrace {

inline constexpr int64_t kMaxWaitingDefault = 512;
inline constexpr int64_t kMaxAckPendingDefault = 1000;
inline constexpr int64_t kAckWaitDefaultNs = 30'000'000'000;
inline constexpr int64_t kPriorityTimeoutDefaultNs = 120'000'000'000;
inline constexpr int64_t kEphemeralInactiveDefaultNs = 5'000'000'000;
inline constexpr int64_t kFlowControlHeartbeatNs = 1'000'000'000;

// A subject of CONSUMER.CREATE or CONSUMER.DURABLE.CREATE, without the prefix "$JS.API.".
struct ConsumerCreateSubject {
  bool durable_form = false;    // CONSUMER.DURABLE.CREATE.<stream>.<consumer>
  bool ephemeral_form = false;  // CONSUMER.CREATE.<stream>
  std::string_view stream;
  std::string_view consumer;
  std::string_view filter;
};
ConsumerCreateSubject SplitConsumerCreateSubject(std::string_view subject);

// What the handler of the request refuses first: names and filters of subject and body. Sets config.name.
std::optional<ApiError> CheckConsumerCreateRequest(const ConsumerCreateSubject& subject,
                                                   ConsumerCreateRequest* request);

// account may be nullptr: no limits.
std::optional<ApiError> SetConsumerDefaults(ConsumerConfig* config, const StreamConfig& stream,
                                            const ServerLimits& server, const JetStreamAccountLimits* account,
                                            bool pedantic);

// The peer's checkConsumerCfg; recovering: what is stored already may break a rule that is new.
std::optional<ApiError> CheckConsumerConfig(const ConsumerConfig& config, const StreamConfig& stream,
                                            const ServerLimits& server, const JetStreamAccountLimits* account,
                                            bool recovering = false);

// Another consumer of the stream, for the rules between them.
struct OtherConsumer {
  std::string_view name;
  const ConsumerConfig* config = nullptr;
};

// For a consumer that does not exist: limits of numbers, rules of work queues. (Filters may lie outside of the stream's
// subjects, as at the peer.)
std::optional<ApiError> CheckConsumerCreate(const ConsumerConfig& config, const StreamConfig& stream,
                                            const std::vector<OtherConsumer>& others, const ServerLimits& server,
                                            const JetStreamAccountLimits* account);

// What a consumer is given once it is made: an ephemeral one goes after five seconds without interest.
void SetInactiveThreshold(ConsumerConfig* config);

// For a consumer that exists, after defaults and CheckConsumerConfig. deliver_interest: somebody listens to the old
// deliver subject. action kCreate on another configuration is kConsumerAlreadyExists.
std::optional<ApiError> CheckConsumerUpdate(const ConsumerConfig& old, const ConsumerConfig& updated,
                                            ConsumerAction action, const StreamConfig& stream,
                                            const std::vector<OtherConsumer>& others, bool deliver_interest);

// The same but for versioning metadata.
bool IsSameConsumer(ConsumerConfig config, const ConsumerConfig& existing);

// "25%" or "25" as a number; nullopt when it is neither (error: the peer's text).
std::optional<int64_t> ParseSampleFrequency(std::string_view text, std::string* error);

bool IsValidPriorityGroup(std::string_view name);

}  // namespace millrace
