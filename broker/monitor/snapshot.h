// SPDX-License-Identifier: Apache-2.0
// Snapshots: what the core fills in for a monitoring answer. Plain values, gathered from shards.
// Owner:  caller (pure values; made on shards, moved to the control thread).
// Units:  *_ns are nanoseconds; times are wall clock since 1970-01-01 UTC, 0 where not set.
// Fields stand in the order in which they are printed. "Omitted" means: left out of the JSON when
// empty, zero or false.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace millrace {

// ---- subscriptions ------------------------------------------------------------------------------

struct SubInfo {
  std::string account;      // printed in /subsz only
  std::string account_tag;  // name tag of the account, or its name; printed in /subsz only
  std::string subject;
  std::string queue;  // omitted
  std::string sid;
  int64_t msgs = 0;
  int64_t max = 0;  // omitted
  uint64_t cid = 0;
};

// Counters of one or of several subscription sets. Add() sums; the rates are derived when printing.
struct SublistStats {
  uint32_t num_subscriptions = 0;
  uint32_t num_cache = 0;
  uint64_t num_inserts = 0;
  uint64_t num_removes = 0;
  uint64_t num_matches = 0;
  uint64_t cache_hits = 0;    // cache_hit_rate = cache_hits / num_matches
  uint32_t max_fanout = 0;    // targets of the widest cached match
  uint64_t total_fanout = 0;  // avg_fanout = total_fanout / cache_entries
  uint64_t cache_entries = 0;

  void Add(const SublistStats& other);
};

// ---- connections --------------------------------------------------------------------------------

struct TlsPeerCert {
  std::string subject, spki_sha256, cert_sha256;  // hex; each omitted when empty
};

struct ConnInfo {
  uint64_t cid = 0;
  std::string kind = "Client";  // Client, Leafnode, Router, Gateway, System, JetStream, Account
  std::string type = "nats";    // nats, websocket, mqtt; empty for other kinds
  std::string ip;
  int port = 0;
  int64_t start_ns = 0;
  int64_t last_activity_ns = 0;
  int64_t stop_ns = 0;  // 0: open. Omitted
  std::string reason;   // why it closed. Omitted
  int64_t rtt_ns = 0;   // 0 prints "0s"; RoundRtt() it as the peer does
  int64_t pending_bytes = 0;
  int64_t in_msgs = 0, out_msgs = 0, in_bytes = 0, out_bytes = 0;
  int64_t stalls = 0;  // omitted
  uint32_t num_subs = 0;
  std::string name, lang, version;            // from CONNECT; omitted
  std::string tls_version, tls_cipher_suite;  // "1.3", "TLS_AES_128_GCM_SHA256"; omitted
  std::vector<TlsPeerCert> tls_peer_certs;    // printed with auth=1 only
  bool tls_first = false;                     // omitted
  std::string user;                           // authorized_user; printed with auth=1 only
  std::string account;                        // printed with auth=1 only, and not for $G
  std::string jwt;                            // with auth=1; the core leaves out bearer tokens
  std::string issuer_key, name_tag;           // with auth=1
  std::vector<std::string> tags;              // with auth=1
  std::string mqtt_client;                    // omitted
  std::string proxy_key;                      // omitted
  // Filled when the request asks for them (kNeedConnectionSubs); account and account_tag unused.
  std::vector<SubInfo> subs;
};

// The peer cuts a round trip between 1 us and 1 ms to whole microseconds.
int64_t RoundRtt(int64_t rtt_ns);

// ---- /varz --------------------------------------------------------------------------------------

struct KindCounts {
  uint64_t clients = 0, routes = 0, gateways = 0, leafs = 0;
};

struct DiskIoWaitStats {
  int64_t waiters = 0;
  uint64_t waits = 0, wait_time_ns = 0, max_wait_time_ns = 0;
};

// Every field of these five is omitted when zero, so an unconfigured feature prints {}.
struct ClusterVarz {
  std::string name, host;
  int port = 0;
  double auth_timeout_s = 0;
  std::vector<std::string> urls;  // host:port of configured routes
  double tls_timeout_s = 0;
  bool tls_required = false, tls_verify = false;
  int pool_size = 0;
  int64_t write_deadline_ns = 0;
  std::string write_timeout;  // "close", "retry"; empty for the default
  int64_t tls_cert_not_after_ns = 0;
};

struct GatewayVarz {
  struct Remote {
    std::string name;
    double tls_timeout_s = 0;
    std::vector<std::string> urls;
  };
  std::string name, host;
  int port = 0;
  double auth_timeout_s = 0, tls_timeout_s = 0;
  bool tls_required = false, tls_verify = false;
  std::string advertise;
  int connect_retries = 0;
  std::vector<Remote> gateways;
  bool reject_unknown = false;
  int64_t write_deadline_ns = 0;
  std::string write_timeout;
  int64_t tls_cert_not_after_ns = 0;
};

struct LeafVarz {
  struct Remote {
    std::string local_account;
    double tls_timeout_s = 0;
    std::vector<std::string> urls;
    std::vector<std::string> deny_exports, deny_imports;
    bool tls_ocsp_peer_verify = false;
  };
  std::string host;
  int port = 0;
  double auth_timeout_s = 0, tls_timeout_s = 0;
  bool tls_required = false, tls_verify = false;
  std::vector<Remote> remotes;
  bool tls_ocsp_peer_verify = false;
  int64_t write_deadline_ns = 0;
  std::string write_timeout;
  int64_t tls_cert_not_after_ns = 0;
};

struct MqttVarz {
  std::string host;
  int port = 0;
  std::string no_auth_user;
  double auth_timeout_s = 0;
  bool tls_map = false;
  double tls_timeout_s = 0;
  std::vector<std::string> tls_pinned_certs;
  std::string js_domain;
  int64_t ack_wait_ns = 0;
  int max_ack_pending = 0;
  bool tls_ocsp_peer_verify = false;
  int64_t tls_cert_not_after_ns = 0;
};

struct WebsocketVarz {
  std::string host;
  int port = 0;
  std::string advertise, no_auth_user, jwt_cookie;
  int64_t handshake_timeout_ns = 0;
  double auth_timeout_s = 0;
  bool no_tls = false, tls_map = false;
  std::vector<std::string> tls_pinned_certs;
  bool same_origin = false;
  std::vector<std::string> allowed_origins;
  bool compression = false, tls_ocsp_peer_verify = false;
  int64_t tls_cert_not_after_ns = 0;
};

// What is in force, not what is configured.
struct JetStreamConfigInfo {
  int64_t max_memory = 0, max_storage = 0;  // always printed
  std::string store_dir;                    // the rest is omitted when zero
  int64_t sync_interval_ns = 0;
  bool sync_always = false;
  std::string domain;
  bool compress_ok = false;
  std::string unique_tag;
  bool strict = false;
};

struct JetStreamStats {
  uint64_t memory = 0, storage = 0, reserved_memory = 0, reserved_storage = 0;
  int accounts = 0, ha_assets = 0;
  int api_level = 0;
  uint64_t api_total = 0, api_errors = 0, api_inflight = 0;  // inflight is omitted when 0
};

struct JetStreamLimitsInfo {  // each omitted when zero
  int64_t max_request_batch = 0, max_ack_pending = 0, max_ha_assets = 0;
  int64_t max_duplicate_window_ns = 0;
  int64_t max_batch_inflight_per_stream = 0, max_batch_inflight_total = 0, max_batch_size = 0;
  int64_t max_batch_timeout_ns = 0;
  int64_t default_max_consumers = 0;
};

struct JetStreamVarz {
  JetStreamConfigInfo config;
  JetStreamStats stats;
  JetStreamLimitsInfo limits;
};

// ---- /jsz ---------------------------------------------------------------------------------------

// What the engine prints for its API anyway comes as JSON, compact, in the peer's order of keys; empty: omitted.
struct JszStream {
  std::string name;
  int64_t created_ns = 0;
  std::string cluster;  // {"leader":"<server name>"}
  std::string config;   // only when asked for
  std::string state;
  // ConsumerInfo, without "config" unless asked for. Direct: those that feed mirrors and sources.
  std::vector<std::string> consumers, direct_consumers;
  std::string mirror, sources;
};

struct JszAccount {
  std::string name, id;  // name: the name tag when there is one
  uint64_t memory = 0, storage = 0;
  uint64_t reserved_memory = UINT64_MAX, reserved_storage = UINT64_MAX;  // so prints an account without limits
  uint64_t api_total = 0, api_errors = 0;
  std::vector<JszStream> streams;  // only when asked for
};

struct JszSnapshot {
  JetStreamVarz server;
  // Of all accounts, whatever was asked for.
  int streams = 0, consumers = 0;
  uint64_t messages = 0, bytes = 0;
  int total = 0;                     // accounts with JetStream
  std::vector<JszAccount> accounts;  // those of SelectJszAccounts()
};

// What only this broker knows of itself; after all that the peer has.
struct MillraceStats {
  std::string version;
  int64_t shards = 0;
  uint64_t turns = 0;
  uint64_t long_turns = 0;                                          // over 1 ms
  std::vector<std::pair<const char*, uint64_t>> long_turns_by_phase;  // by the phase that took longest
  uint64_t longest_turn_ns = 0;
  uint64_t congestions = 0;
  uint64_t damaged_parts = 0, scrubbed_bytes = 0, scrub_passes = 0;  // of what JetStream stores
};

struct VarzSnapshot {
  std::string server_id, server_name;
  // version, proto, git_commit and go come from version.h
  std::string host;
  int port = 0;
  bool auth_required = false, tls_required = false, tls_verify = false;  // omitted
  bool tls_ocsp_peer_verify = false;                                     // omitted
  std::string ip;                                                        // omitted
  std::vector<std::string> connect_urls, ws_connect_urls;                // omitted
  int64_t max_connections = 65536;
  int64_t max_subscriptions = 0;  // omitted
  int64_t ping_interval_ns = 0;
  int ping_max = 0;
  std::string http_host;
  int http_port = 0;
  std::string http_base_path;
  int https_port = 0;
  double auth_timeout_s = 0;
  int32_t max_control_line = 0;
  int64_t max_payload = 0, max_pending = 0;
  ClusterVarz cluster;
  GatewayVarz gateway;
  LeafVarz leaf;
  MqttVarz mqtt;
  WebsocketVarz websocket;
  std::optional<JetStreamVarz> jetstream;  // nullopt prints {}
  double tls_timeout_s = 0;
  int64_t write_deadline_ns = 0;
  std::string write_timeout;  // omitted
  int64_t start_ns = 0;
  int64_t now_ns = 0;  // uptime = now - start
  int64_t mem_bytes = 0;
  int cores = 1;
  int gomaxprocs = 1;      // ours: number of shards
  int64_t gomemlimit = 0;  // ours: --max-memory; omitted
  double cpu_percent = 0;
  int64_t connections = 0;
  uint64_t total_connections = 0;
  int64_t routes = 0, remotes = 0, leafnodes = 0;
  int64_t in_msgs = 0, in_bytes = 0, in_client_msgs = 0, in_client_bytes = 0;
  int64_t out_msgs = 0, out_bytes = 0, out_client_msgs = 0, out_client_bytes = 0;
  int64_t slow_consumers = 0, stale_connections = 0, stalled_clients = 0;
  uint32_t subscriptions = 0;
  // http_req_stats is MonitorService's own
  int64_t config_load_time_ns = 0;
  std::string config_digest;                       // "sha256:..."
  std::vector<std::string> tags;                   // omitted
  std::map<std::string, std::string> metadata;     // omitted
  std::map<std::string, bool> feature_flags;       // as configured; defaults are added
  std::vector<std::string> trusted_operators_jwt;  // omitted
  std::string system_account;                      // omitted
  uint64_t pinned_account_fails = 0;               // omitted
  KindCounts slow_consumer_stats;
  KindCounts stale_connection_stats;
  DiskIoWaitStats disk_io_wait_stats;
  std::vector<std::string> proxies_trusted;  // keys; omitted
  int64_t tls_cert_not_after_ns = 0;         // omitted
  std::optional<MillraceStats> millrace;     // omitted
};

// The flags that the peer knows, with its defaults.
std::map<std::string, bool> DefaultFeatureFlags();

// ---- accounts -----------------------------------------------------------------------------------

struct DataStats {
  int64_t msgs = 0, bytes = 0;
  int64_t gateway_msgs = 0, gateway_bytes = 0;
  int64_t route_msgs = 0, route_bytes = 0, leaf_msgs = 0, leaf_bytes = 0;
};

struct LatencySampling {
  std::string results;  // subject
  int sampling = 0;     // per cent; 0: as the request's headers say
};

struct AccountImport {
  std::string subject;        // what is imported, in the exporter's words
  std::string account;        // the exporter
  std::string to;             // deprecated twin of local_subject, printed for services only
  std::string local_subject;  // ours
  std::string type;           // "service", "stream"
  bool invalid = false, share = false, tracking = false;
  std::optional<LatencySampling> latency;  // the export's; omitted
};

struct AccountExport {
  std::string subject;
  std::string type;
  std::string response_type;                   // "Singleton", "Streamed", "Chunked"; services only
  bool token_req = false;                      // omitted
  std::optional<LatencySampling> latency;      // omitted
  std::vector<std::string> approved_accounts;  // omitted
};

// The peer shows shares added up: what is drawn below `weight`, and not below that of those before, goes there.
struct AccountMappingDest {
  std::string subject;
  int weight = 100;
  std::string cluster;  // omitted
};

struct AccountSnapshot {
  std::string name;
  std::string name_tag;  // the name when there is no tag
  int64_t update_time_ns = 0;
  bool is_system = false;  // omitted
  bool expired = false, complete = true, jetstream_enabled = false;
  int leafnodes = 0;  // connections
  int clients = 0;
  uint32_t subscriptions = 0;
  std::map<std::string, std::vector<AccountMappingDest>> mappings;  // omitted
  std::vector<AccountExport> exports;                               // omitted
  std::vector<AccountImport> imports;                               // omitted
  std::string jwt, issuer_key;                                      // omitted
  std::vector<std::string> tags;                                    // omitted
  SublistStats sublist;
  DataStats sent, received;  // /accstatz
  int64_t slow_consumers = 0;
};

// ---- /healthz -----------------------------------------------------------------------------------

enum class HealthErrorType : uint8_t {
  kConnection,
  kBadRequest,
  kJetStream,
  kAccount,
  kStream,
  kConsumer
};

struct HealthError {
  HealthErrorType type = HealthErrorType::kConnection;
  std::string account, stream, consumer;  // omitted
  std::string error;
};

// What the checks found. Without details=1 only the first error's text is shown.
struct HealthSnapshot {
  int http_status = 0;  // 0: 200 without errors, 503 with
  std::string status;   // what "status" says without details; empty: "ok" or "unavailable"
  std::vector<HealthError> errors;
};

// What JetStream says of the assets that a probe is about: all, or those of HealthzOptions.
struct JetStreamHealth {
  bool account_found = false, stream_found = false, consumer_found = false;  // those that the options name
  std::vector<HealthError> broken;  // kStream: what is wrong with each, in the order of their names
};

}  // namespace millrace
