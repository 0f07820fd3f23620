// SPDX-License-Identifier: Apache-2.0
// Lives of a server with JetStream: clients of both kinds on all shards, JetStream on the first one and on a simulated
// disk; then a crash, at one of the disk's boundaries or anywhere, or a stop; then the next life, on what is left. The
// oracle outlives them all.
#include "tests/sim/jetstream_run.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "tests/sim/world.h"

namespace millrace::sim {
namespace {

constexpr Nanos kStopMax = std::chrono::seconds(20);
constexpr Nanos kDrainMax = std::chrono::minutes(3);
constexpr size_t kClientsMax = 4;
constexpr int64_t kFirstWallUs = 1'800'000'000'000'000;
constexpr uint64_t kFirstAdoptedCid = 3'000'000;

}  // namespace

// ---- a server with a store -----------------------------------------------------------------------------------------

void SimWorld::OpenStore() {
  participants_[0].io->Attach({[this] { return disk_->busy(); }, [this] { disk_->RunCompletions(); }});
  JetStreamEngineOptions options;
  const AccountTable accounts;
  options.accounts = {{accounts.global()}, {accounts.system()}};
  options.unnamed_account = accounts.global().id;
  options.system_account = accounts.system().id;
  options.memory_max = options.storage_max = int64_t{1} << 40;
  if (plan_.streams_rest) options.streams = StreamTableOptions{0, Nanos{0}};
  Shard& shard = *participants_[0].shard;
  auto part = std::make_unique<JetStreamPart>(shard.part_host(), *home_, options);
  part_ = part.get();
  shard.AddPart(std::move(part));
  store_open_ = true;
}

// The shard destroys the part in the turn in which its home is closed.
void SimWorld::CheckJetStream() {
  if (part_ != nullptr && home_->closed()) part_ = nullptr;
  if (kDebugChecks && part_ != nullptr) part_->Invariant();
}

// ---- one life ------------------------------------------------------------------------------------------------------

// From now on nothing of this server happens any more. Called from inside of one of its threads, or between turns.
void SimWorld::Crash() {
  crashed_ = true;
  disk_->on_boundary = nullptr;
  const Survival survival =
      random_.Pick({Survival::kNothing, Survival::kEverything, Survival::kSome, Survival::kSome});
  survivor_ = disk_->Survivor(random_.Next(), survival, random_.Chance(30) ? 4096 : 512);
  if (Tracing()) Trace(absl::StrFormat("---- crash at boundary %d", disk_->boundary()));
  if (Fiber::current() != nullptr) Fiber::Yield();
}

void SimWorld::PlanLife() {
  plan_.mix.hash_auth = false;
  plan_.mix.literal_first = true;
  plan_.mix.wide_percent = 0;
  plan_.mix.generous = true;
  plan_.mix.protocol_errors_percent = 0;
  plan_.shard.limits.pending_bytes_max = 64 << 20;
  plan_.clients_max = std::min(plan_.clients_max, 3u);
  plan_.streams_rest = random_.Chance(30);
}

std::shared_ptr<Socket> SimWorld::ConnectAnywhere() {
  const bool adopt = plan_.adopt && random_.Chance(60);
  const std::shared_ptr<Socket> socket =
      kernel_->Connect(!adopt, random_.Between(4096, 65536), random_.Between(4096, 65536));
  sockets_.push_back(socket);
  if (!adopt) return socket;
  Participant& p = participants_[random_.Below(mesh_->shards())];
  p.adoptions.emplace_back(socket->fd, kFirstAdoptedCid + adopted_++);
  p.io->Ring();
  return socket;
}

JetStreamClient& SimWorld::OpenJetStreamClient(JetStreamClient::Role role) {
  jetstream_clients_.push_back(std::make_unique<JetStreamClient>(*kernel_, *jetstream_, ConnectAnywhere(), role));
  return *jetstream_clients_.back();
}

void SimWorld::LookAtAll(const char* when) {
  if (crashed_) return;
  JetStreamClient& observer = OpenJetStreamClient(JetStreamClient::Role::kObserver);
  observer.Look();
  RunUntil(when, [&observer] { return observer.looked(); });
}

void SimWorld::OperateJetStream(uint64_t operations) {
  jetstream_operations_left_ = operations;
  const auto open = [this] {
    return std::count_if(jetstream_clients_.begin(), jetstream_clients_.end(),
                         [](const auto& client) { return !client->closed(); });
  };
  const auto clients = static_cast<int64_t>(random_.Between(2, 1 + kClientsMax));  // one of them looks
  while (jetstream_operations_left_ > 0 && !crashed_) {
    if (open() < clients && (open() < 2 || random_.Chance(3))) OpenJetStreamClient(JetStreamClient::Role::kUser);
    if (OpenClients() < plan_.clients_max && random_.Chance(1)) OpenClient();
    if (Step() == Outcome::kDead && open() > 1) Fail("the world stands still while clients operate");
  }
}

// What connections that ended have left behind is worked off.
void SimWorld::RunUntilEnded() {
  RunUntil("connections that ended are gone", [this] {
    return kernel_->backlog.empty() &&
           std::all_of(jetstream_clients_.begin(), jetstream_clients_.end(),
                       [](const auto& client) { return !client->closed() || client->gone(); });
  });
  RunUntilQuiet();
  RunUntilQuiet();
}

// Every request has its answer.
void SimWorld::SettleJetStream() {
  if (crashed_) return;
  RunUntil("every request of JetStream is answered", [this] {
    return std::all_of(jetstream_clients_.begin(), jetstream_clients_.end(),
                       [](const auto& client) { return client->idle(); });
  });
  for (const std::unique_ptr<JetStreamClient>& client : jetstream_clients_) client->Finish();
  RunUntilEnded();
  LookAtAll("all has been looked at, nothing being under way");
}

void SimWorld::Drain() {
  if (crashed_) return;
  for (const std::unique_ptr<JetStreamClient>& client : jetstream_clients_) client->End();
  RunUntilEnded();
  LookAtAll("all has been looked at before consumers are drained");
  JetStreamClient& drainer = OpenJetStreamClient(JetStreamClient::Role::kDrainer);
  const Nanos end = kernel_->now + kDrainMax;
  RunUntil("every consumer is at its end", [this, &drainer, end] {
    if (kernel_->now > end) Fail("consumers do not come to their end: " + drainer.Describe());
    return drainer.drained() && drainer.idle();
  });
  LookAtAll("all has been looked at, everything being acknowledged");
  for (size_t i = 0; i < jetstream_->consumers().size(); ++i) {
    if (jetstream_->consumers()[i].confirmed) jetstream_->CheckDrained(i);
  }
}

void SimWorld::StopLife() {
  const Nanos told = kernel_->now;
  server_may_close_ = true;
  for (const std::unique_ptr<SimClient>& client : clients_) {
    if (!client->closed()) oracle_->OnClosing(client->record(), kernel_->Stamp());
  }
  Tell(0, std::make_unique<millrace::Stop>());  // the others hear of it from the first shard
  for (uint32_t i = 0; i < mesh_->shards(); ++i) Tell(i, std::make_unique<StopReport>());
  RunUntil("every shard has stopped", [this] {
    return std::all_of(participants_.begin(), participants_.end(),
                       [](const Participant& p) { return p.fiber->done(); });
  });
  if (!crashed_ && kernel_->now - told > kStopMax) Fail("the stop has taken too long");
}

std::unique_ptr<SimDisk> SimWorld::RunLife(JetStreamOracle& oracle, std::unique_ptr<SimDisk> disk,
                                           const SimLife& life) {
  PlanLife();
  jetstream_ = &oracle;
  wall_us_ = life.wall_us - kernel_->now.count() / 1000;
  operations_left_ = life.operations / 3;
  disk_ = std::move(disk);
  if (life.boundaries != UINT64_MAX) {
    disk_->on_boundary = [this, end = disk_->boundary() + life.boundaries] {
      if (!crashed_ && disk_->boundary() >= end) Crash();
    };
  }
  oracle.OnStart();
  Start();
  LookAtAll("all that a start has found was looked at");
  OperateJetStream(life.operations);
  if (life.settles) SettleJetStream();
  if (life.settles && !crashed_) Settle();
  if (life.end == SimLife::End::kLast) Drain();
  if (life.end == SimLife::End::kCrash && !crashed_) Crash();
  if (!crashed_) StopLife();
  // What had reached a client by then counts.
  for (const std::unique_ptr<JetStreamClient>& client : jetstream_clients_) client->ReadRest();
  oracle.OnEnd(crashed_);
  if (crashed_) return std::move(survivor_);
  TearDown();
  return disk_->Survivor(random_.Next(), random_.Pick({Survival::kNothing, Survival::kEverything, Survival::kSome}));
}

// ---- all lives -----------------------------------------------------------------------------------------------------

std::string RunJetStreamLives(uint64_t seed, uint32_t shards, uint64_t operations) {
  Random random(~seed);
  JetStreamOracle oracle(random);
  auto disk = std::make_unique<SimDisk>(random.Next());
  SimLife life;
  life.wall_us = kFirstWallUs;
  uint64_t left = operations != 0 ? operations : random.Between(60, 600);
  const uint64_t lives = random.Between(2, 6);
  std::string summary;
  for (uint64_t i = 1; i <= lives; ++i) {
    life.end = i == lives ? SimLife::End::kLast : random.Chance(70) ? SimLife::End::kCrash : SimLife::End::kStop;
    // Also in the middle of a start, or of a stop.
    const bool cut = life.end != SimLife::End::kLast && random.Chance(life.end == SimLife::End::kCrash ? 70 : 20);
    life.boundaries = cut ? random.Between(1, random.Pick({20, 200, 1000})) : UINT64_MAX;
    life.operations = i == lives ? left : random.Below(2 * left / (lives - i + 1));
    left -= life.operations;
    life.settles = random.Chance(50);
    auto world = std::make_unique<SimWorld>(random.Next(), shards, 0);
    disk = world->RunLife(oracle, std::move(disk), life);
    summary = world->Summary();
    life.wall_us = world->wall_us() + static_cast<int64_t>(random.Below(3'000'000));
    // The threads of a crashed server stand where they were, and what they hold cannot be given back.
    if (world->crashed()) world.release();
  }
  const JetStreamOracle::Statistics& s = oracle.statistics();
  return absl::StrFormat(
      "%d lives (%d crashes, %d stops), %d publishes (%d confirmed, %d duplicates, %d refused, %d unknown, %d lost "
      "of async, %d found later), %d deliveries (%d again), %d acks (%d answered), %d removals, %d updates, %d gets, "
      "%d fetches, %d looks; last life: %s",
      s.lives, s.crashes, s.stops, s.publishes, s.confirmed, s.duplicates, s.refused, s.unanswered, s.lost_async,
      s.found_late, s.deliveries, s.redeliveries, s.acks, s.answered_acks, s.removals, s.updates, s.gets, s.fetches,
      s.looks, summary);
}

}  // namespace millrace::sim
