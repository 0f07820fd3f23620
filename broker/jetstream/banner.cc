// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/banner.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_format.h"
#include "broker/monitor/go_format.h"
#include "broker/version.h"

namespace millrace {
namespace {

constexpr int64_t kNsInMs = 1'000'000;

std::string Place(std::string_view account, std::string_view stream) {
  return absl::StrFormat("'%s > %s'", account, stream);
}

}  // namespace

std::string FriendlyBytes(int64_t bytes) {
  if (bytes < 1024) return absl::StrFormat("%d B", bytes);
  const auto value = static_cast<double>(bytes);
  // In floating point, as the peer: its rounding near a power is ours.
  const int power = std::min(static_cast<int>(std::log(value) / std::log(1024.0)), 6);
  return absl::StrFormat("%.2f %cB", value / std::pow(1024.0, power), "KMGTPE"[power - 1]);
}

std::string WithCommas(uint64_t number) {
  std::string text = std::to_string(number);
  for (size_t at = text.size(); at > 3;) text.insert(at -= 3, ",");
  return text;
}

std::vector<std::string> JetStreamBanner(const JetStreamSettings& settings) {
  const JetStreamConfigInfo& config = settings.config;
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
  if (config.strict) add("Strict", "true");
  add("Max Memory", FriendlyBytes(config.max_memory));
  add("Max Storage", FriendlyBytes(config.max_storage));
  add("Store Directory", "\"" + config.store_dir + "\"");
  if (!config.domain.empty()) add("Domain", config.domain);
  add("API Level", std::to_string(kApiLevel));
  const bool durable = settings.durability == Durability::kDurable;
  add("Durability", durable ? "durable (an ack means: on disk)" : "async (an ack means: taken)");
  if (!settings.sync_method.empty()) add("Sync Method", settings.sync_method);
  lines.push_back("-------------------------------------------");
  return lines;
}

std::string DynamicLimitsLine(const JetStreamSettings& settings) {
  return absl::StrFormat("JetStream creating dynamic configuration - %s memory, %s disk",
                         FriendlyBytes(settings.config.max_memory), FriendlyBytes(settings.config.max_storage));
}

std::string RestoreStartsLine(std::string_view account, std::string_view stream) {
  return "  Starting restore for stream " + Place(account, stream);
}

std::string RestoredLine(std::string_view account, std::string_view stream, uint64_t messages, int64_t took_ns) {
  const int64_t rounded = (took_ns + kNsInMs / 2) / kNsInMs * kNsInMs;
  return absl::StrFormat("  Restored %s messages for stream %s in %s", WithCommas(messages), Place(account, stream),
                         FormatDuration(rounded));
}

std::string ConsumersRecoverLine(std::string_view account, std::string_view stream, uint64_t consumers) {
  return absl::StrFormat("  Recovering %d consumers for stream - %s", consumers, Place(account, stream));
}

std::string JetStreamStartedLine(int64_t took_ns) {
  return absl::StrFormat("Took %s to start JetStream", FormatDuration(took_ns));
}

}  // namespace millrace
