// SPDX-License-Identifier: Apache-2.0
#include "broker/config/blocks/server.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "broker/config/blocks/address.h"
#include "broker/config/language/text.h"
#include "broker/config/table/table.h"

namespace millrace {
namespace config {
namespace {

constexpr std::string_view kNameWithSpaces = "server name cannot contain spaces";

void ReadServerName(ServerOptions& options, Reading& reading, const Value& value) {
  const std::string* name = reading.String(value);
  if (name == nullptr) return;
  if (name->find(' ') != std::string::npos) return reading.Error(value, kNameWithSpaces);
  options.server_name = *name;
}

void ReadListen(ServerOptions& options, Reading& reading, const Value& value) {
  const std::optional<Address> address = ReadAddress(reading, value);
  if (!address) return;
  options.host = address->host;
  options.port = address->port;
  reading.Note(kMember<&ServerOptions::host>, value);
  reading.Note(kMember<&ServerOptions::port>, value);
}

void ReadServerTags(ServerOptions& options, Reading& reading, const Value& value) {
  std::vector<std::string>& tags = options.server_tags;
  const auto add = [&tags](std::string_view text) {
    std::string tag = Lower(TrimSpace(text));
    if (!tag.empty() && std::find(tags.begin(), tags.end(), tag) == tags.end()) tags.push_back(std::move(tag));
  };
  if (const std::string* text = value.AsString()) {
    add(*text);
  } else if (const Array* array = value.AsArray()) {
    for (const Value& child : *array) {
      if (const std::string* tag = child.AsString()) {
        add(*tag);
      } else {
        return reading.Error(value, "error parsing tags: unsupported type *conf.token where string is expected");
      }
    }
  } else {
    reading.Error(value, absl::StrFormat("error parsing tags: unsupported type %s", PeerTypeName(value)));
  }
}

void ReadServerMetadata(ServerOptions& options, Reading& reading, const Value& value) {
  const Map* map = value.AsMap();
  if (map == nullptr) {
    return reading.Error(value, absl::StrFormat("error parsing metadata: unsupported type %s", PeerTypeName(value)));
  }
  for (const auto* entry : InFileOrder(*map)) {
    const std::string* text = reading.String(entry->second);
    if (text == nullptr) return;
    options.server_metadata[entry->first] = *text;
  }
}

void ReadFeatureFlags(ServerOptions& options, Reading& reading, const Value& value) {
  const Map* map = value.AsMap();
  if (map == nullptr) {
    return reading.Error(value,
                         absl::StrFormat("error parsing feature flags: unsupported type %s", PeerTypeName(value)));
  }
  for (const auto* entry : InFileOrder(*map)) {
    const bool* on = entry->second.AsBool();
    if (on == nullptr) {
      return reading.Error(entry->second, absl::StrFormat("error parsing feature flag %s: expected bool, got %s",
                                                          Quoted(entry->first), PeerTypeName(entry->second)));
    }
    options.feature_flags[entry->first] = *on;
  }
}

std::string FeatureFlagsText(const ServerOptions& options) {
  std::string text;
  for (const auto& [name, on] : options.feature_flags) {
    text += (text.empty() ? "" : " ") + name + (on ? ":true" : ":false");
  }
  return "map[" + text + "]";
}

absl::Status CheckServer(const ServerOptions& options) {
  if (options.server_name.find(' ') == std::string::npos) return absl::OkStatus();
  return absl::InvalidArgumentError(std::string(kNameWithSpaces));
}

// `words` begin the error, which differs at start and at reload.
absl::Status CheckAdvertised(const ServerOptions& options, std::string_view words) {
  if (options.client_advertise.empty()) return absl::OkStatus();
  const absl::StatusOr<HostPort> advertised = ParseAdvertised(options.client_advertise, options.port);
  if (advertised.ok()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrFormat("%s ClientAdvertise value of %s, err=%s", words,
                                                    options.client_advertise, Message(advertised.status())));
}

absl::Status CheckAtStart(const ServerOptions& options) {
  return CheckAdvertised(options, "Error setting server INFO with");
}

absl::Status CheckAtReload(const ServerOptions& options) { return CheckAdvertised(options, "invalid"); }

void AddConcerns(const ServerOptions& options, std::vector<std::string>* concerns) {
  for (const auto& [flag, on] : options.feature_flags) {
    concerns->push_back(absl::StrFormat("feature flag %s is without effect: monitoring shows it, that is all", flag));
  }
}

using enum OnReload;

constexpr Row kRows[] = {
    {.key = "server_name", .flags = "-n|--name|--server_name", .value_name = "<name>",
     .help = "Name of this server (default: its id)", .group = &kServerHelp, .order = 10,
     .member = &kMember<&ServerOptions::server_name>, .read = kHook<ReadServerName>, .peer_name = "ServerName"},
    {.key = "host", .aliases = "net", .flags = "-a|--addr|--net", .value_name = "<host>",
     .help = "Address to listen on (default: 0.0.0.0, all of them)", .group = &kServerHelp, .order = 20,
     .member = &kMember<&ServerOptions::host>, .zero_is_default = true, .peer_name = "Host"},
    {.key = "port", .flags = "-p|--port", .value_name = "<port>",
     .help = "Port for clients (default: 4222; -1 takes a free one)", .group = &kServerHelp, .order = 30,
     .member = &kMember<&ServerOptions::port>, .zero_is_default = true, .any_port = true, .peer_name = "Port"},
    {.key = "listen", .order = 40, .read = kHook<ReadListen>, .on_reload = kIgnore},
    {.key = "client_advertise", .flags = "--client_advertise", .value_name = "<host:port>",
     .help = "Address that clients and other servers are told", .group = &kServerHelp, .order = 50,
     .member = &kMember<&ServerOptions::client_advertise>, .on_reload = kApply,
     .peer_name = "ClientAdvertise", .reloaded = "Reload: client_advertise = "},
    {.key = "server_tags", .order = 830, .member = &kMember<&ServerOptions::server_tags>, .read = kHook<ReadServerTags>,
     .on_reload = kApply, .reloaded = "Reloaded: tags", .effects = {&ReloadEffects::statsz}},
    {.key = "server_metadata", .order = 840, .member = &kMember<&ServerOptions::server_metadata>,
     .read = kHook<ReadServerMetadata>, .shown = Shown::kNever, .on_reload = kApply, .reloaded = "Reloaded: metadata",
     .effects = {&ReloadEffects::statsz}},
    {.key = "feature_flags", .order = 850, .member = &kMember<&ServerOptions::feature_flags>,
     .read = kHook<ReadFeatureFlags>, .shown = Shown::kNever, .peer_name = "FeatureFlags",
     .reload_value = kHook<FeatureFlagsText>},
};

}  // namespace
}  // namespace config

constexpr config::Table ServerOptions::kTable = {
    .type = &config::kTypeTag<ServerOptions>,
    .rows = config::kRows,
    .check = config::kHook<config::CheckServer>,
    .check_start = config::kHook<config::CheckAtStart>,
    .check_reload = config::kHook<config::CheckAtReload>,
    .concerns = config::kHook<config::AddConcerns>,
};

}  // namespace millrace
