// SPDX-License-Identifier: Apache-2.0
#include "broker/control/server.h"

#include <signal.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <utility>

#include "absl/strings/str_format.h"
#include "broker/config/reload.h"
#include "broker/config/language/text.h"
#include "broker/control/clock.h"
#include "broker/control/memory.h"
#include "broker/version.h"
#include "proto/base/bytes.h"
#include "proto/base/status.h"

namespace millrace {
namespace {

constexpr int kListenBacklog = 4096;
constexpr int kLastSignals[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2};

// As many descriptors as the machine allows us: connections should not fail for want of a soft limit.
void RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

void DrawRandom(char* to, size_t bytes) { MR_CHECK(getrandom(to, bytes, 0) == static_cast<ssize_t>(bytes)); }

LogOptions LogOptionsOf(const Options& options) {
  LogOptions log;
  log.verbosity = {options.debug, options.trace, options.trace_verbose};
  log.time = options.logtime;
  log.utc = options.logtime_utc;
  log.file = options.log_file;
  log.file_bytes_max = options.logfile_size_limit;
  log.files_max = options.logfile_max_num;
  log.syslog = options.syslog;
  log.remote_syslog = options.remote_syslog;
  return log;
}

}  // namespace

Server::Server(config::Startup startup, std::string argv0)
    : startup_(std::move(startup)),
      log_(WallClockUs),
      run_files_(std::move(argv0)),
      signing_key_(DrawRandom),
      exchange_key_(DrawRandom) {
  signal_read_.Bind<&Server::OnSignal>(this);
}

Server::~Server() = default;

ServerView Server::View() const {
  return {.options = options(),
          .info = info_,
          .accounts = config_->accounts,
          .views = config_->views,
          .now_ns = WallClockNs(),
          .start_ns = start_ns_,
          .config_load_ns = config_load_ns_,
          .serving = shutdown_->state() == Shutdown::State::kRunning,
          .jetstream = shutdown_->jetstream_runs() ? &*jetstream_ : nullptr};
}

// ---- start-up ------------------------------------------------------------------------------------------------------

int Server::Run() {
  const absl::Status status = Start();
  if (absl::IsCancelled(status)) {  // told to stop before anything ran
    log_.Info("Server Exiting..");
    log_.Close();
    std::fflush(nullptr);
    _exit(0);
  }
  if (!status.ok()) {
    log_.Fatal(std::string(status.message().data(), status.message().size()));
    // Threads that already run own rings and sockets; the process ends here, as the peer's does.
    log_.Close();
    std::fflush(nullptr);
    _exit(1);
  }
  // Until each shard can see that it may go, and has been woken for it.
  const MeshPort& mesh = mesh_->port(mesh_->control());
  while (shutdown_->state() != Shutdown::State::kStopped || mesh.AnyOverflowAbove(0)) RunOnce();
  io_->SubmitAndWait(Nanos::max(), false);
  for (const std::unique_ptr<ShardThread>& shard : shards_) shard->Join();
  // Our own operations end before what they point at does.
  while (signal_read_.busy() || !desk_->stopped() || !checks_->stopped()) RunOnce();
  run_files_.RemovePorts();
  log_.Info("Server Exiting..");
  log_.Close();
  return 0;
}

absl::Status Server::Start() {
  start_ns_ = config_load_ns_ = WallClockNs();
  RaiseDescriptorLimit();
  LimitHugePages();
  signal(SIGPIPE, SIG_IGN);
  sigset_t mask;
  sigemptyset(&mask);
  for (const int number : kLastSignals) sigaddset(&mask, number);
  pthread_sigmask(SIG_BLOCK, &mask, nullptr);
  signal_fd_ = signalfd(-1, &mask, SFD_CLOEXEC);

  MR_RETURN_IF_ERROR(log_.Open(LogOptionsOf(startup_.options)));
  LoadedConfig* const config = AddConfig(std::move(startup_.options));
  const Options& options = config->options;
  info_.server_id = signing_key_.public_key();
  info_.xkey = exchange_key_.public_key();
  info_.server_name = options.server_name.empty() ? info_.server_id : options.server_name;
  info_.git_commit = kGitCommit;
  info_.headers = !options.no_header_support;
  info_.max_payload = options.max_payload;
  info_.jetstream = options.jetstream.enabled;
  info_.domain = options.jetstream.domain;
  LogBanner();
  if (options.jetstream.enabled) MR_RETURN_IF_ERROR(CheckSystemAccount(options.accounts, options.system_account));

  MR_RETURN_IF_ERROR(OpenRings());
  // A store that is not ours ends the start before a port is taken and before the pid file says something else.
  if (options.jetstream.enabled) {
    store_ = std::make_unique<StoreOpening>(options, log_, *shards_[0], mesh_->counters(0));
    MR_RETURN_IF_ERROR(store_->Lock(signal_fd_));
  }
  if (const absl::Status pid = run_files_.WritePid(options.pid_file); !pid.ok()) {
    return absl::UnavailableError(absl::StrFormat("Could not write pidfile: %s", std::string(pid.message())));
  }
  MR_RETURN_IF_ERROR(OpenListeners());
  config->options.port = client_listener_.port;
  if (monitor_listener_.fd >= 0) config->options.http_port = monitor_listener_.port;
  Advertise(options);
  config->info = info_;
  if (store_ != nullptr) {
    MR_RETURN_IF_ERROR(store_->Open(config_->accounts, &jetstream_.emplace()));
    shutdown_->OnJetStreamStarted();
  }
  ReadSignals();
  StartShards();
  return absl::OkStatus();
}

// The first shard has said what it restores.
void Server::OnReady() {
  if (shutdown_->state() != Shutdown::State::kStarting) return;  // told to stop meanwhile
  CollectFreedMemory();  // what this thread has recovered, and the shard has taken over and freed
  if (store_ != nullptr) store_->LogStarted();
  WritePortsFile(options().ports_file_dir);
  log_.Info(absl::StrFormat("Listening for client connections on %s:%d", options().host, client_listener_.port));
  mesh_->port(mesh_->control()).SendParcel(0, std::make_unique<ListenOn>(SpeakerKind::kClient, client_listener_.fd));
  log_.Info("Server is ready");
  shutdown_->OnRunning();
  if (std::exchange(reload_when_ready_, false)) OnHangup();
}

void Server::LogBanner() {
  const Options& options = this->options();
  log_.Info("Starting nats-server");
  log_.Info(absl::StrFormat("  Version:  %s", std::string(kServerVersion)));
  log_.Info(absl::StrFormat("  Git:      [%s]", kGitCommit.empty() ? "not set" : std::string(kGitCommit)));
  log_.Info(absl::StrFormat("  Engine:   Millrace %s, %d shard%s", std::string(kMillraceVersion), options.tuning.shards,
                            options.tuning.shards == 1 ? "" : "s"));
  log_.Info("  Name:     " + info_.server_name);
  log_.Info("  ID:       " + info_.server_id);
  if (!options.config_file.empty()) {
    log_.Info(absl::StrFormat("Using configuration file: %s (%s)", options.config_file, options.config_digest));
  }
  for (const std::string& warning : startup_.warnings) log_.Warn(warning);
}

absl::Status Server::OpenRings() {
  const Options& options = this->options();
  const auto shards = static_cast<uint32_t>(options.tuning.shards);
  mesh_ = std::make_unique<Mesh>(shards, RingBytes(options));
  for (uint32_t i = 0; i < shards; ++i) {
    shards_.push_back(std::make_unique<ShardThread>());
    MR_RETURN_IF_ERROR(shards_.back()->Open(options.tuning));
    ring_fds_.push_back(shards_.back()->io().ring_fd());
  }
  UringOptions control;
  control.submissions = 64;
  control.completions = 512;
  control.small_buffers = 16;
  control.large_buffers = 2;
  MR_ASSIGN_OR_RETURN(io_, UringIo::Create(control));
  ring_fds_.push_back(io_->ring_fd());
  io_->Enable(ring_fds_);
  now_ = io_->Now();
  timers_ = std::make_unique<TimerWheel>(now_);
  shutdown_ = std::make_unique<Shutdown>(*this, *mesh_, *timers_, log_, now_);
  desk_ = std::make_unique<MonitorDesk>(*io_, *timers_, *mesh_, log_, WallClockUs, [this] { return View(); });
  system_desk_ = std::make_unique<SystemDesk>(
      *mesh_, desk_->queries(), log_, notices_,
      SystemDesk::Host{.view = [this] { return View(); },
                       .reload = [this] { return Reload(); },
                       .http_req_stats = [this]() -> const auto& { return desk_->http_req_stats(); },
                       .tell_connections = [this](AccountId account, std::string reply) {
                         connections_desk_->OnRequest(account, std::move(reply));
                       }});
  connections_desk_ = std::make_unique<ConnectionsDesk>(
      *mesh_, [this](const MonitorRequest& request, auto done) { desk_->queries().Ask(request, std::move(done)); },
      [this] { return View(); });
  checks_ = std::make_unique<CheckDesk>(*io_, *mesh_, log_, options.tuning);
  return absl::OkStatus();
}

absl::Status Server::OpenListeners() {
  const Options& options = this->options();
  if (options.http_port != 0) {
    const std::string host = options.http_host.empty() ? options.host : options.http_host;
    absl::StatusOr<ListeningSocket> monitor = Listen(host, options.http_port, 128);
    if (!monitor.ok()) {
      return absl::UnavailableError(absl::StrFormat("Can't start monitoring: can't listen to the monitor port: %s",
                                                    std::string(monitor.status().message())));
    }
    monitor_listener_ = *monitor;
    desk_->Serve(monitor_listener_.fd, options.http_base_path);
    log_.Info(absl::StrFormat("Starting http monitor on %s:%d", host, monitor_listener_.port));
  }
  absl::StatusOr<ListeningSocket> clients = Listen(options.host, options.port, kListenBacklog);
  if (!clients.ok()) {
    return absl::UnavailableError(absl::StrFormat("Error listening on port: %s:%d, %s", options.host, options.port,
                                                  std::string(clients.status().message())));
  }
  client_listener_ = *clients;
  return absl::OkStatus();
}

void Server::WritePortsFile(const std::string& directory) {
  const ListeningSocket* monitor = monitor_listener_.fd >= 0 ? &monitor_listener_ : nullptr;
  const absl::Status status = run_files_.WritePorts(directory, client_listener_, monitor);
  if (!status.ok()) log_.Error(std::string(status.message()));
}

// Where clients are told that we are: behind a proxy or an address translation it is not where we listen.
void Server::Advertise(const Options& options) {
  info_.host = options.host;
  info_.port = client_listener_.port;
  if (options.client_advertise.empty()) return;
  config::HostPort advertised = *config::ParseAdvertised(options.client_advertise, info_.port);  // checked when read
  info_.host = std::move(advertised.host);
  info_.port = advertised.port;
}

JetStreamEngineOptions Server::EngineOptions() const {
  JetStreamEngineOptions engine = EngineOptionsOf(options(), *jetstream_);
  engine.server_name = info_.server_name;
  engine.server_id = info_.server_id;
  engine.accounts = EngineAccountsOf(config_->accounts, options().accounts);
  engine.unnamed_account = config_->accounts.global().id;
  engine.system_account = config_->accounts.system().id;
  return engine;
}

void Server::StartShards() {
  const std::vector<int> cpus = ChooseCpus(options().tuning);
  for (uint32_t i = 0; i < shards_.size(); ++i) {
    ShardThread::Plan plan{.index = i, .config = config_, .engine = {}, .services = {}, .ring_fds = ring_fds_,
                           .cpu = cpus[i], .account_connections = &account_connections_, .notices = &notices_};
    if (shards_[i]->home().disk != nullptr) plan.engine = EngineOptions();
    if (i == 0) plan.services = SystemDesk::ServicesOf(config_->accounts.system().id, info_.server_id);
    shards_[i]->Start(std::move(plan), *mesh_);
  }
}

// ---- the control loop ----------------------------------------------------------------------------------------------

void Server::RunOnce() {
  MeshPort& mesh = mesh_->port(mesh_->control());
  const bool asleep = mesh.TrySleep();
  io_->SubmitAndWait(timers_->NextDeadline(), asleep);
  if (asleep) mesh.Awake();
  now_ = io_->Now();
  desk_->BeginTurn();
  mesh.Drain([this](uint32_t from, const MailHeader& header, const char* body) { OnMail(from, header, body); });
  io_->RunCompletions(UINT64_MAX);
  timers_->Expire(now_);
  desk_->FinishTurn();
  mesh.Ship([this](uint32_t target) { io_->Wake(target); });
}

void Server::OnMail(uint32_t from, const MailHeader& header, const char* body) {
  MR_CHECK(header.kind == MailKind::kParcel);
  const std::unique_ptr<Parcel> parcel(Load<Parcel*>(body));
  switch (parcel->type) {
    case Parcel::Type::kLogBatch:
      return log_.WriteBatch(std::move(static_cast<LogBatch&>(*parcel).lines));
    case Parcel::Type::kQuestion: {
      auto& asked = static_cast<AskedQuestion&>(*parcel);
      return checks_->OnQuestion(asked.id, std::move(asked.question));
    }
    case Parcel::Type::kPostponed:
      return checks_->OnPostponed(static_cast<const Postponed&>(*parcel).id);
    case Parcel::Type::kWithdrawn:
      return checks_->OnWithdrawn(static_cast<const Withdrawn&>(*parcel).id);
    case Parcel::Type::kSystemRequest:
      return system_desk_->OnRequest(static_cast<const SystemRequest&>(*parcel));
    case Parcel::Type::kAnswer:
      return desk_->OnAnswer(static_cast<Answer&>(*parcel));
    case Parcel::Type::kConfigApplied:
      return OnConfigApplied(static_cast<const ConfigApplied&>(*parcel).config);
    case Parcel::Type::kAccountChanges:
      return connections_desk_->OnChanges(static_cast<const AccountChanges&>(*parcel));
    case Parcel::Type::kBusy:
      return OnBusy(static_cast<const Busy&>(*parcel).more);
    case Parcel::Type::kReady:
      return OnReady();
    case Parcel::Type::kStopAccepting:
      return shutdown_->OnAcceptingStopped();
    case Parcel::Type::kStopParts:
      return shutdown_->OnJetStreamStopped();
    case Parcel::Type::kStop:
      return shutdown_->OnShardStopped();
    case Parcel::Type::kStopReport:
      return shutdown_->OnReport(from, static_cast<const StopReport&>(*parcel).waits_for);
    default:
      MR_CHECK(false);
  }
}

void Server::OnBusy(int more) {
  busy_shards_ += more;
  SetFreedMemory(busy_shards_ > 0 ? FreedMemory::kIsKept : FreedMemory::kGoesAtOnce);
  if (more <= 0) CollectFreedMemory();
}

void Server::ReadSignals() {
  if (shutdown_->state() == Shutdown::State::kStopped) return;
  io_->Read(signal_fd_, signal_buffer_, sizeof(signalfd_siginfo), &signal_read_);
}

void Server::OnSignal(const IoResult& result) {
  static_assert(sizeof(signalfd_siginfo) <= sizeof signal_buffer_);
  if (result.ok()) {
    signalfd_siginfo info{};
    std::memcpy(&info, signal_buffer_, sizeof info);
    switch (static_cast<int>(info.ssi_signo)) {
      case SIGINT:
        log_.Info("Trapped \"interrupt\" signal");
        shutdown_->Begin();
        break;
      case SIGTERM:
        log_.Info("Trapped \"terminated\" signal");
        if (shutdown_->state() != Shutdown::State::kLameDuck) shutdown_->Begin();
        break;
      case SIGHUP:
        log_.Info("Trapped \"hangup\" signal");
        OnHangup();
        break;
      case SIGUSR1:
        log_.Info("Trapped \"user defined signal 1\" signal");
        log_.Reopen();
        break;
      case SIGUSR2:
        log_.Info("Trapped \"user defined signal 2\" signal");
        shutdown_->EnterLameDuck();
        break;
      default:
        break;
    }
  }
  ReadSignals();
}

// ---- the end -------------------------------------------------------------------------------------------------------

void Server::AnnounceLameDuck() {
  info_.lame_duck = true;
  ApplyConfig(options(), false, true);
}

void Server::StopServing() {
  desk_->Stop();
  checks_->Stop();
}

void Server::GiveUp() {
  run_files_.RemovePorts();
  log_.Close();
  std::fflush(nullptr);
  _exit(1);
}

// ---- reload --------------------------------------------------------------------------------------------------------

void Server::OnHangup() {
  if (shutdown_->state() == Shutdown::State::kStarting) reload_when_ready_ = true;
  if (shutdown_->state() != Shutdown::State::kRunning) return;
  if (const absl::Status reloaded = Reload(); !reloaded.ok()) {
    log_.Error(absl::StrFormat("Failed to reload server configuration: %s", std::string(reloaded.message())));
  }
}

absl::Status Server::Reload() {
  std::vector<std::string> warnings;
  MR_ASSIGN_OR_RETURN(Options next, config::Reload(startup_, &warnings));
  absl::StatusOr<config::ReloadPlan> plan = config::PlanReload(options(), std::move(next));
  if (!plan.ok()) return plan.status();
  for (const std::string& warning : warnings) log_.Warn(warning);
  if (plan->logging) {
    MR_RETURN_IF_ERROR(log_.Open(LogOptionsOf(plan->options)));
  }
  for (const config::Change& change : plan->changes) {
    if (change.option == "pid_file") {
      const absl::Status wrote = run_files_.WritePid(plan->options.pid_file);
      if (!wrote.ok()) log_.Error(absl::StrFormat("Failed to write pidfile: %s", std::string(wrote.message())));
    }
    if (change.option == "ports_file_dir") {
      run_files_.RemovePorts();
      WritePortsFile(plan->options.ports_file_dir);
    }
    if (change.option == "max_connections") CloseConnectionsAbove(plan->options.max_connections);
    if (!change.text.empty()) log_.Info(change.text);
  }
  config_load_ns_ = WallClockNs();
  const bool announce = plan->Changes("max_payload");
  Advertise(plan->options);
  info_.max_payload = plan->options.max_payload;
  if (jetstream_) jetstream_ = ChangedSettings(*jetstream_, plan->options.jetstream);
  if (jetstream_) {
    Options& to = plan->options;
    const absl::Status granted = GrantJetStream(config_->accounts, *jetstream_, to.system_account, &to.accounts);
    if (!granted.ok()) log_.Error(std::string(granted.message()));
  }
  ApplyConfig(std::move(plan->options), plan->authorization, announce);
  log_.Info(plan->done);
  return absl::OkStatus();
}

void Server::CloseConnectionsAbove(int64_t max) {
  const uint64_t open = SumOf(*mesh_, &ShardCounters::connections);
  if (max <= 0 || open <= static_cast<uint64_t>(max)) return;
  const uint64_t excess = open - static_cast<uint64_t>(max);
  uint64_t left = excess;
  for (uint32_t shard = 0; shard < mesh_->shards() && left > 0; ++shard) {
    const uint64_t here = std::min(left, mesh_->counters(shard).connections.Get());
    if (here > 0) {
      mesh_->port(mesh_->control())
          .SendParcel(shard, std::make_unique<CloseSome>(here, ClosedReason::kMaxConnectionsExceeded));
    }
    left -= here;
  }
  log_.Info(absl::StrFormat("Closed %d connections to fall within max_connections", excess));
}

LoadedConfig* Server::AddConfig(Options options) {
  auto config = std::make_unique<LoadedConfig>(std::move(options), config_);
  account_connections_.Reserve(static_cast<uint32_t>(config->accounts.all().size()));
  ConfigVersion& version = configs_.emplace_back();
  version.config = std::move(config);
  version.config->info = info_;
  config_ = version.config.get();
  return version.config.get();
}

// Shards say so in the order in which they got them.
void Server::OnConfigApplied(const LoadedConfig* config) {
  const auto at = std::find_if(configs_.begin(), configs_.end(),
                               [config](const ConfigVersion& version) { return version.config.get() == config; });
  MR_CHECK(at != configs_.end() && at->missing > 0);
  if (--at->missing == 0) configs_.erase(configs_.begin(), at);
}

void Server::ApplyConfig(Options options, bool recheck_users, bool announce_info) {
  AddConfig(std::move(options));
  configs_.back().missing = mesh_->shards();
  MeshPort& mesh = mesh_->port(mesh_->control());
  for (uint32_t shard = 0; shard < mesh_->shards(); ++shard) {
    mesh.SendParcel(shard, std::make_unique<ConfigChange>(config_, recheck_users, announce_info));
    if (!jetstream_) continue;
    auto change = std::make_unique<JetStreamChange>(EngineOptions());
    mesh.SendParcel(shard, std::make_unique<PartParcel>(PartId::kJetStream, std::move(change)));
  }
}

}  // namespace millrace
