// SPDX-License-Identifier: Apache-2.0
#include "broker/config/validate.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "broker/config/option_table.h"
#include "broker/config/secrets.h"
#include "broker/config/language/text.h"
#include "proto/subject.h"

namespace millrace::config {
namespace {

constexpr int64_t kPayloadConcernBytes = 8 * 1024 * 1024;

template <typename... Args>
absl::Status Error(const absl::FormatSpec<Args...>& format, const Args&... args) {
  return absl::InvalidArgumentError(absl::StrFormat(format, args...));
}

absl::Status ValidateTuning(const Options& options) {
  for (const OptionRow& row : OptionTable()) {
    if (row.most == 0) continue;
    const int64_t value = FieldNumber(row, options);
    if (value < row.least || value > row.most) {
      return Error("%s is %d but must be between %d and %d", row.key, value, row.least, row.most);
    }
    if (row.power_of_two && (value & (value - 1)) != 0) {
      return Error("%s is %d but must be a power of two", row.key, value);
    }
  }
  const Tuning& tuning = options.tuning;
  // The largest record of a ring must leave it room to work.
  if (tuning.mail_inline_bytes_max * 4 > tuning.ring_bytes) {
    return Error("mail_inline_bytes_max (%d) must be at most a quarter of ring_bytes (%d)",
                 tuning.mail_inline_bytes_max, tuning.ring_bytes);
  }
  return absl::OkStatus();
}

absl::Status ValidateJetStream(const JetStreamOptions& options) {
  if (!options.domain.empty()) {
    const std::string api = "$JS." + options.domain + ".API.>";
    if (!IsValidSubject(api)) {
      return Error("invalid domain name: derived %s is not a valid subject", Quote(api));
    }
    if (options.domain.find_first_of(".*>") != std::string::npos) {
      return Error("invalid domain name: may not contain ., * or >");
    }
  }
  if (options.sync_always && options.durability == Durability::kAsync) {
    return Error("sync_interval is always but js_durability is async");
  }
  return absl::OkStatus();
}

absl::Status ValidateNoAuthUser(const Options& options) {
  const std::string& name = options.no_auth_user;
  if (name.empty()) return absl::OkStatus();
  if (options.users.empty()) {
    return Error("no_auth_user: \"%s\" present, but users/nkeys are not defined", name);
  }
  const bool found = std::any_of(
      options.users.begin(), options.users.end(),
      [&](const User& user) { return (user.nkey.empty() ? user.user : user.nkey) == name; });
  if (found) return absl::OkStatus();
  return Error(
      "no_auth_user: \"%s\" not present as user or nkey in authorization block or account "
      "configuration",
      name);
}

// What bounds queues and threads that are not there, or counts in clusters only: said by name, so that nobody counts on
// it.
void AddWithoutEffect(const Options& all, std::vector<std::string>* concerns) {
  if (all.disable_sublist_cache) {
    concerns->push_back(
        "disable_sublist_cache is without effect: matches are remembered only where they are dear to find, at most "
        "match_cache_entries of them in each shard");
  }
  for (const auto& [flag, on] : all.feature_flags) {
    concerns->push_back(absl::StrFormat("feature flag %s is without effect: monitoring shows it, that is all", flag));
  }
  const JetStreamOptions& options = all.jetstream;
  const JetStreamOptions defaults;
  constexpr std::string_view kNoQueue = "messages do not wait in front of a stream";
  const auto add = [concerns](bool is_set, std::string_view key, std::string_view why) {
    if (!is_set) return;
    concerns->push_back(absl::StrFormat("jetstream %s is without effect: %s", std::string(key), std::string(why)));
  };
  add(options.max_buffered_msgs != defaults.max_buffered_msgs, "max_buffered_msgs", kNoQueue);
  add(options.max_buffered_size != defaults.max_buffered_size, "max_buffered_size", kNoQueue);
  add(options.info_queue_limit != 0 && options.info_queue_limit != options.request_queue_limit, "info_queue_limit",
      "all requests wait in one queue, bounded by request_queue_limit");
  add(options.limits.max_ha_assets != 0, "max_ha_assets", "it counts in clusters only");
  add(options.max_concurrent_io != defaults.max_concurrent_io, "max_concurrent_io", "no thread waits for the disk");
}

}  // namespace

void FillDefaults(Options* options) {
  const Options defaults;
  const auto fill = [&](auto... fields) {
    const auto one = [&](auto field) {
      using Type = std::decay_t<decltype(options->*field)>;
      if (options->*field == Type{}) options->*field = defaults.*field;
    };
    (one(fields), ...);
  };
  fill(&Options::host, &Options::port, &Options::max_connections, &Options::ping_interval,
       &Options::ping_max, &Options::auth_timeout, &Options::max_control_line,
       &Options::max_payload, &Options::max_pending, &Options::write_deadline,
       &Options::max_closed_clients, &Options::lame_duck_duration,
       &Options::lame_duck_grace_period, &Options::connect_error_reports,
       &Options::reconnect_error_reports);
  if (options->http_host.empty()) options->http_host = options->host;
  JetStreamOptions& jetstream = options->jetstream;
  jetstream.max_memory_store = std::max<int64_t>(jetstream.max_memory_store, -1);
  jetstream.max_file_store = std::max<int64_t>(jetstream.max_file_store, -1);
  if (jetstream.request_queue_limit <= 0) jetstream.request_queue_limit = defaults.jetstream.request_queue_limit;
  // Without a limit of its own, this queue has that of the other.
  if (jetstream.info_queue_limit <= 0) jetstream.info_queue_limit = jetstream.request_queue_limit;
  if (jetstream.limits.default_max_consumers == 0) {
    jetstream.limits.default_max_consumers = defaults.jetstream.limits.default_max_consumers;
  }
}

absl::Status Validate(const Options& options) {
  if (options.lame_duck_duration.count() > 0 &&
      options.lame_duck_grace_period >= options.lame_duck_duration) {
    return Error(
        "lame duck grace period (%s) should be strictly lower than lame duck duration (%s)",
        FormatDuration(options.lame_duck_grace_period),
        FormatDuration(options.lame_duck_duration));
  }
  if (options.max_payload > options.max_pending) {
    return Error("max_payload (%d) cannot be higher than max_pending (%d)", options.max_payload,
                 options.max_pending);
  }
  if (options.server_name.find(' ') != std::string::npos) {
    return Error("server name cannot contain spaces");
  }
  if (absl::Status status = ValidateJetStream(options.jetstream); !status.ok()) return status;
  if (absl::Status status = ValidateNoAuthUser(options); !status.ok()) return status;
  return ValidateTuning(options);
}

absl::Status ValidateAdvertised(const Options& options, std::string_view words) {
  if (options.client_advertise.empty()) return absl::OkStatus();
  const absl::StatusOr<HostPort> advertised = ParseAdvertised(options.client_advertise, options.port);
  if (advertised.ok()) return absl::OkStatus();
  return Error("%s ClientAdvertise value of %s, err=%s", words, options.client_advertise,
               Message(advertised.status()));
}

std::vector<std::string> Concerns(const Options& options) {
  std::vector<std::string> concerns;
  const auto plain = [](const std::string& password) { return !IsBcrypt(password); };
  bool any_plain = !options.password.empty() && plain(options.password);
  for (const User& user : options.users) {
    if (user.nkey.empty() && plain(user.password)) any_plain = true;
  }
  if (any_plain) concerns.push_back("Plaintext passwords detected, use nkeys or bcrypt");
  if (options.max_payload > kPayloadConcernBytes) {
    concerns.push_back(
        "Maximum payloads over 8.00 MB are generally discouraged and could lead to poor "
        "performance");
  }
  AddWithoutEffect(options, &concerns);
  return concerns;
}

}  // namespace millrace::config
