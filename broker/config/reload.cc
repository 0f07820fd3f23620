// SPDX-License-Identifier: Apache-2.0
#include "broker/config/reload.h"

#include <algorithm>
#include <utility>

#include "broker/config/settings.h"
#include "proto/base/check.h"
#include "proto/base/status.h"

namespace millrace::config {
namespace {

// A port that was free at the start is kept.
void KeepPort(const Row& row, const void* old, void* now) {
  if (row.any_port && ValueNumber(row, now) == kRandomPort && !IsZero(*row.member, old)) row.member->copy(old, now);
}

std::string ReloadValue(const Row& row, const void* block) {
  if (row.reload_value) return row.reload_value.run(block);
  if (row.secret) return "[REDACTED]";  // the peer writes it into the log
  return ValueText(row, block);
}

std::string LogLine(const Row& row, const void* now) {
  if (row.reload_line) return row.reload_line.run(now);
  if (row.is_silent_if_empty && IsZero(*row.member, now)) return "";
  std::string text = row.reloaded.empty() ? "Reloaded: " + std::string(row.key) + " = " : std::string(row.reloaded);
  if (text.ends_with(' ')) text += ReloadValue(row, now);
  return text;
}

absl::Status PlanRow(const Row& row, const void* old, const void* now, ReloadPlan* plan) {
  if (row.plan) MR_RETURN_IF_ERROR(row.plan.run(old, now, plan));
  if (row.on_reload == OnReload::kIgnore || row.member == nullptr || !row.member->IsKept()) return absl::OkStatus();
  if (row.member->equal(old, now)) return absl::OkStatus();
  if (row.on_reload == OnReload::kRefuse) {
    return ReloadRefusal(row.peer_name.empty() ? row.key : row.peer_name, ReloadValue(row, old), ReloadValue(row, now));
  }
  plan->changes.push_back({std::string(row.key), LogLine(row, now)});
  for (bool ReloadEffects::*effect : row.effects) {
    if (effect != nullptr) plan->*effect = true;
  }
  return absl::OkStatus();
}

}  // namespace

bool ReloadPlan::Changes(std::string_view option) const {
  return std::any_of(changes.begin(), changes.end(),
                     [&](const Change& change) { return change.option == option; });
}

absl::StatusOr<ReloadPlan> PlanReload(const Options& old, Options next) {
  ReloadPlan plan;
  plan.options = std::move(next);
  Options& now = plan.options;
  const std::vector<Setting> before = SettingsOf(old);
  const std::vector<Setting> after = SettingsOf(now);
  MR_CHECK_OP(before.size(), ==, after.size());
  for (size_t i = 0; i < after.size(); ++i) {
    KeepPort(*after[i].row, before[i].block, const_cast<void*>(after[i].block));
  }
  MR_RETURN_IF_ERROR(ValidateReload(now));
  MR_RETURN_IF_ERROR(Validate(now));
  for (size_t i = 0; i < after.size(); ++i) {
    MR_RETURN_IF_ERROR(PlanRow(*after[i].row, before[i].block, after[i].block, &plan));
  }
  plan.done = "Reloaded server configuration ";
  if (!now.config_digest.empty()) plan.done += "(" + now.config_digest + ")";
  return plan;
}

}  // namespace millrace::config
