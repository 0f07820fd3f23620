// SPDX-License-Identifier: Apache-2.0
// Shutdown: the life of a server from its start to its end: lame duck mode, in which JetStream's store and then the
//           clients go one after the other, and the stop of everything.
// Owner:  control thread.
// States (F-30, C-39): kStarting -> kRunning -> [kLameDuck ->] kStopping -> kStopped.
// Bound:  a stop takes kStopMax (shutdown.cc) at most: then the process says what it waited for, and ends.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "broker/config/options.h"
#include "broker/io/timer_wheel.h"
#include "broker/log/log.h"
#include "broker/mesh/mesh.h"

namespace millrace {

class ShutdownHost {
 public:
  virtual ~ShutdownHost() = default;
  virtual const Options& options() const = 0;
  // Clients are told to go (C-39).
  virtual void AnnounceLameDuck() = 0;
  // The monitoring port closes.
  virtual void StopServing() = 0;
  // All shards have said that nothing of theirs is left.
  virtual void OnAllStopped() = 0;
  // It took too long: what would be left behind goes, and the process ends, with 1.
  [[noreturn]] virtual void GiveUp() = 0;
};

class Shutdown {
 public:
  enum class State : uint8_t { kStarting, kRunning, kLameDuck, kStopping, kStopped };

  // `now`: of the control thread's turn.
  Shutdown(ShutdownHost& host, Mesh& mesh, TimerWheel& timers, Logger& log, const Nanos& now);
  ~Shutdown();

  State state() const { return state_; }
  // Clients are served from now on.
  void OnRunning();
  // Of JetStream, when it is on: it serves, and its store is ours.
  bool jetstream_runs() const { return jetstream_ == JetStream::kRuns; }
  void OnJetStreamStarted() { jetstream_ = JetStream::kRuns; }

  void EnterLameDuck();
  void Begin();

  // What shards say.
  void OnAcceptingStopped();
  void OnJetStreamStopped();
  void OnShardStopped();
  void OnReport(uint32_t shard, std::string waits_for);

 private:
  // kStopping: it is closing its store; kStopped: the store is no longer ours.
  enum class JetStream : uint8_t { kOff, kRuns, kStopping, kStopped };

  void StopJetStream();
  void TellClients();
  void CloseNextClients();
  void OnTimer();
  std::string WaitsFor() const;
  template <class T, class... Args>
  void Send(uint32_t shard, Args&&... args);

  ShutdownHost& host_;
  Mesh& mesh_;
  TimerWheel& timers_;
  Logger& log_;
  const Nanos& now_;
  State state_ = State::kStarting;
  JetStream jetstream_ = JetStream::kOff;
  bool accepting_ = true;
  bool told_ = false;  // clients have been told to go
  uint32_t shards_stopped_ = 0;
  TimerNode timer_;                   // bounds the end
  std::vector<std::string> reports_;  // by shard, while they are asked for
  bool overdue_ = false;
  TimerNode lame_duck_timer_;
  int64_t lame_duck_interval_ns_ = 0;
};

}  // namespace millrace
