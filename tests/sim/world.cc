// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/world.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_format.h"
#include "broker/monitor/service.h"

namespace millrace::sim {
namespace {

constexpr uint64_t kStepsMax = 3'000'000;
constexpr uint64_t kFirstAdoptedCid = 1'000'000;
// When nothing moves for so long and nobody waits on purpose, something was forgotten. Stalls last 5 ms.
constexpr Nanos kPatience = std::chrono::milliseconds(60);
// After CONNECT, with its jitter, and what the run itself lets pass.
constexpr Nanos kFirstPingMax = std::chrono::seconds(3);
constexpr Nanos kRunTimeMax = std::chrono::minutes(30);

constexpr uint64_t kTurnsPerInvariant = 16;

// What may wait for room in a ring: the mark at which producers pause, and what was received but not yet worked off
// then: a full receive buffer for each client, five times as large in single records.
constexpr uint64_t kOverflowBytesMax = kOverflowPauseBytes + (4 << 20);

}  // namespace

// ---- the plan ------------------------------------------------------------------------------------------------------

void SimWorld::DrawPlan(uint64_t seed, uint32_t shards, uint64_t operations) {
  SimPlan& p = plan_;
  Random& r = random_;
  p.start = r.Pick({Nanos{0}, Nanos{std::chrono::seconds(1)}, Nanos{std::chrono::hours(400 * 24)}});
  p.shards = static_cast<uint32_t>(r.Between(1, 4));
  if (shards != 0) p.shards = shards;
  p.ring_bytes = r.Pick({8192u, 8192u, 16384u, 65536u});
  p.operations = r.Between(100, 700);
  if (operations != 0) p.operations = operations;
  p.clients_max = static_cast<uint32_t>(r.Between(2, 9));

  p.faults.small_bytes = r.Pick({64u, 512u, 4096u});
  p.faults.small_buffers = r.Pick({2u, 8u, 64u});
  p.faults.large_bytes = r.Pick({4096u, 16384u, 131072u});
  p.faults.large_buffers = r.Pick({1u, 4u, 32u});
  p.faults.progress_percent = r.Pick({20u, 60u, 95u});
  p.faults.byte_split_percent = r.Pick({0u, 5u, 30u});
  p.faults.split_percent = r.Pick({0u, 50u, 90u});
  p.faults.no_buffers_percent = r.Pick({0u, 3u, 30u});
  p.faults.multishot_end_percent = r.Pick({0u, 3u, 20u});
  p.faults.short_send_percent = r.Pick({0u, 10u, 30u});
  p.faults.send_piece_percent = r.Pick({0u, 40u, 80u});
  p.faults.late_percent = r.Pick({0u, 20u, 60u});
  p.faults.preempt_percent = r.Pick({0u, 2u, 15u});
  p.socket_bytes_max = r.Pick({size_t{2048}, size_t{16384}, size_t{262144}});

  ShardOptions& s = p.shard;
  s.limits.high_water_bytes = r.Pick({8192u, 65536u, 1u << 20});
  p.mix.generous = r.Chance(85);
  if (!p.mix.generous) {
    s.limits.pending_bytes_max = r.Pick({150'000u, 1u << 20});
    s.limits.high_water_bytes = std::min<uint64_t>(s.limits.high_water_bytes, s.limits.pending_bytes_max / 4 * 3);
  }
  s.match_cache_entries = r.Pick({4u, 64u, 65536u});
  s.outbox_chunk_bytes = r.Pick({16384u, 65536u});
  s.small_buffer_bytes = p.faults.small_bytes;
  s.send_bytes_max = r.Pick({3000u, 65536u, 1u << 20});
  s.send_bytes_shared = r.Pick({3000u, 65536u});
  s.bytes_per_turn = r.Pick({200u, 10000u, 512u * 1024});
  s.limits.turn_deliveries = r.Pick({2u, 30u, 32768u});
  s.poll_max = Nanos{r.Pick({0, 0, 0, 20000})};
  s.gather_max = s.poll_max;
  s.closed_connections_max = static_cast<int64_t>(r.Below(6));

  ClientMix& m = p.mix;
  m.queue_percent = r.Pick({0u, 35u, 80u});
  m.large_percent = r.Pick({0u, 8u, 30u});
  m.burst_percent = r.Pick({0u, 10u, 40u});
  m.think_percent = r.Pick({0u, 15u, 70u});
  m.unsubscribe_percent = r.Pick({2u, 8u, 25u});
  m.end_percent = r.Pick({0u, 2u, 8u});
  m.ping_percent = r.Pick({5u, 18u, 40u});
  m.request_percent = r.Pick({2u, 8u, 30u});
  m.wide_percent = r.Pick({0u, 5u});
  m.slow_readers_percent = r.Pick({0u, 20u, 60u});
  m.protocol_errors_percent = r.Pick({0u, 0u, 1u});
  m.hash_auth = r.Chance(10);
  p.debug_log = r.Chance(15);
  p.adopt = r.Chance(50);
  p.administration = r.Chance(25);
  p.lame_duck = r.Chance(5);
  p.stop_with_clients = r.Chance(30);
  p.flood = p.shards > 1 && r.Chance(3);
  if (p.flood) {
    p.operations = r.Between(60, 100);
    p.ring_bytes = r.Pick({16384u, 1u << 20});
    p.clients_max = 4;
    m.flood = true;
    m.burst_percent = 60;
    m.wide_percent = 40;
    m.queue_percent = 10;
    m.think_percent = 0;
    m.slow_readers_percent = 0;
    m.end_percent = 0;
    m.publish_percent = 80;
    m.inflight_max = 4 << 20;
    m.generous = true;
    s.limits = RouterLimits{};
    s.limits.pending_bytes_max = 1 << 30;
    m.subs_max = 2;
    s.bytes_per_turn = 512 * 1024;
    p.faults.large_bytes = 131072;
    p.faults.byte_split_percent = 0;
    p.faults.progress_percent = 95;
    p.socket_bytes_max = 1 << 20;
  }
  for (uint32_t& weight : p.weights) weight = r.Pick({10u, 10u, 10u, 40u, 1u});
}

SimWorld::SimWorld(uint64_t seed, uint32_t shards, uint64_t operations) : random_(seed) {
  DrawPlan(seed, shards, operations);
  kernel_ = std::make_unique<SimKernel>(random_, plan_.faults, plan_.start);
  oracle_ = std::make_unique<Oracle>(*kernel_);
  operations_left_ = plan_.operations;
}

SimWorld::~SimWorld() = default;

std::string SimWorld::Summary() const {
  if (!accounts_summary_.empty()) return accounts_summary_;
  const OracleStatistics& s = oracle_->statistics();
  return absl::StrFormat(
      "%d shards, %d clients, %d messages, %d deliveries (%d by queue), %d without responders, %d steps, %d waits, %d "
      "ms, overflow "
      "%d, second picks out of order %d and late %d, half-closes cut %d, closed by the broker %d, "
      "confirmed streams %d",
      plan_.shards, clients_.size(), s.messages, s.deliveries, s.queue_deliveries, s.no_responders, steps_, jumps_,
      (kernel_->now - plan_.start) / std::chrono::milliseconds(1), overflow_max_,
      s.second_pick_reorders, s.second_pick_late, half_close_cuts_, closed_by_broker_, confirmed_);
}

// ---- participants --------------------------------------------------------------------------------------------------

void SimWorld::Start() {
  Options options;
  if (plan_.adopt) options.max_connections = 0;  // the acceptor does not know of adopted ones
  options.debug = options.trace = plan_.debug_log;
  if (plan_.mix.hash_auth) {
    options.username = "u";
    options.password = "$2a$04$" + std::string(53, 'x');  // who matches it is decided in OnControlMail
  }
  Load(accounts_ != nullptr ? AccountsOptions() : options);
  mesh_ = std::make_unique<Mesh>(plan_.shards, plan_.ring_bytes);
  participants_.resize(mesh_->participants());
  for (uint32_t i = 0; i < mesh_->participants(); ++i) {
    Participant& participant = participants_[i];
    participant.io = std::make_unique<SimIo>(*kernel_, i);
    if (i == mesh_->control()) {
      participant.fiber = std::make_unique<Fiber>([this] { ControlBody(); });
      continue;
    }
    ShardOptions shard = plan_.shard;
    shard.seed = random_.Next() | 1;
    shard.account_connections = &account_connections_;
    shard.entropy = [](char* out, size_t bytes) { std::memset(out, 's', bytes); };  // nobody is to guess it here
    participant.shard = std::make_unique<Shard>(shard, *participant.io, mesh_->port(i), mesh_->counters(i),
                                                configs_.front().get(), [this] { return wall_us(); });
    if (i == 0 && home_ != nullptr) OpenStore();
    participant.fiber = std::make_unique<Fiber>([this, i] { ShardBody(i); });
  }
  if (plan_.mix.generous && accounts_ == nullptr) TellFacts();
  kernel_->listener_open = true;
  Tell(0, std::make_unique<ListenOn>(SpeakerKind::kClient, SimKernel::kListener));
}

void SimWorld::TellFacts() {
  const auto knows = [this](const SubscriptionRecord& sub) {
    for (uint32_t i = 0; i < mesh_->shards(); ++i) {
      if (!participants_[i].shard->interest().HasSubscription(kGlobalAccount, sub.filter, sub.queue)) return false;
    }
    return true;
  };
  const auto delivered = [this](const SubscriptionRecord& record) {
    const std::string client = absl::StrFormat("client-%d", record.client);
    uint64_t found = 0;
    for (uint32_t i = 0; i < mesh_->shards(); ++i) {
      participants_[i].shard->interest().ForEach([&](AccountId, const InterestNode& node) {
        for (const Subscription* sub : node.plain) {
          if (sub->receiver == nullptr || sub->sid() != record.sid) continue;
          if (sub->receiver->owner->client_name() == client) found = sub->delivered;
        }
      });
    }
    return found;
  };
  oracle_->set_facts({knows, delivered});
}

void SimWorld::ShardBody(uint32_t self) {
  Participant& me = participants_[self];
  if (self == 0 && disk_ != nullptr && home_ == nullptr) {  // a start can be cut off as well
    home_ = std::make_unique<SimHome>(*disk_);
    OpenStore();
  }
  while (!me.shard->stopped()) {
    for (; !me.adoptions.empty(); me.adoptions.pop_front())
      me.shard->Adopt(me.adoptions.front().first, me.adoptions.front().second);
    me.shard->RunOnce(true);
    if (++me.turns % kTurnsPerInvariant == 0 || (kDebugChecks && jetstream_ != nullptr)) me.shard->Invariant();
    if (self == 0) CheckJetStream();
  }
  me.shard->Invariant();
}

// Server::RunOnce without monitoring.
void SimWorld::ControlBody() {
  MeshPort& mesh = mesh_->port(mesh_->control());
  SimIo& io = *participants_[mesh_->control()].io;
  while (stopped_ < mesh_->shards() || mesh.AnyOverflowAbove(0)) {
    for (; !errands_.empty(); errands_.pop_front())
      mesh.SendParcel(errands_.front().first, std::move(errands_.front().second));
    mesh.Ship([&io](uint32_t target) { io.Wake(target); });
    const bool asleep = mesh.TrySleep();
    io.SubmitAndWait(Nanos::max(), asleep && errands_.empty());
    if (asleep) mesh.Awake();
    mesh.Drain(
        [this](uint32_t from, const MailHeader& header, const char* body) { OnControlMail(from, header, body); });
    io.RunCompletions(UINT64_MAX);
    mesh.Ship([&io](uint32_t target) { io.Wake(target); });
  }
  io.SubmitAndWait(Nanos::max(), false);  // the last doorbells
}

void SimWorld::Load(const Options& options) {
  configs_.push_back(std::make_unique<LoadedConfig>(options, configs_.empty() ? nullptr : configs_.back().get()));
  account_connections_.Reserve(static_cast<uint32_t>(configs_.back()->accounts.all().size()));
  ServerInfo& info = configs_.back()->info;
  info.server_id = info.server_name = "SIM";
  info.max_payload = options.max_payload;
}

void SimWorld::OnControlMail(uint32_t from, const MailHeader& header, const char* body) {
  if (header.kind != MailKind::kParcel) Fail("the control thread got mail that is no parcel");
  Parcel* raw = nullptr;
  std::memcpy(&raw, body, sizeof raw);
  const std::unique_ptr<Parcel> parcel(raw);
  switch (parcel->type) {
    case Parcel::Type::kLogBatch:
      if (Tracing()) {
        for (const LogLine& line : static_cast<const LogBatch&>(*parcel).lines)
          Trace(absl::StrFormat("shard %d logs: %s", from, line.text));
      }
      return;
    case Parcel::Type::kQuestion: {
      const auto& asked = static_cast<const AskedQuestion&>(*parcel);
      const Finding finding = asked.question.secret.view() == "good" ? Finding::kYes : Finding::kNo;
      mesh_->port(mesh_->control()).SendParcel(from, std::make_unique<Found>(asked.id, finding));
      return;
    }
    case Parcel::Type::kPostponed:
    case Parcel::Type::kWithdrawn:
      return;
    case Parcel::Type::kAnswer:
      ++answers_;
      return;
    case Parcel::Type::kStop:
      if (++stopped_ < mesh_->shards()) return;
      for (uint32_t shard = 0; shard < mesh_->shards(); ++shard)
        mesh_->port(mesh_->control()).SendParcel(shard, std::make_unique<Exit>());
      return;
    case Parcel::Type::kStopAccepting:
      accepting_ = false;
      return;
    case Parcel::Type::kStopParts:
      store_open_ = false;
      return;
    case Parcel::Type::kStopReport:
      if (Tracing()) Trace("it waits for: " + static_cast<const StopReport&>(*parcel).waits_for);
      return;
    case Parcel::Type::kConfigApplied: {
      // The earlier ones are freed when all shards look at this one, as in the server.
      const LoadedConfig* const applied = static_cast<const ConfigApplied&>(*parcel).config;
      if (++applied_[applied] < mesh_->shards()) return;
      while (configs_.front().get() != applied) configs_.pop_front();
      applied_.erase(applied);
      if (accounts_ != nullptr) accounts_->OnAcknowledged();
      return;
    }
    case Parcel::Type::kBusy:
      return;
    default:
      Fail("the control thread got a parcel that it does not expect");
  }
}

void SimWorld::Tell(uint32_t shard, std::unique_ptr<Parcel> parcel) {
  errands_.emplace_back(shard, std::move(parcel));
  participants_[mesh_->control()].io->Ring();
}

// ---- the scheduler -------------------------------------------------------------------------------------------------

bool SimWorld::Runnable(uint32_t index) const {
  const Participant& p = participants_[index];
  return !p.fiber->done() && (!p.io->blocked() || p.io->Wakeable());
}

void SimWorld::RunParticipant(uint32_t index) {
  Participant& p = participants_[index];
  if (p.io->blocked() && !p.io->ProgressWhileBlocked()) return;
  p.fiber->Resume();
  for (uint32_t target = 0; target < mesh_->participants(); ++target) {
    if (target != index) overflow_max_ = std::max(overflow_max_, mesh_->port(index).overflow_bytes(target));
  }
  if (overflow_max_ > kOverflowBytesMax)
    Fail(absl::StrFormat("%d bytes of mail wait for room: producers do not pause", overflow_max_));
}

SimWorld::Outcome SimWorld::Step() {
  if (++steps_ > kStepsMax) Fail("the run does not come to an end");
  kernel_->now += Nanos{random_.Below(2000)};
  if (random_.Chance(1)) {  // from time to time another participant is the slow one
    plan_.weights[random_.Below(5)] = random_.Pick({10u, 10u, 10u, 40u, 1u});
    if (frozen_until_ <= steps_ && random_.Chance(20)) {
      frozen_ = static_cast<uint32_t>(random_.Below(participants_.size()));
      frozen_until_ = steps_ + random_.Below(plan_.flood ? 4000 : 500);
    }
  }
  struct Candidate {
    uint32_t weight;
    uint32_t index;
    // 0: participant, 1: client moves, 2: client operates, 3: flooder moves, 4, 5: JetStream's clients, 6, 7: those of
    // accounts
    uint8_t kind;
  };
  static std::vector<Candidate> candidates;
  candidates.clear();
  uint64_t total = 0;
  const auto add = [&total](uint32_t weight, size_t index, uint8_t kind) {
    candidates.push_back({weight, static_cast<uint32_t>(index), kind});
    total += weight;
  };
  for (uint32_t i = 0; i < participants_.size(); ++i) {
    if (Runnable(i) && (i != frozen_ || steps_ >= frozen_until_)) add(plan_.weights[i], i, 0);
  }
  for (size_t i = 0; i < clients_.size(); ++i) {
    if (clients_[i]->CanMove()) add(8, i, 1);
    if (operating_ && operations_left_ > 0 && clients_[i]->MayOperate()) add(2, i, 2);
  }
  for (size_t i = 0; i < flooders_.size(); ++i) {
    if (flooders_[i]->CanMove()) add(8, i, 3);
  }
  for (size_t i = 0; i < jetstream_clients_.size(); ++i) {
    if (jetstream_clients_[i]->CanMove()) add(8, i, 4);
    if (jetstream_operations_left_ > 0 && jetstream_clients_[i]->MayOperate()) add(2, i, 5);
  }
  for (size_t i = 0; i < accounts_clients_.size(); ++i) {
    if (accounts_clients_[i]->CanMove()) add(8, i, 6);
    if (operating_ && operations_left_ > 0 && accounts_clients_[i]->MayOperate()) add(2, i, 7);
  }
  if (candidates.empty() && steps_ < frozen_until_) {
    frozen_until_ = 0;
    return Outcome::kMoved;
  }
  if (candidates.empty()) return AdvanceClock();
  uint64_t pick = random_.Below(total);
  for (const Candidate& candidate : candidates) {
    if (pick >= candidate.weight) {
      pick -= candidate.weight;
      continue;
    }
    if (candidate.kind == 0) {
      RunParticipant(candidate.index);
    } else if (candidate.kind == 3) {
      flooders_[candidate.index]->Move();
    } else if (candidate.kind == 4) {
      jetstream_clients_[candidate.index]->Move();
    } else if (candidate.kind == 5) {
      --jetstream_operations_left_;
      jetstream_clients_[candidate.index]->Operate();
    } else if (candidate.kind == 6) {
      accounts_clients_[candidate.index]->Move();
    } else if (candidate.kind == 7) {
      --operations_left_;
      accounts_clients_[candidate.index]->Operate();
    } else if (candidate.kind == 1) {
      SimClient& client = *clients_[candidate.index];
      client.Move();
      if (client.half_close_cut() && !server_may_close_ && plan_.mix.generous) {
        Fail(client.Describe() + " half-closed and did not get the replies to what it had written");
      }
      if (client.closed() && client.ended_by_broker() && !server_may_close_ && plan_.mix.generous) {
        Fail(client.Describe() + " was closed by the broker without cause");
      }
    } else {
      --operations_left_;
      clients_[candidate.index]->Operate();
    }
    break;
  }
  return Outcome::kMoved;
}

// Nobody can go on: whoever sleeps must have a good reason, and time passes until something happens.
SimWorld::Outcome SimWorld::AdvanceClock() {
  CheckAsleep();
  oracle_->OnQuiet();
  if (accounts_ != nullptr) accounts_->OnQuiet();
  Nanos next = Nanos::max();
  for (const Participant& p : participants_) {
    if (!p.fiber->done()) next = std::min(next, p.io->NextEvent());
  }
  for (const std::unique_ptr<SimClient>& client : clients_) {
    if (operating_ || client->waits()) next = std::min(next, client->NextEvent());
  }
  for (const std::unique_ptr<JetStreamClient>& client : jetstream_clients_) {
    client->CheckAnswers();
    next = std::min(next, client->NextEvent());
  }
  for (const std::unique_ptr<AccountsClient>& client : accounts_clients_) {
    if (operating_ || client->waits()) next = std::min(next, client->NextEvent());
  }
  CheckStuck(next);
  if (next == Nanos::max()) return Outcome::kDead;
  ++jumps_;
  kernel_->now = std::max(kernel_->now, next);
  if (kernel_->now > plan_.start + kRunTimeMax) Fail("the run takes too much time");
  return Outcome::kMoved;
}

// A participant that sleeps while there is mail for it, or room for what waits in its overflow, has missed a doorbell.
void SimWorld::CheckAsleep() {
  for (uint32_t i = 0; i < participants_.size(); ++i) {
    if (participants_[i].fiber->done()) continue;
    const MeshPort& port = mesh_->port(i);
    if (port.HasMail()) Fail(absl::StrFormat("participant %d sleeps although it has mail", i));
    for (uint32_t target = 0; target < participants_.size(); ++target) {
      if (target != i && port.overflow_bytes(target) > 0 && !participants_[target].fiber->done()) {
        Fail(absl::StrFormat("participant %d sleeps although its overflow for %d could go on", i, target));
      }
    }
  }
}

void SimWorld::CheckStuck(Nanos next) {
  if (next - kernel_->last_move <= kPatience && next != Nanos::max()) return;
  bool waiting = false;
  std::string who;
  for (const std::unique_ptr<SimClient>& client : clients_) {
    if (client->closed()) continue;
    // Someone does not read, or a socket waits for the next try to accept it: that may take its time.
    if (client->unread() || !kernel_->backlog.empty()) return;
    if (client->waits()) {
      waiting = true;
      who += "\n  " + client->Describe();
    }
  }
  for (const std::unique_ptr<AccountsClient>& client : accounts_clients_) {
    if (client->closed()) continue;
    if (client->unread() || !kernel_->backlog.empty()) return;
    if (client->waits()) {
      waiting = true;
      who += "\n  " + client->Describe();
    }
  }
  if (waiting) Fail("nothing moves any more, but there are replies to come:" + who);
}

void SimWorld::RunUntil(const char* what, const std::function<bool()>& condition) {
  if (Tracing()) Trace(absl::StrFormat("---- until %s", what));
  while (!crashed_ && !condition()) {
    if (Step() == Outcome::kMoved) continue;
    if (crashed_ || condition()) return;
    std::string who;
    for (const std::unique_ptr<SimClient>& client : clients_) {
      if (!client->closed()) who += "\n  " + client->Describe();
    }
    Fail(absl::StrFormat("the world stands still before %s%s", what, who));
  }
}

// ---- the phases ----------------------------------------------------------------------------------------------------

size_t SimWorld::OpenClients() const {
  return static_cast<size_t>(
      std::count_if(clients_.begin(), clients_.end(), [](const auto& client) { return !client->closed(); }));
}

void SimWorld::OpenClient() {
  const bool adopt = plan_.adopt && random_.Chance(60);
  const auto limit = [this] { return random_.Between(512, plan_.socket_bytes_max); };
  const std::shared_ptr<Socket> socket = kernel_->Connect(!adopt, limit(), limit());
  sockets_.push_back(socket);
  if (adopt) {
    Participant& p = participants_[random_.Below(mesh_->shards())];
    p.adoptions.emplace_back(socket->fd, kFirstAdoptedCid + adopted_++);
    p.io->Ring();
  }
  clients_.push_back(std::make_unique<SimClient>(*kernel_, *oracle_, plan_.mix, socket));
}

void SimWorld::MaybeAdminister() {
  if (plan_.administration && random_.Chance(1)) {
    const auto shard = static_cast<uint32_t>(random_.Below(mesh_->shards()));
    if (random_.Chance(70)) {
      ++queries_;
      PartQuestion question;
      question.needs = kNeedOpenConnections | kNeedClosedConnections | kNeedConnectionSubs | kNeedSublistStats |
                       kNeedSubscriptions;
      Tell(shard, std::make_unique<Query>(queries_, question));
    } else {
      Load(configs_.back()->options);
      const bool recheck = random_.Chance(50) && !plan_.mix.hash_auth;
      const bool announce = random_.Chance(50);
      for (uint32_t each = 0; each < mesh_->shards(); ++each)
        Tell(each, std::make_unique<ConfigChange>(configs_.back().get(), recheck, announce));
    }
  }
  if (plan_.lame_duck && operations_left_ < plan_.operations / 3) {
    plan_.lame_duck = false;
    server_may_close_ = true;
    plan_.mix.generous = false;
    for (const std::unique_ptr<SimClient>& client : clients_) {
      oracle_->OnClosing(client->record(), kernel_->Stamp());
      client->record().all_must_count = false;
    }
    Tell(static_cast<uint32_t>(random_.Below(mesh_->shards())),
         std::make_unique<CloseSome>(1 + random_.Below(2), ClosedReason::kServerShutdown));
  }
}

void SimWorld::Run() {
  Start();
  // Connections come one by one, and in place of those that end.
  while (operations_left_ > 0) {
    if (OpenClients() < plan_.clients_max && (OpenClients() == 0 || random_.Chance(3))) OpenClient();
    MaybeAdminister();
    if (Step() == Outcome::kDead && operations_left_ > 0 && OpenClients() > 0)
      Fail("the world stands still while clients operate");
  }
  Settle();
  oracle_->CheckRequests();
  oracle_->CheckQueues();
  if (!plan_.stop_with_clients) EndConnections();
  Stop();
  TearDown();
}

// Everyone reads what there is; then two rounds of PING, so that the second sees what the first confirmed.
void SimWorld::Settle() {
  operating_ = false;
  for (const std::unique_ptr<SimClient>& client : clients_) client->Finish();
  const auto settled = [this] {
    return std::all_of(clients_.begin(), clients_.end(), [](const auto& client) {
      return client->closed() || (client->open() && !client->waits() && !client->unwritten() && !client->must_end());
    });
  };
  for (int round = 0; round < 2; ++round) {
    RunUntil("all replies have come", settled);
    RunUntilQuiet();
    for (const std::unique_ptr<SimClient>& client : clients_) {
      if (client->open()) client->Ping();
    }
    RunUntil("the last PONG has come", settled);
  }
  CheckKeepAlive();
}

// The keep-alive that every client is due soon after its CONNECT, however young the machine is. The clock goes on to
// it: nobody else has anything left to do.
void SimWorld::CheckKeepAlive() {
  const Nanos due = kernel_->now + kFirstPingMax;
  RunUntil("every client has had its first PING", [this, due] {
    const bool all = std::all_of(clients_.begin(), clients_.end(),
                                 [](const auto& client) { return !client->open() || client->pinged(); });
    if (!all && kernel_->now > due) Fail("a client was not pinged");
    return all;
  });
}

// Until everybody sleeps: then every shard knows what every other did.
void SimWorld::RunUntilQuiet() {
  const uint64_t before = jumps_;
  while (!crashed_ && Step() != Outcome::kDead && jumps_ == before) {
  }
}

// All connections end, each in some way; then nobody may be interested in anything on any shard.
void SimWorld::EndConnections() {
  for (const std::unique_ptr<SimClient>& client : clients_) {
    if (client->open()) client->End(static_cast<SimClient::Ending>(random_.Below(3)));
  }
  RunUntil("all connections have ended",
           [this] { return OpenClients() == 0 && kernel_->backlog.empty() && kernel_->open_descriptors() == 0; });
  RunUntilQuiet();
  for (uint32_t i = 0; i < mesh_->shards(); ++i) {
    if (mesh_->counters(i).subscriptions.Get() != 0) Fail(absl::StrFormat("shard %d still has subscriptions", i));
    if (mesh_->counters(i).connections.Get() != 0) Fail(absl::StrFormat("shard %d still counts connections", i));
  }
  if (plan_.mix.hash_auth) return;
  for (uint32_t i = 0; i < mesh_->shards(); ++i) {
    const std::shared_ptr<Socket> socket = kernel_->Connect(false, 65536, 65536);
    sockets_.push_back(socket);
    participants_[i].adoptions.emplace_back(socket->fd, kFirstAdoptedCid + adopted_++);
    participants_[i].io->Ring();
    clients_.push_back(std::make_unique<SimClient>(*kernel_, *oracle_, plan_.mix, socket, true));
    clients_.back()->Finish();
    clients_.back()->Probe({"a", "b.c", "long-token-of-more-than-sixteen.a.b", "x", "a.b.c"});
  }
  RunUntil("the probes have their answers", [this] {
    return std::none_of(clients_.begin(), clients_.end(),
                        [](const auto& client) { return !client->closed() && client->waits(); });
  });
}

void SimWorld::Stop() {
  server_may_close_ = true;
  for (const std::unique_ptr<SimClient>& client : clients_) {
    if (!client->closed()) oracle_->OnClosing(client->record(), kernel_->Stamp());
  }
  for (uint32_t i = 0; i < mesh_->shards(); ++i) Tell(i, std::make_unique<millrace::Stop>());
  RunUntil("every shard has stopped", [this] {
    return std::all_of(participants_.begin(), participants_.end(),
                       [](const Participant& p) { return p.fiber->done(); });
  });
}

// What was under way between stopped shards is of no use, but it is not lost memory either.
void SimWorld::TearDown() {
  for (const std::shared_ptr<Socket>& socket : sockets_) {
    const bool never_accepted = socket->fd < 0 && !socket->broker_closed;
    if (!socket->broker_closed && !never_accepted) Fail("a descriptor was not closed");
  }
  if (answers_ > queries_) Fail("more answers than questions");
  for (const std::unique_ptr<SimClient>& client : clients_) {
    half_close_cuts_ += client->half_close_cut() ? 1 : 0;
    closed_by_broker_ += client->ended_by_broker() ? 1 : 0;
  }
  for (Participant& p : participants_) {
    p.fiber.reset();
    p.shard.reset();
  }
  bool more = true;
  while (more) {
    more = false;
    for (uint32_t i = 0; i < mesh_->participants(); ++i) {
      mesh_->port(i).Ship([](uint32_t) {});
      more |= mesh_->port(i).Drain([](uint32_t, const MailHeader& header, const char* body) {
        void* pointer = nullptr;
        if (header.kind == MailKind::kParcel) {
          std::memcpy(&pointer, body, sizeof pointer);
          delete static_cast<Parcel*>(pointer);
        } else if (header.kind == MailKind::kPayloadHome) {
          std::memcpy(&pointer, body, sizeof pointer);
          SharedPayload::Release(static_cast<SharedPayload*>(pointer));
        } else if (header.kind == MailKind::kTraceReport) {
          std::memcpy(&pointer, body, sizeof pointer);
          delete static_cast<TraceReport*>(pointer);
        } else if (header.kind == MailKind::kMessage) {
          MessageMail mail;
          std::memcpy(&mail, body, sizeof mail);
          if ((mail.flags & kByReference) == 0) return;
          std::memcpy(&pointer, body + sizeof mail, sizeof pointer);
          SharedPayload::Release(static_cast<SharedPayload*>(pointer));
        }
      }) > 0;
    }
  }
  mesh_.reset();
}

}  // namespace millrace::sim
