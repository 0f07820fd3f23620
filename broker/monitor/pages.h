// SPDX-License-Identifier: Apache-2.0
// Pages: the options of each monitoring endpoint and its JSON, shared by HTTP and $SYS services.
// Owner:  caller (pure).
// Errors: a bad option gives InvalidArgument; its message is the peer's text, HTTP answers it as
// 400.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "broker/http/http.h"
#include "broker/json/writer.h"
#include "broker/monitor/snapshot.h"

namespace millrace {

inline constexpr int64_t kConnzLimitDefault = 1024;
inline constexpr int64_t kSubszLimitDefault = 1024;
inline constexpr int64_t kJszLimitDefault = 1024;

// ---- /connz -------------------------------------------------------------------------------------

enum class ConnzSort : uint8_t {
  kCid,
  kStart,
  kSubs,
  kPending,
  kMsgsTo,
  kMsgsFrom,
  kBytesTo,
  kBytesFrom,
  kLast,
  kIdle,
  kUptime,
  kStop,
  kReason,
  kRtt
};
enum class ConnzState : uint8_t { kOpen, kClosed, kAll, kNone };  // kNone: a $SYS request may ask for none

struct ConnzOptions {
  ConnzSort sort = ConnzSort::kCid;
  bool auth = false;         // print users, accounts, tokens
  bool subs = false;         // subscriptions_list
  bool subs_detail = false;  // subscriptions_list_detail; wins over subs
  int64_t offset = 0;
  int64_t limit = kConnzLimitDefault;
  uint64_t cid = 0;  // 0: all
  std::string mqtt_client;
  ConnzState state = ConnzState::kOpen;
  std::string user;
  std::string account;
  std::string filter_subject;  // $SYS request only; needs account

  bool wants_open() const { return state == ConnzState::kOpen || state == ConnzState::kAll; }
  bool wants_closed() const { return state == ConnzState::kClosed || state == ConnzState::kAll; }
  bool wants_subs() const { return subs || subs_detail || !filter_subject.empty(); }
};

absl::StatusOr<ConnzSort> ParseConnzSort(std::string_view name);
absl::StatusOr<ConnzOptions> ParseConnzParams(const HttpTarget& target);
// The checks that do not depend on where options come from, and the defaults (limit, offset).
// ParseConnzParams calls it; a $SYS request calls it itself.
absl::Status CompleteConnzOptions(ConnzOptions* options);

struct ConnzInput {
  std::string server_id;
  int64_t now_ns = 0;
  bool account_known = true;  // false: options.account names no account
  // Connections in reach of the request: all, or those of options.account. A shard may leave out
  // what MatchesConnz refuses, so the totals (before user, mqtt_client and cid) stand beside the
  // lists.
  std::vector<ConnInfo> open, closed;
  size_t open_total = 0, closed_total = 0;
};

// Does this connection pass cid, user, account and mqtt_client? For shards, before they build a
// ConnInfo.
bool MatchesConnz(const ConnzOptions& options, uint64_t cid, std::string_view user,
                  std::string_view account, std::string_view mqtt_client);
// Filters, sorts, pages and writes. 65,536 connections take well under a second (README).
void RenderConnz(ConnzInput&& input, const ConnzOptions& options, JsonWriter* out);
void RenderConnInfo(const ConnInfo& info, const ConnzOptions& options, int64_t now_ns,
                    JsonWriter* out);

// ---- /subsz -------------------------------------------------------------------------------------

struct SubszOptions {
  bool subs = false;
  int64_t offset = 0;
  int64_t limit = kSubszLimitDefault;
  std::string account;
  std::string test;  // a literal subject: only subscriptions that it would reach
};

absl::StatusOr<SubszOptions> ParseSubszParams(const HttpTarget& target);
absl::Status CompleteSubszOptions(SubszOptions* options);

struct SubszInput {
  std::string server_id;
  int64_t now_ns = 0;
  SublistStats stats;
  std::vector<SubInfo> subs;  // of options.account when set; only when options.subs
};
void RenderSubsz(SubszInput&& input, const SubszOptions& options, JsonWriter* out);
void RenderSubInfo(const SubInfo& info, JsonWriter* out);
void RenderSublistStatsFields(const SublistStats& stats, JsonWriter* out);

// ---- /jsz ---------------------------------------------------------------------------------------

struct JszOptions {
  std::string account;    // only this one, in detail
  bool accounts = false;  // account_details
  bool streams = false;   // stream_detail; implies accounts unless one is named
  bool consumers = false;  // consumer_detail; implies streams
  bool direct_consumers = false;
  bool config = false;
  bool leader_only = false, raft = false, stream_leader_only = false;  // one server leads everything
  int64_t offset = 0;
  int64_t limit = kJszLimitDefault;  // < 0: all
};
absl::StatusOr<JszOptions> ParseJszParams(const HttpTarget& target);
// What one option implies of another, and the defaults. ParseJszParams calls it; a $SYS request calls it itself.
void CompleteJszOptions(JszOptions* options);
// Whose details the page shows: indices into `names`, by name.
std::vector<size_t> SelectJszAccounts(const JszOptions& options, const std::vector<std::string>& names);

// nullptr: JetStream is off.
void RenderJsz(const JszSnapshot* jsz, const JszOptions& options, std::string_view server_id, int64_t now_ns,
               JsonWriter* out);
void RenderJszAccount(const JszAccount& account, const JszOptions& options, JsonWriter* out);
void RenderJetStreamFields(const JetStreamVarz& jetstream, JsonWriter* out);
void RenderJetStreamConfig(const JetStreamConfigInfo& config, JsonWriter* out);
void RenderJetStreamStatsFields(const JetStreamStats& stats, JsonWriter* out);
void RenderJetStreamLimits(const JetStreamLimitsInfo& limits, JsonWriter* out);

// ---- the rest -----------------------------------------------------------------------------------

void RenderVarz(const VarzSnapshot& varz, const std::map<std::string, uint64_t>& http_req_stats,
                JsonWriter* out);
void RenderDataStats(const DataStats& stats, JsonWriter* out);
void RenderAccountStat(const AccountSnapshot& account, JsonWriter* out);
void RenderAccountDetail(const AccountSnapshot& account, JsonWriter* out);

struct HealthzOptions {
  bool js_enabled = false, js_enabled_only = false, js_server_only = false, js_meta_only = false;
  bool details = false;
  std::string account, stream, consumer;
};
absl::StatusOr<HealthzOptions> ParseHealthzParams(const HttpTarget& target);
// A complaint about the options themselves (stream without account, ...): no need to ask the core.
bool CheckHealthzOptions(const HealthzOptions& options, HealthSnapshot* bad);
// A probe that is not answered without looking at JetStream. False: js-server-only and the like.
bool WantsJetStreamHealth(const HealthzOptions& options);
// `jetstream` is nullptr when JetStream is configured and does not run.
HealthSnapshot HealthOf(const HealthzOptions& options, const JetStreamHealth* jetstream);
// Writes compact JSON, returns the HTTP status. On HTTP the status is not repeated in the body.
int RenderHealthz(const HealthSnapshot& health, const HealthzOptions& options,
                  bool with_status_code, JsonWriter* out);

// What to log (WRN) about an answer that is not healthy; empty otherwise.
std::string HealthWarning(const HealthSnapshot& health, const HealthzOptions& options);

// Answers of a server where the feature is off.
void RenderRoutezOff(std::string_view server_id, std::string_view server_name, int64_t now_ns,
                     JsonWriter* out);
void RenderGatewayzOff(std::string_view server_id, int64_t now_ns, JsonWriter* out);
void RenderLeafzOff(std::string_view server_id, int64_t now_ns, JsonWriter* out);

// The index page: links to the rest. Our own words, the peer's structure.
std::string RootPage(std::string_view base_path);

}  // namespace millrace
