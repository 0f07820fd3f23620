// SPDX-License-Identifier: Apache-2.0
#include "broker/session/trace.h"

#include <algorithm>

#include "broker/json/writer.h"
#include "broker/monitor/snapshot.h"
#include "broker/version.h"
#include "proto/headers.h"

namespace millrace {
namespace {

constexpr std::string_view kDest = "Nats-Trace-Dest";
constexpr std::string_view kOnly = "Nats-Trace-Only";
constexpr std::string_view kOriginAccount = "Nats-Trace-Origin-Account";
constexpr int kClientKind = 0;
constexpr int kJetStreamFlags = 7;  // what the peer says it can: JetStream, binary snapshots, NRG in accounts

bool IsOn(std::string value) {
  std::transform(value.begin(), value.end(), value.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return value == "1" || value == "true" || value == "on";
}

}  // namespace

std::optional<TraceRequest> ReadTraceRequest(std::string_view headers) {
  // Nearly every message stops here.
  if (headers.find(kDest) == std::string_view::npos) return std::nullopt;
  TraceRequest request;
  ForEachHeader(headers,
                [&](const HeaderField& field) { request.headers[std::string(field.key)].emplace_back(field.value); });
  const auto first = [&](std::string_view key) {
    const auto it = request.headers.find(std::string(key));
    return it == request.headers.end() ? std::string() : it->second.front();
  };
  request.dest = first(kDest);
  request.only = IsOn(first(kOnly));
  if (!first(kOriginAccount).empty()) request.dest.clear();
  if (request.dest.empty() && !request.only) return std::nullopt;
  return request;
}

std::string TraceEventJson(const ServerInfo& server, const Options& options, const TraceOrigin& origin,
                           const PendingTrace& trace, uint64_t sequence, int64_t now_ns) {
  JsonWriter w(JsonLayout::kCompact);
  w.BeginObject();
  w.Key("server");
  w.BeginObject();
  w.Put("name", server.server_name);
  w.Put("host", server.host);
  w.Put("id", server.server_id);
  w.Opt("domain", server.domain);
  w.Put("ver", kServerVersion);
  w.OptStrings("tags", options.server_tags);
  if (!options.server_metadata.empty()) {
    w.Key("metadata");
    w.BeginObject();
    for (const auto& [key, value] : options.server_metadata) w.Put(key, value);
    w.EndObject();
  }
  w.Key("feature_flags");
  w.BeginObject();
  for (const auto& [flag, value] : DefaultFeatureFlags()) {
    const auto it = options.feature_flags.find(flag);
    w.PutBool(flag, it == options.feature_flags.end() ? value : it->second);
  }
  w.EndObject();
  w.PutBool("jetstream", server.jetstream);
  w.PutInt("flags", server.jetstream ? kJetStreamFlags : 0);
  w.PutUint("seq", sequence);
  w.PutTime("time", now_ns);
  w.EndObject();

  w.Key("request");
  w.BeginObject();
  w.Key("header");
  w.BeginObject();
  for (const auto& [key, values] : trace.request.headers) w.Key(key), w.Strings(values);
  w.EndObject();
  w.OptUint("msgsize", trace.message_bytes);
  w.EndObject();

  w.Key("events");
  w.BeginArray();
  w.BeginObject();
  w.Put("type", "in");
  w.PutTime("ts", trace.ingress_ns);
  w.PutInt("kind", kClientKind);
  w.PutUint("cid", origin.cid);
  w.Opt("name", origin.name);
  w.Put("acc", origin.account);
  w.Put("subj", trace.subject);
  w.EndObject();
  for (const TraceEgress& egress : trace.egress) {
    w.BeginObject();
    w.Put("type", "eg");
    w.PutTime("ts", egress.wall_ns);
    w.PutInt("kind", kClientKind);
    w.PutUint("cid", egress.cid);
    w.Opt("name", egress.name);
    w.Opt("sub", egress.sub);
    w.Opt("queue", egress.queue);
    w.Opt("error", egress.error);
    w.EndObject();
  }
  w.EndArray();
  w.EndObject();
  return std::move(w).Take();
}

}  // namespace millrace
