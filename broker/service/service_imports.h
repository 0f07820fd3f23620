// SPDX-License-Identifier: Apache-2.0
// ServiceImports: requests that go to another account, and their replies on the way home.
// Owner:  shard (one each). It has all service imports of all accounts, and forwards what its own publishers send; no
//         shard forwards what came by mail.
// Replies: a request that wants one is given a reply subject of this shard, `_R_.<shard's token>.<number>`, in the
//         exporter. The shard subscribes to all of its own there, once per exporter that ever needed it, so a reply
//         finds its way by ordinary interest, from wherever it is published. A reply that wants a reply goes the same
//         way back ($JS.ACK. subjects are passed on as they are).
// Bounds: kPendingMax requests without a reply for each importer; beyond it the oldest is given up. A request is given
//         up when its export's threshold has passed. Imports that lead to imports: kChainMax, and never twice through
//         one export.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "broker/account/account_views.h"
#include "broker/route/router.h"
#include "broker/service/latency_tracker.h"
#include "proto/base/nanos.h"
#include "proto/base/shard_checker.h"
#include "proto/base/xorshift.h"

namespace millrace {

class ServiceImports final : public Forwarder, private Sink {
 public:
  static constexpr uint32_t kPendingMax = 65536;
  static constexpr size_t kChainMax = 16;

  // `now`: of this turn. `secret`: unpredictable; reply subjects are made of it.
  ServiceImports(Router& router, const Nanos& now, uint32_t shard, uint64_t secret);
  ~ServiceImports() override;
  ServiceImports(const ServiceImports&) = delete;
  ServiceImports& operator=(const ServiceImports&) = delete;

  // The imports of a configuration, which lives until the next call has returned.
  void Adopt(const AccountViews& views);

  // Forwarder.
  Router::Outcome Forward(const Message& message, uint32_t import) override;

  // In each turn, outside of any delivery: what is measured. NextTick: when that has something to do by itself.
  void RunTurn() { latency_.RunTurn(); }
  Nanos NextTick() const { return latency_.NextTick(); }
  LatencyTracker& latency() { return latency_; }

  // Nobody took a request: what its requestor calls it, if it was forwarded. It is not waited for any longer.
  void GiveBack(std::string* subject, std::string* reply);

  // Requests that have no reply yet.
  size_t pending() const { return pending_.size(); }
  uint64_t given_up() const { return given_up_; }

  void Invariant() const;

 private:
  // One service export, through which a message has come.
  struct Step {
    AccountId account;
    uint32_t export_index;
    bool share;
  };
  // What is known of a request while its reply is waited for.
  struct Pending {
    AccountId importer;
    AccountId exporter;
    Step through;  // the export that it was forwarded by
    ServiceResponse response;
    bool measured = false;  // latency_ waits for it, too
    Nanos threshold;
    Nanos deadline;
    std::string subject;  // the importer's
    std::string reply;    // the importer's
  };
  struct Deadline {
    uint64_t number;
    Nanos deadline;  // as of when it was noted
  };
  using PendingMap = absl::flat_hash_map<uint64_t, Pending>;

  // Sink: a reply.
  bool Deliver(const Subscription&, const Message& message) override { return OnReply(message); }
  bool DeliverTraced(const Subscription&, const Message& message) override { return OnReply(message); }
  bool OnReply(const Message& message);

  // The reply subject in the exporter; *number names what is pending.
  std::string Expect(Pending pending, uint64_t* number);
  Router::Outcome ForwardBy(const CompiledServiceImport& import, const Message& message);
  // Import `number` of kSystemImports, for this account; nullopt: it says itself what it imports there.
  std::optional<CompiledServiceImport> SystemImportFor(AccountId importer, uint32_t number) const;
  // A reply subject of this shard.
  std::string ReplySubject(uint64_t number) const;
  void AddRequestor(const Message& message, const CompiledServiceImport& import, std::string* header_block) const;
  // Says that a traced message goes on as `there`, and whether it is traced there as well. False: it goes nowhere. Its
  // new payload lives in *room.
  bool TraceStep(std::string_view from, std::string_view to, bool allow_trace, Message* there, std::string* room);
  void Listen(AccountId exporter);
  void GiveUpOverdue();
  void MakeRoom(AccountId importer);
  // What a reply subject of this shard is of; end() when it is not waited for.
  PendingMap::iterator Find(std::string_view reply);
  // `why`: to whom measures it, unless it has been answered.
  void Forget(uint64_t number, LatencyStatus why);
  bool InChain(const CompiledServiceImport& import) const;

  [[no_unique_address]] ShardChecker shard_checker_;
  Router& router_;
  const Nanos& now_;
  XorShift64 random_;
  std::string prefix_;  // "_R_.<token>."
  const AccountViews* views_ = nullptr;
  std::vector<uint32_t> versions_;  // by AccountId: of the services of its view
  std::map<AccountId, Subscription*> listening_;
  PendingMap pending_;
  absl::flat_hash_map<AccountId, uint32_t> pending_of_;     // how many of each importer
  std::map<Nanos, std::deque<Deadline>> by_age_;            // per threshold; some may have gone, or go on later
  std::vector<Step> chain_;                                 // exports that are being forwarded through, there or back
  uint64_t given_up_ = 0;
  LatencyTracker latency_;
};

}  // namespace millrace
