// SPDX-License-Identifier: Apache-2.0
#include "broker/session/trace.h"

#include <algorithm>

#include "broker/json/writer.h"
#include "proto/headers.h"

namespace millrace {
namespace {

constexpr std::string_view kDest = "Nats-Trace-Dest";
constexpr std::string_view kOnly = "Nats-Trace-Only";
constexpr std::string_view kOriginAccount = "Nats-Trace-Origin-Account";
constexpr int kClientKind = 0;

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

std::string TraceEventJson(std::string_view server, const TraceOrigin& origin, const PendingTrace& trace) {
  JsonWriter w(JsonLayout::kCompact);
  w.BeginObject();
  w.Key("server");
  w.Raw(server);

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
