// SPDX-License-Identifier: Apache-2.0
// MonitorService: from a request to what must be gathered, and from that to the answer.
// Owner:  control thread.
// Flow:   HttpParser::Next -> Start(request) -> the core gathers request.needs from shards ->
//         Finish(request, data) -> bytes. When needs is 0 only server_id, server_name, now_ns and,
//         for /debug/vars, cmdline are read, so Finish may be called at once.
//         Answers leave in the order of requests; the core starts the next one after Finish.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/http/http.h"
#include "broker/monitor/pages.h"
#include "broker/monitor/snapshot.h"

namespace millrace {

// What the core must gather, as bits.
enum MonitorNeed : uint32_t {
  kNeedVarz = 1u << 0,
  kNeedOpenConnections = 1u << 1,  // pass options through MatchesConnz
  kNeedClosedConnections = 1u << 2,
  kNeedConnectionSubs = 1u << 3,  // with the two above: fill ConnInfo::subs
  kNeedSublistStats = 1u << 4,    // of MonitorRequest::stats_account(), else of all accounts
  kNeedSubscriptions = 1u << 5,   // the same scope
  kNeedAccountNames = 1u << 6,
  kNeedAccountStats = 1u << 7,   // all accounts
  kNeedAccountDetail = 1u << 8,  // of one account, accountz_name
  kNeedHealth = 1u << 9,
  // Of the shard that JetStream lives on, when it is on.
  kNeedJetStreamVarz = 1u << 10,
  kNeedJsz = 1u << 11,              // with options jsz
  kNeedJetStreamHealth = 1u << 12,  // with options healthz
};

struct MonitorPage;

struct MonitorRequest {
  const MonitorPage* page = nullptr;  // nullptr: the answer is `ready`: an error, a redirect
  uint32_t needs = 0;
  // The options of the page; the others keep their defaults.
  ConnzOptions connz;
  SubszOptions subsz;
  HealthzOptions healthz;
  JszOptions jsz;
  std::string accountz_name;
  bool accstatz_unused = false;
  HttpResponse ready;
  std::optional<HealthSnapshot> bad_health;  // set: /healthz refuses its options, no kNeedHealth
  std::string warning;                       // to be logged as WRN, when not empty
  // Of the HTTP request.
  bool head = false, keep_alive = true, http10 = false;

  // Whose subscriptions are counted; empty: all.
  const std::string& stats_account() const { return accountz_name.empty() ? subsz.account : accountz_name; }
};

struct MonitorData {
  std::string server_id, server_name;
  int64_t now_ns = 0;  // wall clock
  VarzSnapshot varz;
  // Connections: as in ConnzInput.
  std::vector<ConnInfo> open, closed;
  size_t open_total = 0, closed_total = 0;
  bool account_known = true;
  SublistStats sublist;
  std::vector<SubInfo> subs;
  std::string system_account;
  std::vector<std::string> account_names;
  std::vector<AccountSnapshot> accounts;  // all; for kNeedAccountDetail the one, none when unknown
  HealthSnapshot health;
  std::optional<JszSnapshot> jsz;  // none: JetStream is off
  std::vector<std::string> cmdline;  // /debug/vars
};

// One page: where it is, how its options are read, what it needs, how it is written. The table is in service.cc.
struct MonitorPage {
  // What the pages of one server have in common.
  struct Context {
    std::string_view base_path;
    const std::map<std::string, uint64_t>& http_req_stats;
    bool is_event = false;  // for the system account: compact, and with what HTTP says otherwise

    JsonLayout layout() const { return is_event ? JsonLayout::kCompact : JsonLayout::kIndent2; }
  };

  std::string_view path;        // behind the base path; empty: the index
  std::string_view counted_as;  // in http_req_stats; empty: not counted
  bool counts_refused;          // a request with malformed parameters counts too
  // Options and needs into *request. An error is the 400.
  absl::Status (*parse)(const HttpTarget& target, MonitorRequest* request);
  HttpResponse (*render)(const MonitorRequest& request, MonitorData&& data, const Context& context);
};

// The one at this path; there is one.
const MonitorPage& PageAt(std::string_view path);
// The needs of pages whose options are known.
void NeedConnections(MonitorRequest* request);
void NeedHealth(MonitorRequest* request);

// Of pages that are no JSON, and of errors.
inline constexpr std::string_view kPlainText = "text/plain; charset=utf-8";
// An answer that begins so is not given to requests that go to many servers.
inline constexpr std::string_view kFilteredResponse = "filtered response";

class MonitorService {
 public:
  // `base_path`: http_base_path, "" or "/nats"; normalised here.
  explicit MonitorService(std::string_view base_path);
  MonitorService(const MonitorService&) = delete;
  MonitorService& operator=(const MonitorService&) = delete;

  // Counts the request, reads its options. Bad options come back as `ready`, the 400.
  MonitorRequest Start(const HttpRequest& request);
  // The bytes of the answer. The connection stays open afterwards when request.keep_alive.
  std::string Finish(const MonitorRequest& request, MonitorData&& data) const;

  const std::map<std::string, uint64_t>& http_req_stats() const { return http_req_stats_; }

 private:
  std::string base_path_;  // "" or "/x"
  std::map<std::string, uint64_t> http_req_stats_;
};

}  // namespace millrace
