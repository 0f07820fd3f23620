// SPDX-License-Identifier: Apache-2.0
// Server: puts the shards together and is the control thread: signals, monitoring, log, reload, lame duck, shutdown.
// Owner:  process; Run is called by the main thread, which becomes the control thread. Only server.cc has threads.
// States (F-30, C-39): kStarting -> kRunning -> [kLameDuck ->] kStopping -> kStopped.
// Bound:  a stop takes kStopMax (server_stop.cc) at most: then the process says what it waited for, and ends.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "broker/admin.h"
#include "broker/config/startup.h"
#include "broker/control/monitor_desk.h"
#include "broker/control/server_view.h"
#include "broker/io/timer_wheel.h"
#include "broker/io/uring.h"
#include "broker/jetstream/engine/jetstream_part.h"
#include "broker/jetstream/engine/settings.h"
#include "broker/log/log.h"
#include "broker/mesh/mesh.h"
#include "broker/monitor/process.h"
#include "broker/net/listener.h"
#include "broker/shard.h"

namespace millrace {

class Server {
 public:
  Server(config::Startup startup, std::string argv0);
  ~Server();

  // Runs until the server has shut down. Returns the exit code; start-up errors are logged or printed as the peer does.
  int Run();

 private:
  enum class State : uint8_t { kStarting, kRunning, kLameDuck, kStopping, kStopped };
  struct ShardThread;

  // Start-up, in order.
  absl::Status Start();
  void LogBanner();
  absl::Status OpenRings();
  absl::Status LockStore();
  absl::Status WritePidFile(const std::string& path);
  absl::Status OpenListeners();
  absl::Status PrepareJetStream();
  absl::Status OpenStore();
  absl::Status OpenKeys(ShardThread* home);
  void Advertise(const Options& options);
  JetStreamEngineOptions EngineOptions() const;
  void LogJetStreamStarted();
  void WritePortsFile(const std::string& directory);
  void StartShards();
  void OnReady();

  void RunOnce();
  void OnBusy(int more);
  void OnMail(uint32_t from, const MailHeader& header, const char* body);
  void OnSignal(const IoResult& result);
  void ReadSignals();
  void Reload();
  void CloseConnectionsAbove(int64_t max);
  void AddPolicy(const Options& options);
  void OnPolicyApplied(const Policy* policy);
  void ApplyPolicy(const Options& options, bool recheck_users, bool announce_info);

  // The end (server_stop.cc).
  bool JetStreamRuns() const { return jetstream_.has_value() && jetstream_state_ == JetStreamState::kRuns; }
  void EnterLameDuck();
  void OnAcceptingStopped();
  void StopJetStream();
  void OnJetStreamStopped();
  void TellLameDuck();
  void CloseNextClients();
  void BeginStop();
  void OnShardStopped();
  void OnStopTimer();
  std::string StopWaitsFor() const;

  const Options& options() const { return policy_->options; }
  ServerView View() const;

  config::Startup startup_;
  const std::string argv0_;
  Logger log_;
  // From the earliest version that some shard may still look at to the present one.
  struct PolicyVersion {
    std::unique_ptr<Policy> policy;
    uint32_t missing = 0;  // shards that have not said that they look at no earlier one
  };
  std::deque<PolicyVersion> policies_;
  const Policy* policy_ = nullptr;
  ServerInfo info_;
  std::optional<JetStreamSettings> jetstream_;  // when it is on
  int64_t jetstream_start_ns_ = 0;
  State state_ = State::kStarting;
  int64_t start_ns_ = 0;
  int64_t config_load_ns_ = 0;

  std::unique_ptr<Mesh> mesh_;
  std::unique_ptr<UringIo> io_;
  std::unique_ptr<TimerWheel> timers_;
  std::unique_ptr<MonitorDesk> desk_;
  std::vector<std::unique_ptr<ShardThread>> shards_;
  std::vector<int> ring_fds_;
  uint32_t shards_stopped_ = 0;
  int busy_shards_ = 0;

  ListeningSocket client_listener_;
  ListeningSocket monitor_listener_;
  RunFile pid_file_;
  RunFile ports_file_;
  int signal_fd_ = -1;
  alignas(8) char signal_buffer_[128];
  Completion signal_read_;
  // Of JetStream, if it is on. kStopping: it is closing its store; kStopped: the store is no longer ours.
  enum class JetStreamState : uint8_t { kRuns, kStopping, kStopped };
  JetStreamState jetstream_state_ = JetStreamState::kRuns;
  bool accepting_ = true;
  TimerNode stop_timer_;                   // bounds the end
  std::vector<std::string> stop_reports_;  // by shard, while they are asked for
  bool stop_overdue_ = false;
  TimerNode lame_duck_timer_;
  int64_t lame_duck_interval_ns_ = 0;

};

}  // namespace millrace
