// SPDX-License-Identifier: Apache-2.0
#include "broker/control/monitor_desk.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_format.h"
#include "broker/control/account_pages.h"

namespace millrace {
namespace {

constexpr uint32_t kChunkBytes = 65536;
constexpr uint32_t kNeedsOfShards =
    kNeedOpenConnections | kNeedClosedConnections | kNeedConnectionSubs | kNeedSublistStats | kNeedSubscriptions |
    kNeedAccountStats | kNeedAccountDetail;
constexpr uint32_t kNeedsOfJetStream = kNeedJetStreamVarz | kNeedJsz | kNeedJetStreamHealth;

}  // namespace

// The peer lets a client take its answer as slowly as it likes.
MonitorDesk::MonitorDesk(Io& io, TimerWheel& timers, Mesh& mesh, Logger& log, WallClock clock, View view)
    : io_(io),
      timers_(timers),
      mesh_(mesh),
      port_(mesh.port(mesh.control())),
      logger_(log),
      clock_(clock),
      view_(std::move(view)),
      log_(clock, [this](std::vector<LogLine>&& lines) { logger_.WriteBatch(std::move(lines)); }, log.verbosity()),
      chunks_(kChunkBytes),
      outlet_(mesh.counters(mesh.control()), RouterLimits{}),
      now_(io.Now()),
      shared_{.io = io,
              .timers = timers,
              .chunks = chunks_,
              .outlet = outlet_,
              .mesh = port_,
              .now = now_,
              .wall_ns = wall_ns_,
              .limits = {.ping_interval = Nanos::max(),
                         .auth_timeout = Nanos::max(),
                         .write_deadline = Nanos::max(),
                         .slow_may_stay = true}} {
  second_.Bind<&MonitorDesk::OnSecond>(this);
  usage_.Tick(now_.count());
  timers_.Arm(&second_, now_ + std::chrono::seconds(1));
}

MonitorDesk::~MonitorDesk() { timers_.Cancel(&second_); }

void MonitorDesk::Serve(int listener, std::string_view base_path) {
  MR_CHECK(acceptor_ == nullptr);
  service_ = std::make_unique<MonitorService>(base_path);
  acceptor_ = std::make_unique<Acceptor>(io_, timers_, log_, now_, *this, SpeakerKind::kMonitor, listener);
  acceptor_->Start();
}

void MonitorDesk::Stop() {
  stopping_ = true;
  timers_.Cancel(&second_);
  if (acceptor_ != nullptr) acceptor_->Stop();
  for (const ConnectionId& id : Ids()) {
    if (Open* open = Find(id)) open->connection->End(ClosedReason::kServerShutdown);
  }
}

// ---- turns ---------------------------------------------------------------------------------------------------------

void MonitorDesk::BeginTurn() {
  now_ = io_.Now();
  wall_ns_ = clock_() * 1000;
}

void MonitorDesk::FinishTurn() {
  for (const ConnectionId& id : std::exchange(rearm_, {})) {
    if (Open* open = Find(id)) open->connection->Rearm();
  }
  // Flushing may end a connection; a receiver stays valid until it is buried below.
  for (Receiver* receiver : outlet_.dirty()) {
    receiver->dirty = false;
    if (Open* open = Find(receiver->id)) open->connection->Flush();
  }
  outlet_.dirty().clear();
  graveyard_.clear();
  log_.Flush();
}

void MonitorDesk::OnSecond() {
  usage_.Tick(now_.count());
  chunks_.Trim();
  for (const ConnectionId& id : Ids()) {
    if (Open* open = Find(id)) open->speaker->CheckHead();
  }
  timers_.Arm(&second_, now_ + std::chrono::seconds(1));
}

// ---- connections ---------------------------------------------------------------------------------------------------

void MonitorDesk::OnAccepted(SpeakerKind, int fd) {
  MR_CHECK(!stopping_);
  const ConnectionId id{mesh_.control(), 0, next_cid_++};
  auto connection = std::make_unique<Connection>(shared_, *this, fd, id);
  const PeerName peer = connection->peer();
  auto speaker = std::make_unique<HttpSpeaker>(*this, *connection, connection->receiver(), outlet_, now_,
                                               absl::StrFormat("%s:%d - http", peer.ip, peer.port));
  Open& open = connections_[id.cid];
  open.speaker = speaker.get();
  open.connection = std::move(connection);
  open.connection->Start(std::move(speaker), false);
}

void MonitorDesk::OnEnded(Connection* connection) {
  const auto it = connections_.find(connection->id().cid);
  MR_CHECK(it != connections_.end());
  graveyard_.push_back(std::move(it->second.connection));
  connections_.erase(it);
}

MonitorDesk::Open* MonitorDesk::Find(const ConnectionId& id) {
  const auto it = connections_.find(id.cid);
  return it == connections_.end() ? nullptr : &it->second;
}

std::vector<ConnectionId> MonitorDesk::Ids() const {
  std::vector<ConnectionId> ids;
  for (const auto& [cid, open] : connections_) ids.push_back(open.connection->id());
  return ids;
}

// ---- queries -------------------------------------------------------------------------------------------------------

void MonitorDesk::OnRequest(const ConnectionId& connection, const HttpRequest& http) {
  const uint64_t id = next_query_++;
  Query& query = queries_[id];
  query.connection = connection;
  query.request = service_->Start(http);
  if (!query.request.warning.empty()) logger_.WarnLimited(query.request.warning);
  const bool jetstream = view_().jetstream != nullptr;
  const uint32_t of_shards = query.request.needs & (kNeedsOfShards | (jetstream ? kNeedsOfJetStream : 0u));
  if (of_shards == 0) return Finish(id);
  query.answers_missing = mesh_.shards();
  for (uint32_t shard = 0; shard < mesh_.shards(); ++shard) {
    PartQuestion question{of_shards, query.request.jsz, query.request.healthz, query.request.stats_account()};
    port_.SendParcel(shard, std::make_unique<millrace::Query>(id, std::move(question)));
  }
}

void MonitorDesk::OnAnswer(Answer& answer) {
  const auto it = queries_.find(answer.request);
  if (it == queries_.end()) return;
  MonitorData& data = it->second.data;
  const auto move_all = [](auto& from, auto& to) {
    to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
  };
  move_all(answer.open, data.open);
  move_all(answer.closed, data.closed);
  move_all(answer.subs, data.subs);
  data.sublist.Add(answer.sublist);
  it->second.accounts.Add(answer.accounts);
  PartAnswer& parts = answer.parts;
  if (parts.jetstream) data.varz.jetstream = std::move(parts.jetstream);
  if (parts.jsz) data.jsz = std::move(parts.jsz);
  if (parts.health) it->second.jetstream_health = std::move(parts.health);
  if (--it->second.answers_missing == 0) Finish(answer.request);
}

void MonitorDesk::Finish(uint64_t query_id) {
  const auto it = queries_.find(query_id);
  Query query = std::move(it->second);
  queries_.erase(it);
  Open* open = Find(query.connection);
  if (open == nullptr) return;
  Complete(&query);
  open->speaker->Respond(service_->Finish(query.request, std::move(query.data)), query.request.keep_alive);
}

// What the server knows besides the shards' answers.
void MonitorDesk::Complete(Query* query) {
  const ServerView view = view_();
  const MonitorRequest& request = query->request;
  MonitorData& data = query->data;
  data.server_id = view.info.server_id;
  data.server_name = view.info.server_name;
  data.now_ns = view.now_ns;
  // The connections of one account are all that a page by account is about.
  const std::string& account = request.connz.account;
  data.account_known = account.empty() || view.accounts.Find(account) != nullptr;
  const auto is_elsewhere = [&](const ConnInfo& info) { return info.account != account; };
  if (!account.empty()) std::erase_if(data.open, is_elsewhere);
  data.open_total = data.open.size();
  // Shards keep their own; together they keep no more than one ring would.
  const auto closed_max = static_cast<size_t>(std::max(view.options.max_closed_clients, 0));
  if (data.closed.size() > closed_max) {
    std::sort(data.closed.begin(), data.closed.end(),
              [](const ConnInfo& a, const ConnInfo& b) { return a.stop_ns > b.stop_ns; });
    data.closed.resize(closed_max);
  }
  if (!account.empty()) std::erase_if(data.closed, is_elsewhere);
  data.closed_total = data.closed.size();
  data.system_account = view.accounts.system().name;
  for (const Account& each : view.accounts.all()) {
    if (each.exists) data.account_names.push_back(each.name);
  }
  if ((request.needs & kNeedSublistStats) != 0) AddServiceImports(view, request.stats_account(), &data.sublist);
  if ((request.needs & kNeedVarz) != 0) FillVarz(view, mesh_, usage_.Read(), &data.varz);
  if (view.jetstream == nullptr) data.varz.jetstream.reset(), data.jsz.reset();
  if (data.varz.jetstream) AddSettings(*view.jetstream, &*data.varz.jetstream);
  if (data.jsz) AddSettings(*view.jetstream, &data.jsz->server);
  if ((request.needs & kNeedHealth) != 0) {
    const std::optional<JetStreamHealth>& health = query->jetstream_health;
    if (!view.serving) {
      data.health = NotServing();
    } else if (view.options.jetstream.enabled) {
      data.health = HealthOf(request.healthz, health ? &*health : nullptr);
    }
    const std::string warning = HealthWarning(data.health, request.healthz);
    if (!warning.empty()) logger_.WarnLimited(warning);
  }
  if ((request.needs & (kNeedAccountStats | kNeedAccountDetail)) == 0) return;
  for (const Account& each : view.accounts.all()) {
    if (!each.exists) continue;
    if ((request.needs & kNeedAccountDetail) != 0) {
      if (each.name != request.accountz_name) continue;
      data.accounts.push_back(SnapshotOf(view, each, query->accounts[each.id]));
      AddDetail(view, each, &data.accounts.back());
      data.accounts.back().sublist = data.sublist;
    } else {
      data.accounts.push_back(SnapshotOf(view, each, query->accounts[each.id]));
    }
  }
}

}  // namespace millrace
