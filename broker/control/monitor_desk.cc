// SPDX-License-Identifier: Apache-2.0
#include "broker/control/monitor_desk.h"

#include <utility>

#include "absl/strings/str_format.h"

namespace millrace {
namespace {

constexpr uint32_t kChunkBytes = 65536;

}  // namespace

// The peer lets a client take its answer as slowly as it likes.
MonitorDesk::MonitorDesk(Io& io, TimerWheel& timers, Mesh& mesh, Logger& log, WallClock clock, PageQueries::View view)
    : io_(io),
      timers_(timers),
      mesh_(mesh),
      port_(mesh.port(mesh.control())),
      queries_(mesh, log, std::move(view)),
      logger_(log),
      clock_(clock),
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
  queries_.Tick(now_);
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
  queries_.Tick(now_);
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
  const MonitorRequest request = service_->Start(http);
  if (!request.warning.empty()) logger_.WarnLimited(request.warning);
  queries_.Ask(request, [this, connection, request](MonitorData&& data) {
    Open* open = Find(connection);
    if (open != nullptr) open->speaker->Respond(service_->Finish(request, std::move(data)), request.keep_alive);
  });
}

}  // namespace millrace
