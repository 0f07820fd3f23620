// SPDX-License-Identifier: Apache-2.0
#include "broker/config/print_config.h"

#include "absl/strings/str_format.h"
#include "broker/config/option_table.h"
#include "broker/config/language/text.h"

namespace millrace::config {
namespace {

constexpr char kBlanked[] = "[REDACTED]";

std::string Line(std::string_view indent, std::string_view key, std::string_view value,
                 std::string_view origin) {
  return absl::StrFormat("%-47s # %s\n", absl::StrFormat("%s%s: %s", indent, key, value), origin);
}

bool IsText(const OptionRow& row) {
  return row.Holds<std::string, std::chrono::nanoseconds, Durability>();
}

std::string_view OriginOf(std::string_view key, const Origins& origins) {
  const auto found = origins.find(key);
  return found == origins.end() ? std::string_view("default") : std::string_view(found->second);
}

std::string ValueText(const OptionRow& row, const Options& options) {
  const std::string text = FieldText(row, options);
  if (IsSecret(row) && !text.empty()) return Quote(kBlanked);
  return IsText(row) ? Quote(text) : text;
}

// The rows of a block, one level in.
std::string BlockText(Block block, std::string_view indent, const Options& options, const Origins& origins) {
  std::string text;
  for (const OptionRow& row : OptionTable()) {
    if (row.block != block || std::holds_alternative<std::monostate>(row.field)) continue;
    std::string value = ValueText(row, options);
    if (row.key == "sync_interval" && options.jetstream.sync_always) value = Quote("always");
    text += Line(indent, row.key, value, OriginOf(row.key, origins));
  }
  return text;
}

std::string List(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + Quote(word);
  return "[" + text + "]";
}

}  // namespace

std::string PrintConfig(const Options& options, const Origins& origins) {
  std::string authorization;
  std::string text;
  for (const OptionRow& row : OptionTable()) {
    if (row.block != Block::kTop || std::holds_alternative<std::monostate>(row.field)) continue;
    const std::string_view origin = OriginOf(row.key, origins);
    const std::string value = ValueText(row, options);
    if (row.key == "auth_timeout") {
      authorization += Line("  ", "timeout", value, origin);
    } else if (row.group == HelpGroup::kAuthorization) {
      // An empty user beside users would be read as a conflict.
      const std::string key(row.key);
      if (FieldText(row, options).empty()) continue;
      authorization += Line("  ", key, value, origin);
    } else if (row.key == "http_host" || (row.key == "max_sub_tokens" && value == "0")) {
      text += Line("# ", row.key, value, origin);  // would not be read back
    } else {
      text += Line("", row.key, value, origin);
    }
  }
  text += Line("", "server_tags", List(options.server_tags), "");
  text += "authorization {\n" + authorization;
  if (!options.users.empty()) {
    text += "  users: [\n";
    for (const User& user : options.users) {
      text += absl::StrFormat("    { user: %s, password: %s }\n", Quote(user.user),
                              Quote(kBlanked));
    }
    text += "  ]\n";
  }
  text += "}\njetstream {\n" + BlockText(Block::kJetStream, "  ", options, origins);
  text += "  limits {\n" + BlockText(Block::kJetStreamLimits, "    ", options, origins);
  text += "    batch {\n" + BlockText(Block::kJetStreamBatch, "      ", options, origins) + "    }\n  }\n}\n";
  text += "millrace {\n" + BlockText(Block::kTuning, "  ", options, origins) + "}\n";
  return text;
}

}  // namespace millrace::config
