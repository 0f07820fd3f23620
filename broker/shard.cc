// SPDX-License-Identifier: Apache-2.0
#include "broker/shard.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_format.h"
#include "broker/monitor/service.h"
#include "broker/route/message_codec.h"
#include "proto/base/bytes.h"

namespace millrace {
namespace {

// A quiet client that was heard this long ago may well say something soon.
constexpr Nanos kSharedFor = std::chrono::milliseconds(10);
constexpr Nanos kTurnTarget = std::chrono::milliseconds(1);
// What a connection sends without asking for its result keeps its chunk until the shard wakes the next time.
constexpr uint64_t kQuietBytesMax = 16384;
constexpr Nanos kTrimInterval = std::chrono::seconds(1);
constexpr Nanos kQuietCheckInterval = std::chrono::seconds(5);
constexpr uint64_t kQuietTurns = 500;  // in one of them
// How long one stall may hold a producer back; the peer waits 2 to 5 ms a time.
constexpr Nanos kStallMax = std::chrono::milliseconds(5);

ConnectionLimits LimitsOf(const Options& options) {
  return {.ping_interval = options.ping_interval,
          .auth_timeout = options.AuthTimeout(),
          .write_deadline = options.write_deadline,
          .slow_may_stay = options.write_timeout == Options::WriteTimeout::kRetry};
}

uint64_t SecretOf(const ShardOptions& options) {
  uint64_t secret = 0;
  options.entropy(reinterpret_cast<char*>(&secret), sizeof secret);
  return secret;
}

}  // namespace

Shard::Shard(const ShardOptions& options, Io& io, MeshPort& mesh, ShardCounters& counters, const LoadedConfig* config,
             WallClock wall_clock)
    : options_(options),
      io_(io),
      mesh_(mesh),
      counters_(counters),
      wall_clock_(wall_clock),
      log_(
          wall_clock,
          [this](std::vector<LogLine>&& lines) {
            mesh_.SendParcel(mesh_.control(), std::make_unique<LogBatch>(std::move(lines)));
          },
          LogVerbosity{config->options.debug, config->options.trace, config->options.trace_verbose}),
      timers_(io.Now()),
      chunks_(options.outbox_chunk_bytes),
      interest_(options.match_cache_entries, counters,
                [this](const InterestMail& change, std::string_view filter, std::string_view queue) {
                  AnnounceInterest(&mesh_, change, filter, queue);
                }),
      router_(mesh, counters, interest_, options.limits, options.seed),
      sink_subscriptions_(interest_),
      session_shared_{router_, counters, log_, config, Nanos{0}, 0, &system_, options.entropy},
      system_(router_, session_shared_.wall_ns, options.notices == nullptr ? own_notices_ : *options.notices),
      server_events_(system_, router_, session_shared_.wall_ns, config->info.server_id, config->accounts),
      service_imports_(router_, session_shared_.now, mesh.self(), SecretOf(options)),
      connection_shared_{.io = io,
                         .timers = timers_,
                         .chunks = chunks_,
                         .outlet = router_.outlet(),
                         .mesh = mesh,
                         .now = session_shared_.now,
                         .wall_ns = session_shared_.wall_ns,
                         .limits = LimitsOf(config->options),
                         .send_bytes_max = options.send_bytes_max,
                         .small_buffer_bytes = options.small_buffer_bytes,
                         // A backlog that holds a producer back has to be known when it is gone.
                         .quiet_bytes_max = std::min(kQuietBytesMax, options.limits.high_water_bytes / 2 - 1)},
      placed_(mesh.shards(), 0),
      wait_(options.poll_max, options.gather_max),
      random_(options.seed) {
  session_shared_.account_connections = options.account_connections;
  session_shared_.server_events = &server_events_;
  system_.set_server(ServerObject(config->info, config->options));
  service_imports_.latency().set_ask([this](const ConnectionId& about, uint64_t question) {
    mesh_.SendParcel(about.shard, std::make_unique<AskedClient>(about, mesh_.self(), question));
  });
  AdoptViews(config->views);
  stop_deadline_.Bind<&Shard::OnStopDeadline>(this);
  trim_.Bind<&Shard::TrimChunks>(this);
  quiet_check_.Bind<&Shard::CheckQuiet>(this);
  lap_at_ = wait_ended_ = session_shared_.now = io.Now();
  session_shared_.wall_ns = wall_clock_() * 1000;
}

Shard::~Shard() {
  MR_CHECK(open_ == 0);
  parts_.clear();
  acceptors_.clear();
  timers_.Cancel(&stop_deadline_);
  timers_.Cancel(&trim_);
  timers_.Cancel(&quiet_check_);
}

// ---- the turn ------------------------------------------------------------------------------------------------------

void Shard::RunOnce(bool may_block) {
  EnterKernel(may_block);
  io_.RunQuietSends();
  if (DrainMail() > 0) Lap(TurnPhase::kMail);
  router_.outlet().BeginTurn();
  work_left_ = !io_.RunCompletions(options_.bytes_per_turn);
  Lap(TurnPhase::kReceive);
  timers_.Expire(session_shared_.now);
  CheckBarriers();
  ResumePaused();
  Lap(TurnPhase::kTimers);
  RunParts();
  service_imports_.RunTurn();
  CloseSlow();
  work_left_ |= system_.HasPosted() || server_events_.HasNoted();
  router_.FinishTurn();
  log_.Flush();
  mesh_.Ship([this](uint32_t target) { io_.Wake(target); });
  FlushDirty();
  Bury();
  if (chunks_.NeedsTrim() && !trim_.armed()) timers_.Arm(&trim_, session_shared_.now + kTrimInterval);
  Lap(TurnPhase::kSend);
  CountTurn();
}

void Shard::Lap(TurnPhase phase) {
  const Nanos now = io_.Now();
  laps_[static_cast<size_t>(phase)] = now - std::exchange(lap_at_, now);
}

void Shard::CountTurn() {
  counters_.turns.Add(1);
  Nanos took{0};
  size_t longest = 0;
  for (size_t phase = 0; phase < kTurnPhases; ++phase) {
    took += laps_[phase];
    if (laps_[phase] > laps_[longest]) longest = phase;
  }
  if (took > kTurnTarget) {
    counters_.long_turns.Add(1);
    counters_.long_turns_by[longest].Add(1);
    const auto ns = static_cast<uint64_t>(took.count());
    if (ns > counters_.longest_turn_ns.Get()) counters_.longest_turn_ns.Set(ns);
  }
  std::fill(std::begin(laps_), std::end(laps_), Nanos{0});
  ++turns_since_check_;
  if (turns_since_check_ == 2) timers_.Arm(&quiet_check_, session_shared_.now + kQuietCheckInterval);
  if (turns_since_check_ == kQuietTurns && std::exchange(activity_, Activity::kBusy) != Activity::kBusy) {
    mesh_.SendParcel(mesh_.control(), std::make_unique<Busy>(1));
  }
}

// The turn of this timer counts as one: a shard that has nothing else to do is left alone.
void Shard::CheckQuiet() {
  const bool was_quiet = turns_since_check_ < kQuietTurns;
  turns_since_check_ = 0;
  if (!was_quiet || activity_ == Activity::kQuiet) return;
  mesh_.SendParcel(mesh_.control(), std::make_unique<Busy>(activity_ == Activity::kBusy ? -1 : 0));
  activity_ = Activity::kQuiet;
  options_.collect_memory();
}

void Shard::TrimChunks() {
  if (chunks_.Trim()) timers_.Arm(&trim_, session_shared_.now + kTrimInterval);
}

void Shard::EnterKernel(bool may_block) {
  const bool idle = may_block && !work_left_ && rearm_.empty();
  const Nanos budget = wait_.poll();
  bool missed = false;
  if (!idle) {
    io_.SubmitAndWait(Nanos::max(), false);
  } else if (budget == Nanos{0}) {
    Sleep();
  } else {
    io_.SubmitAndWait(Nanos::max(), false);
    missed = !io_.HasCompletions() && !mesh_.HasMail() && !Spin(budget);
    if (missed) Sleep();
  }
  session_shared_.now = io_.Now();
  if (!idle) laps_[static_cast<size_t>(TurnPhase::kKernel)] = session_shared_.now - lap_at_;
  lap_at_ = session_shared_.now;
  if (idle) {
    const uint64_t messages = counters_.in_messages.Get() + counters_.out_messages.Get();
    wait_.OnWait(session_shared_.now - wait_ended_, messages - wait_messages_, missed);
    wait_ended_ = session_shared_.now;
    wait_messages_ = messages;
  }
  session_shared_.wall_ns = wall_clock_() * 1000;
  router_.set_wall_ns(session_shared_.wall_ns);
}

void Shard::Sleep() {
  Nanos deadline = timers_.NextDeadline();
  for (const std::unique_ptr<ShardPart>& part : parts_) deadline = std::min(deadline, part->NextTick());
  deadline = std::min(deadline, service_imports_.NextTick());
  for (const ConnectionId& id : stalled_) {
    if (const Connection* connection = Find(id)) deadline = std::min(deadline, connection->stalled_until);
  }
  for (const ConnectionId& id : barriers_) {
    if (Connection* connection = Find(id)) connection->speaker().RequestBarrierWake();
  }
  const bool asleep = mesh_.TrySleep();
  if (asleep && wait_.gather() > Nanos{0}) {
    io_.SubmitAndGather(deadline, wait_.gather());
  } else {
    io_.SubmitAndWait(deadline, asleep);
  }
  if (asleep) mesh_.Awake();
}

// Looks for work for a while before sleeping: waking a core takes longer than a short wait.
bool Shard::Spin(Nanos budget) {
  const Nanos deadline = std::min(io_.Now() + budget, timers_.NextDeadline());
  bool found = false;
  do {
    for (int i = 0; i < 16 && !found; ++i) {
      __builtin_ia32_pause();
      found = io_.HasCompletions() || mesh_.HasMail();
    }
  } while (!found && io_.Now() < deadline);
  if (found) io_.SubmitAndWait(Nanos::max(), false);
  return found;
}

uint64_t Shard::DrainMail() {
  return mesh_.Drain([this](uint32_t from, const MailHeader& header, const char* body) { OnMail(from, header, body); });
}

void Shard::CheckBarriers() {
  if (barriers_.empty()) return;
  std::vector<ConnectionId> passed;
  std::erase_if(barriers_, [this, &passed](const ConnectionId& id) {
    Connection* connection = Find(id);
    if (connection == nullptr) return true;
    if (!connection->speaker().CheckBarrier()) return false;
    passed.push_back(id);
    return true;
  });
  // Input that waited may run into the next barrier.
  for (const ConnectionId& id : passed) {
    if (Connection* connection = Find(id)) connection->Resume(Connection::PauseReason::kBarrier);
  }
}

void Shard::ResumePaused() {
  // Those for whom the turn was too short come first in the next one.
  const std::vector<ConnectionId> rearm = std::exchange(rearm_, {});
  size_t done = 0;
  for (; done < rearm.size() && (done == 0 || !router_.outlet().TurnSpent()); ++done) {
    if (Connection* connection = Find(rearm[done])) connection->Rearm();
  }
  rearm_.insert(rearm_.begin(), rearm.begin() + static_cast<std::ptrdiff_t>(done), rearm.end());
  if (!stalled_.empty()) {
    const std::vector<ConnectionId> stalled = std::exchange(stalled_, {});
    for (const ConnectionId& id : stalled) {
      Connection* connection = Find(id);
      if (connection == nullptr) continue;
      const bool relieved = HasDrained(connection->receiver().stalled_by);
      const bool local = connection->receiver().stalled_by.shard == mesh_.self();
      const bool expired = session_shared_.now >= connection->stalled_until;
      if (expired && local && !relieved) {
        Receiver& slow = Find(connection->receiver().stalled_by)->receiver();
        const bool moved = slow.outbox.pending_bytes() < slow.pending_at_pause;
        slow.hopeless = moved ? uint8_t{1} : static_cast<uint8_t>(std::min<int>(slow.hopeless + 1, UINT8_MAX));
      }
      if ((local && relieved) || expired) {
        connection->Resume(Connection::PauseReason::kStall);
      } else {
        stalled_.push_back(id);
      }
    }
  }
  if (!congested_.empty() && !mesh_.AnyOverflowAbove(kOverflowPauseBytes / 4)) {
    for (const ConnectionId& id : std::exchange(congested_, {})) {
      if (Connection* connection = Find(id)) connection->Resume(Connection::PauseReason::kCongestion);
    }
  }
}

bool Shard::HasDrained(const ConnectionId& id) {
  const Connection* connection = Find(id);
  return connection == nullptr || connection->receiver().outbox.pending_bytes() < options_.limits.high_water_bytes / 2;
}

PartHost Shard::part_host() {
  const auto relieved = [this](const ConnectionId& id) { return id.shard != mesh_.self() || HasDrained(id); };
  return {.router = router_,
          .subscriptions = sink_subscriptions_,
          .chunks = chunks_,
          .timers = timers_,
          .log = log_,
          .now = session_shared_.now,
          .wall_ns = session_shared_.wall_ns,
          .random = [this] { return random_.Next(); },
          .relieved = relieved,
          .clock = [this] { return io_.Now(); }};
}

void Shard::AddPart(std::unique_ptr<ShardPart> part) {
  MR_CHECK(FindPart(part->id()) == nullptr);
  parts_.push_back(std::move(part));
}

ShardPart* Shard::FindPart(PartId id) {
  const auto at = std::find_if(parts_.begin(), parts_.end(), [id](const auto& part) { return part->id() == id; });
  return at == parts_.end() ? nullptr : at->get();
}

void Shard::RunParts() {
  bool ran = !parts_.empty();
  for (const std::unique_ptr<ShardPart>& part : parts_) work_left_ |= part->RunTurn();
  ran |= system_.Flush();
  if (server_events_.HasNoted()) {
    mesh_.SendParcel(mesh_.control(), std::make_unique<AccountChanges>(server_events_.TakeNoted()));
  }
  if (ran) Lap(TurnPhase::kParts);
}

void Shard::CloseSlow() {
  for (Receiver* receiver : router_.outlet().TakeSlow()) {
    Connection* connection = Find(receiver->id);
    if (connection == nullptr) continue;
    OnSlow(connection);
    log_.Info(absl::StrFormat("%s - Slow Consumer Detected: MaxPending of %d Exceeded", connection->speaker().label(),
                              router_.limits().pending_bytes_max));
    connection->End(ClosedReason::kSlowConsumerPendingBytes);
  }
  for (const Router::Undelivered& request : router_.TakeUndelivered()) {
    ReportUndelivered(request.origin, request.subject, request.reply);
  }
}

// Whoever says something during a send waits for the rest of all sends of the turn: a few MiB to subscribers of a flood
// are milliseconds. Smaller ones cost the flood a fourth of its rate, so it gets them only beside somebody quiet.
void Shard::ChooseSendBytes() {
  const bool shared = session_shared_.now - connection_shared_.quiet_heard_at < kSharedFor;
  connection_shared_.send_bytes_max =
      shared ? std::min(options_.send_bytes_max, options_.send_bytes_shared) : options_.send_bytes_max;
}

void Shard::FlushDirty() {
  ChooseSendBytes();
  std::vector<Receiver*>& dirty = router_.outlet().dirty();
  // The small ones first: they are answers somebody waits for, and a large send takes the kernel a while.
  // Flushing may end a connection, which touches nothing new; a receiver stays valid until Bury.
  for (const bool small : {true, false}) {
    for (Receiver* receiver : dirty) {
      if (!receiver->dirty || (small && receiver->outbox.pending_bytes() > kQuietBytesMax)) continue;
      receiver->dirty = false;
      if (Connection* connection = Find(receiver->id)) connection->Flush();
    }
  }
  dirty.clear();
}

void Shard::Bury() {
  interest_.FreeRemoved();
  graveyard_.clear();
  if (stop_accepting_) std::erase_if(acceptors_, [](const auto& acceptor) { return acceptor->ended(); });
  StepStop();
}

// ---- mail ----------------------------------------------------------------------------------------------------------

void Shard::OnMail(uint32_t from, const MailHeader& header, const char* body) {
  switch (header.kind) {
    case MailKind::kMessage:
      return router_.OnMessage(from, body);
    case MailKind::kMessageRun:
      return router_.OnMessageRun(body);
    case MailKind::kPayloadHome:
      return router_.OnPayloadHome(body);
    case MailKind::kInterest:
      return OnInterest(from, body);
    case MailKind::kConnection: {
      const auto mail = Load<ConnectionMail>(body);
      return Open(static_cast<SpeakerKind>(mail.kind), mail.fd, mail.cid, mail.refused != 0);
    }
    case MailKind::kUndelivered:
      return OnUndelivered(body);
    case MailKind::kStall: {
      const ConnectionId origin = ReadStall(body);
      if (origin.part() != PartId::kNone) {
        if (ShardPart* part = FindPart(origin.part())) part->OnStall();
      } else if (Connection* connection = Find(origin)) {
        connection->receiver().stalled_by = ConnectionId{from, 0, 0};
        PauseForStall(connection);
      }
      return;
    }
    case MailKind::kTraceReport: {
      const std::unique_ptr<TraceReport> report = ReadTraceReport(body);
      if (Connection* connection = Find(report->origin)) connection->speaker().OnTraceReport(std::move(*report));
      return;
    }
    case MailKind::kParcel:
      return OnParcel(std::unique_ptr<Parcel>(Load<Parcel*>(body)));
    case MailKind::kPad:
      break;
  }
  MR_CHECK(false);
}

void Shard::OnInterest(uint32_t from, const char* body) {
  const InterestRecord record(body);
  interest_.ApplyRemote(from, record.change, record.filter, record.queue);
}

void Shard::OnUndelivered(const char* body) {
  const UndeliveredRecord record(body);
  ReportUndelivered(record.origin, std::string(record.subject), std::string(record.reply));
}

void Shard::ReportUndelivered(const ConnectionId& origin, std::string subject, std::string reply) {
  service_imports_.GiveBack(&subject, &reply);
  if (Connection* connection = Find(origin)) connection->speaker().OnUndelivered(subject, reply);
}

void Shard::OnParcel(std::unique_ptr<Parcel> parcel) {
  switch (parcel->type) {
    case Parcel::Type::kFound: {
      const auto& found = static_cast<const Found&>(*parcel);
      if (Connection* connection = Find(found.id)) connection->OnAnswer(found.finding);
      return;
    }
    case Parcel::Type::kConfigChange:
      return OnConfigChange(static_cast<const ConfigChange&>(*parcel));
    case Parcel::Type::kPartMail: {
      auto& mail = static_cast<PartParcel&>(*parcel);
      if (ShardPart* part = FindPart(mail.to)) part->OnMail(std::move(mail.mail));
      return;
    }
    case Parcel::Type::kAskedClient:
      return OnAskedClient(static_cast<const AskedClient&>(*parcel));
    case Parcel::Type::kToldClient: {
      auto& told = static_cast<ToldClient&>(*parcel);
      return service_imports_.latency().OnClient(told.question, std::move(told.client));
    }
    case Parcel::Type::kQuery:
      return OnQuery(static_cast<const Query&>(*parcel));
    case Parcel::Type::kListen:
      return OnListen(static_cast<const ListenOn&>(*parcel));
    case Parcel::Type::kStopAccepting:  // lame duck mode begins
      server_events_.LameDuck();
      return OnStopAccepting();
    case Parcel::Type::kCloseSome:
      return OnCloseSome(static_cast<const CloseSome&>(*parcel));
    case Parcel::Type::kStopParts:
      return OnStopParts();
    case Parcel::Type::kStop:
      return OnStop();
    case Parcel::Type::kExit:
      MR_CHECK(finished_);
      stopped_ = true;
      return;
    case Parcel::Type::kStopReport:
      return mesh_.SendParcel(mesh_.control(), std::make_unique<StopReport>(StopWaitsFor()));
    case Parcel::Type::kLogBatch:
    case Parcel::Type::kAccountChanges:
    case Parcel::Type::kBusy:
    case Parcel::Type::kReady:
    case Parcel::Type::kConfigApplied:
    case Parcel::Type::kQuestion:
    case Parcel::Type::kPostponed:
    case Parcel::Type::kWithdrawn:
    case Parcel::Type::kSystemRequest:
    case Parcel::Type::kAnswer:
      break;
  }
  MR_CHECK(false);
}

// It may have gone by now.
void Shard::OnAskedClient(const AskedClient& asked) {
  Connection* const connection = Find(asked.id);
  const Receiver* const receiver = connection == nullptr ? nullptr : &connection->receiver();
  mesh_.SendParcel(asked.from,
                   std::make_unique<ToldClient>(asked.question, LatencyTracker::Describe(receiver, true)));
}

void Shard::OnConfigChange(const ConfigChange& change) {
  session_shared_.config = change.config;
  const Options& options = change.config->options;
  connection_shared_.limits = LimitsOf(options);
  log_.SetVerbosity(LogVerbosity{options.debug, options.trace, options.trace_verbose});
  RouterLimits limits = router_.limits();
  limits.producers_pause = !options.no_fast_producer_stall;
  router_.outlet().set_limits(limits);
  system_.set_server(ServerObject(change.config->info, options));
  server_events_.set_accounts(change.config->accounts);
  AdoptViews(change.config->views);
  for (const std::unique_ptr<Connection>& connection : connections_) {
    if (connection == nullptr || !connection->open()) continue;
    connection->speaker().OnConfigChanged(change.recheck_users, change.announce_info);
  }
  mesh_.SendParcel(mesh_.control(), std::make_unique<ConfigApplied>(change.config));
}

void Shard::AdoptViews(const AccountViews& views) {
  router_.set_stream_imports(views.stream_imports());
  sink_subscriptions_.Adopt(views);
  service_imports_.Adopt(views);
}

void Shard::OnCloseSome(const CloseSome& some) {
  uint64_t left = some.count;
  for (const std::unique_ptr<Connection>& connection : connections_) {
    if (left == 0) return;
    if (connection == nullptr || !connection->open()) continue;
    if (some.reason == ClosedReason::kMaxConnectionsExceeded) {
      connection->Refuse();
    } else {
      connection->EndAfterFlush(some.reason);
    }
    --left;
  }
}

// ---- accepting -----------------------------------------------------------------------------------------------------

void Shard::OnListen(const ListenOn& listen) {
  if (stop_accepting_) return io_.Close(listen.fd);
  acceptors_.push_back(
      std::make_unique<Acceptor>(io_, timers_, log_, session_shared_.now, *this, listen.kind, listen.fd));
  acceptors_.back()->Start();
}

void Shard::OnStopAccepting() {
  stop_accepting_ = true;
  for (const std::unique_ptr<Acceptor>& acceptor : acceptors_) acceptor->Stop();
  if (acceptors_.empty()) TellIfNothingIsAccepted();
}

void Shard::TellIfNothingIsAccepted() {
  const auto ended = [](const std::unique_ptr<Acceptor>& acceptor) { return acceptor->ended(); };
  if (!std::all_of(acceptors_.begin(), acceptors_.end(), ended)) return;
  if (!stopping_) mesh_.SendParcel(mesh_.control(), std::make_unique<StopAccepting>());
}

uint64_t Shard::OpenConnections() const {
  uint64_t open = 0;
  for (uint32_t shard = 0; shard < mesh_.shards(); ++shard)
    open += placed_[shard] - mesh_.counters(shard).connections_closed.Get();
  return open;
}

// The fewest connections; ties go to the next shard after the last pick, never to the lowest index.
uint32_t Shard::PickShard() {
  uint32_t best = 0;
  uint64_t best_open = UINT64_MAX;
  for (uint32_t i = 1; i <= mesh_.shards(); ++i) {
    const uint32_t shard = (last_pick_ + i) % mesh_.shards();
    const uint64_t open = placed_[shard] - mesh_.counters(shard).connections_closed.Get();
    if (open < best_open) {
      best = shard;
      best_open = open;
    }
  }
  return last_pick_ = best;
}

void Shard::OnAccepted(SpeakerKind kind, int fd) {
  const int64_t max = session_shared_.config->options.max_connections;
  const bool refused = max < 0 || (max > 0 && OpenConnections() >= static_cast<uint64_t>(max));
  const uint32_t shard = PickShard();
  const uint64_t cid = next_cid_++;
  ++placed_[shard];
  if (shard == mesh_.self()) return Open(kind, fd, cid, refused);
  const ConnectionMail mail{cid, fd, static_cast<uint16_t>(kind), static_cast<uint16_t>(refused ? 1 : 0)};
  Store(mesh_.Append(shard, MailKind::kConnection, sizeof mail), mail);
}

void Shard::Open(SpeakerKind kind, int fd, uint64_t cid, bool refused) {
  if (stopping_) {
    io_.Close(fd);
    counters_.connections_closed.Add(1);
    return;
  }
  uint32_t slot = 0;
  if (free_slots_.empty()) {
    slot = static_cast<uint32_t>(connections_.size());
    connections_.emplace_back();
  } else {
    slot = free_slots_.back();
    free_slots_.pop_back();
  }
  const ConnectionId id{mesh_.self(), slot, cid};
  connections_[slot] = std::make_unique<Connection>(connection_shared_, *this, fd, id);
  ++open_;
  counters_.connections.Set(open_);
  counters_.connections_total.Add(1);
  connections_[slot]->Start(MakeSpeaker(kind, connections_[slot].get()), refused);
}

// Monitoring's live on the control thread.
std::unique_ptr<Speaker> Shard::MakeSpeaker(SpeakerKind kind, Connection* connection) {
  MR_CHECK(kind == SpeakerKind::kClient);
  PeerName peer = connection->peer();
  return std::make_unique<Session>(session_shared_, *connection, connection->receiver(), std::move(peer.ip), peer.port);
}

// ---- connections ---------------------------------------------------------------------------------------------------

Connection* Shard::Find(const ConnectionId& id) {
  if (id.shard != mesh_.self() || id.slot >= connections_.size()) return nullptr;
  Connection* connection = connections_[id.slot].get();
  return connection != nullptr && connection->id() == id ? connection : nullptr;
}

void Shard::OnClosing(Connection* connection) {
  connection->speaker().AddTotals(&closed_totals_, false);
  if (options_.closed_connections_max <= 0 || stopping_) return;  // nobody will ask
  closed_.push_back(Describe(*connection, true));
  closed_.back().stop_ns = session_shared_.wall_ns;
  closed_.back().reason = ClosedReasonText(connection->closed_reason());
  if (closed_.size() > static_cast<size_t>(options_.closed_connections_max)) closed_.pop_front();
}

void Shard::OnEnded(Connection* connection) {
  const uint32_t slot = connection->id().slot;
  log_.Debug(absl::StrFormat("%s - Client connection closed: %s", connection->speaker().label(),
                             std::string(ClosedReasonText(connection->closed_reason()))));
  graveyard_.push_back(std::move(connections_[slot]));
  free_slots_.push_back(slot);
  --open_;
  counters_.connections.Set(open_);
  counters_.connections_closed.Add(1);
}

void Shard::OnSlow(Connection* connection) {
  counters_.slow_consumers.Add(1);
  ++closed_totals_[connection->speaker().account()].slow_consumers;
}

void Shard::OnBarrier(Connection* connection) { barriers_.push_back(connection->id()); }

void Shard::OnStalled(Connection* connection) { PauseForStall(connection); }

void Shard::PauseForStall(Connection* connection) {
  if (connection->paused_for(Connection::PauseReason::kStall) || !connection->open()) return;
  counters_.stalls.Add(1);
  connection->stalled_until = session_shared_.now + kStallMax;
  connection->Pause(Connection::PauseReason::kStall);
  stalled_.push_back(connection->id());
}

void Shard::OnCongested(Connection* connection) {
  if (connection->paused_for(Connection::PauseReason::kCongestion) || !connection->open()) return;
  counters_.congestions.Add(1);
  connection->Pause(Connection::PauseReason::kCongestion);
  congested_.push_back(connection->id());
}

void Shard::OnQuestion(Connection* connection, Question question) {
  mesh_.SendParcel(mesh_.control(), std::make_unique<AskedQuestion>(connection->id(), std::move(question)));
}

void Shard::OnPostponed(Connection* connection) {
  mesh_.SendParcel(mesh_.control(), std::make_unique<Postponed>(connection->id()));
}

void Shard::OnWithdrawn(Connection* connection) {
  mesh_.SendParcel(mesh_.control(), std::make_unique<Withdrawn>(connection->id()));
}

void Shard::Invariant() const {
  interest_.Invariant();
  service_imports_.Invariant();
  size_t open = 0;
  for (const std::unique_ptr<Connection>& connection : connections_) {
    if (connection == nullptr) continue;
    ++open;
    connection->Invariant();
    connection->speaker().Invariant();
    connection->receiver().outbox.Invariant();
    MR_CHECK(!connection->receiver().dirty);  // the turn has flushed it
  }
  MR_CHECK_OP(open, ==, open_);
  MR_CHECK_OP(open + free_slots_.size(), ==, connections_.size());
  MR_CHECK_OP(counters_.connections.Get(), ==, open_);
  MR_CHECK(graveyard_.empty());
}

// ---- monitoring ----------------------------------------------------------------------------------------------------

ConnInfo Shard::Describe(const Connection& connection, bool with_subs) const {
  const Receiver& receiver = connection.receiver();
  ConnInfo info;
  info.cid = receiver.id.cid;
  info.start_ns = connection.start_wall_ns();
  info.pending_bytes = static_cast<int64_t>(receiver.outbox.pending_bytes());
  info.out_msgs = static_cast<int64_t>(receiver.out_messages);
  info.out_bytes = static_cast<int64_t>(receiver.out_bytes);
  info.stalls = static_cast<int64_t>(receiver.stalls);
  connection.speaker().Describe(&info, with_subs);
  return info;
}

void Shard::FillSublist(std::string_view account, SublistStats* stats) const {
  if (!account.empty()) {
    const Account* const found = session_shared_.config->accounts.Find(account);
    if (found == nullptr) return;
    const Interest::Counts counts = interest_.CountsOf(found->id);
    stats->num_subscriptions = static_cast<uint32_t>(counts.subscriptions());
    stats->num_inserts = counts.inserts;
    stats->num_removes = counts.removes;
    interest_.AddFanout(found->id, &stats->max_fanout, &stats->total_fanout, &stats->cache_entries);
    stats->num_cache = static_cast<uint32_t>(stats->cache_entries);
    return;
  }
  stats->num_subscriptions = static_cast<uint32_t>(interest_.subscriptions());
  stats->num_cache = static_cast<uint32_t>(interest_.cached_results());
  stats->num_inserts = counters_.interest_inserts.Get();
  stats->num_removes = counters_.interest_removes.Get();
  stats->cache_hits = counters_.cache_hits.Get();
  stats->num_matches = stats->cache_hits + counters_.cache_misses.Get();
  interest_.AddFanout(kNoAccount, &stats->max_fanout, &stats->total_fanout, &stats->cache_entries);
}

ConnectionReply Shard::OnOrder(const ConnectionOrder& order) {
  const auto is_meant = [&order](const std::unique_ptr<Connection>& connection) {
    return connection != nullptr && connection->open() && connection->id().cid == order.cid;
  };
  const auto at = std::find_if(connections_.begin(), connections_.end(), is_meant);
  if (at == connections_.end()) return {};
  Connection& connection = **at;
  ConnectionReply reply{.found = true};
  switch (order.kind) {
    case ConnectionOrder::Kind::kUserInfo:
      reply.said = connection.speaker().UserInfoJson();
      break;
    case ConnectionOrder::Kind::kKick:
      connection.EndAfterFlush(ClosedReason::kKicked);
      break;
    case ConnectionOrder::Kind::kLameDuck:
      reply.did = connection.speaker().AnnounceLameDuck();
      break;
    case ConnectionOrder::Kind::kNone:
      MR_CHECK(false);
  }
  return reply;
}

void Shard::OnQuery(const Query& query) {
  auto answer = std::make_unique<Answer>(query.request);
  if (query.order.kind != ConnectionOrder::Kind::kNone) answer->connection = OnOrder(query.order);
  const uint32_t needs = query.question.needs;
  const bool with_subs = (needs & kNeedConnectionSubs) != 0;
  for (const std::unique_ptr<Connection>& connection : connections_) {
    if (connection == nullptr || !connection->open()) continue;
    if ((needs & kNeedOpenConnections) != 0) answer->open.push_back(Describe(*connection, with_subs));
    if ((needs & kNeedSubscriptions) == 0) continue;
    ConnInfo info = Describe(*connection, true);
    for (SubInfo& sub : info.subs) {
      sub.account = sub.account_tag = info.account;
      answer->subs.push_back(std::move(sub));
    }
  }
  if ((needs & (kNeedAccountStats | kNeedAccountDetail)) != 0) {
    answer->accounts = closed_totals_;
    for (AccountId id = 0; id < interest_.accounts_end(); ++id) {
      const uint64_t subscriptions = interest_.CountsOf(id).subscriptions();
      if (subscriptions > 0) answer->accounts[id].subscriptions = subscriptions;
    }
    for (const std::unique_ptr<Connection>& connection : connections_) {
      if (connection != nullptr && connection->open()) connection->speaker().AddTotals(&answer->accounts, true);
    }
  }
  if ((needs & kNeedClosedConnections) != 0) answer->closed.assign(closed_.begin(), closed_.end());
  if ((needs & kNeedSublistStats) != 0) FillSublist(query.question.account, &answer->sublist);
  if (parts_.empty()) return mesh_.SendParcel(mesh_.control(), std::move(answer));
  const auto asked = asked_.insert(asked_.end(), Asked{std::move(answer), parts_.size()});
  for (const std::unique_ptr<ShardPart>& part : parts_) {
    part->Describe(query.question, &asked->answer->parts, [this, asked] {
      if (--asked->parts_missing > 0) return;
      mesh_.SendParcel(mesh_.control(), std::move(asked->answer));
      asked_.erase(asked);
    });
  }
}

}  // namespace millrace
