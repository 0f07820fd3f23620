// SPDX-License-Identifier: Apache-2.0
// Server: puts the shards together and is the control thread: start, signals, log, reload; Shutdown has the states.
// Owner:  process; Run is called by the main thread, which becomes the control thread.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "broker/admin.h"
#include "broker/config/startup.h"
#include "broker/control/check_desk.h"
#include "broker/control/connections_desk.h"
#include "broker/control/identity.h"
#include "broker/control/monitor_desk.h"
#include "broker/control/run_files.h"
#include "broker/control/server_view.h"
#include "broker/control/shard_thread.h"
#include "broker/control/shutdown.h"
#include "broker/control/store_opening.h"
#include "broker/control/system_desk.h"
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

class Server final : public ShutdownHost {
 public:
  Server(config::Startup startup, std::string argv0);
  ~Server() override;

  // Runs until the server has shut down. Returns the exit code; start-up errors are logged or printed as the peer does.
  int Run();

 private:
  // Start-up, in order.
  absl::Status Start();
  void LogBanner();
  absl::Status OpenRings();
  absl::Status OpenListeners();
  void Advertise(const Options& options);
  JetStreamEngineOptions EngineOptions() const;
  void WritePortsFile(const std::string& directory);
  void StartShards();
  void OnReady();

  void RunOnce();
  void OnBusy(int more);
  void OnMail(uint32_t from, const MailHeader& header, const char* body);
  void OnSignal(const IoResult& result);
  void ReadSignals();
  void OnHangup();
  absl::Status Reload();
  void CloseConnectionsAbove(int64_t max);
  // It is the present one from now on; the server may complete it until a shard runs.
  LoadedConfig* AddConfig(Options options);
  void OnConfigApplied(const LoadedConfig* config);
  void ApplyConfig(Options options, bool recheck_users, bool announce_info);

  // ShutdownHost.
  const Options& options() const override { return config_->options; }
  void AnnounceLameDuck() override;
  void StopServing() override;
  void OnAllStopped() override { io_->Cancel(&signal_read_); }
  [[noreturn]] void GiveUp() override;

  ServerView View() const;

  config::Startup startup_;
  Logger log_;
  RunFiles run_files_;
  const SigningKey signing_key_;
  const ExchangeKey exchange_key_;
  // From the earliest version that some shard may still look at to the present one.
  struct ConfigVersion {
    std::unique_ptr<LoadedConfig> config;
    uint32_t missing = 0;  // shards that have not said that they look at no earlier one
  };
  std::deque<ConfigVersion> configs_;
  SharedCounts account_connections_;
  SharedSequence notices_{1};  // of what the server says in its system account, as the peer counts it
  const LoadedConfig* config_ = nullptr;
  ServerInfo info_;
  std::optional<JetStreamSettings> jetstream_;  // when it is on
  std::unique_ptr<StoreOpening> store_;         // the same
  int64_t start_ns_ = 0;
  int64_t config_load_ns_ = 0;

  std::unique_ptr<Mesh> mesh_;
  std::unique_ptr<UringIo> io_;
  Nanos now_{0};  // of this turn
  std::unique_ptr<TimerWheel> timers_;
  std::unique_ptr<Shutdown> shutdown_;
  std::unique_ptr<MonitorDesk> desk_;
  std::unique_ptr<SystemDesk> system_desk_;
  std::unique_ptr<ConnectionsDesk> connections_desk_;
  std::unique_ptr<CheckDesk> checks_;
  std::vector<std::unique_ptr<ShardThread>> shards_;
  std::vector<int> ring_fds_;
  int busy_shards_ = 0;
  bool reload_when_ready_ = false;  // asked for before the shards served

  ListeningSocket client_listener_;
  ListeningSocket monitor_listener_;
  int signal_fd_ = -1;
  alignas(8) char signal_buffer_[128];
  Completion signal_read_;
};

}  // namespace millrace
