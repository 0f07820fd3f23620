// SPDX-License-Identifier: Apache-2.0
// SimWorld: one simulated run: shards, a stand-in for the control thread, clients, clock, and who goes next.
// Owner:  the simulating thread.
// Phases: kMain (clients operate) -> kSettle (everyone reads, two rounds of PING) -> kEnding (connections end, probes
//         find no interest left) -> kStopping (Stop parcels) -> checks.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "broker/admin.h"
#include "broker/jetstream/engine/jetstream_part.h"
#include "broker/shard.h"
#include "tests/crash/sim_disk.h"
#include "tests/sim/accounts_client.h"
#include "tests/sim/accounts_oracle.h"
#include "tests/sim/client.h"
#include "tests/sim/fiber.h"
#include "tests/sim/flooder.h"
#include "tests/sim/jetstream_client.h"
#include "tests/sim/jetstream_oracle.h"
#include "tests/sim/oracle.h"
#include "tests/sim/sim_io.h"
#include "tests/sim/sim_store.h"

namespace millrace::sim {

// Everything about a run that its seed decides before it begins.
struct SimPlan {
  Nanos start{0};  // of the clock: how long the machine has been up
  uint32_t shards = 2;
  uint32_t ring_bytes = 16384;
  uint64_t operations = 400;
  uint32_t clients_max = 6;
  ShardOptions shard;
  SimFaults faults;
  ClientMix mix;
  bool debug_log = false;
  bool adopt = false;           // some connections are adopted by a random shard instead of accepted by shard 0
  bool administration = false;  // queries, config changes
  bool lame_duck = false;       // some connections are closed by the control thread
  bool stop_with_clients = false;
  bool flood = false;                          // much more than a ring holds, to shards that do not run for long
  uint32_t weights[5] = {10, 10, 10, 10, 10};  // how often a participant gets to run
  size_t socket_bytes_max = 65536;
  bool streams_rest = false;  // whenever they may
  uint32_t reload_percent = 0;  // with accounts: of a hundredth of the steps
};

// One life of a server that has JetStream (jetstream_run.cc): from its start on what the last life left to its end.
struct SimLife {
  enum class End : uint8_t { kStop, kCrash, kLast };
  End end = End::kLast;
  uint64_t boundaries = UINT64_MAX;  // kCrash: the disk's, then it comes; or when the operations are through
  uint64_t operations = 0;           // of JetStream's clients
  bool settles = false;              // before its end every request has its answer, and all is looked at
  int64_t wall_us = 0;               // at its start
};

class SimWorld {
 public:
  // `shards` and `operations` of 0: drawn from the seed.
  SimWorld(uint64_t seed, uint32_t shards, uint64_t operations);
  ~SimWorld();

  // Fails the process when a rule is broken.
  void Run();
  // Another run, of a server that is told to stop in the middle of whatever it does (stops.cc).
  void RunStop();
  // Another run, with accounts that import from each other, and reloads (accounts_run.cc).
  void RunAccounts();
  // Another run, of a server with JetStream on `disk` (jetstream_run.cc). Gives what its end leaves on the disk; after
  // a crash this world stands still for good, and is not to be destroyed.
  std::unique_ptr<SimDisk> RunLife(JetStreamOracle& oracle, std::unique_ptr<SimDisk> disk, const SimLife& life);
  bool crashed() const { return crashed_; }
  int64_t wall_us() const { return wall_us_ + kernel_->now.count() / 1000; }
  std::string Summary() const;

 private:
  struct Participant {
    std::unique_ptr<SimIo> io;
    std::unique_ptr<Shard> shard;  // none for the control thread
    std::unique_ptr<Fiber> fiber;
    std::deque<std::pair<int, uint64_t>> adoptions;
    uint64_t turns = 0;
    bool HasErrand() const { return !adoptions.empty(); }
  };

  void DrawPlan(uint64_t seed, uint32_t shards, uint64_t operations);
  void Start();
  // Lets the oracle ask the shards.
  void TellFacts();
  void ShardBody(uint32_t self);
  void ControlBody();
  void OnControlMail(uint32_t from, const MailHeader& header, const char* body);
  // The configuration that comes next.
  void Load(const Options& options);
  void Tell(uint32_t shard, std::unique_ptr<Parcel> parcel);

  enum class Outcome : uint8_t { kMoved, kDead };
  // One choice of the scheduler.
  Outcome Step();
  bool Runnable(uint32_t participant) const;
  void RunParticipant(uint32_t participant);
  Outcome AdvanceClock();
  void CheckAsleep();
  void CheckStuck(Nanos next);

  void OpenClient();
  void MaybeAdminister();
  size_t OpenClients() const;
  void RunUntil(const char* what, const std::function<bool()>& condition);
  void RunUntilQuiet();
  void Settle();
  void CheckKeepAlive();
  void EndConnections();
  void Stop();
  void TearDown();

  // Runs with JetStream (jetstream_run.cc).
  void OpenStore();
  void CheckJetStream();

  // Runs of jetstream_run.cc.
  void Crash();
  std::shared_ptr<Socket> ConnectAnywhere();
  JetStreamClient& OpenJetStreamClient(JetStreamClient::Role role);
  void PlanLife();
  void LookAtAll(const char* when);
  void OperateJetStream(uint64_t operations);
  void RunUntilEnded();
  void SettleJetStream();
  void Drain();
  void StopLife();

  // Runs of accounts_run.cc.
  Options AccountsOptions() const;
  void OpenAccountsClient();
  void MaybeReload();
  void SettleAccounts();
  void CheckVersions() const;
  void CheckAccountConnections();
  std::string AccountsSummary() const;

  // Runs of stops.cc.
  void OpenFlooder();
  void TellOfLameDuck();
  void CheckStore();

  Random random_;
  SimPlan plan_;
  std::unique_ptr<SimKernel> kernel_;
  std::unique_ptr<Oracle> oracle_;
  SharedCounts account_connections_;
  std::deque<std::unique_ptr<LoadedConfig>> configs_;  // the first one: some shard may still look at it
  std::map<const LoadedConfig*, uint32_t> applied_;     // by how many shards
  std::unique_ptr<Mesh> mesh_;
  std::vector<Participant> participants_;  // the control thread is last
  std::unique_ptr<SimDisk> disk_;  // of the runs that stop, with JetStream on the first shard
  std::unique_ptr<SimHome> home_;
  JetStreamPart* part_ = nullptr;  // as long as home_ is not closed
  std::unique_ptr<SimDisk> survivor_;  // of a crash
  JetStreamOracle* jetstream_ = nullptr;
  std::vector<std::unique_ptr<JetStreamClient>> jetstream_clients_;
  AccountsOracle* accounts_ = nullptr;
  std::vector<std::unique_ptr<AccountsClient>> accounts_clients_;
  std::string accounts_summary_;
  std::vector<std::unique_ptr<Flooder>> flooders_;
  std::vector<std::unique_ptr<SimClient>> clients_;
  std::vector<std::shared_ptr<Socket>> sockets_;
  std::deque<std::pair<uint32_t, std::unique_ptr<Parcel>>> errands_;  // of the control thread

  int64_t wall_us_ = 0;  // of the wall clock, when the machine's says 0
  bool crashed_ = false;
  bool operating_ = true;
  uint64_t jetstream_operations_left_ = 0;
  bool server_may_close_ = false;
  uint64_t operations_left_ = 0;
  uint64_t steps_ = 0;
  uint32_t frozen_ = UINT32_MAX;  // a participant that does not get to run, as long as others can
  uint64_t frozen_until_ = 0;     // step
  uint64_t jumps_ = 0;
  uint64_t adopted_ = 0;
  uint64_t answers_ = 0;
  uint64_t queries_ = 0;
  uint64_t half_close_cuts_ = 0;
  uint32_t stopped_ = 0;   // shards that have said so
  bool accepting_ = true;
  bool store_open_ = false;
  uint64_t overflow_max_ = 0;
  uint64_t closed_by_broker_ = 0;
  uint64_t confirmed_ = 0;  // streams whose confirmed messages were looked for
};

}  // namespace millrace::sim
