// SPDX-License-Identifier: Apache-2.0
// /healthz, /accountz, /accstatz, the index page, and the pages of features that are off.
#include "broker/monitor/pages.h"

#include <utility>

#include "absl/strings/str_format.h"
#include "broker/monitor/parameters.h"
#include "broker/version.h"
#include "proto/base/status.h"
#include "proto/quoted.h"

namespace millrace {
namespace {

constexpr std::string_view kHealthErrorNames[] = {"CONNECTION", "BAD_REQUEST", "JETSTREAM",
                                                  "ACCOUNT",    "STREAM",      "CONSUMER"};

void RenderCounts(std::string_view key, int64_t msgs, int64_t bytes, JsonWriter* out) {
  out->Key(key);
  out->BeginObject();
  out->PutInt("msgs", msgs);
  out->PutInt("bytes", bytes);
  out->EndObject();
}

void RenderLatency(std::string_view key, const std::optional<LatencySampling>& latency, JsonWriter* out) {
  if (!latency.has_value()) return;
  out->Key(key);
  out->BeginObject();
  if (latency->sampling == 0) {
    out->Put("sampling", "headers");
  } else {
    out->PutInt("sampling", latency->sampling);
  }
  out->Put("results", latency->results);
  out->EndObject();
}

void RenderExport(const AccountExport& each, JsonWriter* out) {
  out->BeginObject();
  out->Put("subject", each.subject);
  out->Put("type", each.type);
  out->OptBool("token_req", each.token_req);
  out->Opt("response_type", each.response_type);
  RenderLatency("service_latency", each.latency, out);
  out->OptStrings("approved_accounts", each.approved_accounts);
  out->EndObject();
}

void RenderImport(const AccountImport& each, JsonWriter* out) {
  out->BeginObject();
  out->Opt("subject", each.subject);
  out->Opt("account", each.account);
  out->Opt("to", each.to);
  out->Opt("local_subject", each.local_subject);
  out->Put("type", each.type);
  out->PutBool("invalid", each.invalid);
  out->PutBool("share", each.share);
  out->PutBool("tracking", each.tracking);
  RenderLatency("latency", each.latency, out);
  out->EndObject();
}

void RenderMappings(const AccountSnapshot& account, JsonWriter* out) {
  if (account.mappings.empty()) return;
  out->Key("mappings");
  out->BeginObject();
  for (const auto& [subject, destinations] : account.mappings) {
    out->Key(subject);
    out->BeginArray();
    for (const AccountMappingDest& destination : destinations) {
      out->BeginObject();
      out->Put("subject", destination.subject);
      out->PutInt("weight", destination.weight);
      out->Opt("cluster", destination.cluster);
      out->EndObject();
    }
    out->EndArray();
  }
  out->EndObject();
}

}  // namespace

// ---- accounts
// --------------------------------------------------------------------------------------

void RenderDataStats(const DataStats& stats, JsonWriter* out) {
  out->BeginObject();
  out->PutInt("msgs", stats.msgs);
  out->PutInt("bytes", stats.bytes);
  RenderCounts("gateways", stats.gateway_msgs, stats.gateway_bytes, out);
  RenderCounts("routes", stats.route_msgs, stats.route_bytes, out);
  RenderCounts("leafs", stats.leaf_msgs, stats.leaf_bytes, out);
  out->EndObject();
}

void RenderAccountStat(const AccountSnapshot& account, JsonWriter* out) {
  out->BeginObject();
  out->Put("acc", account.name);
  out->Put("name", account.name_tag.empty() ? account.name : account.name_tag);
  out->PutInt("conns", account.clients);
  out->PutInt("leafnodes", account.leafnodes);
  out->PutInt("total_conns", account.clients + account.leafnodes);
  out->PutUint("num_subscriptions", account.subscriptions);
  out->Key("sent"), RenderDataStats(account.sent, out);
  out->Key("received"), RenderDataStats(account.received, out);
  out->PutInt("slow_consumers", account.slow_consumers);
  out->EndObject();
}

void RenderAccountDetail(const AccountSnapshot& account, JsonWriter* out) {
  out->BeginObject();
  out->Put("account_name", account.name);
  out->PutTime("update_time", account.update_time_ns);
  out->OptBool("is_system", account.is_system);
  out->PutBool("expired", account.expired);
  out->PutBool("complete", account.complete);
  out->PutBool("jetstream_enabled", account.jetstream_enabled);
  out->PutInt("leafnode_connections", account.leafnodes);
  out->PutInt("client_connections", account.clients);
  out->PutUint("subscriptions", account.subscriptions);
  RenderMappings(account, out);
  if (!account.exports.empty()) {
    out->Key("exports");
    out->BeginArray();
    for (const AccountExport& each : account.exports) RenderExport(each, out);
    out->EndArray();
  }
  if (!account.imports.empty()) {
    out->Key("imports");
    out->BeginArray();
    for (const AccountImport& each : account.imports) RenderImport(each, out);
    out->EndArray();
  }
  out->Opt("jwt", account.jwt);
  out->Opt("issuer_key", account.issuer_key);
  out->Opt("name_tag", account.name_tag.empty() ? account.name : account.name_tag);
  out->OptStrings("tags", account.tags);
  out->Key("sublist_stats");
  out->BeginObject();
  RenderSublistStatsFields(account.sublist, out);
  out->EndObject();
  out->EndObject();
}

// ---- /healthz
// --------------------------------------------------------------------------------------

absl::StatusOr<HealthzOptions> ParseHealthzParams(const HttpTarget& target) {
  HealthzOptions options;
  MR_ASSIGN_OR_RETURN(options.js_enabled, DecodeBool("js-enabled", target.Param("js-enabled")));
  MR_ASSIGN_OR_RETURN(options.js_enabled_only,
                      DecodeBool("js-enabled-only", target.Param("js-enabled-only")));
  MR_ASSIGN_OR_RETURN(options.js_server_only,
                      DecodeBool("js-server-only", target.Param("js-server-only")));
  MR_ASSIGN_OR_RETURN(options.js_meta_only,
                      DecodeBool("js-meta-only", target.Param("js-meta-only")));
  MR_ASSIGN_OR_RETURN(options.details, DecodeBool("details", target.Param("details")));
  options.account = target.Param("account");
  options.stream = target.Param("stream");
  options.consumer = target.Param("consumer");
  return options;
}

bool CheckHealthzOptions(const HealthzOptions& options, HealthSnapshot* bad) {
  std::string error;
  if (options.account.empty() && !options.stream.empty()) {
    error = "\"account\" must not be empty when checking stream health";
  } else if (options.stream.empty() && !options.consumer.empty()) {
    error = "\"stream\" must not be empty when checking consumer health";
  } else {
    return true;
  }
  *bad = {};
  bad->http_status = 400;
  bad->status = "error";
  HealthError& first = bad->errors.emplace_back();
  first.type = HealthErrorType::kBadRequest;
  first.error = std::move(error);
  return false;
}

int RenderHealthz(const HealthSnapshot& health, const HealthzOptions& options,
                  bool with_status_code, JsonWriter* out) {
  const bool healthy = health.errors.empty();
  const int code = health.http_status != 0 ? health.http_status : healthy ? 200 : 503;
  std::string_view status = health.status;
  if (options.details) {
    status = healthy ? "ok" : "error";
  } else if (status.empty()) {
    status = healthy ? "ok" : "unavailable";
  }
  out->BeginObject();
  out->Put("status", status);
  if (with_status_code) out->PutInt("status_code", code);
  if (!healthy && !options.details) out->Opt("error", health.errors[0].error);
  if (!healthy && options.details) {
    out->Key("errors");
    out->BeginArray();
    for (const HealthError& error : health.errors) {
      out->BeginObject();
      out->Put("type", kHealthErrorNames[static_cast<size_t>(error.type)]);
      out->Opt("account", error.account);
      out->Opt("stream", error.stream);
      out->Opt("consumer", error.consumer);
      out->Opt("error", error.error);
      out->EndObject();
    }
    out->EndArray();
  }
  out->EndObject();
  return code;
}

std::string HealthWarning(const HealthSnapshot& health, const HealthzOptions& options) {
  if (health.errors.empty()) return {};
  if (options.details)
    return absl::StrFormat("Healthcheck failed: %d errors", health.errors.size());
  return absl::StrFormat("Healthcheck failed: %s", Quoted(health.errors[0].error));
}

// ---- features that are off
// -------------------------------------------------------------------------

void RenderRoutezOff(std::string_view server_id, std::string_view server_name, int64_t now_ns,
                     JsonWriter* out) {
  out->BeginObject();
  out->Put("server_id", server_id);
  out->Put("server_name", server_name);
  out->PutTime("now", now_ns);
  out->PutInt("num_routes", 0);
  out->Key("routes"), out->Strings({});
  out->EndObject();
}

void RenderGatewayzOff(std::string_view server_id, int64_t now_ns, JsonWriter* out) {
  out->BeginObject();
  out->Put("server_id", server_id);
  out->PutTime("now", now_ns);
  for (std::string_view key : {"outbound_gateways", "inbound_gateways"}) {
    out->Key(key);
    out->BeginObject();
    out->EndObject();
  }
  out->EndObject();
}

void RenderLeafzOff(std::string_view server_id, int64_t now_ns, JsonWriter* out) {
  out->BeginObject();
  out->Put("server_id", server_id);
  out->PutTime("now", now_ns);
  out->PutInt("leafnodes", 0);
  out->Key("leafs"), out->Strings({});
  out->EndObject();
}

// ---- the index
// -------------------------------------------------------------------------------------

std::string RootPage(std::string_view base_path) {
  struct Link {
    std::string_view path, title;
  };
  constexpr Link kLinks[] = {
      {"/varz", "General"},      {"/jsz", "JetStream"},          {"/connz", "Connections"},
      {"/accountz", "Accounts"}, {"/accstatz", "Account Stats"}, {"/subsz", "Subscriptions"},
      {"/routez", "Routes"},     {"/leafz", "LeafNodes"},        {"/gatewayz", "Gateways"},
      {"/raftz", "Raft Groups"}, {"/healthz", "Health Probe"},   {"/debug/vars", "Expvar"},
  };
  // Links are relative, so that they survive a proxy; the page's own name is the base path's last
  // part.
  const size_t slash = base_path.rfind('/');
  const std::string_view here = slash == std::string_view::npos ? "" : base_path.substr(slash);
  std::string page = absl::StrFormat(
      "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>Millrace</title>\n"
      "<style>body{font-family:sans-serif;margin:2em}a{display:block;padding:.2em}</style></head>\n"
      "<body>\n<h1>Millrace %s</h1>\n<p>stands in for nats-server v%s</p>\n",
      kMillraceVersion, kServerVersion);
  for (const Link& link : kLinks)
    absl::StrAppendFormat(&page, "<a href=\".%s%s\">%s <code>%s</code></a>\n", here, link.path,
                          link.title, link.path);
  return page += "</body>\n</html>";
}

}  // namespace millrace
