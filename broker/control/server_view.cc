// SPDX-License-Identifier: Apache-2.0
#include "broker/control/server_view.h"

#include <algorithm>

#include "broker/version.h"

namespace millrace {
namespace {

// As varz names it: the default goes without saying.
std::string_view WriteTimeoutName(Options::WriteTimeout what) {
  switch (what) {
    case Options::WriteTimeout::kDefault: return "";
    case Options::WriteTimeout::kClose: return "close";
    case Options::WriteTimeout::kRetry: return "retry";
  }
  return "";
}

MillraceStats OwnStats(Mesh& mesh) {
  MillraceStats stats;
  stats.version = kMillraceVersion;
  stats.shards = mesh.shards();
  stats.turns = SumOf(mesh, &ShardCounters::turns);
  stats.long_turns = SumOf(mesh, &ShardCounters::long_turns);
  stats.congestions = SumOf(mesh, &ShardCounters::congestions);
  stats.damaged_parts = SumOf(mesh, &ShardCounters::damaged_parts);
  stats.scrubbed_bytes = SumOf(mesh, &ShardCounters::scrubbed_bytes);
  stats.scrub_passes = SumOf(mesh, &ShardCounters::scrub_passes);
  for (size_t phase = 0; phase < kTurnPhases; ++phase) {
    uint64_t turns = 0;
    for (uint32_t shard = 0; shard < mesh.shards(); ++shard)
      turns += mesh.counters(shard).long_turns_by[phase].Get();
    stats.long_turns_by_phase.emplace_back(kTurnPhaseNames[phase], turns);
  }
  for (uint32_t shard = 0; shard < mesh.shards(); ++shard)
    stats.longest_turn_ns = std::max(stats.longest_turn_ns, mesh.counters(shard).longest_turn_ns.Get());
  return stats;
}

}  // namespace

uint64_t SumOf(Mesh& mesh, Counter ShardCounters::*counter) {
  uint64_t sum = 0;
  for (uint32_t shard = 0; shard < mesh.shards(); ++shard) sum += (mesh.counters(shard).*counter).Get();
  return sum;
}

void FillVarz(const ServerView& view, Mesh& mesh, const ProcessUsage::Sample& usage, VarzSnapshot* v) {
  const Options& o = view.options;
  v->server_id = view.info.server_id;
  v->server_name = view.info.server_name;
  v->host = view.info.host;
  v->port = view.info.port;
  v->auth_required = o.AuthRequired();
  v->max_connections = o.max_connections;
  v->max_subscriptions = o.max_subscriptions;
  v->ping_interval_ns = o.ping_interval.count();
  v->ping_max = o.ping_max;
  v->http_host = o.http_host;
  v->http_port = o.http_port;
  v->http_base_path = o.http_base_path;
  v->https_port = o.https_port;
  v->auth_timeout_s = o.auth_timeout;
  v->max_control_line = static_cast<int32_t>(o.max_control_line);
  v->max_payload = o.max_payload;
  v->max_pending = o.max_pending;
  v->tls_timeout_s = 2;
  v->write_deadline_ns = o.write_deadline.count();
  v->write_timeout = std::string(WriteTimeoutName(o.write_timeout));
  v->start_ns = view.start_ns;
  v->now_ns = view.now_ns;
  v->mem_bytes = usage.rss_bytes;
  v->cpu_percent = usage.cpu_percent;
  v->cores = UsableCores();
  v->gomaxprocs = static_cast<int>(mesh.shards());
  v->connections = static_cast<int64_t>(SumOf(mesh, &ShardCounters::connections));
  v->total_connections = SumOf(mesh, &ShardCounters::connections_total);
  v->in_msgs = v->in_client_msgs = static_cast<int64_t>(SumOf(mesh, &ShardCounters::in_messages));
  v->in_bytes = v->in_client_bytes = static_cast<int64_t>(SumOf(mesh, &ShardCounters::in_bytes));
  v->out_msgs = v->out_client_msgs = static_cast<int64_t>(SumOf(mesh, &ShardCounters::out_messages));
  v->out_bytes = v->out_client_bytes = static_cast<int64_t>(SumOf(mesh, &ShardCounters::out_bytes));
  v->slow_consumers = static_cast<int64_t>(SumOf(mesh, &ShardCounters::slow_consumers));
  v->slow_consumer_stats.clients = static_cast<uint64_t>(v->slow_consumers);
  v->stale_connections = static_cast<int64_t>(SumOf(mesh, &ShardCounters::stale_connections));
  v->stale_connection_stats.clients = static_cast<uint64_t>(v->stale_connections);
  v->stalled_clients = static_cast<int64_t>(SumOf(mesh, &ShardCounters::stalls));
  v->subscriptions = static_cast<uint32_t>(SumOf(mesh, &ShardCounters::subscriptions));
  v->config_load_time_ns = view.config_load_ns;
  v->config_digest = o.config_digest;
  v->tags = o.server_tags;
  v->metadata = o.server_metadata;
  v->feature_flags = o.feature_flags;
  v->system_account = view.accounts.system().name;
  v->millrace = OwnStats(mesh);
}

void AddSettings(const JetStreamSettings& settings, JetStreamVarz* jetstream) {
  const int64_t max_storage = jetstream->config.max_storage;
  jetstream->config = settings.config;
  if (max_storage > 0) jetstream->config.max_storage = max_storage;
  jetstream->limits = settings.limits;
  jetstream->stats.api_level = kApiLevel;
}

HealthSnapshot NotServing() {
  HealthSnapshot health;
  health.http_status = 500;
  health.status = "error";
  HealthError& error = health.errors.emplace_back();
  error.type = HealthErrorType::kConnection;
  error.error = "failed to be ready for connections after 1ms: server";
  return health;
}

}  // namespace millrace
