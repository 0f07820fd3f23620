// SPDX-License-Identifier: Apache-2.0
#include "broker/control/shutdown.h"

#include <sys/random.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "broker/admin.h"
#include "broker/control/server_view.h"

namespace millrace {
namespace {

constexpr Nanos kLameDuckStepMax = std::chrono::seconds(1);
// From the signal to the end of the process, whatever does not come to an end; the last second is for finding out what.
constexpr Nanos kStopMax = std::chrono::seconds(10);
constexpr Nanos kReportTime = std::chrono::seconds(1);

}  // namespace

template <class T, class... Args>
void Shutdown::Send(uint32_t shard, Args&&... args) {
  mesh_.port(mesh_.control()).SendParcel(shard, std::make_unique<T>(std::forward<Args>(args)...));
}

Shutdown::Shutdown(ShutdownHost& host, Mesh& mesh, TimerWheel& timers, Logger& log, const Nanos& now)
    : host_(host), mesh_(mesh), timers_(timers), log_(log), now_(now) {
  lame_duck_timer_.Bind<&Shutdown::CloseNextClients>(this);
  timer_.Bind<&Shutdown::OnTimer>(this);
}

Shutdown::~Shutdown() {
  timers_.Cancel(&timer_);
  timers_.Cancel(&lame_duck_timer_);
}

void Shutdown::OnRunning() {
  MR_CHECK(state_ == State::kStarting);
  state_ = State::kRunning;
}

void Shutdown::EnterLameDuck() {
  if (state_ != State::kRunning) return;
  log_.Info("Entering lame duck mode, stop accepting new clients");
  state_ = State::kLameDuck;
  Send<StopAccepting>(0);
  StopJetStream();
  if (jetstream_ != JetStream::kOff) timers_.Arm(&timer_, now_ + kStopMax - kReportTime);
}

// JetStream ends before the clients are told to go: whoever takes the store over should be there for them.
void Shutdown::StopJetStream() {
  if (!jetstream_runs()) return;
  jetstream_ = JetStream::kStopping;
  log_.Info("Initiating JetStream Shutdown...");
  // A stop of everything tells it as well.
  if (state_ != State::kLameDuck) return;
  Send<StopParts>(0);
}

void Shutdown::OnJetStreamStopped() {
  jetstream_ = JetStream::kStopped;
  log_.Info("JetStream Shutdown");
  if (state_ != State::kLameDuck) return;
  timers_.Cancel(&timer_);
  TellClients();
}

void Shutdown::OnAcceptingStopped() {
  accepting_ = false;
  TellClients();
}

// Once no client can come any more, and JetStream is closed, or will not be.
void Shutdown::TellClients() {
  const bool closing = jetstream_ != JetStream::kOff && jetstream_ != JetStream::kStopped && !overdue_;
  const bool waits = accepting_ || closing;
  if (state_ != State::kLameDuck || waits || told_) return;
  const uint64_t clients = SumOf(mesh_, &ShardCounters::connections);
  if (clients == 0) return Begin();
  const Nanos grace = host_.options().lame_duck_grace_period;
  Nanos rest = host_.options().lame_duck_duration - grace;
  if (rest <= Nanos{0}) rest = std::chrono::seconds(1);
  lame_duck_interval_ns_ = std::min<int64_t>(rest.count() / static_cast<int64_t>(clients), kLameDuckStepMax.count());
  told_ = true;
  host_.AnnounceLameDuck();
  timers_.Arm(&lame_duck_timer_, now_ + grace);
}

// Closes one client, or as many as fall into one tick, of the shard that has the most.
void Shutdown::CloseNextClients() {
  if (state_ != State::kLameDuck) return;
  uint64_t left = SumOf(mesh_, &ShardCounters::connections);
  if (left == 0) return Begin();
  if (lame_duck_interval_ns_ >= 0 && !lame_duck_timer_.armed()) {
    constexpr int64_t kTickNs = 1'000'000;
    const auto batch =
        static_cast<uint64_t>(std::max<int64_t>(1, kTickNs / std::max<int64_t>(lame_duck_interval_ns_, 1)));
    uint32_t fullest = 0;
    for (uint32_t shard = 1; shard < mesh_.shards(); ++shard) {
      if (mesh_.counters(shard).connections.Get() > mesh_.counters(fullest).connections.Get()) fullest = shard;
    }
    Send<CloseSome>(fullest, batch, ClosedReason::kServerShutdown);
  }
  uint64_t random = 0;
  MR_CHECK(getrandom(&random, sizeof random, 0) == sizeof random);
  const int64_t half = lame_duck_interval_ns_ / 2;
  const Nanos pause{half + (half > 0 ? static_cast<int64_t>(random % static_cast<uint64_t>(half)) : 0)};
  timers_.Arm(&lame_duck_timer_, now_ + pause);
}

void Shutdown::Begin() {
  if (state_ == State::kStopping || state_ == State::kStopped) return;
  state_ = State::kStopping;
  log_.Info("Initiating Shutdown...");
  StopJetStream();
  reports_.clear();
  overdue_ = false;
  timers_.Arm(&timer_, now_ + kStopMax - kReportTime);
  timers_.Cancel(&lame_duck_timer_);
  host_.StopServing();
  Send<Stop>(0);
}

// A shard goes on to take mail until all of them have said so (shard_stop.cc).
void Shutdown::OnShardStopped() {
  if (++shards_stopped_ < mesh_.shards()) return;
  for (uint32_t shard = 0; shard < mesh_.shards(); ++shard) {
    Send<Exit>(shard);
  }
  state_ = State::kStopped;
  host_.OnAllStopped();
}

// What is confirmed is on disk: nothing is lost with a process that ends here, its next start takes longer.
void Shutdown::OnTimer() {
  if (reports_.empty() && state_ != State::kStopped) {
    reports_.assign(mesh_.shards(), "does not answer");
    for (uint32_t shard = 0; shard < mesh_.shards(); ++shard) {
      Send<StopReport>(shard);
    }
    return timers_.Arm(&timer_, now_ + kReportTime);
  }
  const std::string waited_for = WaitsFor();
  reports_.clear();
  overdue_ = true;
  if (state_ == State::kLameDuck) {
    log_.Error("JetStream has not closed its store after 10s, it waits for: " + waited_for);
    return TellClients();
  }
  log_.Error("Shutdown is given up after 10s, it waited for: " + waited_for);
  host_.GiveUp();
}

void Shutdown::OnReport(uint32_t shard, std::string waits_for) {
  if (shard < reports_.size()) reports_[shard] = std::move(waits_for);
}

std::string Shutdown::WaitsFor() const {
  std::string text;
  for (size_t shard = 0; shard < reports_.size(); ++shard) {
    if (reports_[shard].empty()) continue;
    text += absl::StrFormat("%sshard %d: %s", text.empty() ? "" : "; ", shard, reports_[shard]);
  }
  return text.empty() ? "connections to the monitoring port" : text;
}

}  // namespace millrace
