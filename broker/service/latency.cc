// SPDX-License-Identifier: Apache-2.0
#include "broker/service/latency.h"

#include <algorithm>
#include <utility>

#include "broker/json/writer.h"
#include "proto/headers.h"
#include "proto/trace_parent.h"

namespace millrace {
namespace {

constexpr std::string_view kUberTraceId = "Uber-Trace-Id";
constexpr std::string_view kUberContext = "Uberctx-";
constexpr std::string_view kTraceParent = "Traceparent";
constexpr std::string_view kTraceState = "Tracestate";
constexpr std::string_view kB3 = "B3";
constexpr std::string_view kB3Sampled = "X-B3-Sampled";
constexpr std::string_view kB3TraceId = "X-B3-Traceid";
constexpr std::string_view kB3Family[] = {kB3Sampled, kB3TraceId, "X-B3-Parentspanid", "X-B3-Spanid"};

// As textproto.CanonicalMIMEHeaderKey.
std::string CanonicalKey(std::string_view key) {
  std::string canonical(key);
  bool first = true;
  for (char& c : canonical) {
    if (first && c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    if (!first && c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    first = c == '-';
  }
  return canonical;
}

std::string_view Trimmed(std::string_view value) {
  const auto is_blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!value.empty() && is_blank(value.front())) value.remove_prefix(1);
  while (!value.empty() && is_blank(value.back())) value.remove_suffix(1);
  return value;
}

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::optional<int> HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return std::nullopt;
}

// {trace}:{span}:{parent}:{flags}, one or two digits of flags; the last one counts.
bool UberSamples(std::string_view value) {
  const std::vector<std::string_view> parts = Split(value, ':');
  if (parts.size() != 4 || parts[3].empty() || parts[3].size() > 2) return false;
  return (HexDigit(parts[3].back()).value_or(0) & 1) == 1;
}

// {trace}-{span}-{sampled}-{parent}, or {sampled} alone: all but 0 leaves it to us.
bool B3Samples(std::string_view value) {
  const std::vector<std::string_view> parts = Split(value, '-');
  return !(parts.size() > 2 && parts[2] == "0") && !(parts.size() == 1 && parts[0] == "0");
}

}  // namespace

std::optional<TriggerHeaders> SampleRequest(const ServiceLatency& latency, std::string_view header_block,
                                            uint32_t draw) {
  const auto share = static_cast<uint32_t>(latency.sampling);
  if (share >= 100 || (share > 0 && draw <= share)) return TriggerHeaders{};  // the peer's `<=`
  if (header_block.empty() || !IsWellFormedHeader(header_block)) return std::nullopt;
  TriggerHeaders all;
  ForEachHeader(header_block,
                [&all](const HeaderField& field) { all[CanonicalKey(field.key)].emplace_back(Trimmed(field.value)); });
  const auto first = [&all](std::string_view key) -> const std::string* {
    const auto at = all.find(std::string(key));
    return at == all.end() ? nullptr : &at->second.front();
  };
  // Keeps those whose key is asked for.
  const auto keep = [&all](auto&& wanted) {
    std::erase_if(all, [&wanted](const auto& entry) { return !wanted(entry.first); });
    return std::optional<TriggerHeaders>(std::move(all));
  };
  if (const std::string* uber = first(kUberTraceId)) {
    if (!UberSamples(*uber)) return std::nullopt;
    return keep([](std::string_view key) { return key == kUberTraceId || key.starts_with(kUberContext); });
  }
  const std::string* const sampled = first(kB3Sampled);
  if (sampled != nullptr && *sampled == "0") return std::nullopt;
  if ((sampled != nullptr && *sampled == "1") || first(kB3TraceId) != nullptr) {
    return keep([](std::string_view key) {
      return std::find(std::begin(kB3Family), std::end(kB3Family), key) != std::end(kB3Family);
    });
  }
  if (const std::string* b3 = first(kB3)) {
    if (!B3Samples(*b3)) return std::nullopt;
    return keep([](std::string_view key) { return key == kB3; });
  }
  if (const std::string* parent = first(kTraceParent)) {
    if (!TraceParentSamples(*parent)) return std::nullopt;
    return keep([](std::string_view key) { return key == kTraceParent || key == kTraceState; });
  }
  return std::nullopt;
}

std::string LatencyMetricJson(const LatencyMetric& metric) {
  struct Text {
    int code;
    std::string_view description;
  };
  static constexpr Text kTexts[] = {{200, ""},
                                    {400, "Bad Request"},
                                    {408, "Request Timeout"},
                                    {503, "Service Unavailable"},
                                    {504, "Service Timeout"}};
  const Text& text = kTexts[static_cast<size_t>(metric.status)];
  const bool is_answered = metric.status == LatencyStatus::kOk;
  // What is known of the ways to both ends is an estimate: no difference may go below nothing.
  const Nanos service = is_answered ? std::max(metric.answered - metric.responder.rtt, Nanos{0}) : Nanos{0};
  const Nanos system = is_answered && metric.responder.rtt > Nanos{0} ? metric.system : Nanos{0};
  const Nanos total = is_answered ? metric.requestor.rtt + metric.answered + system : Nanos{0};
  JsonWriter json(JsonLayout::kCompact);
  json.BeginObject();
  json.Put("type", "io.nats.server.metric.v1.service_latency");
  json.Put("id", metric.id);
  json.PutTime("timestamp", metric.now_ns);
  json.PutInt("status", text.code);
  json.Opt("description", text.description);
  json.OptRaw("requestor", metric.requestor.json);
  json.OptRaw("responder", metric.responder.json);
  if (!metric.headers.empty()) {
    json.Key("header");
    json.BeginObject();
    for (const auto& [key, values] : metric.headers) json.Key(key), json.Strings(values);
    json.EndObject();
  }
  json.PutTime("start", metric.asked_ns - metric.requestor.rtt.count());
  json.PutInt("service", service.count());
  json.PutInt("system", system.count());
  json.PutInt("total", total.count());
  json.EndObject();
  return std::move(json).Take();
}

}  // namespace millrace
