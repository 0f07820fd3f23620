// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/api/stream_check.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "broker/jetstream/api/stream_rules.h"
#include "broker/jetstream/api/subject_filters.h"
#include "broker/jetstream/api/versioning.h"
#include "broker/json/go_format.h"

namespace millrace {
namespace {

constexpr int64_t kShortestNs = 100 * kNsPerMs;  // of max_age and duplicate_window

size_t MetadataBytes(const Metadata& metadata) {
  size_t bytes = 0;
  for (const auto& [key, value] : metadata) bytes += key.size() + value.size();
  return bytes;
}

MaybeError CheckNames(const StreamConfig& config) {
  if (!IsValidAssetName(config.name))
    return InvalidStream("stream name is required and can not contain '.', '*', '>', '\\', '/'");
  if (config.name.size() > kAssetNameBytesMax)
    return InvalidStream(absl::StrFormat("stream name is too long, maximum allowed is %d", kAssetNameBytesMax));
  if (config.description.size() > kDescriptionBytesMax) {
    return InvalidStream(
        absl::StrFormat("stream description is too long, maximum allowed is %d", kDescriptionBytesMax));
  }
  if (MetadataBytes(config.metadata) > kMetadataBytesMax)
    return InvalidStream(absl::StrFormat("stream metadata exceeds maximum size of %d bytes", kMetadataBytesMax));
  return std::nullopt;
}

// 0 and what is below -1 becomes -1, no limit.
template <typename N>
MaybeError SetLimit(std::string_view name, N* value, bool pedantic) {
  if (*value > 0 || *value == -1) return std::nullopt;
  if (pedantic && *value < -1) return PedanticRefusal(absl::StrFormat("%s must be set to -1", name));
  *value = -1;
  return std::nullopt;
}

MaybeError SetLimits(StreamConfig* config, bool pedantic) {
  if (config->num_replicas == 0) config->num_replicas = 1;
  if (config->num_replicas > kStreamReplicasMax)
    return InvalidStream(absl::StrFormat("maximum replicas is %d", kStreamReplicasMax));
  if (config->num_replicas < 0) return MakeError(ApiErrorId::kReplicasCountCannotBeNegative);
  if (auto error = SetLimit("max_msgs", &config->max_msgs, pedantic)) return error;
  if (auto error = SetLimit("max_msgs_per_subject", &config->max_msgs_per_subject, pedantic)) return error;
  if (auto error = SetLimit("max_bytes", &config->max_bytes, pedantic)) return error;
  if (auto error = SetLimit("max_msg_size", &config->max_msg_size, pedantic)) return error;
  if (auto error = SetLimit("max_consumers", &config->max_consumers, pedantic)) return error;
  if (config->max_age_ns < 0) return InvalidStream("max age can not be negative");
  if (config->max_age_ns != 0 && config->max_age_ns < kShortestNs) return InvalidStream("max age needs to be >= 100ms");
  return std::nullopt;
}

MaybeError SetDuplicateWindow(StreamConfig* config, const ServerLimits& server, bool pedantic) {
  const int64_t limit = server.duplicate_window_ns;
  int64_t& window = config->duplicate_window_ns;
  if (window == 0 && !config->mirror && config->sources.empty()) {
    window = kDuplicateWindowDefaultNs;
    if (limit > 0 && window > limit) {
      if (pedantic) return PedanticRefusal("duplicate window limits are higher than current limits");
      window = limit;
    }
    if (config->max_age_ns != 0 && config->max_age_ns < window) {
      if (pedantic) return PedanticRefusal("duplicate window cannot be bigger than max age");
      window = config->max_age_ns;
    }
  }
  if (window < 0) return InvalidStream("duplicates window can not be negative");
  if (config->max_age_ns != 0 && window > config->max_age_ns)
    return InvalidStream("duplicates window can not be larger then max age");
  if (limit > 0 && window > limit) {
    return InvalidStream(
        absl::StrFormat("duplicates window can not be larger then server limit of %s", FormatDuration(limit)));
  }
  if (window > 0 && window < kShortestNs) return InvalidStream("duplicates window needs to be >= 100ms");
  return std::nullopt;
}

MaybeError CheckCounter(const StreamConfig& config) {
  if (!config.allow_msg_counter) return std::nullopt;
  if (config.discard == Discard::kNew) return InvalidStream("counter stream cannot use discard new");
  if (config.allow_msg_ttl) return InvalidStream("counter stream cannot use message TTLs");
  if (config.allow_msg_schedules) return InvalidStream("counter stream cannot use message schedules");
  if (config.retention != Retention::kLimits) return InvalidStream("counter stream can only use limits retention");
  return std::nullopt;
}

MaybeError CheckDiscardNewPerSubject(const StreamConfig& config) {
  if (!config.discard_new_per_subject) return std::nullopt;
  if (config.discard != Discard::kNew)
    return InvalidStream("discard new per subject requires discard new policy to be set");
  if (config.max_msgs_per_subject <= 0)
    return InvalidStream("discard new per subject requires max msgs per subject > 0");
  return std::nullopt;
}

void AllowRollup(StreamConfig* config) {
  config->allow_rollup_hdrs = true;
  config->deny_purge = false;
}

MaybeError SetDeleteMarkers(StreamConfig* config, bool pedantic) {
  if (config->subject_delete_marker_ttl_ns < 0) return InvalidStream("subject delete marker TTL must not be negative");
  if (config->subject_delete_marker_ttl_ns == 0) return std::nullopt;
  if (config->subject_delete_marker_ttl_ns < kNsPerSecond)
    return InvalidStream("subject delete marker TTL must be at least 1 second");
  if (!config->allow_msg_ttl) {
    if (pedantic) return InvalidStream("subject delete marker cannot be set if message TTLs are disabled");
    config->allow_msg_ttl = true;
  }
  if (!config->allow_rollup_hdrs) {
    if (pedantic) return InvalidStream("subject delete marker cannot be set if roll-ups are disabled");
    AllowRollup(config);
  }
  return std::nullopt;
}

MaybeError SetSchedules(StreamConfig* config, bool pedantic) {
  if (!config->allow_msg_schedules) return std::nullopt;
  if (config->discard == Discard::kNew) return InvalidStream("message scheduling cannot use discard new");
  if (!config->allow_rollup_hdrs) {
    if (pedantic) return InvalidStream("message scheduling cannot be set if roll-ups are disabled");
    AllowRollup(config);
  }
  return std::nullopt;
}

MaybeError CheckPersistMode(const StreamConfig& config) {
  if (config.persist_mode != PersistMode::kAsync) return std::nullopt;
  if (config.storage != Storage::kFile) return InvalidStream("async persist mode is only supported on file storage");
  if (config.num_replicas > 1) return InvalidStream("async persist mode is not supported on replicated streams");
  if (config.allow_atomic) return InvalidStream("async persist mode is not supported with atomic batch publish");
  return std::nullopt;
}

const JetStreamAccountLimits* LimitsOf(const StreamConfig& config, const StreamCheckContext& context) {
  return context.account_limits ? context.account_limits(config.num_replicas) : nullptr;
}

MaybeError CheckMaxBytes(const StreamConfig& config, const StreamCheckContext& context) {
  const JetStreamAccountLimits* limits = LimitsOf(config, context);
  if (limits == nullptr) return std::nullopt;
  const int64_t limit =
      config.storage == Storage::kMemory ? limits->memory_max_stream_bytes : limits->storage_max_stream_bytes;
  if (limits->max_bytes_required && config.max_bytes <= 0) return MakeError(ApiErrorId::kStreamMaxBytesRequired);
  if (limit > 0 && config.max_bytes > limit) return MakeError(ApiErrorId::kStreamMaxStreamBytesExceeded);
  return std::nullopt;
}

int64_t AddSaturate(int64_t a, int64_t b) {
  int64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? std::numeric_limits<int64_t>::max() : sum;
}

// What a stream counts against its account: flat limits count every replica.
int64_t AccountBytes(const StreamCheckContext& context, int64_t replicas, int64_t bytes) {
  if (bytes <= 0) return 0;
  int64_t product = bytes;
  if (!context.account_has_tiers && replicas > 1 && __builtin_mul_overflow(bytes, replicas, &product))
    return std::numeric_limits<int64_t>::max();
  return product;
}

bool Exceeds(int64_t limit, int64_t reserved, int64_t more) { return reserved > limit || more > limit - reserved; }

// add_bytes below zero (no limit) counts as one byte, as there.
MaybeError CheckBytes(const StreamConfig& config, const StreamCheckContext& context,
                      const JetStreamAccountLimits* limits, const Reservations& reservations, int64_t add_bytes) {
  if (add_bytes < 0) add_bytes = 1;
  const int64_t account_bytes = AccountBytes(context, config.num_replicas, add_bytes);
  const bool memory = config.storage == Storage::kMemory;
  const int64_t account_limit = limits == nullptr ? -1 : memory ? limits->max_memory : limits->max_storage;
  const int64_t server_max = memory ? reservations.server_memory_max : reservations.server_storage_max;
  const int64_t server = memory ? reservations.server_memory : reservations.server_storage;
  if ((account_limit >= 0 && Exceeds(account_limit, reservations.account, account_bytes)) ||
      Exceeds(server_max, server, add_bytes)) {
    return MakeError(memory ? ApiErrorId::kMemoryResourcesExceeded : ApiErrorId::kStorageResourcesExceeded);
  }
  return std::nullopt;
}

MaybeError CheckAllLimits(const StreamConfig& config, const StreamCheckContext& context,
                          const Reservations& reservations, int64_t add_bytes) {
  const JetStreamAccountLimits* limits = LimitsOf(config, context);
  if (context.account_limits && limits == nullptr) return MakeError(ApiErrorId::kNoLimits);
  if (limits != nullptr && config.max_consumers > 0 && limits->max_consumers > 0 &&
      config.max_consumers > limits->max_consumers) {
    return MakeError(ApiErrorId::kMaximumConsumersLimit);
  }
  return CheckBytes(config, context, limits, reservations, add_bytes);
}

}  // namespace

std::optional<ApiError> CheckStreamConfig(StreamConfig* config, const StreamCheckContext& context, bool pedantic) {
  if (auto error = CheckNames(*config)) return error;
  if (auto error = SetLimits(config, pedantic)) return error;
  if (auto error = SetDuplicateWindow(config, context.server, pedantic)) return error;
  if (config->deny_purge && config->allow_rollup_hdrs) return InvalidStream("roll-ups require the purge permission");
  if (auto error = CheckCounter(*config)) return error;
  if (auto error = CheckDiscardNewPerSubject(*config)) return error;
  if (auto error = SetDeleteMarkers(config, pedantic)) return error;
  if (auto error = SetSchedules(config, pedantic)) return error;
  if (auto error = CheckPersistMode(*config)) return error;
  Upstreams upstreams;
  if (auto error = CheckMirror(config, context, pedantic, &upstreams)) return error;
  if (auto error = CheckSources(*config, context, &upstreams)) return error;
  if (auto error = CheckExternalPrefixes(upstreams)) return error;
  if (auto error = CheckCycles(*config, context)) return error;
  if (auto error = CheckSubjects(config)) return error;
  if (auto error = CheckMaxBytes(*config, context)) return error;
  if (auto error = CheckSubjectTransform(*config)) return error;
  if (auto error = CheckRepublish(config, pedantic)) return error;
  if (config->placement && *config->placement == Placement{}) config->placement.reset();
  if (config->placement && !config->placement->preferred.empty())
    return InvalidStream("preferred server not permitted in placement");
  return std::nullopt;
}

std::optional<ApiError> CheckStreamCreateRequest(std::string_view name_in_subject, const StreamConfig& config) {
  if (name_in_subject != config.name) return MakeError(ApiErrorId::kStreamMismatch);
  if (name_in_subject.find_first_of("\\/") != std::string_view::npos)
    return MakeError(ApiErrorId::kStreamNameContainsPathSeparators);
  if (config.sealed) return InvalidStream("stream configuration for create can not be sealed");
  if (config.mirror_direct && !config.mirror)
    return InvalidStream("stream has no mirror but does have mirror direct");
  return std::nullopt;
}

std::optional<ApiError> CheckStreamLimits(const StreamConfig& config, const StreamCheckContext& context,
                                          int64_t existing_streams, const Reservations& reservations) {
  const JetStreamAccountLimits* limits = LimitsOf(config, context);
  if (context.account_limits && limits == nullptr) return MakeError(ApiErrorId::kNoLimits);
  if (limits != nullptr && limits->max_streams > 0 && existing_streams >= limits->max_streams)
    return MakeError(ApiErrorId::kMaximumStreamsLimit);
  return CheckAllLimits(config, context, reservations, config.max_bytes);
}

std::optional<ApiError> CheckReplicas(const StreamConfig& config, const StreamCheckContext& context) {
  if (context.standalone && config.num_replicas > 1) return MakeError(ApiErrorId::kStreamReplicasNotSupported);
  return std::nullopt;
}

std::optional<ApiError> CheckStreamCreate(const StreamConfig& config, const StreamCheckContext& context,
                                          int64_t existing_streams, const Reservations& reservations) {
  if (auto error = CheckReplicas(config, context)) return error;
  if (auto error = CheckStreamLimits(config, context, existing_streams, reservations)) return error;
  if (auto error = CheckUpstreamTransforms(config)) return error;
  if (context.are_taken && context.are_taken(config.subjects)) return MakeError(ApiErrorId::kStreamSubjectOverlap);
  return std::nullopt;
}

bool IsSameStream(StreamConfig config, const StreamConfig& existing) {
  CopyVersioning(&config.metadata, existing.metadata);
  return config == existing;
}

std::optional<ApiError> CheckStreamUpdate(const StreamConfig& old, StreamConfig* updated,
                                          const StreamCheckContext& context, bool pedantic) {
  if (auto error = CheckStreamConfig(updated, context, pedantic)) return error;
  if (updated->name != old.name) return InvalidStream("stream configuration name must match original");
  if (auto error = CheckReplicas(*updated, context)) return error;
  if (updated->storage != old.storage)
    return InvalidStream("stream configuration update can not change storage type");
  if (updated->retention != old.retention &&
      (updated->retention == Retention::kWorkQueue || old.retention == Retention::kWorkQueue)) {
    return InvalidStream("stream configuration update can not change retention policy to/from workqueue");
  }
  if (!updated->sealed && old.sealed)
    return InvalidStream("stream configuration update can not unseal a sealed stream");
  if (!updated->deny_delete && old.deny_delete)
    return InvalidStream("stream configuration update can not cancel deny message deletes");
  if (!updated->deny_purge && old.deny_purge)
    return InvalidStream("stream configuration update can not cancel deny purge");
  if (updated->mirror && updated->mirror != old.mirror) return MakeError(ApiErrorId::kStreamMirrorNotUpdatable);
  if (auto error = CheckDiscardNewPerSubject(*updated)) return error;
  if (old.allow_msg_ttl && !updated->allow_msg_ttl) return InvalidStream("message TTL status can not be disabled");
  if (updated->allow_msg_counter != old.allow_msg_counter)
    return InvalidStream("stream configuration update can not change message counter setting");
  if (old.allow_msg_schedules && !updated->allow_msg_schedules)
    return InvalidStream("message schedules can not be disabled");
  if (updated->persist_mode != old.persist_mode)
    return InvalidStream("stream configuration update can not change persist mode");
  if (updated->sealed) {
    updated->max_age_ns = 0;
    updated->discard = Discard::kNew;
    updated->deny_delete = updated->deny_purge = true;
    updated->allow_rollup_hdrs = false;
  }
  return std::nullopt;
}

std::optional<ApiError> CheckUpdateReservations(const StreamConfig& old, const StreamConfig& updated,
                                                const StreamCheckContext& context, const Reservations& reservations) {
  const int64_t now = std::max<int64_t>(updated.max_bytes, 0);
  const int64_t more = std::max<int64_t>(now - std::max<int64_t>(old.max_bytes, 0), 0);
  Reservations others = reservations;
  others.account =
      AddSaturate(others.account, AccountBytes(context, updated.num_replicas, updated.max_bytes - more));
  return CheckAllLimits(updated, context, others, more);
}

std::optional<ApiError> CheckConsumersAgainstLimits(const StreamConfig& old, const StreamConfig& updated,
                                                    const std::vector<NamedConsumer>& consumers) {
  const StreamConsumerLimits& limits = updated.consumer_limits;
  const bool check_inactive = limits.inactive_threshold_ns > 0;
  const bool check_pending = limits.max_ack_pending > 0;
  if ((!check_inactive || old.consumer_limits.inactive_threshold_ns == limits.inactive_threshold_ns) &&
      (!check_pending || old.consumer_limits.max_ack_pending == limits.max_ack_pending)) {
    return std::nullopt;
  }
  std::string names;
  for (const NamedConsumer& consumer : consumers) {
    if (!(check_inactive && consumer.config->inactive_threshold_ns > limits.inactive_threshold_ns) &&
        !(check_pending && consumer.config->max_ack_pending > limits.max_ack_pending)) {
      continue;
    }
    if (!names.empty()) names += ", ";
    names += consumer.name;
  }
  if (names.empty()) return std::nullopt;
  return MakeErrorText(ApiErrorId::kStreamUpdate, "change to limits violates consumers: " + names);
}

}  // namespace millrace
