// SPDX-License-Identifier: Apache-2.0
#include "broker/config/blocks/client_limits.h"

#include "absl/strings/str_format.h"
#include "broker/config/table/reading.h"
#include "broker/config/table/table.h"

namespace millrace {
namespace config {
namespace {

constexpr int64_t kPayloadConcernBytes = 8 * 1024 * 1024;

void ReadMaxConnections(LimitsOptions& options, Reading& reading, const Value& value) {
  const int64_t* number = reading.Integer(value);
  if (number != nullptr) options.max_connections = *number == 0 ? -1 : *number;
}

void ReadMaxSubTokens(LimitsOptions& options, Reading& reading, const Value& value) {
  const int64_t* number = reading.Integer(value);
  if (number == nullptr) return;
  if (*number > 255) {
    reading.Error(value, reading.key() + " value is too big");
  } else if (*number <= 0) {
    reading.Error(value, reading.key() + " value can not be negative");
  } else {
    options.max_sub_tokens = static_cast<int>(*number);
  }
}

std::string WriteTimeoutText(const LimitsOptions& options) {
  if (options.write_timeout == LimitsOptions::WriteTimeout::kClose) return "close";
  return options.write_timeout == LimitsOptions::WriteTimeout::kRetry ? "retry" : "";
}

std::string StallLine(const LimitsOptions& options) {
  return options.no_fast_producer_stall ? "Reloaded: fast producers will not be stalled"
                                        : "Reloaded: fast producers will be stalled";
}

absl::Status CheckLimits(const LimitsOptions& options) {
  if (options.max_payload <= options.max_pending) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrFormat("max_payload (%d) cannot be higher than max_pending (%d)",
                                                    options.max_payload, options.max_pending));
}

void AddConcerns(const LimitsOptions& options, std::vector<std::string>* concerns) {
  if (options.max_payload > kPayloadConcernBytes) {
    concerns->push_back(
        "Maximum payloads over 8.00 MB are generally discouraged and could lead to poor "
        "performance");
  }
  // Said by name, so that nobody counts on it.
  if (options.disable_sublist_cache) {
    concerns->push_back(
        "disable_sublist_cache is without effect: matches are remembered only where they are dear to find, at most "
        "match_cache_entries of them in each shard");
  }
}

using enum OnReload;

constexpr Row kRows[] = {
    {.key = "disable_sublist_cache", .aliases = "no_sublist_cache", .order = 100,
     .member = &kMember<&LimitsOptions::disable_sublist_cache>, .peer_name = "NoSublistCache"},
    {.key = "no_header_support", .order = 110, .member = &kMember<&LimitsOptions::no_header_support>,
     .peer_name = "NoHeaderSupport"},
    {.key = "max_connections", .aliases = "max_conn", .order = 140,
     .member = &kMember<&LimitsOptions::max_connections>, .zero_is_default = true, .read = kHook<ReadMaxConnections>,
     .on_reload = kApply},
    {.key = "max_subscriptions", .aliases = "max_subs", .order = 150,
     .member = &kMember<&LimitsOptions::max_subscriptions>, .peer_name = "MaxSubs"},
    {.key = "max_sub_tokens", .aliases = "max_subscription_tokens", .order = 160,
     .member = &kMember<&LimitsOptions::max_sub_tokens>, .read = kHook<ReadMaxSubTokens>,
     .shown = Shown::kCommentIfZero, .peer_name = "MaxSubTokens"},
    {.key = "ping_interval", .order = 230, .member = &kMember<&LimitsOptions::ping_interval>,
     .form = DurationForm::kTextOrSeconds, .zero_is_default = true, .on_reload = kApply},
    {.key = "ping_max", .order = 240, .member = &kMember<&LimitsOptions::ping_max>, .zero_is_default = true,
     .on_reload = kApply},
    {.key = "max_control_line", .order = 320, .member = &kMember<&LimitsOptions::max_control_line>,
     .fits_int32 = true, .zero_is_default = true, .on_reload = kApply},
    {.key = "max_payload", .order = 330, .member = &kMember<&LimitsOptions::max_payload>, .fits_int32 = true,
     .zero_is_default = true, .on_reload = kApply},
    {.key = "max_pending", .order = 340, .member = &kMember<&LimitsOptions::max_pending>, .zero_is_default = true,
     .peer_name = "MaxPending"},
    {.key = "no_fast_producer_stall", .order = 350, .member = &kMember<&LimitsOptions::no_fast_producer_stall>,
     .on_reload = kApply, .reload_line = kHook<StallLine>},
    {.key = "write_deadline", .order = 750, .member = &kMember<&LimitsOptions::write_deadline>,
     .form = DurationForm::kTextOrSeconds, .zero_is_default = true, .on_reload = kApply},
    {.key = "write_timeout", .order = 760, .member = &kMember<&LimitsOptions::write_timeout>,
     .words = "default|close|retry", .shown = Shown::kNever, .peer_name = "WriteTimeout",
     .reload_value = kHook<WriteTimeoutText>},
    {.key = "max_closed_clients", .order = 770, .member = &kMember<&LimitsOptions::max_closed_clients>,
     .zero_is_default = true, .peer_name = "MaxClosedClients"},
};

}  // namespace
}  // namespace config

constexpr config::Table LimitsOptions::kTable = {
    .type = &config::kTypeTag<LimitsOptions>,
    .rows = config::kRows,
    .check = config::kHook<config::CheckLimits>,
    .concerns = config::kHook<config::AddConcerns>,
};

}  // namespace millrace
