// SPDX-License-Identifier: Apache-2.0
// Lame duck mode and the end of a server. server.h says what a Server is.
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_format.h"
#include "broker/control/server.h"

namespace millrace {
namespace {

constexpr Nanos kLameDuckStepMax = std::chrono::seconds(1);
// From the signal to the end of the process, whatever does not come to an end; the last second is for finding out what.
constexpr Nanos kStopMax = std::chrono::seconds(10);
constexpr Nanos kReportTime = std::chrono::seconds(1);

}  // namespace

void Server::EnterLameDuck() {
  if (state_ != State::kRunning) return;
  log_.Info("Entering lame duck mode, stop accepting new clients");
  state_ = State::kLameDuck;
  mesh_->port(mesh_->control()).SendParcel(0, std::make_unique<StopAccepting>());
  StopJetStream();
  if (jetstream_) timers_->Arm(&stop_timer_, io_->Now() + kStopMax - kReportTime);
}

// JetStream ends before the clients are told to go: whoever takes the store over should be there for them.
void Server::StopJetStream() {
  if (!JetStreamRuns()) return;
  jetstream_state_ = JetStreamState::kStopping;
  log_.Info("Initiating JetStream Shutdown...");
  // A stop of everything tells it as well.
  if (state_ != State::kLameDuck) return;
  mesh_->port(mesh_->control()).SendParcel(0, std::make_unique<StopParts>());
}

void Server::OnJetStreamStopped() {
  jetstream_state_ = JetStreamState::kStopped;
  log_.Info("JetStream Shutdown");
  if (state_ != State::kLameDuck) return;
  timers_->Cancel(&stop_timer_);
  TellLameDuck();
}

void Server::OnAcceptingStopped() {
  accepting_ = false;
  TellLameDuck();
}

// Once no client can come any more, and JetStream is closed, or will not be.
void Server::TellLameDuck() {
  const bool closing = jetstream_ && jetstream_state_ != JetStreamState::kStopped && !stop_overdue_;
  const bool waits = accepting_ || closing;
  if (state_ != State::kLameDuck || waits || info_.lame_duck) return;
  const uint64_t clients = SumOf(*mesh_, &ShardCounters::connections);
  if (clients == 0) return BeginStop();
  const Nanos grace = options().lame_duck_grace_period;
  Nanos rest = options().lame_duck_duration - grace;
  if (rest <= Nanos{0}) rest = std::chrono::seconds(1);
  lame_duck_interval_ns_ = std::min<int64_t>(rest.count() / static_cast<int64_t>(clients), kLameDuckStepMax.count());
  info_.lame_duck = true;
  ApplyPolicy(options(), false, true);
  timers_->Arm(&lame_duck_timer_, io_->Now() + grace);
}

// Closes one client, or as many as fall into one tick, of the shard that has the most.
void Server::CloseNextClients() {
  if (state_ != State::kLameDuck) return;
  uint64_t left = SumOf(*mesh_, &ShardCounters::connections);
  if (left == 0) return BeginStop();
  if (lame_duck_interval_ns_ >= 0 && !lame_duck_timer_.armed()) {
    constexpr int64_t kTickNs = 1'000'000;
    const auto batch =
        static_cast<uint64_t>(std::max<int64_t>(1, kTickNs / std::max<int64_t>(lame_duck_interval_ns_, 1)));
    uint32_t fullest = 0;
    for (uint32_t shard = 1; shard < mesh_->shards(); ++shard) {
      if (mesh_->counters(shard).connections.Get() > mesh_->counters(fullest).connections.Get()) fullest = shard;
    }
    mesh_->port(mesh_->control())
        .SendParcel(fullest, std::make_unique<CloseSome>(batch, ClosedReason::kServerShutdown));
  }
  uint64_t random = 0;
  MR_CHECK(getrandom(&random, sizeof random, 0) == sizeof random);
  const int64_t half = lame_duck_interval_ns_ / 2;
  const Nanos pause{half + (half > 0 ? static_cast<int64_t>(random % static_cast<uint64_t>(half)) : 0)};
  timers_->Arm(&lame_duck_timer_, io_->Now() + pause);
}

void Server::BeginStop() {
  if (state_ == State::kStopping || state_ == State::kStopped) return;
  state_ = State::kStopping;
  log_.Info("Initiating Shutdown...");
  StopJetStream();
  stop_reports_.clear();
  stop_overdue_ = false;
  timers_->Arm(&stop_timer_, io_->Now() + kStopMax - kReportTime);
  timers_->Cancel(&lame_duck_timer_);
  desk_->Stop();
  mesh_->port(mesh_->control()).SendParcel(0, std::make_unique<Stop>());
}

// A shard goes on to take mail until all of them have said so (shard_stop.cc).
void Server::OnShardStopped() {
  if (++shards_stopped_ < mesh_->shards()) return;
  for (uint32_t shard = 0; shard < mesh_->shards(); ++shard) {
    mesh_->port(mesh_->control()).SendParcel(shard, std::make_unique<Exit>());
  }
  io_->Cancel(&signal_read_);
  state_ = State::kStopped;
}

// What is confirmed is on disk: nothing is lost with a process that ends here, its next start takes longer.
void Server::OnStopTimer() {
  if (stop_reports_.empty() && state_ != State::kStopped) {
    stop_reports_.assign(mesh_->shards(), "does not answer");
    for (uint32_t shard = 0; shard < mesh_->shards(); ++shard) {
      mesh_->port(mesh_->control()).SendParcel(shard, std::make_unique<StopReport>());
    }
    return timers_->Arm(&stop_timer_, io_->Now() + kReportTime);
  }
  const std::string waited_for = StopWaitsFor();
  stop_reports_.clear();
  stop_overdue_ = true;
  if (state_ == State::kLameDuck) {
    log_.Error("JetStream has not closed its store after 10s, it waits for: " + waited_for);
    return TellLameDuck();
  }
  log_.Error("Shutdown is given up after 10s, it waited for: " + waited_for);
  ports_file_.Remove().IgnoreError();
  log_.Close();
  std::fflush(nullptr);
  _exit(1);
}

std::string Server::StopWaitsFor() const {
  std::string text;
  for (size_t shard = 0; shard < stop_reports_.size(); ++shard) {
    if (stop_reports_[shard].empty()) continue;
    text += absl::StrFormat("%sshard %d: %s", text.empty() ? "" : "; ", shard, stop_reports_[shard]);
  }
  return text.empty() ? "connections to the monitoring port" : text;
}

}  // namespace millrace
