// SPDX-License-Identifier: Apache-2.0
// LatencyTracker: the requests of this shard's clients that are measured, until it is known what became of each, and
// the metrics that are made of them.
// Owner:  shard; part of its ServiceImports, which gives the numbers: that of a request is its own until it is
//         forgotten there.
// Use:    nothing here is touched by a request to an export that is not measured.
// States: expected (Begin) -> answered (OnReply) -> gone, in between while another shard is asked who has answered;
//         expected -> gone by End, by its deadline, or when nobody is subscribed to the reply any more.
// Bounds: the requests that are waited for (ServiceImports::kPendingMax for each importer).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "broker/account/import_graph.h"
#include "broker/route/router.h"
#include "broker/service/latency.h"
#include "proto/base/nanos.h"
#include "proto/base/xorshift.h"

namespace millrace {

class LatencyTracker {
 public:
  // Asks another shard for a connection of it, as ClientInfo: OnClient is called with the answer.
  using Ask = std::function<void(const ConnectionId& about, uint64_t question)>;

  // `now`: of this turn.
  LatencyTracker(Router& router, const Nanos& now, uint64_t seed);
  ~LatencyTracker();
  LatencyTracker(const LatencyTracker&) = delete;
  LatencyTracker& operator=(const LatencyTracker&) = delete;

  void set_ask(Ask ask) { ask_ = std::move(ask); }

  // Whether this request is measured. One that wants no reply is told of at once, and not measured.
  std::optional<TriggerHeaders> Sample(const CompiledServiceImport& import, const Message& request);
  // It is, and this is its number. To be answered by `deadline`.
  void Begin(uint64_t number, const CompiledServiceImport& import, const Message& request, TriggerHeaders headers,
             Nanos deadline);
  // Both do nothing for a number that is not waited for here.
  void OnReply(uint64_t number, const Message& reply);
  void End(uint64_t number, LatencyStatus status);

  // The answer to what was asked; empty JSON when the connection has gone.
  void OnClient(uint64_t question, LatencyClient client);

  // In each turn, outside of any delivery: ends what has to end, and publishes the metrics.
  void RunTurn();
  // When RunTurn has something to do without anything happening.
  Nanos NextTick() const {
    if (!metrics_.empty()) return Nanos{0};
    return deadlines_.empty() ? Nanos::max() : deadlines_.begin()->first + Nanos{1};
  }

  void Invariant() const;

  // This connection as one end of a request.
  static LatencyClient Describe(const Receiver* connection, bool detailed);

 private:
  struct Measured {
    AccountId importer = kNoAccount;
    AccountId exporter = kNoAccount;
    std::string results = {};  // subject
    std::string reply = {};    // the importer's
    Nanos asked{0};
    Nanos answered{0};
    Nanos deadline{0};
    LatencyMetric metric = {};
  };
  using Replies = std::multimap<std::pair<AccountId, std::string>, uint64_t>;
  struct Metric {
    AccountId account;
    std::string subject;
    std::string json;
  };

  // Takes it out of what is waited for.
  Measured Take(uint64_t number);
  void Finish(Measured&& sample, LatencyStatus status);
  void Tell(AccountId account, std::string_view subject, LatencyMetric&& metric);
  void EndUnwanted();
  std::string NewId();

  Router& router_;
  const Nanos& now_;
  XorShift64 random_;
  Ask ask_;
  absl::flat_hash_map<uint64_t, Measured> samples_;  // expected
  absl::flat_hash_map<uint64_t, Measured> asking_;   // answered by a connection of another shard
  std::set<std::pair<Nanos, uint64_t>> deadlines_;  // of samples_
  Replies replies_;                                 // of samples_
  std::vector<std::pair<AccountId, std::string>> lost_;  // filters that lost a subscription in this turn
  std::vector<Metric> metrics_;
  uint64_t questions_ = 0;
};

}  // namespace millrace
