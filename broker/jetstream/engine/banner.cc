// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/engine/banner.h"

#include "absl/strings/str_format.h"
#include "broker/config/language/text.h"
#include "broker/json/go_format.h"
#include "broker/version.h"
#include "proto/quoted.h"

namespace millrace {

std::vector<std::string> JetStreamBanner(const JetStreamSettings& settings) {
  const JetStreamConfigInfo& info = settings.config;
  std::vector<std::string> lines = {
      "    _ ___ _____ ___ _____ ___ ___   _   __  __",
      " _ | | __|_   _/ __|_   _| _ \\ __| /_\\ |  \\/  |",
      "| || | _|  | | \\__ \\ | | |   / _| / _ \\| |\\/| |",
      " \\__/|___| |_| |___/ |_| |_|_\\___/_/ \\_\\_|  |_|",
      "",
      "         https://docs.nats.io/jetstream",
      "",
      "---------------- JETSTREAM ----------------",
  };
  const auto add = [&lines](std::string_view name, std::string_view value) {
    lines.push_back(absl::StrFormat("  %-16s %s", absl::StrFormat("%s:", name), value));
  };
  if (info.strict) add("Strict", "true");
  add("Max Memory", config::FriendlyBytes(info.max_memory));
  add("Max Storage", config::FriendlyBytes(info.max_storage));
  add("Store Directory", "\"" + info.store_dir + "\"");
  if (!info.domain.empty()) add("Domain", info.domain);
  if (!settings.cipher.empty()) add("Encryption", settings.cipher);
  add("API Level", std::to_string(kApiLevel));
  const bool durable = settings.durability == Durability::kDurable;
  add("Durability", durable ? "durable (an ack means: on disk)" : "async (an ack means: taken)");
  if (!settings.sync_method.empty()) add("Sync Method", settings.sync_method);
  lines.push_back("-------------------------------------------");
  return lines;
}

std::string DynamicLimitsLine(const JetStreamSettings& settings) {
  return absl::StrFormat("JetStream creating dynamic configuration - %s memory, %s disk",
                         config::FriendlyBytes(settings.config.max_memory),
                         config::FriendlyBytes(settings.config.max_storage));
}

std::vector<std::string> AccountEnabledLines(const AccountTable& accounts) {
  std::vector<std::string> lines = {"  Exports:", "     $JS.API.>"};
  for (const Account& account : accounts.all()) {
    if (!account.jetstream.enabled) continue;
    lines.push_back("Enabled JetStream for account " + Quoted(account.name));
    for (const auto& [tier, limits] : account.jetstream.tiers) {
      const std::string indent = tier == kFlatTier ? "  " : "    ";
      if (tier != kFlatTier) lines.push_back("  Tier: " + tier);
      lines.push_back(indent + "Max Memory:      " + config::FriendlyBytes(limits.max_memory));
      lines.push_back(indent + "Max Storage:     " + config::FriendlyBytes(limits.max_storage));
    }
  }
  return lines;
}

std::string JetStreamStartedLine(int64_t took_ns) {
  return absl::StrFormat("Took %s to start JetStream", FormatDuration(took_ns));
}

}  // namespace millrace
