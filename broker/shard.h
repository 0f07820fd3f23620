// SPDX-License-Identifier: Apache-2.0
// Shard: one thread's share of the broker: its connections, subscriptions, timers, and its end of the mesh.
// Owner:  shard (made and freed on its thread; in tests/sim many shards take turns on one thread).
// A turn: enter the kernel, drain mail, run completions, timers, then ship mail and send. That order makes the PING
//         barrier exact (docs/architecture.md, section 3): tails are published before sends are submitted, and mail
//         that was published before a byte arrived is seen before that byte.
#pragma once

#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "broker/admin.h"
#include "broker/io/io.h"
#include "broker/io/timer_wheel.h"
#include "broker/io/wait_policy.h"
#include "broker/log/log.h"
#include "broker/mesh/mesh.h"
#include "broker/net/acceptor.h"
#include "broker/net/connection.h"
#include "broker/part.h"
#include "broker/route/router.h"
#include "broker/service/service_imports.h"
#include "broker/session/session.h"
#include "broker/system/server_events.h"
#include "broker/system/system_port.h"
#include "proto/base/xorshift.h"

namespace millrace {

struct ShardOptions {
  RouterLimits limits;
  uint32_t match_cache_entries = 65536;
  uint32_t outbox_chunk_bytes = 65536;
  uint32_t small_buffer_bytes = 4096;
  uint64_t send_bytes_max = 1 << 20;
  uint64_t send_bytes_shared = 64 << 10;  // the same while connections that send little are served as well
  uint64_t bytes_per_turn = 512 * 1024;  // received bytes that one turn works on before it sends
  Nanos poll_max{0};  // see WaitPolicy
  Nanos gather_max{0};
  int64_t closed_connections_max = 10000;
  uint64_t seed = 1;
  std::function<void(char*, size_t)> entropy;  // unpredictable bytes, for nonces
  SharedCounts* account_connections = nullptr;  // of all shards, by AccountId; nullptr: nobody is limited
  SharedSequence* notices = nullptr;  // of all shards: what the server has said of its own accord; nullptr: of this one
  std::function<void()> collect_memory = [] {};  // when it has become quiet; see memory.h
};

class Shard final : public ConnectionHost, public AcceptorHost {
 public:
  Shard(const ShardOptions& options, Io& io, MeshPort& mesh, ShardCounters& counters, const LoadedConfig* config,
        WallClock wall_clock);
  ~Shard() override;

  // Before the first turn: a part is made with part_host(), and lives here from then on.
  PartHost part_host();
  SystemPort& system() { return system_; }
  ServerEvents& server_events() { return server_events_; }
  void AddPart(std::unique_ptr<ShardPart> part);

  // One turn. Blocks when there is nothing to do and `may_block`.
  void RunOnce(bool may_block);
  // Everything is closed, here and on all other shards.
  bool stopped() const { return stopped_; }

  LogPort& log() { return log_; }

  // Between two turns: aborts unless connections, sessions and interest are what they say. Reads all of them: for the
  // simulation.
  void Invariant() const;

  // For the simulation: who wants what, as far as this shard knows.
  const Interest& interest() const { return interest_; }
  // For tests: takes a connected socket as if it had been accepted.
  void Adopt(int fd, uint64_t cid) { Open(SpeakerKind::kClient, fd, cid, false); }

 private:
  // Phases of a turn.
  void TrimChunks();
  void CheckQuiet();
  void EnterKernel(bool may_block);
  bool Spin(Nanos budget);
  void Lap(TurnPhase phase);
  void CountTurn();
  void Sleep();
  uint64_t DrainMail();
  void CheckBarriers();
  void ResumePaused();
  void RunParts();
  void CloseSlow();
  void ChooseSendBytes();
  void FlushDirty();
  void Bury();

  // Mail.
  void OnMail(uint32_t from, const MailHeader& header, const char* body);
  void OnInterest(uint32_t from, const char* body);
  void OnUndelivered(const char* body);
  void OnParcel(std::unique_ptr<Parcel> parcel);
  void OnAskedClient(const AskedClient& asked);
  void OnConfigChange(const ConfigChange& change);
  void OnQuery(const Query& query);
  ConnectionReply OnOrder(const ConnectionOrder& order);
  void AdoptViews(const AccountViews& views);
  void OnCloseSome(const CloseSome& some);
  // Nobody took a request of ours, it may be under a name of another account.
  void ReportUndelivered(const ConnectionId& origin, std::string subject, std::string reply);

  // The end (shard_stop.cc).
  void OnStop();
  void OnStopDeadline();
  void OnStopParts();
  void EndParts();
  bool HasEndingParts() const;  // those that lame duck mode ends
  void StepStop();
  std::string StopWaitsFor() const;

  // Accepting (shard 0).
  void OnListen(const ListenOn& listen);
  void OnAccepted(SpeakerKind kind, int fd) override;
  // Freed at the end of the turn.
  void OnAcceptorEnded(Acceptor*) override { TellIfNothingIsAccepted(); }
  void TellIfNothingIsAccepted();
  void OnStopAccepting();
  uint32_t PickShard();
  uint64_t OpenConnections() const;

  void Open(SpeakerKind kind, int fd, uint64_t cid, bool refused);
  std::unique_ptr<Speaker> MakeSpeaker(SpeakerKind kind, Connection* connection);
  Connection* Find(const ConnectionId& id);
  // Its connection has room again, or is gone.
  bool HasDrained(const ConnectionId& id);
  void PauseForStall(Connection* connection);
  ShardPart* FindPart(PartId id);
  ConnInfo Describe(const Connection& connection, bool with_subs) const;
  // `account`: whose; empty: of all.
  void FillSublist(std::string_view account, SublistStats* stats) const;

  // ConnectionHost.
  void OnClosing(Connection* connection) override;
  void OnEnded(Connection* connection) override;
  void OnSlow(Connection* connection) override;
  void OnBarrier(Connection* connection) override;
  void OnStalled(Connection* connection) override;
  void OnCongested(Connection* connection) override;
  void OnRearm(Connection* connection) override { rearm_.push_back(connection->id()); }
  void OnQuestion(Connection* connection, Question question) override;
  void OnPostponed(Connection* connection) override;
  void OnWithdrawn(Connection* connection) override;
  uint64_t Random() override { return random_.Next(); }

  const ShardOptions options_;
  Io& io_;
  MeshPort& mesh_;
  ShardCounters& counters_;
  const WallClock wall_clock_;
  LogPort log_;
  TimerWheel timers_;
  ChunkPool chunks_;
  Interest interest_;
  Router router_;
  SinkSubscriptions sink_subscriptions_;
  SharedSequence own_notices_{0};  // without ShardOptions::notices
  SessionShared session_shared_;
  SystemPort system_;
  ServerEvents server_events_;
  ServiceImports service_imports_;
  ConnectionShared connection_shared_;

  std::vector<std::unique_ptr<ShardPart>> parts_;  // until they have stopped
  struct Asked {
    std::unique_ptr<Answer> answer;
    size_t parts_missing;
  };
  std::list<Asked> asked_;

  std::vector<std::unique_ptr<Connection>> connections_;  // by slot
  std::vector<uint32_t> free_slots_;
  std::vector<std::unique_ptr<Connection>> graveyard_;  // ended; freed at the end of the turn
  std::vector<ConnectionId> rearm_;
  std::vector<ConnectionId> barriers_;  // sessions with held replies
  std::vector<ConnectionId> stalled_;
  std::vector<ConnectionId> congested_;
  std::deque<ConnInfo> closed_;
  AccountTally closed_totals_;  // what closed connections had counted, and all slow consumers
  size_t open_ = 0;

  std::vector<std::unique_ptr<Acceptor>> acceptors_;  // one for each listening socket, until it has ended
  TimerNode stop_deadline_;
  TimerNode trim_;  // armed while there is unused memory to give back
  TimerNode quiet_check_;
  uint64_t turns_since_check_ = 0;
  enum class Activity : uint8_t { kStarting, kQuiet, kBusy } activity_ = Activity::kStarting;
  bool stop_accepting_ = false;
  uint64_t next_cid_ = 5;  // as the peer: its own internal clients come first
  uint32_t last_pick_ = 0;
  std::vector<uint64_t> placed_;

  WaitPolicy wait_;
  Nanos lap_at_;               // end of the phase before
  Nanos laps_[kTurnPhases] = {};
  Nanos wait_ended_;           // the last wait for work, and how much had come in until then
  uint64_t wait_messages_ = 0;
  bool work_left_ = false;  // completions or paused work remain: do not block
  bool stopping_ = false;
  bool finished_ = false;  // the control thread has been told; what the others still say is taken
  bool stopped_ = false;
  XorShift64 random_;
};

}  // namespace millrace
