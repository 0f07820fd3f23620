// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/api/versioning.h"

#include <charconv>
#include <optional>

#include "absl/strings/str_format.h"
#include "broker/jetstream/api/go_time.h"
#include "broker/version.h"

namespace millrace {
namespace {

// As strconv.Atoi: a sign may stand first.
std::optional<int64_t> ToInteger(std::string_view text) {
  if (!text.empty() && text[0] == '+') text.remove_prefix(1);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string_view LevelOf(const Metadata& metadata) {
  const auto found = metadata.find(std::string(kRequiredLevelKey));
  return found == metadata.end() ? std::string_view() : found->second;
}

void EraseDynamic(Metadata* metadata) {
  metadata->erase(std::string(kServerVersionKey));
  metadata->erase(std::string(kServerLevelKey));
}

template <typename Config>
void SetStatic(Config* config) {
  EraseDynamic(&config->metadata);
  config->metadata[std::string(kRequiredLevelKey)] = std::to_string(RequiredLevel(*config));
}

template <typename Config>
Config WithDynamic(const Config& config) {
  Config copy = config;
  copy.metadata[std::string(kServerVersionKey)] = kServerVersion;
  copy.metadata[std::string(kServerLevelKey)] = std::to_string(kApiLevel);
  return copy;
}

}  // namespace

int RequiredLevel(const StreamConfig& config) {
  int level = 0;
  if (config.allow_msg_ttl || config.subject_delete_marker_ttl_ns > 0) level = 1;
  if (config.allow_msg_counter || config.allow_atomic || config.allow_msg_schedules ||
      config.persist_mode == PersistMode::kAsync) {
    level = 2;
  }
  if (config.allow_batched) level = 4;
  return level;
}

int RequiredLevel(const ConsumerConfig& config) {
  int level = 0;
  if (config.pause_until_ns.value_or(kGoZeroTimeNs) != kGoZeroTimeNs) level = 1;
  if (config.priority_policy != PriorityPolicy::kNone || config.priority_timeout_ns != 0 ||
      !config.priority_groups.empty()) {
    level = 1;
  }
  if (config.ack_policy == AckPolicy::kFlowControl) level = 4;
  return level;
}

void SetStaticMetadata(StreamConfig* config) { SetStatic(config); }
void SetStaticMetadata(ConsumerConfig* config) { SetStatic(config); }

StreamConfig WithDynamicMetadata(const StreamConfig& config) { return WithDynamic(config); }
ConsumerConfig WithDynamicMetadata(const ConsumerConfig& config) { return WithDynamic(config); }

void CopyVersioning(Metadata* metadata, const Metadata& previous) {
  EraseDynamic(metadata);
  const std::string key(kRequiredLevelKey);
  if (const auto found = previous.find(key); found != previous.end()) {
    (*metadata)[key] = found->second;
  } else {
    metadata->erase(key);
  }
}

bool SupportsRequiredLevel(const Metadata& metadata) {
  const std::string_view level = LevelOf(metadata);
  if (level.empty()) return true;
  const std::optional<int64_t> number = ToInteger(level);
  return number && *number <= kApiLevel;
}

std::string OfflineReason(const Metadata& metadata, std::string_view strict_error) {
  constexpr std::string_view kPrefix = "json: ";
  if (strict_error.substr(0, kPrefix.size()) == kPrefix) strict_error.remove_prefix(kPrefix.size());
  if (!strict_error.empty()) return absl::StrFormat("unsupported - config error: %s", strict_error);
  return absl::StrFormat("unsupported - required API level: %s, current API level: %d", LevelOf(metadata), kApiLevel);
}

bool RefusesRequiredLevel(std::string_view header_value) {
  if (header_value.empty()) return false;
  const std::optional<int64_t> level = ToInteger(header_value);
  return !level || *level > kApiLevel;
}

}  // namespace millrace
