// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/api/consumer_check.h"

#include <algorithm>
#include <charconv>

#include "absl/strings/str_format.h"
#include "broker/jetstream/api/stream_rules.h"
#include "broker/jetstream/api/subject_filters.h"
#include "broker/jetstream/api/versioning.h"
#include "broker/json/go_format.h"
#include "proto/quoted.h"
#include "proto/subject.h"

namespace millrace {
namespace {

ApiError PendingExceeds(int64_t limit) {
  return MakeError(ApiErrorId::kConsumerMaxPendingAckExcess, {{"limit", std::to_string(limit)}});
}

MaybeError CheckNamesAndReplicas(const ConsumerConfig& config, const StreamConfig& stream, bool recovering) {
  if (!config.name.empty() && !IsValidAssetName(config.name))
    return InvalidStream("consumer name can not contain '.', '*', '>', '\\', '/'");
  if (!config.durable_name.empty() && !IsValidAssetName(config.durable_name))
    return InvalidStream("consumer durable name can not contain '.', '*', '>', '\\', '/'");
  if (config.num_replicas > 0 && config.num_replicas > stream.num_replicas)
    return MakeError(ApiErrorId::kConsumerReplicasExceedsStream);
  if (config.num_replicas < 0) return MakeError(ApiErrorId::kReplicasCountCannotBeNegative);
  if (stream.retention != Retention::kLimits && !recovering && config.num_replicas != 0 &&
      config.num_replicas != stream.num_replicas) {
    return MakeError(ApiErrorId::kConsumerReplicasShouldMatchStream);
  }
  return std::nullopt;
}

MaybeError CheckAcknowledgement(const ConsumerConfig& config) {
  if (std::any_of(config.backoff_ns.begin(), config.backoff_ns.end(), [](int64_t wait) { return wait < 0; }))
    return MakeError(ApiErrorId::kConsumerBackOffNegative);
  if (config.ack_wait_ns < 0) return MakeError(ApiErrorId::kConsumerAckWaitNegative);
  if (config.ack_policy == AckPolicy::kFlowControl) {
    if (!config.is_push()) return MakeError(ApiErrorId::kConsumerAckFCRequiresPush);
    if (!config.flow_control) return MakeError(ApiErrorId::kConsumerAckFCRequiresFC);
    if (config.idle_heartbeat_ns != kFlowControlHeartbeatNs)
      return InvalidStream("flow control ack policy heartbeat needs to be 1s");
    if (config.max_ack_pending <= 0) return MakeError(ApiErrorId::kConsumerAckFCRequiresMaxAckPending);
    if (config.ack_wait_ns != 0 || !config.backoff_ns.empty())
      return MakeError(ApiErrorId::kConsumerAckFCRequiresNoAckWait);
    if (config.max_deliver > 0) return MakeError(ApiErrorId::kConsumerAckFCRequiresNoMaxDeliver);
  }
  if (config.max_deliver != -1 && static_cast<int64_t>(config.backoff_ns.size()) > config.max_deliver &&
      !config.backoff_ns.empty()) {
    return MakeError(ApiErrorId::kConsumerMaxDeliverBackoff);
  }
  return std::nullopt;
}

MaybeError CheckPush(const ConsumerConfig& config, const StreamConfig& stream) {
  if (!IsLiteral(config.deliver_subject)) return MakeError(ApiErrorId::kConsumerDeliverToWildcards);
  if (!IsValidSubject(config.deliver_subject)) return MakeError(ApiErrorId::kConsumerInvalidDeliverSubject);
  if (IsSubsetOfAny(config.deliver_subject, stream.subjects)) return MakeError(ApiErrorId::kConsumerDeliverCycle);
  if (config.max_waiting != 0) return MakeError(ApiErrorId::kConsumerPushMaxWaiting);
  if (config.max_ack_pending > 0 && config.ack_policy == AckPolicy::kNone)
    return MakeError(ApiErrorId::kConsumerMaxPendingAckPolicyRequired);
  if (config.idle_heartbeat_ns > 0 && config.idle_heartbeat_ns < 100 * kNsPerMs)
    return MakeError(ApiErrorId::kConsumerSmallHeartbeat);
  return std::nullopt;
}

MaybeError CheckPull(const ConsumerConfig& config, const StreamConfig& stream, const ServerLimits& server) {
  if (config.ack_policy == AckPolicy::kNone && stream.retention == Retention::kWorkQueue)
    return MakeError(ApiErrorId::kConsumerPullRequiresAck);
  if (config.rate_limit_bps > 0) return MakeError(ApiErrorId::kConsumerPullWithRateLimit);
  if (config.max_waiting < 0) return MakeError(ApiErrorId::kConsumerMaxWaitingNegative);
  if (config.idle_heartbeat_ns > 0) return MakeError(ApiErrorId::kConsumerHBRequiresPush);
  if (config.flow_control) return MakeError(ApiErrorId::kConsumerFCRequiresPush);
  if (config.max_batch < 0) return MakeError(ApiErrorId::kConsumerMaxRequestBatchNegative);
  if (config.max_expires_ns != 0 && config.max_expires_ns < kNsPerMs)
    return MakeError(ApiErrorId::kConsumerMaxRequestExpiresTooSmall);
  if (server.max_request_batch > 0 && config.max_batch > server.max_request_batch) {
    return MakeError(ApiErrorId::kConsumerMaxRequestBatchExceededF,
                     {{"limit", std::to_string(server.max_request_batch)}});
  }
  return std::nullopt;
}

MaybeError CheckLimits(const ConsumerConfig& config, const StreamConfig& stream, const ServerLimits& server,
                       const JetStreamAccountLimits* account) {
  const int64_t account_pending = account == nullptr ? 0 : account->max_ack_pending;
  for (const int64_t limit : {server.max_ack_pending, account_pending, stream.consumer_limits.max_ack_pending}) {
    if (limit > 0 && config.max_ack_pending > limit) return PendingExceeds(limit);
  }
  const int64_t inactive = stream.consumer_limits.inactive_threshold_ns;
  if (inactive > 0 && config.inactive_threshold_ns > inactive)
    return MakeError(ApiErrorId::kConsumerInactiveThresholdExcess, {{"limit", FormatDuration(inactive)}});
  if (config.direct) {
    if (!config.is_push()) return MakeError(ApiErrorId::kConsumerDirectRequiresPush);
    if (config.is_durable()) return MakeError(ApiErrorId::kConsumerDirectRequiresEphemeral);
  }
  return std::nullopt;
}

MaybeError CheckFilters(const ConsumerConfig& config) {
  const std::vector<std::string>& filters = config.filter_subjects;
  if (!config.filter_subject.empty() && !filters.empty())
    return MakeError(ApiErrorId::kConsumerDuplicateFilterSubjects);
  if (!config.filter_subject.empty() && !IsValidSubject(config.filter_subject)) return InvalidStream("invalid subject");
  if (std::any_of(filters.begin(), filters.end(), [](const std::string& filter) { return filter.empty(); }))
    return MakeError(ApiErrorId::kConsumerEmptyFilter);
  for (size_t outer = 0; outer < filters.size(); ++outer) {
    if (!IsValidSubject(filters[outer])) return InvalidStream("invalid subject");
    for (size_t inner = 0; inner < filters.size(); ++inner) {
      if (inner != outer && IsSubset(filters[outer], filters[inner]))
        return MakeError(ApiErrorId::kConsumerOverlappingSubjectFilters);
    }
  }
  return std::nullopt;
}

ApiError PolicyConflict(std::string_view policy, std::string_view what) {
  return MakeErrorText(ApiErrorId::kConsumerInvalidPolicy,
                       absl::StrFormat("consumer delivery policy is deliver %s, but optional %s", policy, what));
}

MaybeError CheckStart(const ConsumerConfig& config) {
  constexpr std::string_view kPolicies[] = {"all",           "last", "new", "by start sequence", "by start time",
                                            "last per subject"};
  const std::string_view policy = kPolicies[static_cast<size_t>(config.deliver_policy)];
  const bool has_seq = config.opt_start_seq > 0, has_time = config.opt_start_time_ns.has_value();
  switch (config.deliver_policy) {
    case DeliverPolicy::kByStartSequence:
      if (!has_seq) return PolicyConflict(policy, "start sequence is not set");
      if (has_time) return PolicyConflict(policy, "start time is also set");
      return std::nullopt;
    case DeliverPolicy::kByStartTime:
      if (!has_time) return PolicyConflict(policy, "start time is not set");
      if (has_seq) return PolicyConflict(policy, "start start sequence is also set");
      return std::nullopt;
    default:
      break;
  }
  if (has_seq) return PolicyConflict(policy, "start sequence is also set");
  if (has_time) return PolicyConflict(policy, "start time is also set");
  if (config.deliver_policy == DeliverPolicy::kLastPerSubject && config.filter_subject.empty() &&
      config.filter_subjects.empty()) {
    return PolicyConflict(policy, "filter subject is not set");
  }
  return std::nullopt;
}

MaybeError CheckPriorityGroups(const ConsumerConfig& config) {
  if (config.priority_policy == PriorityPolicy::kNone) {
    if (!config.priority_groups.empty()) return MakeError(ApiErrorId::kConsumerPriorityGroupWithPolicyNone);
    if (config.priority_timeout_ns > 0) return MakeError(ApiErrorId::kConsumerPinnedTTLWithoutPriorityPolicyNone);
    return std::nullopt;
  }
  if (config.is_push()) return MakeError(ApiErrorId::kConsumerPushWithPriorityGroup);
  if (config.priority_groups.empty()) return MakeError(ApiErrorId::kConsumerPriorityPolicyWithoutGroup);
  for (const std::string& group : config.priority_groups) {
    if (group.empty()) return MakeError(ApiErrorId::kConsumerEmptyGroupName);
    if (!IsValidPriorityGroup(group)) return MakeError(ApiErrorId::kConsumerInvalidGroupName);
  }
  return std::nullopt;
}

MaybeError CheckNamesAgreeAndMetadata(const ConsumerConfig& config) {
  if (config.is_durable() && !config.name.empty() && config.name != config.durable_name)
    return MakeError(ApiErrorId::kConsumerCreateDurableAndNameMismatch);
  size_t bytes = 0;
  for (const auto& [key, value] : config.metadata) bytes += key.size() + value.size();
  if (bytes > kMetadataBytesMax)
    return MakeError(ApiErrorId::kConsumerMetadataLength, {{"limit", std::to_string(kMetadataBytesMax / 1024) + "KB"}});
  return std::nullopt;
}

// Negative values become zero, or -1 where that means no limit.
template <typename N>
MaybeError SetZero(std::string_view name, N* value, bool pedantic) {
  if (*value >= 0) return std::nullopt;
  if (pedantic) return PedanticRefusal(absl::StrFormat("%s must not be negative", name));
  *value = 0;
  return std::nullopt;
}

MaybeError SetBounds(ConsumerConfig* config, bool pedantic) {
  if (config->max_deliver == 0 || config->max_deliver < -1) {
    if (pedantic && config->max_deliver < -1) return PedanticRefusal("max_deliver must be set to -1");
    config->max_deliver = -1;
  }
  if (auto error = SetZero("max_waiting", &config->max_waiting, pedantic)) return error;
  if (config->max_ack_pending < -1) {
    if (pedantic) return PedanticRefusal("max_ack_pending must be set to -1");
    config->max_ack_pending = -1;
  }
  if (auto error = SetZero("max_batch", &config->max_batch, pedantic)) return error;
  if (auto error = SetZero("max_expires", &config->max_expires_ns, pedantic)) return error;
  if (auto error = SetZero("max_bytes", &config->max_bytes, pedantic)) return error;
  if (auto error = SetZero("idle_heartbeat", &config->idle_heartbeat_ns, pedantic)) return error;
  if (auto error = SetZero("inactive_threshold", &config->inactive_threshold_ns, pedantic)) return error;
  return SetZero("priority_timeout", &config->priority_timeout_ns, pedantic);
}

// The filters of a consumer of a work queue are its own: nobody else takes from them.
bool IsPartitionUnique(const std::vector<std::string>& filters, const std::vector<OtherConsumer>& others) {
  for (const OtherConsumer& other : others) {
    if (other.config->direct || other.config->sourcing || filters.empty()) continue;
    const std::vector<std::string> taken = other.config->Filters();
    if (taken.empty() || FiltersOverlap(filters, taken)) return false;
  }
  return true;
}

}  // namespace

ConsumerCreateSubject SplitConsumerCreateSubject(std::string_view subject) {
  ConsumerCreateSubject parts;
  const size_t tokens = CountTokens(subject);
  parts.durable_form = TokenAt(subject, 1) == "DURABLE";
  if (parts.durable_form) {
    if (tokens != 5) return parts;
    parts.stream = TokenAt(subject, 3);
    parts.consumer = TokenAt(subject, 4);
    return parts;
  }
  parts.ephemeral_form = tokens == 3;
  parts.stream = TokenAt(subject, 2);
  parts.consumer = TokenAt(subject, 3);
  if (tokens > 4) parts.filter = subject.substr(static_cast<size_t>(parts.consumer.data() - subject.data()) +
                                                parts.consumer.size() + 1);
  return parts;
}

std::optional<ApiError> CheckConsumerCreateRequest(const ConsumerCreateSubject& subject,
                                                   ConsumerCreateRequest* request) {
  ConsumerConfig& config = request->config;
  if (subject.durable_form && subject.consumer.empty()) return MakeError(ApiErrorId::kConsumerDurableNameNotInSubject);
  if (subject.stream != request->stream_name) return MakeError(ApiErrorId::kStreamMismatch);
  const std::string name(subject.ephemeral_form ? std::string_view(config.name) : subject.consumer);
  if (name.find_first_of("\\/") != std::string::npos) return MakeError(ApiErrorId::kConsumerNameContainsPathSeparators);
  if (subject.durable_form && config.durable_name.empty()) return MakeError(ApiErrorId::kConsumerDurableNameNotSet);
  if (!subject.ephemeral_form) {
    if (config.is_durable() && name != config.durable_name)
      return MakeError(ApiErrorId::kConsumerDurableNameNotMatchSubject);
    config.name = name;
  } else if (config.is_durable()) {
    return MakeError(ApiErrorId::kConsumerEphemeralWithDurableName);
  }
  if (!subject.filter.empty() && !config.filter_subjects.empty())
    return MakeError(ApiErrorId::kConsumerMultipleFiltersNotAllowed);
  if (!subject.filter.empty() && config.filter_subject != subject.filter)
    return MakeError(ApiErrorId::kConsumerCreateFilterSubjectMismatch);
  return std::nullopt;
}

std::optional<ApiError> SetConsumerDefaults(ConsumerConfig* config, const StreamConfig& stream,
                                            const ServerLimits& server, const JetStreamAccountLimits* account,
                                            bool pedantic) {
  if (auto error = SetBounds(config, pedantic)) return error;
  if (!config->is_push() && config->max_waiting == 0) config->max_waiting = kMaxWaitingDefault;
  const AckPolicy policy = config->ack_policy;
  if (config->ack_wait_ns == 0 && (policy == AckPolicy::kExplicit || policy == AckPolicy::kAll))
    config->ack_wait_ns = kAckWaitDefaultNs;
  if (!config->backoff_ns.empty()) {
    if (pedantic && config->ack_wait_ns != config->backoff_ns[0])
      return PedanticRefusal("first backoff value has to equal batch AckWait");
    config->ack_wait_ns = config->backoff_ns[0];
  }
  const StreamConsumerLimits& limits = stream.consumer_limits;
  if (config->max_ack_pending == 0) {
    if (pedantic && limits.max_ack_pending > 0)
      return PedanticRefusal("max_ack_pending must be set if it's configured in stream limits");
    config->max_ack_pending = limits.max_ack_pending;
  }
  if (config->inactive_threshold_ns == 0) {
    if (pedantic && limits.inactive_threshold_ns > 0)
      return PedanticRefusal("inactive_threshold must be set if it's configured in stream limits");
    config->inactive_threshold_ns = limits.inactive_threshold_ns;
  }
  if (config->max_ack_pending == 0 && policy != AckPolicy::kNone) {
    config->max_ack_pending = kMaxAckPendingDefault;
    for (const int64_t limit : {server.max_ack_pending, account == nullptr ? 0 : account->max_ack_pending}) {
      if (limit > 0) config->max_ack_pending = std::min(config->max_ack_pending, limit);
    }
  }
  if (!config->is_push() && config->max_batch == 0 && server.max_request_batch > 0) {
    if (pedantic) return PedanticRefusal("max_request_batch must be set if it's JetStream limits are set");
    config->max_batch = server.max_request_batch;
  }
  if (config->priority_policy == PriorityPolicy::kPinnedClient && config->priority_timeout_ns == 0)
    config->priority_timeout_ns = kPriorityTimeoutDefaultNs;
  if (policy == AckPolicy::kFlowControl && !pedantic) {
    config->flow_control = true;
    config->idle_heartbeat_ns = kFlowControlHeartbeatNs;
  }
  return std::nullopt;
}

std::optional<ApiError> CheckConsumerConfig(const ConsumerConfig& config, const StreamConfig& stream,
                                            const ServerLimits& server, const JetStreamAccountLimits* account,
                                            bool recovering) {
  if (auto error = CheckNamesAndReplicas(config, stream, recovering)) return error;
  if (auto error = CheckAcknowledgement(config)) return error;
  if (config.description.size() > kDescriptionBytesMax) {
    return MakeError(ApiErrorId::kConsumerDescriptionTooLong, {{"max", std::to_string(kDescriptionBytesMax)}});
  }
  if (auto error = config.is_push() ? CheckPush(config, stream) : CheckPull(config, stream, server)) return error;
  if (auto error = CheckLimits(config, stream, server, account)) return error;
  if (auto error = CheckFilters(config)) return error;
  if (auto error = CheckStart(config)) return error;
  std::string problem;
  if (!config.sample_freq.empty() && !ParseSampleFrequency(config.sample_freq, &problem))
    return MakeErrorText(ApiErrorId::kConsumerInvalidSampling, problem);
  if (config.flow_control && config.idle_heartbeat_ns == 0)
    return MakeError(ApiErrorId::kConsumerWithFlowControlNeedsHeartbeats);
  if (auto error = CheckNamesAgreeAndMetadata(config)) return error;
  if (auto error = CheckPriorityGroups(config)) return error;
  if (stream.placement && !stream.placement->preferred.empty())
    return InvalidStream("preferred server not permitted in placement");
  return std::nullopt;
}

std::optional<ApiError> CheckConsumerCreate(const ConsumerConfig& config, const StreamConfig& stream,
                                            const std::vector<OtherConsumer>& others, const ServerLimits& server,
                                            const JetStreamAccountLimits* account) {
  if (!config.direct && !config.sourcing) {
    const int64_t count = std::count_if(others.begin(), others.end(), [](const OtherConsumer& other) {
      return !other.config->direct && !other.config->sourcing;
    });
    int64_t max = stream.max_consumers;
    const int64_t account_max = account == nullptr ? -1 : account->max_consumers;
    if (max <= 0 || (account_max > 0 && account_max < max)) max = account_max;
    if (max <= 0 && server.default_max_consumers > 0) max = server.default_max_consumers;
    if (max > 0 && count >= max) return MakeError(ApiErrorId::kMaximumConsumersLimit);
    if (stream.retention == Retention::kWorkQueue) {
      if (config.ack_policy != AckPolicy::kExplicit && config.ack_policy != AckPolicy::kFlowControl)
        return MakeError(ApiErrorId::kConsumerWQRequiresExplicitAck);
      if (config.deliver_policy != DeliverPolicy::kAll)
        return MakeError(ApiErrorId::kConsumerWQConsumerNotDeliverAll);
      const std::vector<std::string> filters = config.Filters();
      if (count > 0 && filters.empty()) return MakeError(ApiErrorId::kConsumerWQMultipleUnfiltered);
      if (count > 0 && !IsPartitionUnique(filters, others)) return MakeError(ApiErrorId::kConsumerWQConsumerNotUnique);
    }
  }
  if (config.durable_name.size() > kAssetNameBytesMax)
    return MakeError(ApiErrorId::kConsumerNameTooLong, {{"max", std::to_string(kAssetNameBytesMax)}});
  return std::nullopt;
}

void SetInactiveThreshold(ConsumerConfig* config) {
  if (config->inactive_threshold_ns <= 0 && !config->is_durable())
    config->inactive_threshold_ns = kEphemeralInactiveDefaultNs;
}

std::optional<ApiError> CheckConsumerUpdate(const ConsumerConfig& old, const ConsumerConfig& updated,
                                            ConsumerAction action, const StreamConfig& stream,
                                            const std::vector<OtherConsumer>& others, bool deliver_interest) {
  if (action == ConsumerAction::kCreate && !IsSameConsumer(updated, old))
    return MakeError(ApiErrorId::kConsumerAlreadyExists);
  if (stream.retention == Retention::kWorkQueue && !IsPartitionUnique(updated.Filters(), others))
    return MakeError(ApiErrorId::kConsumerWQConsumerNotUnique);
  if (old == updated) return std::nullopt;
  const auto fixed = [](std::string_view what) {
    return MakeErrorText(ApiErrorId::kConsumerCreate, absl::StrFormat("%s can not be updated", what));
  };
  if (old.deliver_policy != updated.deliver_policy) return fixed("deliver policy");
  if (old.mem_storage != updated.mem_storage) return fixed("storage type");
  if (old.direct != updated.direct) return fixed("direct");
  if (old.sourcing != updated.sourcing) return fixed("sourcing");
  if (old.opt_start_seq != updated.opt_start_seq) return fixed("start sequence");
  if (old.opt_start_time_ns != updated.opt_start_time_ns) return fixed("start time");
  if (old.ack_policy != updated.ack_policy) return fixed("ack policy");
  if (old.replay_policy != updated.replay_policy) return fixed("replay policy");
  if (old.idle_heartbeat_ns != updated.idle_heartbeat_ns) return fixed("heart beats");
  if (old.flow_control != updated.flow_control) return fixed("flow control");
  if (old.deliver_subject != updated.deliver_subject) {
    if (!old.is_push())
      return MakeErrorText(ApiErrorId::kConsumerCreate, "can not update pull consumer to push based");
    if (!updated.is_push())
      return MakeErrorText(ApiErrorId::kConsumerCreate, "can not update push consumer to pull based");
    if (deliver_interest) return MakeError(ApiErrorId::kConsumerNameExist);
  }
  if (old.max_waiting != updated.max_waiting) return fixed("max waiting");
  return std::nullopt;  // the rule of max_deliver and backoff has been checked by CheckConsumerConfig
}

bool IsSameConsumer(ConsumerConfig config, const ConsumerConfig& existing) {
  CopyVersioning(&config.metadata, existing.metadata);
  return config == existing;
}

std::optional<int64_t> ParseSampleFrequency(std::string_view text, std::string* error) {
  if (!text.empty() && text.back() == '%') text.remove_suffix(1);
  std::string_view digits = text;
  if (digits.size() > 1 && digits[0] == '+' && digits[1] != '-') digits.remove_prefix(1);
  int64_t value = 0;
  const auto [end, status] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  const bool whole = end == digits.data() + digits.size() && !digits.empty();
  if (status == std::errc() && whole && value >= 0) return value;
  if (status == std::errc() && whole) {
    *error = "<nil>";  // the peer prints the error it does not have
  } else {
    const bool range = status == std::errc::result_out_of_range && whole;
    *error = absl::StrFormat("strconv.Atoi: parsing %s: %s", Quoted(text),
                             range ? "value out of range" : "invalid syntax");
  }
  return std::nullopt;
}

bool IsValidPriorityGroup(std::string_view name) {
  constexpr size_t kBytesMax = 16;
  if (name.empty() || name.size() > kBytesMax) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '/' || c == '_' ||
           c == '=' || c == '-';
  });
}

}  // namespace millrace
