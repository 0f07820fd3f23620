// SPDX-License-Identifier: Apache-2.0
#include "broker/config/blocks/account_imports.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "broker/account/mappings.h"
#include "broker/config/language/text.h"
#include "proto/base/status.h"
#include "proto/subject.h"

namespace millrace::config {
namespace {

// --- exports

// One entry: directives may come before or behind what they are about.
struct ExportItem {
  std::optional<std::string> stream = {};
  std::optional<std::string> service = {};
  ExportScope scope = {};
  std::optional<ServiceResponse> response = {};
  const Value* response_at = nullptr;
  std::optional<std::chrono::nanoseconds> threshold = {};
  bool has_threshold = false;
  std::optional<ServiceLatency> latency = {};
  const Value* latency_at = nullptr;
  bool allow_trace = false;
  const Value* allow_trace_at = nullptr;
};

void ReadStreamName(ExportItem& item, Reading& reading, const Value& value) {
  if (item.service) {
    return reading.Error(value, absl::StrFormat("Detected stream %s but already saw a service",
                                                Quoted(value.AsString() != nullptr ? *value.AsString() : "")));
  }
  if (item.response_at != nullptr) {
    return reading.Error(*item.response_at, "Detected response directive on non-service");
  }
  if (item.latency_at != nullptr) return reading.Error(*item.latency_at, "Detected latency directive on non-service");
  if (item.allow_trace_at != nullptr) {
    return reading.Error(*item.allow_trace_at, "Detected allow_trace directive on non-service");
  }
  const std::string* name = value.AsString();
  if (name == nullptr) {
    return reading.Error(value, absl::StrFormat("Expected stream name to be string, got %s", PeerTypeName(value)));
  }
  item.stream = *name;
}

void ReadServiceName(ExportItem& item, Reading& reading, const Value& value) {
  if (item.stream) {
    return reading.Error(value, absl::StrFormat("Detected service %s but already saw a stream",
                                                Quoted(value.AsString() != nullptr ? *value.AsString() : "")));
  }
  const std::string* name = value.AsString();
  if (name == nullptr) {
    return reading.Error(value, absl::StrFormat("Expected service name to be string, got %s", PeerTypeName(value)));
  }
  item.service = *name;
}

void ReadResponse(ExportItem& item, Reading& reading, const Value& value) {
  if (item.response_at != nullptr) return reading.Error(value, "Duplicate response type definition");
  item.response_at = &value;
  const std::string* text = value.AsString();
  if (text == nullptr) {
    return reading.Error(value, absl::StrFormat("Expected response type to be string, got %s", PeerTypeName(value)));
  }
  const std::string word = Lower(*text);
  if (word == "single" || word == "singleton") {
    item.response = ServiceResponse::kSingleton;
  } else if (word == "stream") {
    item.response = ServiceResponse::kStreamed;
  } else if (word == "chunk" || word == "chunked") {
    item.response = ServiceResponse::kChunked;
  } else {
    return reading.Error(value, absl::StrFormat("Unknown response type: %s", Quoted(*text)));
  }
  if (item.stream) reading.Error(value, "Detected response directive on non-service");
}

void ReadThreshold(ExportItem& item, Reading& reading, const Value& value) {
  constexpr char kWrong[] = "Expected response threshold to be a parseable time duration, got ";
  if (item.has_threshold) return reading.Error(value, "Duplicate response threshold detected");
  item.has_threshold = true;
  const std::string* text = value.AsString();
  if (text == nullptr) return reading.Error(value, kWrong + std::string(PeerTypeName(value)));
  const auto threshold = ParseDuration(*text);
  if (!threshold.ok()) return reading.Error(value, kWrong + Quoted(*text));
  item.threshold = *threshold;
  if (item.stream) reading.Error(value, "Detected response directive on non-service");
}

void ReadScopeAccounts(ExportItem& item, Reading& reading, const Value& value) {
  const Array* array = value.AsArray();
  if (array == nullptr) {
    return reading.Error(value, absl::StrFormat("interface conversion: interface {} is %s, not []interface {}",
                                                PeerTypeName(value)));
  }
  for (const Value& each : *array) {
    const std::string* name = reading.String(each);
    if (name == nullptr) return;
    item.scope.accounts.push_back(*name);
  }
}

std::optional<int> ReadSampling(Reading& reading, const Value& value) {
  int64_t sample = 0;
  if (const int64_t* number = value.AsInteger()) {
    sample = *number;
  } else if (const std::string* text = value.AsString()) {
    if (Lower(TrimSpace(*text)) == "headers") return ServiceLatency::kByHeader;
    const std::string_view digits = WithoutPercent(*text);
    const std::optional<int> percent = ParseDecimal(digits);
    if (!percent) {
      reading.Error(value, absl::StrFormat("Failed to parse latency sample: strconv.Atoi: parsing %s: invalid syntax",
                                           Quoted(digits)));
      return std::nullopt;
    }
    sample = *percent;
  } else {
    reading.Error(value, absl::StrFormat("Expected latency sample to be a string or map/struct, got %s",
                                         PeerTypeName(value)));
    return std::nullopt;
  }
  if (sample < 1 || sample > 100) {
    reading.Error(value, "bad sampling percentage, should be 1-100");
    return std::nullopt;
  }
  return static_cast<int>(sample);
}

void ReadLatency(ExportItem& item, Reading& reading, const Value& value) {
  item.latency_at = &value;
  ServiceLatency latency;
  if (const std::string* subject = value.AsString()) {
    latency.subject = *subject;
  } else if (const Map* map = value.AsMap()) {
    if (const auto at = map->find("sampling"); at != map->end()) {
      const std::optional<int> sampling = ReadSampling(reading, at->second);
      if (!sampling) return;
      latency.sampling = *sampling;
    }
    const auto at = map->find("subject");
    if (at == map->end()) return reading.Error(value, "Latency subject required, but missing");
    const std::string* subject_text = at->second.AsString();
    if (subject_text == nullptr) {
      return reading.Error(at->second, "Expected latency subject to be a string, got string");
    }
    latency.subject = *subject_text;
  } else {
    return reading.Error(value, absl::StrFormat("Expected latency entry to be a map/struct or string, got %s",
                                                PeerTypeName(value)));
  }
  item.latency = std::move(latency);
  if (item.stream) reading.Error(value, "Detected latency directive on non-service");
}

void ReadTokenPosition(ExportItem& item, Reading& reading, const Value& value) {
  if (const int64_t* position = reading.Integer(value)) item.scope.token_position = static_cast<uint32_t>(*position);
}

void ReadExportTrace(ExportItem& item, Reading& reading, const Value& value) {
  const bool* on = reading.Bool(value);
  if (on == nullptr) return;
  item.allow_trace_at = &value;
  item.allow_trace = *on;
  if (item.stream) reading.Error(value, "Detected allow_trace directive on non-service");
}

constexpr Row kExportKeys[] = {
    {.key = "stream", .read = kHook<ReadStreamName>},
    {.key = "service", .read = kHook<ReadServiceName>},
    {.key = "response", .aliases = "response_type", .read = kHook<ReadResponse>},
    {.key = "threshold", .aliases = "response_threshold|response_max_time|response_time",
     .read = kHook<ReadThreshold>},
    {.key = "accounts", .read = kHook<ReadScopeAccounts>},
    {.key = "latency", .read = kHook<ReadLatency>},
    {.key = "account_token_position", .read = kHook<ReadTokenPosition>},
    {.key = "allow_trace", .read = kHook<ReadExportTrace>},
};

struct ExportItems {
  std::vector<ExportItem> items;
};

constexpr Block kExports = {
    .rows = kExportKeys,
    .inside = &kEach<&ExportItems::items>,
    .not_a_map = "Export Items should be a map with type entry, got %T",
    .not_a_list = "Exports should be an array, got %T",
    .unknown = "unknown field %s",
};

// --- imports

struct ImportItem {
  bool is_stream = false;
  bool is_service = false;
  std::string account = {};
  std::string subject = {};
  std::string prefix = {};
  std::string to = {};
  bool share = false;
  bool allow_trace = false;
  const Value* allow_trace_at = nullptr;
  const Value* at = nullptr;
};

// {account: A, subject: foo}
struct Origin {
  std::string account = {};
  std::string subject = {};
};

constexpr Row kOriginKeys[] = {
    {.key = "account", .member = &kMember<&Origin::account>},
    {.key = "subject", .member = &kMember<&Origin::subject>},
};
constexpr Block kOrigin = {.rows = kOriginKeys, .inside = &kSameStruct<Origin>, .unknown = "unknown field %s"};

bool ReadOrigin(ImportItem& item, Reading& reading, const Value& value, std::string_view what) {
  if (value.AsMap() == nullptr) {
    reading.Error(value, absl::StrFormat("%s entry should be an account map, got %s", what, PeerTypeName(value)));
    return false;
  }
  Origin origin;
  reading.ReadBlock(kOrigin, value, &origin);
  if (origin.account.empty() || origin.subject.empty()) {
    reading.Error(value, "Expect an account name and a subject");
    return false;
  }
  item.account = std::move(origin.account);
  item.subject = std::move(origin.subject);
  return true;
}

void ReadStreamOrigin(ImportItem& item, Reading& reading, const Value& value) {
  if (item.is_service) return reading.Error(value, "Detected stream but already saw a service");
  item.is_stream |= ReadOrigin(item, reading, value, "Stream");
}

void ReadServiceOrigin(ImportItem& item, Reading& reading, const Value& value) {
  if (item.is_stream) return reading.Error(value, "Detected service but already saw a stream");
  if (item.allow_trace_at != nullptr) {
    return reading.Error(*item.allow_trace_at, "Detected allow_trace directive on a non-stream");
  }
  item.is_service |= ReadOrigin(item, reading, value, "Service");
}

void ReadTo(ImportItem& item, Reading& reading, const Value& value) {
  const std::string* to = reading.String(value);
  if (to == nullptr) return;
  item.to = *to;
  if (item.is_stream && !item.prefix.empty()) {
    reading.Error(value, "Stream import can not have a 'prefix' and a 'to' property");
  }
}

void ReadImportTrace(ImportItem& item, Reading& reading, const Value& value) {
  if (item.is_service) return reading.Error(value, "Detected allow_trace directive on a non-stream");
  const bool* on = reading.Bool(value);
  if (on == nullptr) return;
  item.allow_trace_at = &value;
  item.allow_trace = *on;
}

bool FinishImport(ImportItem& item, Reading&, const BlockEnd& end) {
  item.at = end.value;
  return true;
}

constexpr Row kImportKeys[] = {
    {.key = "stream", .read = kHook<ReadStreamOrigin>},
    {.key = "service", .read = kHook<ReadServiceOrigin>},
    {.key = "prefix", .member = &kMember<&ImportItem::prefix>},
    {.key = "to", .read = kHook<ReadTo>},
    {.key = "share", .member = &kMember<&ImportItem::share>},
    {.key = "allow_trace", .read = kHook<ReadImportTrace>},
};

struct ImportItems {
  std::vector<ImportItem> items;
};

constexpr Block kImports = {
    .rows = kImportKeys,
    .inside = &kEach<&ImportItems::items>,
    .not_a_map = "Import Items should be a map with type entry, got %T",
    .not_a_list = "Imports should be an array, got %T",
    .unknown = "unknown field %s",
    .finish = kHook<FinishImport>,
};

// --- mappings

std::optional<uint8_t> ReadWeight(Reading& reading, const Value& value) {
  int64_t weight = 0;
  if (const int64_t* number = value.AsInteger()) {
    weight = *number;
  } else if (const std::string* text = value.AsString()) {
    const std::string_view digits = WithoutPercent(*text);
    const std::optional<int> percent = ParseDecimal(digits);
    if (!percent) {
      reading.Error(value, absl::StrFormat("Invalid weight %s for mapping destination", Quoted(digits)));
      return std::nullopt;
    }
    weight = *percent;
  } else {
    reading.Error(value, absl::StrFormat("Unknown entry type for weight of %s\n", PlainText(value)));
    return std::nullopt;
  }
  if (weight > 100 || weight < 0) {
    reading.Error(value, absl::StrFormat("Invalid weight %d for mapping destination", weight));
    return std::nullopt;
  }
  return static_cast<uint8_t>(weight);
}

std::optional<MappingTarget> ReadTarget(Reading& reading, const Value& value) {
  const Map* map = value.AsMap();
  if (map == nullptr) {
    reading.Error(value, "Expected an entry for the mapping destination");
    return std::nullopt;
  }
  MappingTarget target;
  bool has_weight = false;
  for (const auto* entry : InFileOrder(*map)) {
    const auto& [key, field] = *entry;
    const std::string name = Lower(key);
    if (name == "dest" || name == "destination") {
      const std::string* subject = reading.String(field);
      if (subject == nullptr) return std::nullopt;
      target.subject = *subject;
    } else if (name == "weight") {
      const std::optional<uint8_t> weight = ReadWeight(reading, field);
      if (!weight) return std::nullopt;
      target.weight = *weight;
      has_weight = true;
    } else if (name == "cluster") {
      const std::string* cluster = reading.String(field);
      if (cluster == nullptr) return std::nullopt;
      target.cluster = *cluster;
    } else {
      reading.Error(field, absl::StrFormat("Unknown field %s for mapping destination", Quoted(key)));
      return std::nullopt;
    }
  }
  if (has_weight) return target;
  reading.Error(value, absl::StrFormat("Missing weight for mapping destination %s", Quoted(target.subject)));
  return std::nullopt;
}

}  // namespace

void ReadExports(AccountSpec& account, Reading& reading, const Value& value) {
  ExportItems exports;
  if (!reading.ReadBlock(kExports, value, &exports)) return;
  for (ExportItem& item : exports.items) {
    if (item.stream) {
      account.stream_exports.push_back({std::move(*item.stream), std::move(item.scope)});
    } else if (item.service) {
      account.service_exports.push_back(
          {.subject = std::move(*item.service),
           .scope = std::move(item.scope),
           .response = item.response.value_or(ServiceResponse::kSingleton),
           .threshold = item.threshold.value_or(std::chrono::nanoseconds(0)),
           .latency = std::move(item.latency),
           .allow_trace = item.allow_trace});
    }
  }
}

void ReadImports(AccountSpec& account, Reading& reading, const Value& value) {
  ImportItems imports;
  if (!reading.ReadBlock(kImports, value, &imports)) return;
  for (ImportItem& item : imports.items) {
    if (item.is_stream) {
      account.stream_imports.push_back({.account = std::move(item.account),
                                        .subject = std::move(item.subject),
                                        .prefix = std::move(item.prefix),
                                        .to = std::move(item.to),
                                        .allow_trace = item.allow_trace});
    } else if (item.is_service) {
      ServiceImport import{std::move(item.account), std::move(item.subject), std::move(item.to), item.share};
      if (import.to.empty()) import.to = import.subject;
      const auto twin = std::find_if(account.service_imports.begin(), account.service_imports.end(),
                                     [&import](const ServiceImport& other) {
                                       return other.to == import.to && other.account == import.account;
                                     });
      if (twin != account.service_imports.end()) {
        reading.Error(*item.at, absl::StrFormat("Duplicate service import subject %s, previously used in import for "
                                                "account %s, subject %s",
                                                Quoted(import.to), Quoted(twin->account), Quoted(twin->subject)));
        continue;
      }
      account.service_imports.push_back(std::move(import));
    }
  }
}

void ReadMappings(AccountSpec& account, Reading& reading, const Value& value) {
  const Map* map = value.AsMap();
  if (map == nullptr) {
    return reading.Error(value, absl::StrFormat("interface conversion: interface {} is %s, not map[string]interface {}",
                                                PeerTypeName(value)));
  }
  for (const auto* entry : InFileOrder(*map)) {
    const auto& [source, targets] = *entry;
    if (!IsValidSubject(source)) {
      reading.Error(value, absl::StrFormat("Subject %s is not a valid subject", Quoted(source)));
      continue;
    }
    Mapping mapping{source, {}};
    std::string about = Quoted(source);
    if (const std::string* subject = targets.AsString()) {
      mapping.targets.push_back({.subject = *subject});
      about += " to " + Quoted(*subject);
    } else if (const Array* array = targets.AsArray()) {
      for (const Value& each : *array) {
        if (std::optional<MappingTarget> target = ReadTarget(reading, each)) {
          mapping.targets.push_back(std::move(*target));
        }
      }
    } else {
      std::optional<MappingTarget> target = ReadTarget(reading, targets);
      if (!target) continue;
      mapping.targets.push_back(std::move(*target));
    }
    const absl::Status status = Mappings::Check(mapping);
    if (!status.ok()) {
      reading.Error(targets, absl::StrFormat("Error adding mapping for %s : %s", about, Message(status)));
      continue;
    }
    account.mappings.push_back(std::move(mapping));
  }
}

}  // namespace millrace::config
