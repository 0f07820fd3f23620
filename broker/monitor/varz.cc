// SPDX-License-Identifier: Apache-2.0
// /varz: field after field, in the peer's order.
#include "broker/json/go_format.h"
#include "broker/monitor/pages.h"
#include "broker/version.h"

namespace millrace {
namespace {

void RenderCluster(const ClusterVarz& cluster, JsonWriter* out) {
  out->BeginObject();
  out->Opt("name", cluster.name);
  out->Opt("addr", cluster.host);
  out->OptInt("cluster_port", cluster.port);
  out->OptFloat("auth_timeout", cluster.auth_timeout_s);
  out->OptStrings("urls", cluster.urls);
  out->OptFloat("tls_timeout", cluster.tls_timeout_s);
  out->OptBool("tls_required", cluster.tls_required);
  out->OptBool("tls_verify", cluster.tls_verify);
  out->OptInt("pool_size", cluster.pool_size);
  out->OptInt("write_deadline", cluster.write_deadline_ns);
  out->Opt("write_timeout", cluster.write_timeout);
  out->OptTime("tls_cert_not_after", cluster.tls_cert_not_after_ns);
  out->EndObject();
}

void RenderGateway(const GatewayVarz& gateway, JsonWriter* out) {
  out->BeginObject();
  out->Opt("name", gateway.name);
  out->Opt("host", gateway.host);
  out->OptInt("port", gateway.port);
  out->OptFloat("auth_timeout", gateway.auth_timeout_s);
  out->OptFloat("tls_timeout", gateway.tls_timeout_s);
  out->OptBool("tls_required", gateway.tls_required);
  out->OptBool("tls_verify", gateway.tls_verify);
  out->Opt("advertise", gateway.advertise);
  out->OptInt("connect_retries", gateway.connect_retries);
  if (!gateway.gateways.empty()) {
    out->Key("gateways");
    out->BeginArray();
    for (const GatewayVarz::Remote& remote : gateway.gateways) {
      out->BeginObject();
      out->Put("name", remote.name);
      out->OptFloat("tls_timeout", remote.tls_timeout_s);
      out->OptStrings("urls", remote.urls);
      out->EndObject();
    }
    out->EndArray();
  }
  out->OptBool("reject_unknown", gateway.reject_unknown);
  out->OptInt("write_deadline", gateway.write_deadline_ns);
  out->Opt("write_timeout", gateway.write_timeout);
  out->OptTime("tls_cert_not_after", gateway.tls_cert_not_after_ns);
  out->EndObject();
}

void RenderLeaf(const LeafVarz& leaf, JsonWriter* out) {
  out->BeginObject();
  out->Opt("host", leaf.host);
  out->OptInt("port", leaf.port);
  out->OptFloat("auth_timeout", leaf.auth_timeout_s);
  out->OptFloat("tls_timeout", leaf.tls_timeout_s);
  out->OptBool("tls_required", leaf.tls_required);
  out->OptBool("tls_verify", leaf.tls_verify);
  if (!leaf.remotes.empty()) {
    out->Key("remotes");
    out->BeginArray();
    for (const LeafVarz::Remote& remote : leaf.remotes) {
      out->BeginObject();
      out->Opt("local_account", remote.local_account);
      out->OptFloat("tls_timeout", remote.tls_timeout_s);
      out->OptStrings("urls", remote.urls);
      if (!remote.deny_exports.empty() || !remote.deny_imports.empty()) {
        out->Key("deny");
        out->BeginObject();
        out->OptStrings("exports", remote.deny_exports);
        out->OptStrings("imports", remote.deny_imports);
        out->EndObject();
      }
      out->OptBool("tls_ocsp_peer_verify", remote.tls_ocsp_peer_verify);
      out->EndObject();
    }
    out->EndArray();
  }
  out->OptBool("tls_ocsp_peer_verify", leaf.tls_ocsp_peer_verify);
  out->OptInt("write_deadline", leaf.write_deadline_ns);
  out->Opt("write_timeout", leaf.write_timeout);
  out->OptTime("tls_cert_not_after", leaf.tls_cert_not_after_ns);
  out->EndObject();
}

void RenderMqtt(const MqttVarz& mqtt, JsonWriter* out) {
  out->BeginObject();
  out->Opt("host", mqtt.host);
  out->OptInt("port", mqtt.port);
  out->Opt("no_auth_user", mqtt.no_auth_user);
  out->OptFloat("auth_timeout", mqtt.auth_timeout_s);
  out->OptBool("tls_map", mqtt.tls_map);
  out->OptFloat("tls_timeout", mqtt.tls_timeout_s);
  out->OptStrings("tls_pinned_certs", mqtt.tls_pinned_certs);
  out->Opt("js_domain", mqtt.js_domain);
  out->OptInt("ack_wait", mqtt.ack_wait_ns);
  out->OptInt("max_ack_pending", mqtt.max_ack_pending);
  out->OptBool("tls_ocsp_peer_verify", mqtt.tls_ocsp_peer_verify);
  out->OptTime("tls_cert_not_after", mqtt.tls_cert_not_after_ns);
  out->EndObject();
}

void RenderWebsocket(const WebsocketVarz& websocket, JsonWriter* out) {
  out->BeginObject();
  out->Opt("host", websocket.host);
  out->OptInt("port", websocket.port);
  out->Opt("advertise", websocket.advertise);
  out->Opt("no_auth_user", websocket.no_auth_user);
  out->Opt("jwt_cookie", websocket.jwt_cookie);
  out->OptInt("handshake_timeout", websocket.handshake_timeout_ns);
  out->OptFloat("auth_timeout", websocket.auth_timeout_s);
  out->OptBool("no_tls", websocket.no_tls);
  out->OptBool("tls_map", websocket.tls_map);
  out->OptStrings("tls_pinned_certs", websocket.tls_pinned_certs);
  out->OptBool("same_origin", websocket.same_origin);
  out->OptStrings("allowed_origins", websocket.allowed_origins);
  out->OptBool("compression", websocket.compression);
  out->OptBool("tls_ocsp_peer_verify", websocket.tls_ocsp_peer_verify);
  out->OptTime("tls_cert_not_after", websocket.tls_cert_not_after_ns);
  out->EndObject();
}

void RenderKindCounts(std::string_view key, const KindCounts& counts, JsonWriter* out) {
  out->Key(key);
  out->BeginObject();
  out->PutUint("clients", counts.clients);
  out->PutUint("routes", counts.routes);
  out->PutUint("gateways", counts.gateways);
  out->PutUint("leafs", counts.leafs);
  out->EndObject();
}

// server_id to max_pending: who we are and the limits in force.
void RenderIdentity(const VarzSnapshot& varz, JsonWriter* out) {
  out->Put("server_id", varz.server_id);
  out->Put("server_name", varz.server_name);
  out->Put("version", kServerVersion);
  out->PutInt("proto", kProto);
  out->Opt("git_commit", kGitCommit);
  out->Put("go", kGoVersion);
  out->Put("host", varz.host);
  out->PutInt("port", varz.port);
  out->OptBool("auth_required", varz.auth_required);
  out->OptBool("tls_required", varz.tls_required);
  out->OptBool("tls_verify", varz.tls_verify);
  out->OptBool("tls_ocsp_peer_verify", varz.tls_ocsp_peer_verify);
  out->Opt("ip", varz.ip);
  out->OptStrings("connect_urls", varz.connect_urls);
  out->OptStrings("ws_connect_urls", varz.ws_connect_urls);
  out->PutInt("max_connections", varz.max_connections);
  out->OptInt("max_subscriptions", varz.max_subscriptions);
  out->PutInt("ping_interval", varz.ping_interval_ns);
  out->PutInt("ping_max", varz.ping_max);
  out->Put("http_host", varz.http_host);
  out->PutInt("http_port", varz.http_port);
  out->Put("http_base_path", varz.http_base_path);
  out->PutInt("https_port", varz.https_port);
  out->PutFloat("auth_timeout", varz.auth_timeout_s);
  out->PutInt("max_control_line", varz.max_control_line);
  out->PutInt("max_payload", varz.max_payload);
  out->PutInt("max_pending", varz.max_pending);
}

// start to subscriptions: what happened so far.
void RenderCounters(const VarzSnapshot& varz, JsonWriter* out) {
  out->PutTime("start", varz.start_ns);
  out->PutTime("now", varz.now_ns);
  out->Put("uptime", FormatUptime(varz.now_ns - varz.start_ns));
  out->PutInt("mem", varz.mem_bytes);
  out->PutInt("cores", varz.cores);
  out->PutInt("gomaxprocs", varz.gomaxprocs);
  out->OptInt("gomemlimit", varz.gomemlimit);
  out->PutFloat("cpu", varz.cpu_percent);
  out->PutInt("connections", varz.connections);
  out->PutUint("total_connections", varz.total_connections);
  out->PutInt("routes", varz.routes);
  out->PutInt("remotes", varz.remotes);
  out->PutInt("leafnodes", varz.leafnodes);
  out->PutInt("in_msgs", varz.in_msgs);
  out->PutInt("in_bytes", varz.in_bytes);
  out->PutInt("in_client_msgs", varz.in_client_msgs);
  out->PutInt("in_client_bytes", varz.in_client_bytes);
  out->PutInt("out_msgs", varz.out_msgs);
  out->PutInt("out_bytes", varz.out_bytes);
  out->PutInt("out_client_msgs", varz.out_client_msgs);
  out->PutInt("out_client_bytes", varz.out_client_bytes);
  out->PutInt("slow_consumers", varz.slow_consumers);
  out->PutInt("stale_connections", varz.stale_connections);
  out->PutInt("stalled_clients", varz.stalled_clients);
  out->PutUint("subscriptions", varz.subscriptions);
}

void RenderMillrace(const MillraceStats& stats, JsonWriter* out) {
  out->BeginObject();
  out->Put("version", stats.version);
  out->PutInt("shards", stats.shards);
  out->PutUint("turns", stats.turns);
  out->PutUint("long_turns", stats.long_turns);
  out->Key("long_turns_by_phase");
  out->BeginObject();
  for (const auto& [phase, turns] : stats.long_turns_by_phase) out->PutUint(phase, turns);
  out->EndObject();
  out->PutUint("longest_turn", stats.longest_turn_ns);
  out->PutUint("congestions", stats.congestions);
  out->PutUint("js_damaged_parts", stats.damaged_parts);
  out->PutUint("js_scrubbed_bytes", stats.scrubbed_bytes);
  out->PutUint("js_scrub_passes", stats.scrub_passes);
  out->EndObject();
}

}  // namespace

std::map<std::string, bool> DefaultFeatureFlags() {
  return {{"js_ack_fc_v2", false},
          {"js_api_reply_v2", false},
          {"js_raft_delete_range", true},
          {"js_snapshot_sources", false}};
}

void RenderJetStreamFields(const JetStreamVarz& jetstream, JsonWriter* out) {
  out->Key("config"), RenderJetStreamConfig(jetstream.config, out);
  out->Key("stats");
  out->BeginObject();
  RenderJetStreamStatsFields(jetstream.stats, out);
  out->EndObject();
  out->Key("limits"), RenderJetStreamLimits(jetstream.limits, out);
}

void RenderVarz(const VarzSnapshot& varz, const std::map<std::string, uint64_t>& http_req_stats,
                JsonWriter* out) {
  out->BeginObject();
  RenderIdentity(varz, out);
  out->Key("cluster"), RenderCluster(varz.cluster, out);
  out->Key("gateway"), RenderGateway(varz.gateway, out);
  out->Key("leaf"), RenderLeaf(varz.leaf, out);
  out->Key("mqtt"), RenderMqtt(varz.mqtt, out);
  out->Key("websocket"), RenderWebsocket(varz.websocket, out);
  out->Key("jetstream");
  out->BeginObject();
  if (varz.jetstream.has_value()) RenderJetStreamFields(*varz.jetstream, out);
  out->EndObject();
  out->PutFloat("tls_timeout", varz.tls_timeout_s);
  out->PutInt("write_deadline", varz.write_deadline_ns);
  out->Opt("write_timeout", varz.write_timeout);
  RenderCounters(varz, out);
  out->Key("http_req_stats");
  out->BeginObject();
  for (const auto& [path, count] : http_req_stats) out->PutUint(path, count);
  out->EndObject();
  out->PutTime("config_load_time", varz.config_load_time_ns);
  out->Put("config_digest", varz.config_digest);
  out->OptStrings("tags", varz.tags);
  if (!varz.metadata.empty()) {
    out->Key("metadata");
    out->BeginObject();
    for (const auto& [name, value] : varz.metadata) out->Put(name, value);
    out->EndObject();
  }
  out->Key("feature_flags");
  out->BeginObject();
  for (const auto& [name, by_default] : DefaultFeatureFlags()) {
    const auto configured = varz.feature_flags.find(name);
    out->PutBool(name, configured != varz.feature_flags.end() ? configured->second : by_default);
  }
  out->EndObject();
  out->OptStrings("trusted_operators_jwt", varz.trusted_operators_jwt);
  out->Opt("system_account", varz.system_account);
  out->OptUint("pinned_account_fails", varz.pinned_account_fails);
  RenderKindCounts("slow_consumer_stats", varz.slow_consumer_stats, out);
  RenderKindCounts("stale_connection_stats", varz.stale_connection_stats, out);
  out->Key("disk_io_wait_stats");
  out->BeginObject();
  out->PutInt("waiters", varz.disk_io_wait_stats.waiters);
  out->PutUint("waits", varz.disk_io_wait_stats.waits);
  out->PutUint("wait_time", varz.disk_io_wait_stats.wait_time_ns);
  out->PutUint("max_wait_time", varz.disk_io_wait_stats.max_wait_time_ns);
  out->EndObject();
  if (!varz.proxies_trusted.empty()) {
    out->Key("proxies");
    out->BeginObject();
    out->Key("trusted");
    out->BeginArray();
    for (const std::string& key : varz.proxies_trusted) {
      out->BeginObject();
      out->Put("key", key);
      out->EndObject();
    }
    out->EndArray();
    out->EndObject();
  }
  out->OptTime("tls_cert_not_after", varz.tls_cert_not_after_ns);
  if (varz.millrace.has_value()) out->Key("millrace"), RenderMillrace(*varz.millrace, out);
  out->EndObject();
}

}  // namespace millrace
