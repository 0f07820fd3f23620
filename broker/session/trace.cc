// SPDX-License-Identifier: Apache-2.0
#include "broker/session/trace.h"

#include "broker/json/writer.h"
#include "proto/headers.h"
#include "proto/trace_parent.h"

namespace millrace {
namespace {

constexpr std::string_view kOnly = "Nats-Trace-Only";
constexpr std::string_view kTraceParent = "traceparent";
constexpr std::string_view kOriginAccount = "Nats-Trace-Origin-Account";
constexpr int kClientKind = 0;

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

bool IsOn(std::string_view value) {
  const std::string lower = Lower(value);
  return lower == "1" || lower == "true" || lower == "on";
}

std::string_view Trimmed(std::string_view value) {
  const auto is_blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!value.empty() && is_blank(value.front())) value.remove_prefix(1);
  while (!value.empty() && is_blank(value.back())) value.remove_suffix(1);
  return value;
}

void WriteEvent(const TraceEvent& event, const TraceOrigin& origin, const AccountTable& accounts, JsonWriter* w) {
  static constexpr std::string_view kTypes[] = {"sm", "se", "si", "js", "eg"};
  w->BeginObject();
  w->Put("type", kTypes[static_cast<size_t>(event.kind)]);
  w->PutTime("ts", event.wall_ns);
  switch (event.kind) {
    case TraceEvent::Kind::kSubjectMapping:
      w->Put("to", event.to);
      break;
    case TraceEvent::Kind::kStreamExport:
      w->Put("acc", accounts[event.account].name);
      w->Put("to", event.to);
      break;
    case TraceEvent::Kind::kServiceImport:
      w->Put("acc", event.account == kNoAccount ? accounts.system().name : accounts[event.account].name);
      w->Put("from", event.from);
      w->Put("to", event.to);
      break;
    case TraceEvent::Kind::kJetStream:
      w->Put("stream", event.name);
      w->Opt("subject", event.to);
      w->OptBool("nointerest", event.no_interest);
      w->Opt("error", event.error);
      break;
    case TraceEvent::Kind::kEgress:
      w->PutInt("kind", kClientKind);
      w->PutUint("cid", event.cid);
      w->Opt("name", event.name);
      if (event.account != origin.account) w->Put("acc", accounts[event.account].name);
      w->Opt("sub", event.sub);
      w->Opt("queue", event.queue);
      w->Opt("error", event.error);
      break;
  }
  w->EndObject();
}

}  // namespace

std::optional<TraceRequest> ReadTraceRequest(std::string_view headers, bool by_parent) {
  if (!by_parent && !MayAskForTrace(headers)) return std::nullopt;
  TraceRequest request;
  bool has_parent = false;
  ForEachHeader(headers, [&](const HeaderField& field) {
    const std::string_view value = Trimmed(field.value);
    if (value.empty()) return;
    has_parent |= by_parent && Lower(field.key) == kTraceParent && TraceParentSamples(value);
    request.headers[std::string(field.key)].emplace_back(value);
  });
  const auto first = [&request](std::string_view key) {
    const auto it = request.headers.find(std::string(key));
    return it == request.headers.end() ? std::string() : it->second.front();
  };
  request.dest = first(kTraceDestHeader);
  if (request.dest == kTraceDisabled || (request.dest.empty() && !has_parent)) return std::nullopt;
  request.only = !request.dest.empty() && IsOn(first(kOnly));
  request.disabled = !first(kOriginAccount).empty();
  return request;
}

std::string TraceEventJson(std::string_view server, const AccountTable& accounts, const TraceOrigin& origin,
                           const PendingTrace& trace) {
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
  w.Put("acc", accounts[origin.account].name);
  w.Put("subj", trace.subject);
  w.Opt("error", trace.error);
  w.EndObject();
  for (const TraceEvent& event : trace.events) WriteEvent(event, origin, accounts, &w);
  w.EndArray();
  w.EndObject();
  return std::move(w).Take();
}

}  // namespace millrace
