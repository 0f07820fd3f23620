// SPDX-License-Identifier: Apache-2.0
// /jsz, and what /varz and /healthz say of JetStream.
#include <algorithm>

#include "absl/strings/str_format.h"
#include "broker/monitor/pages.h"
#include "broker/monitor/parameters.h"
#include "proto/base/status.h"
#include "proto/quoted.h"

namespace millrace {
namespace {

constexpr int kNotFound = 404;

void RenderTexts(std::string_view key, const std::vector<std::string>& texts, JsonWriter* out) {
  if (texts.empty()) return;
  out->Key(key);
  out->BeginArray();
  for (const std::string& text : texts) out->Raw(text);
  out->EndArray();
}

void RenderStream(const JszStream& stream, const JszOptions& options, JsonWriter* out) {
  out->BeginObject();
  out->Put("name", stream.name);
  out->PutTime("created", stream.created_ns);
  out->OptRaw("cluster", stream.cluster);
  if (options.config) out->OptRaw("config", stream.config);
  out->OptRaw("state", stream.state);
  if (options.consumers) {
    RenderTexts("consumer_detail", stream.consumers, out);
    if (options.direct_consumers) RenderTexts("direct_consumer_detail", stream.direct_consumers, out);
  }
  out->OptRaw("mirror", stream.mirror);
  out->OptRaw("sources", stream.sources);
  out->EndObject();
}

HealthSnapshot NotFound(HealthErrorType type, const HealthzOptions& options, std::string text) {
  HealthSnapshot health;
  health.http_status = kNotFound;
  HealthError& error = health.errors.emplace_back();
  error.type = type;
  error.account = options.account;
  if (type != HealthErrorType::kAccount) error.stream = options.stream;
  if (type == HealthErrorType::kConsumer) error.consumer = options.consumer;
  error.error = std::move(text);
  return health;
}

}  // namespace

// ---- options -------------------------------------------------------------------------------------------------------

absl::StatusOr<JszOptions> ParseJszParams(const HttpTarget& target) {
  JszOptions options;
  MR_ASSIGN_OR_RETURN(options.accounts, DecodeBool("accounts", target.Param("accounts")));
  MR_ASSIGN_OR_RETURN(options.streams, DecodeBool("streams", target.Param("streams")));
  MR_ASSIGN_OR_RETURN(options.consumers, DecodeBool("consumers", target.Param("consumers")));
  MR_ASSIGN_OR_RETURN(options.direct_consumers, DecodeBool("direct-consumers", target.Param("direct-consumers")));
  MR_ASSIGN_OR_RETURN(options.config, DecodeBool("config", target.Param("config")));
  MR_ASSIGN_OR_RETURN(options.offset, DecodeInt("offset", target.Param("offset")));
  MR_ASSIGN_OR_RETURN(options.limit, DecodeInt("limit", target.Param("limit")));
  MR_ASSIGN_OR_RETURN(options.leader_only, DecodeBool("leader-only", target.Param("leader-only")));
  MR_ASSIGN_OR_RETURN(options.raft, DecodeBool("raft", target.Param("raft")));
  MR_ASSIGN_OR_RETURN(options.stream_leader_only,
                      DecodeBool("stream-leader-only", target.Param("stream-leader-only")));
  options.account = target.Param("acc");
  CompleteJszOptions(&options);
  return options;
}

void CompleteJszOptions(JszOptions* options) {
  options->offset = std::max<int64_t>(options->offset, 0);
  if (options->limit == 0) options->limit = kJszLimitDefault;
  if (options->consumers) options->streams = true;
  if (options->streams && options->account.empty()) options->accounts = true;
}

std::vector<size_t> SelectJszAccounts(const JszOptions& options, const std::vector<std::string>& names) {
  std::vector<size_t> selected;
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i] == options.account) return {i};
    selected.push_back(i);
  }
  // A name that nobody has changes nothing, as in the peer.
  if (!options.accounts) return {};
  std::sort(selected.begin(), selected.end(), [&](size_t a, size_t b) { return names[a] < names[b]; });
  if (options.limit < 0) return selected;
  const size_t begin = std::min(static_cast<size_t>(options.offset), selected.size());
  const size_t count = std::min(static_cast<size_t>(options.limit), selected.size() - begin);
  const auto first = selected.begin() + static_cast<std::ptrdiff_t>(begin);
  return {first, first + static_cast<std::ptrdiff_t>(count)};
}

// ---- pages ---------------------------------------------------------------------------------------------------------

void RenderJetStreamConfig(const JetStreamConfigInfo& config, JsonWriter* out) {
  out->BeginObject();
  out->PutInt("max_memory", config.max_memory);
  out->PutInt("max_storage", config.max_storage);
  out->Opt("store_dir", config.store_dir);
  out->OptInt("sync_interval", config.sync_interval_ns);
  out->OptBool("sync_always", config.sync_always);
  out->Opt("domain", config.domain);
  out->OptBool("compress_ok", config.compress_ok);
  out->Opt("unique_tag", config.unique_tag);
  out->OptBool("strict", config.strict);
  out->EndObject();
}

void RenderJetStreamStatsFields(const JetStreamStats& stats, JsonWriter* out) {
  out->PutUint("memory", stats.memory);
  out->PutUint("storage", stats.storage);
  out->PutUint("reserved_memory", stats.reserved_memory);
  out->PutUint("reserved_storage", stats.reserved_storage);
  out->PutInt("accounts", stats.accounts);
  out->PutInt("ha_assets", stats.ha_assets);
  out->Key("api");
  out->BeginObject();
  out->PutInt("level", stats.api_level);
  out->PutUint("total", stats.api_total);
  out->PutUint("errors", stats.api_errors);
  out->OptUint("inflight", stats.api_inflight);
  out->EndObject();
}

void RenderJetStreamLimits(const JetStreamLimitsInfo& limits, JsonWriter* out) {
  out->BeginObject();
  out->OptInt("max_request_batch", limits.max_request_batch);
  out->OptInt("max_ack_pending", limits.max_ack_pending);
  out->OptInt("max_ha_assets", limits.max_ha_assets);
  out->OptInt("max_duplicate_window", limits.max_duplicate_window_ns);
  out->OptInt("max_batch_inflight_per_stream", limits.max_batch_inflight_per_stream);
  out->OptInt("max_batch_inflight_total", limits.max_batch_inflight_total);
  out->OptInt("max_batch_size", limits.max_batch_size);
  out->OptInt("max_batch_timeout", limits.max_batch_timeout_ns);
  out->OptInt("default_max_consumers", limits.default_max_consumers);
  out->EndObject();
}

void RenderJszAccount(const JszAccount& account, const JszOptions& options, JsonWriter* out) {
  out->BeginObject();
  out->Put("name", account.name);
  out->Put("id", account.id);
  JetStreamStats stats;
  stats.memory = account.memory;
  stats.storage = account.storage;
  stats.reserved_memory = account.reserved_memory;
  stats.reserved_storage = account.reserved_storage;
  stats.api_total = account.api_total;
  stats.api_errors = account.api_errors;
  RenderJetStreamStatsFields(stats, out);
  if (options.streams && !account.streams.empty()) {
    out->Key("stream_detail");
    out->BeginArray();
    for (const JszStream& stream : account.streams) RenderStream(stream, options, out);
    out->EndArray();
  }
  out->EndObject();
}

void RenderJsz(const JszSnapshot* jsz, const JszOptions& options, std::string_view server_id, int64_t now_ns,
               JsonWriter* out) {
  const JszSnapshot off;
  const bool on = jsz != nullptr;
  if (!on) jsz = &off;
  out->BeginObject();
  RenderJetStreamStatsFields(jsz->server.stats, out);
  out->Put("server_id", server_id);
  out->PutTime("now", now_ns);
  out->OptBool("disabled", !on);
  out->Key("config"), RenderJetStreamConfig(jsz->server.config, out);
  if (on) out->Key("limits"), RenderJetStreamLimits(jsz->server.limits, out);
  out->PutInt("streams", jsz->streams);
  // One server leads all that it has.
  if (options.raft) out->OptInt("streams_leader", jsz->streams);
  out->PutInt("consumers", jsz->consumers);
  if (options.raft) out->OptInt("consumers_leader", jsz->consumers);
  out->PutUint("messages", jsz->messages);
  out->PutUint("bytes", jsz->bytes);
  if (!jsz->accounts.empty()) {
    out->Key("account_details");
    out->BeginArray();
    for (const JszAccount& account : jsz->accounts) RenderJszAccount(account, options, out);
    out->EndArray();
  }
  out->PutInt("total", jsz->total);
  out->EndObject();
}

// ---- health --------------------------------------------------------------------------------------------------------

bool WantsJetStreamHealth(const HealthzOptions& options) { return !options.js_server_only; }

HealthSnapshot HealthOf(const HealthzOptions& options, const JetStreamHealth* jetstream) {
  HealthSnapshot health;
  if (!WantsJetStreamHealth(options)) return health;
  if (jetstream == nullptr) {
    HealthError& error = health.errors.emplace_back();
    error.type = HealthErrorType::kJetStream;
    error.error = "JetStream not enabled (10076)";
    return health;
  }
  if (options.js_enabled_only || options.js_enabled) return health;
  if (!options.details && !jetstream->broken.empty()) {
    health.errors.push_back(jetstream->broken.front());
    return health;
  }
  const std::string account = Quoted(options.account);
  const std::string stream = Quoted(options.stream);
  if (!options.account.empty() && !jetstream->account_found) {
    return NotFound(HealthErrorType::kAccount, options, absl::StrFormat("JetStream account %s not found", account));
  }
  if (!options.stream.empty() && !jetstream->stream_found) {
    return NotFound(HealthErrorType::kStream, options,
                    absl::StrFormat("JetStream stream %s not found on account %s", stream, account));
  }
  if (!options.consumer.empty() && !jetstream->consumer_found) {
    return NotFound(HealthErrorType::kConsumer, options,
                    absl::StrFormat("JetStream consumer %s not found for stream %s on account %s",
                                    Quoted(options.consumer), stream, account));
  }
  health.errors = jetstream->broken;
  return health;
}

}  // namespace millrace
