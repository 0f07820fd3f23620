// SPDX-License-Identifier: Apache-2.0
#include "broker/config/reload.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "broker/config/option_table.h"
#include "broker/config/language/text.h"
#include "broker/config/validate.h"
#include "proto/base/status.h"

namespace millrace::config {
namespace {

absl::Status Refusal(std::string_view name, std::string_view old, std::string_view now) {
  return absl::InvalidArgumentError(absl::StrFormat(
      "config reload not supported for %s: old=%s, new=%s", name, old, now));
}

std::string WriteTimeoutText(Options::WriteTimeout policy) {
  if (policy == Options::WriteTimeout::kClose) return "close";
  return policy == Options::WriteTimeout::kRetry ? "retry" : "";
}

std::string FlagsText(const std::map<std::string, bool>& flags) {
  std::string text;
  for (const auto& [name, on] : flags) {
    text += (text.empty() ? "" : " ") + name + (on ? ":true" : ":false");
  }
  return "map[" + text + "]";
}

// Users in another order are the same users.
std::vector<User> Sorted(std::vector<User> users) {
  std::sort(users.begin(), users.end(), [](const User& a, const User& b) {
    return a.user != b.user ? a.user < b.user : a.nkey < b.nkey;
  });
  return users;
}

// The user that connections without credentials get may only go together with its entry.
absl::Status CheckNoAuthUser(const Options& old, const Options& now) {
  if (old.no_auth_user == now.no_auth_user) return absl::OkStatus();
  const bool entry_stays =
      std::any_of(now.users.begin(), now.users.end(),
                  [&](const User& user) { return user.user == old.no_auth_user; });
  if (now.no_auth_user.empty() && !entry_stays) return absl::OkStatus();
  return Refusal("NoAuthUser", old.no_auth_user, now.no_auth_user);
}

// JetStream's limits may grow while it runs, but neither shrink nor begin or cease to depend on the machine.
absl::Status CheckJetStreamLimit(int64_t old, int64_t now) {
  if (now < 0) {
    return absl::InvalidArgumentError("config reload not supported for jetstream max memory and max store");
  }
  if (old < 0) {
    return absl::InvalidArgumentError("config reload not supported for jetstream dynamic max memory and store");
  }
  if (now < old) {
    return absl::InvalidArgumentError("config reload not supported for decreasing jetstream max memory and store");
  }
  return absl::OkStatus();
}

absl::Status PlanJetStream(const JetStreamOptions& old, const JetStreamOptions& now, ReloadPlan* plan) {
  // The peer can; here a shard opens its store before it serves, or never.
  if (old.enabled != now.enabled) {
    return Refusal("JetStream", old.enabled ? "true" : "false", now.enabled ? "true" : "false");
  }
  if (old.sync_always != now.sync_always) {
    return Refusal("SyncAlways", old.sync_always ? "true" : "false", now.sync_always ? "true" : "false");
  }
  if (old.enabled && old.store_dir != now.store_dir) {
    return absl::InvalidArgumentError(now.store_dir.empty()
                                          ? "config reload not supported for jetstream storage dir"
                                          : "config reload not supported for jetstream storage directory");
  }
  const auto plan_limit = [&](int64_t before, int64_t after, std::string_view name) -> absl::Status {
    if (!old.enabled || before == after) return absl::OkStatus();
    MR_RETURN_IF_ERROR(CheckJetStreamLimit(before, after));
    plan->changes.push_back({std::string(name), absl::StrFormat("Reloaded: JetStream %s = %s", name,
                                                                FriendlyBytes(after))});
    plan->jetstream = true;
    return absl::OkStatus();
  };
  MR_RETURN_IF_ERROR(plan_limit(old.max_memory_store, now.max_memory_store, "max_mem_store"));
  MR_RETURN_IF_ERROR(plan_limit(old.max_file_store, now.max_file_store, "max_file_store"));
  if (old.limits != now.limits) {
    plan->changes.push_back({"jetstream_limits", "Reloaded: JetStream limits"});
    plan->jetstream = true;
  }
  if (plan->jetstream) plan->statsz = true;
  return absl::OkStatus();
}

// Rows without a field of their own.
struct OtherDifference {
  bool differs = false;
  std::string old_text;
  std::string new_text;
};

OtherDifference Compare(const OptionRow& row, const Options& old, const Options& now) {
  if (row.key == "write_timeout") {
    return {old.write_timeout != now.write_timeout, WriteTimeoutText(old.write_timeout),
            WriteTimeoutText(now.write_timeout)};
  }
  if (row.key == "feature_flags") {
    return {old.feature_flags != now.feature_flags, FlagsText(old.feature_flags),
            FlagsText(now.feature_flags)};
  }
  if (row.key == "strict") {
    const auto text = [](const Options& options) { return options.jetstream.strict ? "false" : "true"; };
    return {old.jetstream.strict != now.jetstream.strict, text(old), text(now)};
  }
  if (row.key == "cipher") {
    return {!FieldEqual(row, old, now), std::string(CipherName(old.jetstream.cipher)),
            std::string(CipherName(now.jetstream.cipher))};
  }
  if (IsSecret(row) && row.on_reload == OnReload::kRefuse) {  // the peer writes it into the log
    return {!FieldEqual(row, old, now), "[REDACTED]", "[REDACTED]"};
  }
  if (row.key == "server_tags") return {old.server_tags != now.server_tags, "", ""};
  if (row.key == "server_metadata") return {old.server_metadata != now.server_metadata, "", ""};
  if (std::holds_alternative<std::monostate>(row.field)) return {};
  return {!FieldEqual(row, old, now), FieldText(row, old), FieldText(row, now)};
}

std::string LogLine(const OptionRow& row, const Options& now, const std::string& value) {
  if (row.key == "no_fast_producer_stall" && now.no_fast_producer_stall) {
    return "Reloaded: fast producers will not be stalled";
  }
  if (row.key == "pid_file" && now.pid_file.empty()) return "";
  std::string text(row.reloaded);
  if (text.ends_with(' ')) text += value;
  return text;
}

}  // namespace

bool ReloadPlan::Changes(std::string_view option) const {
  return std::any_of(changes.begin(), changes.end(),
                     [&](const Change& change) { return change.option == option; });
}

absl::StatusOr<ReloadPlan> PlanReload(const Options& old, const Options& new_) {
  ReloadPlan plan;
  plan.options = new_;
  Options& now = plan.options;
  if (now.port == kRandomPort) now.port = old.port;
  if (now.http_port == kRandomPort && old.http_port != 0) now.http_port = old.http_port;
  MR_RETURN_IF_ERROR(ValidateAdvertised(now, "invalid"));
  MR_RETURN_IF_ERROR(Validate(now));
  for (const OptionRow& row : OptionTable()) {
    if (row.key == "no_auth_user") {
      MR_RETURN_IF_ERROR(CheckNoAuthUser(old, now));
      // The peer takes users and accounts for changed at every reload, and says so.
      plan.changes.push_back({"users", "Reloaded: authorization users"});
      plan.changes.push_back({"accounts", "Reloaded: accounts"});
      plan.authorization = Sorted(old.users) != Sorted(now.users) ||
                           old.no_auth_user != now.no_auth_user;
      continue;
    }
    if (row.key == "jetstream") MR_RETURN_IF_ERROR(PlanJetStream(old.jetstream, now.jetstream, &plan));
    if (row.on_reload == OnReload::kIgnore) continue;
    const OtherDifference difference = Compare(row, old, now);
    if (!difference.differs) continue;
    if (row.on_reload == OnReload::kRefuse) {
      const std::string_view name = row.peer_name.empty() ? row.key : row.peer_name;
      return Refusal(name, difference.old_text, difference.new_text);
    }
    plan.changes.push_back({std::string(row.key), LogLine(row, now, difference.new_text)});
    if (row.group == HelpGroup::kLogging || row.key.starts_with("trace")) {
      plan.logging = plan.logging || row.key != "max_traced_msg_len";
    }
    if (row.key.starts_with("trace")) plan.trace_level = true;
    if (row.group == HelpGroup::kAuthorization) plan.authorization = true;
    if (row.key == "server_tags" || row.key == "server_metadata") plan.statsz = true;
  }
  plan.done = "Reloaded server configuration ";
  if (!now.config_digest.empty()) plan.done += "(" + now.config_digest + ")";
  return plan;
}

}  // namespace millrace::config
