// SPDX-License-Identifier: Apache-2.0
// Session: what one client may say and what it means. Bytes in, effects on router and outbox out; it knows no socket.
// Owner:  shard.
// States: kConnecting (authentication is required and CONNECT has not come) -> kChecking (a hash is being compared
//         elsewhere; input waits) -> kReady <-> kBarrier -> kClosed. An open server starts in kReady. A check that a
//         reload has made necessary goes on beside whatever the state is.
// Barrier: PONG leaves only when every shard that got something from this client has consumed it (docs/architecture.md,
//         section 3). Until then (kBarrier) its input waits, so that nothing it causes itself can overtake the PONG.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "broker/log/log.h"
#include "broker/mesh/shared_count.h"
#include "broker/route/router.h"
#include "broker/session/admission.h"
#include "broker/session/connect_options.h"
#include "broker/session/permission_sets.h"
#include "broker/session/loaded_config.h"
#include "broker/session/principal.h"
#include "broker/route/shadows.h"
#include "broker/session/trace.h"
#include "broker/speaker.h"
#include "broker/system/server_events.h"
#include "broker/system/system_port.h"
#include "proto/base/nanos.h"
#include "proto/base/shard_checker.h"
#include "proto/parser.h"

namespace millrace {

// What all sessions of a shard share.
struct SessionShared {
  Router& router;
  ShardCounters& counters;
  LogPort& log;
  const LoadedConfig* config;                        // replaced by a reload
  Nanos now{0};                                // of this turn
  int64_t wall_ns = 0;                         // of this turn
  SystemPort* system = nullptr;                // where the server says something of its own accord
  std::function<void(char*, size_t)> entropy;  // unpredictable bytes
  PermissionSets permission_sets = {};
  SealingKey sealing_key = {};  // of what its clients have said in confidence
  SharedCounts* account_connections = nullptr;  // of all shards, by AccountId; nullptr: nobody is limited
  ServerEvents* server_events = nullptr;        // that it makes happen
};

class Session final : public Speaker, public DeliveryHooks, public SubscriptionOwner {
 public:
  Session(SessionShared& shared, SpeakerHost& host, Receiver& receiver, std::string client_ip, uint16_t client_port);
  ~Session() override;
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Speaker. The keep-alive is PING; a client that leaves too many unanswered is closed.
  void Start() override;
  void Refuse() override;
  Progress Consume(std::string_view* input) override;
  size_t bytes_needed() const override { return parser_.bytes_needed(); }
  bool expects_connect() const override { return state_ == State::kConnecting; }
  void OnAnswer(Finding finding) override;
  void OnTraceReport(TraceReport&& report) override;
  void OnUndelivered(std::string_view subject, std::string_view reply) override;
  void OnKeepAliveTimer() override;
  void OnAuthTimeout() override;
  bool CheckBarrier() override;
  void RequestBarrierWake() override;
  void OnConfigChanged(bool recheck_user, bool announce) override;
  std::string UserInfoJson() const override;
  bool AnnounceLameDuck() override;
  void Describe(ConnInfo* info, bool with_subs) const override;
  AccountId account() const override { return principal_.account(); }  // SubscriptionOwner, too
  void AddTotals(AccountTally* tally, bool open) const override;
  const std::string& label() const override { return label_; }
  void Invariant() const override;
  void Close(ClosedReason reason) override;

  const ConnectOptions& connect() const { return connect_; }
  const Principal& principal() const { return principal_; }
  size_t subscription_count() const { return subs_.size(); }

 private:
  enum class State : uint8_t { kConnecting, kChecking, kReady, kBarrier, kClosed };

  struct SidHash {
    using is_transparent = void;
    size_t operator()(std::string_view sid) const { return HashBytes(sid, 0); }
    size_t operator()(const Subscription* sub) const { return HashBytes(sub->sid(), 0); }
  };
  struct SidEqual {
    using is_transparent = void;
    static std::string_view Sid(std::string_view sid) { return sid; }
    static std::string_view Sid(const Subscription* sub) { return sub->sid(); }
    template <class A, class B>
    bool operator()(const A& a, const B& b) const {
      return Sid(a) == Sid(b);
    }
  };
  void ConsumeRepeated(std::string_view* input);
  Message RunCommon(std::string_view subject);
  bool MatchesLikeLast(std::string_view subject) const;
  void StopRepeating() {
    if (publishing_ != nullptr) publishing_->repeated.clear();
  }
  // Whether a publish to a subject with this first character needs nothing but delivery.
  bool MayRepeat(char first) const {
    return principal_.unrestricted() && !maps_subjects_ && !connect_.pedantic && !connect_.verbose && first != '_' &&
           first != '$';
  }
  // Verbs.
  void OnCommand(const Command& command);
  void OnPub(const Command& command);
  void OnConnect(std::string_view json);
  void OnSub(const Command& command);
  void OnUnsub(const Command& command);
  void OnPing();
  void SendPong();
  void OnPong();
  void OnProtocolError(std::string_view input);

  // SubscriptionOwner.
  void OnAutoUnsubscribed(Subscription* sub) override;
  std::string_view client_name() const override { return connect_.name; }
  Nanos rtt() const override { return rtt_; }
  std::string RequestorJson(const RequestorDetail& detail) const override;
  // DeliveryHooks.
  bool MayDeliver(const Subscription& sub, const Message& message) override;
  void OnDelivered(const Subscription& sub, const Message& message) override;

  // Whether it may be here, and who it is.
  Verdict Judge();
  void OnJudged(const Verdict& verdict);
  void Ask(const Verdict& verdict);
  // nullptr: somebody whom the configuration does not name (an open server, a token).
  Principal PrincipalOf(const KnownUser* user);
  // False: its account has no room for it, and it is closed.
  bool Accept(Principal principal);
  void FinishConnect();
  void AdoptConfig(bool recheck_user);
  void Rejudge();
  bool HasMoved(const Verdict& verdict) const;
  void DropForbidden();
  void SendInfo(bool lame_duck = false);
  void RefuseUser();
  // What it has said of itself did not convince.
  void Deny();
  void FailLate();
  std::string UserForLog() const;
  // As monitoring and events name it, whether or not it has been believed.
  std::string_view user_said() const;
  ClientFacts Facts() const;
  // `subject`: what a mapping has made of that of the publish.
  bool PublishPermitted(const Command& command, std::string_view subject);
  // `about`: for the log.
  void RefusePublish(const Command& command, std::string_view error, std::string_view about);
  Message MessageOf(const Command& command, std::string_view subject);
  // What becomes of a message whose headers may ask for a trace: nothing special; it goes on, but nobody else is to
  // trace it, either; it is traced; it goes nowhere.
  enum class Tracing : uint8_t { kNo, kDisable, kYes, kDrop };
  Tracing BeginTrace(const Command& command, PendingTrace* trace);
  // True: it is dealt with, nothing more is to be done.
  bool TracePublish(const Command& command, std::string_view subject);
  void FinishTrace(const PendingTrace& trace);
  void SendNoResponders(std::string_view subject, std::string_view reply);
  const MatchResult& MatchSubject(std::string_view subject);
  const MatchResult& FindMatch(std::string_view subject, bool repeated);
  // What this account calls the subject of a publish, until the next call. False: it is to be dropped.
  bool MapSubject(std::string_view* subject);
  bool HasAllItsSubscriptions() const;
  void AddShadows(const Subscription& sub);
  void AdoptView();
  void Unsubscribe(Subscription* sub);
  void RemoveAllSubscriptions();
  void Reply(std::string_view text);
  void ReplyError(std::string_view text);
  void ReplyOk();
  void Fail(std::string_view text, ClosedReason reason);
  void UpdateHooks();
  void UpdateLabel();
  // The limits of its account.
  const AccountLimits& account_limits() const { return shared_.config->accounts[principal_.account()].limits; }
  bool TakePlaceIn(AccountId account);
  void LeavePlace();
  const AccountView& view() const { return shared_.config->views[principal_.account()]; }
  const std::string& account_name() const;
  void TraceIn(const Command& command);
  void TracePayload(std::string_view arrow, std::string_view payload, size_t header_bytes);
  ParserLimits Limits() const;
  const Options& options() const { return shared_.config->options; }
  Admission::Keys keys() { return {shared_.sealing_key, shared_.entropy}; }

  [[no_unique_address]] ShardChecker shard_checker_;
  SessionShared& shared_;
  SpeakerHost& host_;
  Receiver& receiver_;
  Parser parser_;
  State state_ = State::kReady;
  bool connect_received_ = false;
  bool first_pong_sent_ = false;
  bool delivery_filter_ = false;  // a deny entry overlaps one of our wildcards
  bool maps_subjects_ = false;    // the account has mappings
  bool traces_by_parent_ = false;  // the account has a destination for traces
  AccountId counted_in_ = kNoAccount;  // among whose connections it counts
  uint32_t streams_version_ = 0;  // of the account's view, that shadows_ are of
  ShardSet touched_ = 0;  // shards that got something since the last PING
  int pings_out_ = 0;

  // What the last publishes were: most clients publish to the same subject again. Made by the first publish, for
  // many clients only listen.
  struct Publishing {
    const MatchResult* match = nullptr;  // of `subject`; nullptr when it does not last
    uint64_t epoch = 0;
    std::string subject;
    uint32_t decisive_bytes = 0;        // of it (SubjectTrie::Walk),
    size_t tokens_behind = 0;           // and how many tokens are behind them; 0: an empty one as well
    std::string_view previous_subject;  // in the input that is being consumed
    // "PUB subject " as this client writes it, when the last publish was such that another one like it needs no checks.
    std::string repeated;
    // What a mapping makes of the subject last mapped, where that depends on nothing else. Views of mapped_to are in
    // the run that is collected.
    std::string mapped_from;
    std::string mapped_to;
  };
  std::unique_ptr<Publishing> publishing_;

  absl::flat_hash_set<Subscription*, SidHash, SidEqual> subs_;
  std::unique_ptr<Shadows> shadows_;
  std::vector<std::pair<uint32_t, uint64_t>> barrier_;  // shard and position that PONG waits for

  uint64_t in_messages_ = 0;
  uint64_t in_bytes_ = 0;
  int64_t last_activity_ns_ = 0;
  Nanos last_in_{0};
  Nanos started_{0};
  const int64_t started_wall_ns_;
  Nanos ping_sent_ = kLongAgo;
  Nanos rtt_{0};
  ConnectOptions connect_;
  std::unordered_map<uint32_t, PendingTrace> traces_;
  uint32_t next_trace_ = 1;
  Admission admission_;
  std::string nonce_;                 // offered in INFO when clients may have to sign it
  const std::string client_ip_;
  const uint16_t client_port_;
  Principal principal_;
  std::string label_;
};

}  // namespace millrace
