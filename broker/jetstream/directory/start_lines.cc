// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/directory/start_lines.h"

#include "absl/strings/str_format.h"
#include "broker/json/go_format.h"

namespace millrace {
namespace {

constexpr int64_t kNsInMs = 1'000'000;

std::string Place(std::string_view account, std::string_view stream) {
  return absl::StrFormat("'%s > %s'", account, stream);
}

}  // namespace

std::string WithCommas(uint64_t number) {
  std::string text = std::to_string(number);
  for (size_t at = text.size(); at > 3;) text.insert(at -= 3, ",");
  return text;
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

}  // namespace millrace
