// SPDX-License-Identifier: Apache-2.0
#include "broker/config/read_file.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "absl/strings/str_format.h"
#include "broker/config/option_table.h"
#include "broker/config/language/text.h"
#include "broker/config/unsupported.h"

namespace millrace::config {

void Reading::Error(const Position& at, std::string_view reason) {
  diagnostics.errors.push_back(document.Place(at) + ": " + std::string(reason));
}

void Reading::Warn(const Value& value, std::string_view field, std::string_view reason) {
  diagnostics.warnings.push_back(absl::StrFormat("%s: invalid use of field %s: %s",
                                                 document.Place(value.at), Quote(field), reason));
}

void Reading::Unknown(const Value& value, std::string_view field, std::string_view nearest) {
  if (value.used_as_variable) return;
  std::string text = "unknown field " + Quote(field);
  if (!nearest.empty()) text += ", did you mean " + Quote(nearest) + "?";
  Error(value, text);
}

void Reading::Note(std::string_view row_key, const Value& value) {
  const std::string& file = document.files[value.at.file];
  origins[std::string(row_key)] = file + ":" + std::to_string(value.at.line);
}

void Reading::WrongType(const Value& value, std::string_view wanted) {
  Error(block != nullptr ? *block : value,
        absl::StrFormat("interface conversion: interface {} is %s, not %s", PeerTypeName(value), wanted));
}

const std::string* Reading::String(const Value& value) {
  const std::string* text = value.AsString();
  if (text == nullptr) WrongType(value, "string");
  return text;
}

const bool* Reading::Bool(const Value& value) {
  const bool* flag = value.AsBool();
  if (flag == nullptr) WrongType(value, "bool");
  return flag;
}

const int64_t* Reading::Integer(const Value& value) {
  const int64_t* number = value.AsInteger();
  if (number == nullptr) WrongType(value, "int64");
  return number;
}

std::optional<int> Reading::Int(const Value& value) {
  const int64_t* number = Integer(value);
  if (number == nullptr) return std::nullopt;
  if (*number > std::numeric_limits<int>::max() || *number < std::numeric_limits<int>::min()) {
    Error(value, key + " value is too big");
    return std::nullopt;
  }
  return static_cast<int>(*number);
}

std::optional<std::chrono::nanoseconds> DurationOrSeconds(Reading& reading, const Value& value,
                                                          std::string_view field) {
  if (const std::string* text = value.AsString()) {
    const auto duration = ParseDuration(*text);
    if (duration.ok()) return *duration;
    reading.Error(value, absl::StrFormat("error parsing %s: %s", field,
                                         Message(duration.status())));
    return std::nullopt;
  }
  reading.Warn(value, field, absl::StrFormat("%s should be converted to a duration", field));
  const int64_t* seconds = reading.Integer(value);
  if (seconds == nullptr) return std::nullopt;
  return std::chrono::nanoseconds(static_cast<int64_t>(uint64_t{1000'000'000} *
                                                       static_cast<uint64_t>(*seconds)));
}

namespace {

std::optional<std::chrono::nanoseconds> StrictDuration(Reading& reading, const Value& value,
                                                       std::string_view field) {
  const std::string* text = reading.String(value);
  if (text == nullptr) return std::nullopt;
  const auto duration = ParseDuration(*text);
  if (duration.ok()) return *duration;
  reading.Error(value,
                absl::StrFormat("error parsing %s: %s", field, Message(duration.status())));
  return std::nullopt;
}

struct Address {
  std::string host;
  int port = 0;
};

std::optional<Address> ReadAddress(Reading& reading, const Value& value) {
  if (value.AsInteger() != nullptr) {
    const std::optional<int> port = reading.Int(value);
    if (!port) return std::nullopt;
    return Address{"", *port};
  }
  const std::string* text = value.AsString();
  if (text == nullptr) {
    reading.Error(value, absl::StrFormat("expected port or host:port, got %s",
                                         PeerTypeName(value)));
    return std::nullopt;
  }
  const auto parts = SplitHostPort(*text);
  if (!parts) {
    reading.Error(value, "could not parse address string " + Quote(*text));
    return std::nullopt;
  }
  const std::optional<int> port = ParseDecimal(parts->port);
  if (!port) {
    reading.Error(value, "could not parse port " + Quote(parts->port));
    return std::nullopt;
  }
  return Address{parts->host, *port};
}

// Insertions, deletions, changes and swaps of neighbours.
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> cost(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) {
    for (size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        cost[i][j] = i + j;
        continue;
      }
      const size_t change = cost[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      cost[i][j] = std::min({change, cost[i - 1][j] + 1, cost[i][j - 1] + 1});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
    }
  }
  return cost[a.size()][b.size()];
}

}  // namespace

void ReadPlain(const OptionRow& row, Reading& reading, const Value& value) {
  std::visit(
      [&](auto field) {
        if constexpr (!std::is_same_v<decltype(field), std::monostate>) {
          auto& target = FieldOf(reading.options, field);
          using Type = std::decay_t<decltype(target)>;
          if constexpr (std::is_same_v<Type, bool>) {
            if (const bool* flag = reading.Bool(value)) target = *flag;
          } else if constexpr (std::is_same_v<Type, int>) {
            if (const std::optional<int> number = reading.Int(value)) target = *number;
          } else if constexpr (std::is_same_v<Type, int64_t>) {
            if (const int64_t* number = reading.Integer(value)) target = *number;
          } else if constexpr (std::is_same_v<Type, std::string>) {
            if (const std::string* text = reading.String(value)) target = *text;
          }
        }
      },
      row.field);
}

std::string_view Nearest(std::string_view words, std::string_view name) {
  std::string_view best;
  if (name.size() > 64) return best;
  size_t best_distance = name.size() <= 4 ? 2 : 3;  // nearer than this
  for (size_t at = 0; at < words.size();) {
    const size_t end = std::min(words.find('|', at), words.size());
    const std::string_view word = words.substr(at, end - at);
    const size_t distance = EditDistance(word, name);
    if (!word.empty() && distance < best_distance) {
      best = word;
      best_distance = distance;
    }
    at = end + 1;
  }
  return best;
}

void ReadOptions(Reading& reading) {
  const Map& root = reading.document.root;
  if (root.empty()) {
    reading.diagnostics.warnings.push_back(
        absl::StrFormat("%s: config has no values or is empty", reading.document.files[0]));
  }
  for (const auto* entry : InFileOrder(root)) {
    const auto& [key, value] = *entry;
    const std::string name = Lower(key);
    reading.key = key;
    const OptionRow* row = FindByKey(name);
    if (row != nullptr) {
      if (row->read != nullptr) {
        row->read(reading, value);
      } else {
        ReadPlain(*row, reading, value);
      }
      if (!std::holds_alternative<std::monostate>(row->field)) reading.Note(row->key, value);
    }
    const Feature* feature = FindFeature(row != nullptr ? row->key : name);
    if (feature != nullptr) CheckFeature(*feature, reading, value);
    if (row == nullptr && feature == nullptr) {
      const std::string keys = FeatureKeys() + KeysOf(Block::kTop);
      reading.Unknown(value, key, Nearest(keys, name));
    }
  }
}

void ReadServerName(Reading& reading, const Value& value) {
  const std::string* name = reading.String(value);
  if (name == nullptr) return;
  if (name->find(' ') != std::string::npos) {
    reading.Error(value, "server name cannot contain spaces");
    return;
  }
  reading.options.server_name = *name;
}

void ReadListen(Reading& reading, const Value& value) {
  const std::optional<Address> address = ReadAddress(reading, value);
  if (!address) return;
  reading.options.host = address->host;
  reading.options.port = address->port;
  reading.Note("host", value);
  reading.Note("port", value);
}

void ReadTraceVerbose(Reading& reading, const Value& value) {
  const bool* on = reading.Bool(value);
  if (on == nullptr) return;
  reading.options.trace_verbose = *on;
  reading.options.trace = *on;
  reading.Note("trace", value);
}

void ReadTraceHeaders(Reading& reading, const Value& value) {
  const bool* on = reading.Bool(value);
  if (on == nullptr) return;
  reading.options.trace_headers = *on;
  reading.options.trace = *on;
  reading.Note("trace", value);
}

void ReadMaxConnections(Reading& reading, const Value& value) {
  const int64_t* number = reading.Integer(value);
  if (number != nullptr) reading.options.max_connections = *number == 0 ? -1 : *number;
}

void ReadMaxSubTokens(Reading& reading, const Value& value) {
  const int64_t* number = reading.Integer(value);
  if (number == nullptr) return;
  if (*number > 255) {
    reading.Error(value, reading.key + " value is too big");
  } else if (*number <= 0) {
    reading.Error(value, reading.key + " value can not be negative");
  } else {
    reading.options.max_sub_tokens = static_cast<int>(*number);
  }
}

void ReadSystemAccount(Reading& reading, const Value& value) {
  if (const std::string* name = value.AsString()) {
    reading.options.system_account = *name;
  } else {
    reading.Error(value, "system account name must be a string");
  }
}

void ReadPingInterval(Reading& reading, const Value& value) {
  if (const auto duration = DurationOrSeconds(reading, value, "ping_interval")) {
    reading.options.ping_interval = *duration;
  }
}

void ReadWriteDeadline(Reading& reading, const Value& value) {
  if (const auto duration = DurationOrSeconds(reading, value, "write_deadline")) {
    reading.options.write_deadline = *duration;
  }
}

void ReadWriteTimeout(Reading& reading, const Value& value) {
  const std::string* word = reading.String(value);
  if (word == nullptr) return;
  if (*word == "default") {
    reading.options.write_timeout = Options::WriteTimeout::kDefault;
  } else if (*word == "close") {
    reading.options.write_timeout = Options::WriteTimeout::kClose;
  } else if (*word == "retry") {
    reading.options.write_timeout = Options::WriteTimeout::kRetry;
  } else {
    reading.Error(value, "write_timeout must be 'default', 'close' or 'retry'");
  }
}

void ReadHttp(Reading& reading, const Value& value) {
  const std::optional<Address> address = ReadAddress(reading, value);
  if (!address) return;
  reading.options.http_host = address->host;
  reading.options.http_port = address->port;
  reading.Note("http_host", value);
  reading.Note("http_port", value);
}

void ReadHttps(Reading& reading, const Value& value) {
  const std::optional<Address> address = ReadAddress(reading, value);
  if (!address) return;
  reading.options.http_host = address->host;
  reading.options.https_port = address->port;
  reading.Note("http_host", value);
  reading.Note("https_port", value);
}

void ReadMaxControlLine(Reading& reading, const Value& value) {
  const int64_t* number = reading.Integer(value);
  if (number == nullptr) return;
  if (*number > std::numeric_limits<int32_t>::max()) {
    reading.Error(value, reading.key + " value is too big");
    return;
  }
  reading.options.max_control_line = *number;
}

void ReadMaxPayload(Reading& reading, const Value& value) {
  const int64_t* number = reading.Integer(value);
  if (number == nullptr) return;
  if (*number > std::numeric_limits<int32_t>::max()) {
    reading.Error(value, reading.key + " value is too big");
    return;
  }
  reading.options.max_payload = *number;
}

void ReadLameDuckDuration(Reading& reading, const Value& value) {
  const auto duration = StrictDuration(reading, value, "lame_duck_duration");
  if (!duration) return;
  if (*duration < std::chrono::seconds(30)) {
    reading.Error(value,
                  absl::StrFormat("invalid lame_duck_duration of %s, minimum is 30 seconds",
                                  FormatDuration(*duration)));
    return;
  }
  reading.options.lame_duck_duration = *duration;
}

void ReadLameDuckGracePeriod(Reading& reading, const Value& value) {
  const auto duration = StrictDuration(reading, value, "lame_duck_grace_period");
  if (!duration) return;
  if (duration->count() < 0) {
    reading.Error(value, "invalid lame_duck_grace_period, needs to be positive");
    return;
  }
  reading.options.lame_duck_grace_period = *duration;
}

void ReadServerTags(Reading& reading, const Value& value) {
  std::vector<std::string>& tags = reading.options.server_tags;
  const auto add = [&tags](std::string_view text) {
    std::string tag = Lower(TrimSpace(text));
    if (!tag.empty() && std::find(tags.begin(), tags.end(), tag) == tags.end()) {
      tags.push_back(std::move(tag));
    }
  };
  if (const std::string* text = value.AsString()) {
    add(*text);
  } else if (const Array* array = value.AsArray()) {
    for (const Value& child : *array) {
      if (const std::string* tag = child.AsString()) {
        add(*tag);
      } else {
        reading.Error(value,
                      "error parsing tags: unsupported type *conf.token where string is expected");
        return;
      }
    }
  } else {
    reading.Error(value, absl::StrFormat("error parsing tags: unsupported type %s",
                                         PeerTypeName(value)));
  }
}

void ReadServerMetadata(Reading& reading, const Value& value) {
  const Map* map = value.AsMap();
  if (map == nullptr) {
    reading.Error(value, absl::StrFormat("error parsing metadata: unsupported type %s",
                                         PeerTypeName(value)));
    return;
  }
  for (const auto* entry : InFileOrder(*map)) {
    const std::string* text = reading.String(entry->second);
    if (text == nullptr) return;
    reading.options.server_metadata[entry->first] = *text;
  }
}

void ReadFeatureFlags(Reading& reading, const Value& value) {
  const Map* map = value.AsMap();
  if (map == nullptr) {
    reading.Error(value, absl::StrFormat("error parsing feature flags: unsupported type %s",
                                         PeerTypeName(value)));
    return;
  }
  for (const auto* entry : InFileOrder(*map)) {
    const bool* on = entry->second.AsBool();
    if (on == nullptr) {
      reading.Error(entry->second,
                    absl::StrFormat("error parsing feature flag %s: expected bool, got %s",
                                    Quote(entry->first), PeerTypeName(entry->second)));
      return;
    }
    reading.options.feature_flags[entry->first] = *on;
  }
}

void ReadIgnoredBool(Reading& reading, const Value& value) { reading.Bool(value); }

void ReadTuning(Reading& reading, const Value& value) {
  const Map* map = value.AsMap();
  if (map == nullptr) {
    reading.Error(value, absl::StrFormat("Expected map to define millrace, got %s",
                                         PeerTypeName(value)));
    return;
  }
  for (const auto* entry : InFileOrder(*map)) {
    const auto& [key, child] = *entry;
    reading.key = key;
    const OptionRow* row = FindInBlock(Block::kTuning, Lower(key));
    if (row == nullptr) {
      reading.Unknown(child, key, Nearest(KeysOf(Block::kTuning), Lower(key)));
      continue;
    }
    if (row->read != nullptr) {
      row->read(reading, child);
    } else {
      ReadPlain(*row, reading, child);
    }
    reading.Note(row->key, child);
  }
}

}  // namespace millrace::config
