// SPDX-License-Identifier: Apache-2.0
#include "broker/control/server.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <thread>

#include "absl/strings/str_format.h"
#include "broker/config/reload.h"
#include "broker/config/language/text.h"
#include "broker/control/identity.h"
#include "broker/io/uring_disk.h"
#include "broker/jetstream/engine/banner.h"
#include "broker/control/memory.h"
#include "broker/control/store_wait.h"
#include "broker/version.h"
#include "proto/base/status.h"
#include "store/segment/segment_store.h"

namespace millrace {
namespace {

constexpr int kListenBacklog = 4096;
constexpr int kLastSignals[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2};

int64_t WallClockNs() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}
int64_t WallClockUs() { return WallClockNs() / 1000; }

// As many descriptors as the machine allows us: connections should not fail for want of a soft limit.
void RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

std::vector<int> UsableCpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cpus;
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
    }
  }
  return cpus;
}

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

UringOptions UringOptionsOf(const Tuning& tuning) {
  UringOptions uring;
  uring.submissions = static_cast<uint32_t>(tuning.uring_entries);
  uring.completions = static_cast<uint32_t>(tuning.uring_entries) * 2;
  uring.small_buffer_bytes = static_cast<uint32_t>(tuning.recv_buffer_bytes_small);
  uring.small_buffers = static_cast<uint32_t>(tuning.recv_buffers_small);
  uring.large_buffer_bytes = static_cast<uint32_t>(tuning.recv_buffer_bytes_large);
  uring.large_buffers = static_cast<uint32_t>(tuning.recv_buffers_large);
  return uring;
}

// As varz names it: the default goes without saying.
std::string_view WriteTimeoutName(Options::WriteTimeout policy) {
  switch (policy) {
    case Options::WriteTimeout::kDefault: return "";
    case Options::WriteTimeout::kClose: return "close";
    case Options::WriteTimeout::kRetry: return "retry";
  }
  return "";
}

RouterLimits RouterLimitsOf(const Options& options) {
  RouterLimits limits;
  limits.pending_bytes_max = static_cast<uint64_t>(options.max_pending);
  limits.high_water_bytes =
      std::min(static_cast<uint64_t>(options.tuning.output_high_water), limits.pending_bytes_max / 4 * 3);
  limits.inline_payload_bytes_max = static_cast<uint64_t>(options.tuning.mail_inline_bytes_max);
  limits.producers_pause = !options.no_fast_producer_stall;
  return limits;
}

// A control line travels between shards in one record, which may take half a ring at most.
uint32_t RingBytes(const Options& options) {
  const auto needed = static_cast<uint64_t>(options.max_control_line) * 8 + 64 * 1024;
  return static_cast<uint32_t>(std::max(std::bit_ceil(needed), static_cast<uint64_t>(options.tuning.ring_bytes)));
}

// As the peer words it when its listener is not open: before it is ready, in lame duck mode, at the end.
HealthSnapshot NotServing() {
  HealthSnapshot health;
  health.http_status = 500;
  health.status = "error";
  HealthError& error = health.errors.emplace_back();
  error.type = HealthErrorType::kConnection;
  error.error = "failed to be ready for connections after 1ms: server";
  return health;
}

}  // namespace

struct Server::ShardThread {
  std::unique_ptr<UringIo> io;
  DiskHome home;  // of the shard that JetStream lives on
  std::unique_ptr<Shard> shard;
  std::thread thread;
};

Server::Server(config::Startup startup, std::string argv0)
    : startup_(std::move(startup)), argv0_(std::move(argv0)), log_(WallClockUs) {
  signal_read_.Bind<&Server::OnSignal>(this);
  monitor_accept_.Bind<&Server::OnMonitorAccept>(this);
  lame_duck_timer_.Bind<&Server::CloseNextClients>(this);
  stop_timer_.Bind<&Server::OnStopTimer>(this);
  second_timer_.Bind<&Server::OnSecond>(this);
}

Server::~Server() = default;

int64_t Server::WallNs() const { return WallClockNs(); }

uint64_t Server::Sum(Counter ShardCounters::*counter) const {
  uint64_t sum = 0;
  for (uint32_t shard = 0; shard < mesh_->shards(); ++shard) sum += (mesh_->counters(shard).*counter).Get();
  return sum;
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
  while (state_ != State::kStopped || mesh_->port(mesh_->control()).AnyOverflowAbove(0)) RunOnce();
  io_->SubmitAndWait(Nanos::max(), false);
  for (const std::unique_ptr<ShardThread>& shard : shards_) shard->thread.join();
  // Our own operations end before what they point at does.
  while (signal_read_.busy() || monitor_accept_.busy() || !monitor_connections_.empty()) RunOnce();
  timers_->Cancel(&stop_timer_);
  ports_file_.Remove().IgnoreError();
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

  const Options& options = startup_.options;
  MR_RETURN_IF_ERROR(log_.Open(LogOptionsOf(options)));
  info_.server_id = NewServerId();
  info_.xkey = NewExchangeKey();
  info_.server_name = options.server_name.empty() ? info_.server_id : options.server_name;
  info_.git_commit = kGitCommit;
  info_.headers = !options.no_header_support;
  info_.max_payload = options.max_payload;
  info_.jetstream = options.jetstream.enabled;
  info_.domain = options.jetstream.domain;
  LogBanner();

  MR_RETURN_IF_ERROR(OpenRings());
  // A store that is not ours ends the start before a port is taken and before the pid file says something else.
  MR_RETURN_IF_ERROR(LockStore());
  if (const absl::Status pid = WritePidFile(options.pid_file); !pid.ok()) {
    return absl::UnavailableError(absl::StrFormat("Could not write pidfile: %s", std::string(pid.message())));
  }
  MR_RETURN_IF_ERROR(OpenListeners());
  startup_.options.port = client_listener_.port;
  Advertise(startup_.options);
  MR_RETURN_IF_ERROR(PrepareJetStream());
  policies_.push_back(std::make_unique<Policy>(startup_.options));
  policies_.back()->info = info_;
  policy_ = policies_.back().get();
  ReadSignals();
  StartShards();
  return absl::OkStatus();
}

// The first shard has said what it restores.
void Server::OnReady() {
  if (state_ != State::kStarting) return;  // told to stop meanwhile
  CollectFreedMemory();  // what this thread has recovered, and the shard has taken over and freed
  if (jetstream_) LogJetStreamStarted();
  WritePortsFile(options().ports_file_dir);
  log_.Info(absl::StrFormat("Listening for client connections on %s:%d", options().host, client_listener_.port));
  mesh_->port(mesh_->control()).SendParcel(0, std::make_unique<ListenOn>(SpeakerKind::kClient, client_listener_.fd));
  log_.Info("Server is ready");
  state_ = State::kRunning;
}

void Server::LogBanner() {
  const Options& options = startup_.options;
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
  const Options& options = startup_.options;
  const auto shards = static_cast<uint32_t>(options.tuning.shards);
  mesh_ = std::make_unique<Mesh>(shards, RingBytes(options));
  for (uint32_t i = 0; i < shards; ++i) {
    auto shard = std::make_unique<ShardThread>();
    MR_ASSIGN_OR_RETURN(shard->io, UringIo::Create(UringOptionsOf(options.tuning)));
    ring_fds_.push_back(shard->io->ring_fd());
    shards_.push_back(std::move(shard));
  }
  UringOptions control;
  control.submissions = 64;
  control.completions = 512;
  control.small_buffers = 16;
  control.large_buffers = 2;
  MR_ASSIGN_OR_RETURN(io_, UringIo::Create(control));
  ring_fds_.push_back(io_->ring_fd());
  io_->Enable(ring_fds_);
  timers_ = std::make_unique<TimerWheel>(io_->Now());
  return absl::OkStatus();
}

absl::Status Server::OpenListeners() {
  const Options& options = startup_.options;
  if (options.http_port != 0) {
    const std::string host = options.http_host.empty() ? options.host : options.http_host;
    absl::StatusOr<ListeningSocket> monitor = Listen(host, options.http_port, 128);
    if (!monitor.ok()) {
      return absl::UnavailableError(absl::StrFormat("Can't start monitoring: can't listen to the monitor port: %s",
                                                    std::string(monitor.status().message())));
    }
    monitor_listener_ = *monitor;
    startup_.options.http_port = monitor_listener_.port;
    monitor_ = std::make_unique<MonitorService>(options.http_base_path);
    io_->Accept(monitor_listener_.fd, &monitor_accept_);
    log_.Info(absl::StrFormat("Starting http monitor on %s:%d", host, monitor_listener_.port));
  }
  absl::StatusOr<ListeningSocket> clients = Listen(options.host, options.port, kListenBacklog);
  if (!clients.ok()) {
    return absl::UnavailableError(absl::StrFormat("Error listening on port: %s:%d, %s", options.host, options.port,
                                                  std::string(clients.status().message())));
  }
  client_listener_ = *clients;
  usage_.Tick(io_->Now().count());
  timers_->Arm(&second_timer_, io_->Now() + std::chrono::seconds(1));
  return absl::OkStatus();
}

// Before anything of the store is read, and for as long as this process lives or lame duck mode lets it go.
absl::Status Server::LockStore() {
  const JetStreamOptions& options = startup_.options.jetstream;
  if (!options.enabled) return absl::OkStatus();
  const std::string directory = ResolveJetStream(options).config.store_dir;
  absl::Status status = PrepareStoreDir(directory);
  if (status.ok()) {
    absl::StatusOr<std::unique_ptr<UringDisk>> disk = UringDisk::Open(*shards_[0]->io, directory, SyncProbe{});
    status = disk.status();
    if (status.ok()) status = TakeStore(**disk, StoreWait{directory, options.store_lock_wait, signal_fd_}, &log_);
    if (status.ok()) shards_[0]->home.disk = *std::move(disk);
  }
  if (status.ok() || absl::IsCancelled(status)) return status;
  log_.Info("Starting JetStream");
  jetstream_start_ns_ = WallClockNs();
  LogJetStreamStarted();
  return absl::UnavailableError(absl::StrFormat("Can't start JetStream: %s", std::string(status.message())));
}

// Where and how much JetStream stores; the shard that it lives on opens what is there.
absl::Status Server::PrepareJetStream() {
  const JetStreamOptions& options = startup_.options.jetstream;
  if (!options.enabled) return absl::OkStatus();
  log_.Info("Starting JetStream");
  jetstream_start_ns_ = WallClockNs();
  jetstream_ = ResolveJetStream(options);
  if (jetstream_->temporary) log_.Warn("Temporary storage directory used, data could be lost on system reboot");
  if (jetstream_->dynamic) log_.Debug(DynamicLimitsLine(*jetstream_));
  absl::Status opened = OpenStore();
  if (!opened.ok()) {
    LogJetStreamStarted();
    return absl::UnavailableError(absl::StrFormat("Can't start JetStream: %s", std::string(opened.message())));
  }
  for (std::string& line : AccountEnabledLines("$G")) log_.Debug(std::move(line));
  return absl::OkStatus();
}

// What is stored belongs to the first shard; nothing of it runs before that does.
absl::Status Server::OpenStore() {
  const JetStreamOptions& options = startup_.options.jetstream;
  const std::string& directory = jetstream_->config.store_dir;
  ShardThread* home = shards_[0].get();
  MR_ASSIGN_OR_RETURN(const SyncProbe sync, ProbeSync(directory, false));
  jetstream_->sync_method = Describe(sync);
  for (std::string& line : JetStreamBanner(*jetstream_)) log_.Info(std::move(line));
  home->home.disk->set_sync(sync);
  MR_RETURN_IF_ERROR(OpenKeys(home));
  SegmentStoreOptions segments;
  segments.keys = home->home.keys.get();
  MR_CHECK(getrandom(&segments.random, sizeof segments.random, 0) == sizeof segments.random);
  segments.cache_bytes = static_cast<uint64_t>(options.block_cache_bytes);
  // What may be dead counts as a part of the log: docs/durability.md has the sum.
  segments.slack_bytes = static_cast<uint64_t>(options.wal_file_bytes * options.wal_files / 4);
  segments.scrub_bytes_per_second = static_cast<uint64_t>(options.scrub_bytes_per_second);
  segments.on_scrubbed = [this](uint64_t bytes, bool pass_done) {
    mesh_->counters(0).scrubbed_bytes.Add(bytes);
    if (pass_done) mesh_->counters(0).scrub_passes.Add(1);
  };
  segments.on_damage = [this, home](std::string_view what) {
    const std::string line = "JetStream storage is damaged: " + std::string(what);
    mesh_->counters(0).damaged_parts.Add(1);
    if (home->shard != nullptr) {
      home->shard->log().Error(line);
    } else {
      log_.Error(line);  // still starting: no shard runs yet
    }
  };
  MR_ASSIGN_OR_RETURN(home->home.segments, SegmentStore::Open(*home->home.disk, segments));

  ShardStoreOptions store = StoreOptionsOf(options);
  MR_CHECK(getrandom(&store.random, sizeof store.random, 0) == sizeof store.random);
  store.record_bytes = static_cast<uint64_t>(startup_.options.max_payload);
  store.keys = home->home.keys.get();
  store.on_keys = [home](const absl::Status& status) {  // comes from a turn
    if (status.ok()) {
      home->shard->log().Info("JetStream storage is encrypted as a whole, the old key is forgotten");
    } else {
      home->shard->log().Error("JetStream storage: keys/current: " + std::string(status.message()));
    }
  };
  store.progress = [this](uint64_t done, uint64_t total, uint64_t records) {
    log_.Info(absl::StrFormat("  Recovering: %d of %d MiB of the log, %d records", done >> 20, total >> 20, records));
  };
  MR_ASSIGN_OR_RETURN(home->home.shard_store, ShardStore::Open(*home->home.disk, *home->home.segments, store));
  const Recovered& recovered = home->home.store().recovered();
  for (const std::string& note : recovered.report.notes) log_.Warn("  Recovery: " + note);
  jetstream_->config.max_storage =
      FinishMaxStorage(*jetstream_, static_cast<int64_t>(recovered.report.message_bytes));
  return absl::OkStatus();
}

absl::Status Server::OpenKeys(ShardThread* home) {
  KeyOptions options = KeyOptionsOf(startup_.options.jetstream);
  options.random = [](uint8_t* to, size_t bytes) {
    MR_CHECK(getrandom(to, bytes, 0) == static_cast<ssize_t>(bytes));  // up to 256 bytes come whole
  };
  MR_ASSIGN_OR_RETURN(home->home.keys, StoreKeys::Open(*home->home.disk, options));
  const StoreKeys* keys = home->home.keys.get();
  if (keys == nullptr) return absl::OkStatus();
  if (keys->rotated()) log_.Info("  Encryption key changed: prev_key opened the store, and may go");
  if (keys->converting()) {
    log_.Info(absl::StrFormat("  Encrypting what was stored %s, while the server works",
                              keys->has_plain() ? "without a key" : "with another cipher"));
  }
  return absl::OkStatus();
}

// Also when it could not start, as the peer does.
void Server::LogJetStreamStarted() { log_.Info(JetStreamStartedLine(WallClockNs() - jetstream_start_ns_)); }

// The peer leaves it behind at the end, and does not start without it.
absl::Status Server::WritePidFile(const std::string& path) {
  if (path.empty()) return absl::OkStatus();
  absl::Status status = pid_file_.Write(path, PidFileContent(getpid()), kPidFileMode);
  pid_file_.Release();
  return status;
}

void Server::WritePortsFile(const std::string& directory) {
  if (directory.empty()) return;
  PortsInfo ports;
  ports.nats.push_back(BoundListener{"nats", client_listener_.host, client_listener_.port});
  if (monitor_listener_.fd >= 0) {
    ports.monitoring.push_back(BoundListener{"http", monitor_listener_.host, monitor_listener_.port});
  }
  const std::string path = PortsFilePath(directory, argv0_, getpid());
  const absl::Status status = ports_file_.Write(path, PortsFileContent(ports), kPortsFileMode);
  if (!status.ok())
    log_.Error(absl::StrFormat("Error writing ports file (%s): %s", path, std::string(status.message())));
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
  return engine;
}

void Server::StartShards() {
  const Options& options = startup_.options;
  const Tuning& tuning = options.tuning;
  const std::vector<int> cpus = UsableCpus();
  const bool pin = tuning.pin_shards && shards_.size() > 1 && cpus.size() >= shards_.size();
  for (uint32_t i = 0; i < shards_.size(); ++i) {
    ShardOptions shard;
    shard.limits = RouterLimitsOf(options);
    shard.match_cache_entries = static_cast<uint32_t>(tuning.match_cache_entries);
    shard.outbox_chunk_bytes = static_cast<uint32_t>(tuning.outbox_chunk_bytes);
    shard.small_buffer_bytes = static_cast<uint32_t>(tuning.recv_buffer_bytes_small);
    shard.send_bytes_max = static_cast<uint64_t>(tuning.send_bytes_max);
    shard.send_bytes_shared = static_cast<uint64_t>(tuning.send_bytes_shared);
    shard.bytes_per_turn = static_cast<uint64_t>(tuning.bytes_per_turn);
    shard.poll_max = std::chrono::microseconds(tuning.spin_us);
    shard.gather_max = std::chrono::microseconds(tuning.batch_wait_us);
    shard.closed_connections_max = options.max_closed_clients;
    MR_CHECK(getrandom(&shard.seed, sizeof shard.seed, 0) == sizeof shard.seed);
    shard.entropy = [](char* out, size_t bytes) { MR_CHECK(getrandom(out, bytes, 0) == static_cast<ssize_t>(bytes)); };
    shard.collect_memory = CollectFreedMemory;
    ShardThread* thread = shards_[i].get();
    const int cpu = pin ? cpus[i] : -1;
    std::optional<JetStreamEngineOptions> engine;
    if (thread->home.disk != nullptr) engine = EngineOptions();
    // The policy as it is now: a reload, which may come before the shard is there, tells it of another.
    thread->thread = std::thread([this, thread, shard, i, cpu, policy = policy_, engine = std::move(engine)] {
      pthread_setname_np(pthread_self(), absl::StrFormat("shard-%d", i).c_str());
      if (cpu >= 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(cpu, &set);
        sched_setaffinity(0, sizeof set, &set);
      }
      // Timers are as exact as asked for: a gathering shard waits for less than the 50 us
      // that they may be late otherwise.
      prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL);
      thread->io->Enable(ring_fds_);
      mesh_->port(i).Adopt();
      thread->shard =
          std::make_unique<Shard>(shard, *thread->io, mesh_->port(i), mesh_->counters(i), policy, WallClockUs);
      if (engine) {
        thread->shard->AddPart(
            std::make_unique<JetStreamPart>(thread->shard->part_host(), thread->home, *engine));
        CollectFreedMemory();  // what only the recovery needed
      }
      if (i == 0) {
        thread->shard->log().Flush();
        mesh_->port(i).SendParcel(mesh_->control(), std::make_unique<Ready>());
        mesh_->port(i).Ship([thread](uint32_t target) { thread->io->Wake(target); });
      }
      while (!thread->shard->stopped()) thread->shard->RunOnce(true);
      thread->shard.reset();  // on the thread that it belongs to
    });
  }
}

// ---- the control loop ----------------------------------------------------------------------------------------------

void Server::RunOnce() {
  MeshPort& mesh = mesh_->port(mesh_->control());
  const bool asleep = mesh.TrySleep();
  io_->SubmitAndWait(timers_->NextDeadline(), asleep);
  if (asleep) mesh.Awake();
  mesh.Drain([this](uint32_t from, const MailHeader& header, const char* body) { OnMail(from, header, body); });
  io_->RunCompletions(UINT64_MAX);
  timers_->Expire(io_->Now());
  mesh.Ship([this](uint32_t target) { io_->Wake(target); });
  monitor_graveyard_.clear();
}

void Server::OnMail(uint32_t from, const MailHeader& header, const char* body) {
  MR_CHECK(header.kind == MailKind::kParcel);
  Parcel* raw = nullptr;
  std::memcpy(&raw, body, sizeof raw);
  const std::unique_ptr<Parcel> parcel(raw);
  switch (parcel->type) {
    case Parcel::Type::kLogBatch:
      return log_.WriteBatch(std::move(static_cast<LogBatch&>(*parcel).lines));
    case Parcel::Type::kHashCheck: {
      const auto& check = static_cast<const HashCheck&>(*parcel);
      mesh_->port(mesh_->control())
          .SendParcel(from, std::make_unique<HashResult>(check.id, Authenticator::CheckHash(check.hash, check.secret)));
      return;
    }
    case Parcel::Type::kAnswer:
      return OnAnswer(static_cast<Answer&>(*parcel));
    case Parcel::Type::kBusy:
      return OnBusy(static_cast<const Busy&>(*parcel).more);
    case Parcel::Type::kReady:
      return OnReady();
    case Parcel::Type::kStopAccepting:
      return OnAcceptingStopped();
    case Parcel::Type::kStopParts:
      return OnJetStreamStopped();
    case Parcel::Type::kStop:
      return OnShardStopped();
    case Parcel::Type::kStopReport:
      if (from < stop_reports_.size()) stop_reports_[from] = static_cast<const StopReport&>(*parcel).waits_for;
      return;
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
  if (state_ == State::kStopped) return;
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
        BeginStop();
        break;
      case SIGTERM:
        log_.Info("Trapped \"terminated\" signal");
        if (state_ != State::kLameDuck) BeginStop();
        break;
      case SIGHUP:
        log_.Info("Trapped \"hangup\" signal");
        Reload();
        break;
      case SIGUSR1:
        log_.Info("Trapped \"user defined signal 1\" signal");
        log_.Reopen();
        break;
      case SIGUSR2:
        log_.Info("Trapped \"user defined signal 2\" signal");
        EnterLameDuck();
        break;
      default:
        break;
    }
  }
  ReadSignals();
}

// ---- reload --------------------------------------------------------------------------------------------------------

void Server::Reload() {
  if (state_ != State::kRunning) return;
  const auto fail = [this](const absl::Status& status) {
    log_.Error(absl::StrFormat("Failed to reload server configuration: %s", std::string(status.message())));
  };
  std::vector<std::string> warnings;
  absl::StatusOr<Options> next = config::Reload(startup_, &warnings);
  if (!next.ok()) return fail(next.status());
  absl::StatusOr<config::ReloadPlan> plan = config::PlanReload(options(), *next);
  if (!plan.ok()) return fail(plan.status());
  for (const std::string& warning : warnings) log_.Warn(warning);
  if (plan->logging) {
    const absl::Status opened = log_.Open(LogOptionsOf(plan->options));
    if (!opened.ok()) return fail(opened);
  }
  for (const config::Change& change : plan->changes) {
    if (change.option == "pid_file") {
      const absl::Status wrote = WritePidFile(plan->options.pid_file);
      if (!wrote.ok()) log_.Error(absl::StrFormat("Failed to write pidfile: %s", std::string(wrote.message())));
    }
    if (change.option == "ports_file_dir") {
      ports_file_.Remove().IgnoreError();
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
  ApplyPolicy(plan->options, plan->authorization, announce);
  log_.Info(plan->done);
}

void Server::CloseConnectionsAbove(int64_t max) {
  const uint64_t open = Sum(&ShardCounters::connections);
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

void Server::ApplyPolicy(const Options& options, bool recheck_users, bool announce_info) {
  policies_.push_back(std::make_unique<Policy>(options));
  policies_.back()->info = info_;
  policy_ = policies_.back().get();
  MeshPort& mesh = mesh_->port(mesh_->control());
  for (uint32_t shard = 0; shard < mesh_->shards(); ++shard) {
    mesh.SendParcel(shard, std::make_unique<PolicyChange>(policy_, recheck_users, announce_info));
    if (!jetstream_) continue;
    auto change = std::make_unique<JetStreamChange>(EngineOptions());
    mesh.SendParcel(shard, std::make_unique<PartParcel>(PartId::kJetStream, std::move(change)));
  }
}

// ---- monitoring ----------------------------------------------------------------------------------------------------

void Server::OnMonitorAccept(const IoResult& result) {
  if (result.ok() && state_ >= State::kStopping) {
    io_->Close(result.value);  // it came while accepting was being cancelled; nobody would end it
  } else if (result.ok()) {
    const uint64_t id = next_monitor_id_++;
    auto connection = std::make_unique<MonitorConnection>(*io_, *this, result.value, id);
    connection->Start();
    monitor_connections_[id] = std::move(connection);
  }
  if (!result.more && state_ < State::kStopping) io_->Accept(monitor_listener_.fd, &monitor_accept_);
}

// A copy: a connection that ends leaves the map.
std::vector<MonitorConnection*> Server::MonitorConnections() const {
  std::vector<MonitorConnection*> all;
  for (const auto& [id, connection] : monitor_connections_) all.push_back(connection.get());
  return all;
}

void Server::OnEnded(MonitorConnection* connection) {
  const auto it = monitor_connections_.find(connection->id());
  MR_CHECK(it != monitor_connections_.end());
  monitor_graveyard_.push_back(std::move(it->second));
  monitor_connections_.erase(it);
}

void Server::OnRequest(MonitorConnection* connection, const HttpRequest& http) {
  constexpr uint32_t kOfShards =
      kNeedOpenConnections | kNeedClosedConnections | kNeedConnectionSubs | kNeedSublistStats | kNeedSubscriptions;
  constexpr uint32_t kOfJetStream = kNeedJetStreamVarz | kNeedJsz | kNeedJetStreamHealth;
  const uint64_t id = next_query_++;
  PendingQuery& query = queries_[id];
  query.connection = connection->id();
  query.request = monitor_->Start(http);
  if (!query.request.warning.empty()) log_.WarnLimited(query.request.warning);
  const uint32_t of_shards = kOfShards | (JetStreamRuns() ? kOfJetStream : 0u);
  if ((query.request.needs & of_shards) == 0) return FinishQuery(id);
  query.answers_missing = mesh_->shards();
  for (uint32_t shard = 0; shard < mesh_->shards(); ++shard) {
    PartQuestion question{query.request.needs & of_shards, query.request.jsz, query.request.healthz};
    mesh_->port(mesh_->control()).SendParcel(shard, std::make_unique<Query>(id, std::move(question)));
  }
}

void Server::OnAnswer(Answer& answer) {
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
  PartAnswer& parts = answer.parts;
  if (parts.jetstream) data.varz.jetstream = std::move(parts.jetstream);
  if (parts.jsz) data.jsz = std::move(parts.jsz);
  if (parts.health) it->second.jetstream_health = std::move(parts.health);
  if (--it->second.answers_missing == 0) FinishQuery(answer.request);
}

void Server::FinishQuery(uint64_t id) {
  const auto it = queries_.find(id);
  PendingQuery query = std::move(it->second);
  queries_.erase(it);
  const auto connection = monitor_connections_.find(query.connection);
  if (connection == monitor_connections_.end()) return;
  MonitorData& data = query.data;
  data.server_id = info_.server_id;
  data.server_name = info_.server_name;
  data.now_ns = WallClockNs();
  data.open_total = data.open.size();
  // Shards keep their own; together they keep no more than one ring would.
  const auto closed_max = static_cast<size_t>(std::max(options().max_closed_clients, 0));
  if (data.closed.size() > closed_max) {
    std::sort(data.closed.begin(), data.closed.end(),
              [](const ConnInfo& a, const ConnInfo& b) { return a.stop_ns > b.stop_ns; });
    data.closed.resize(closed_max);
  }
  data.closed_total = data.closed.size();
  const std::string& account = query.request.connz.account;
  data.account_known = account.empty() || account == "$G" || account == "$SYS";
  data.system_account = "$SYS";
  data.account_names = {"$G", "$SYS"};
  if ((query.request.needs & kNeedVarz) != 0) FillVarz(&data.varz);
  if (!JetStreamRuns()) data.varz.jetstream.reset(), data.jsz.reset();
  if (data.varz.jetstream) AddSettings(&*data.varz.jetstream);
  if (data.jsz) AddSettings(&data.jsz->server);
  if (query.request.endpoint == MonitorEndpoint::kHealthz && !query.request.bad_health) {
    const std::optional<JetStreamHealth>& health = query.jetstream_health;
    if (state_ != State::kRunning) {
      data.health = NotServing();
    } else if (options().jetstream.enabled) {
      data.health = HealthOf(query.request.healthz, health ? &*health : nullptr);
    }
    const std::string warning = HealthWarning(data.health, query.request.healthz);
    if (!warning.empty()) log_.WarnLimited(warning);
  }
  if ((query.request.needs & (kNeedAccountStats | kNeedAccountDetail)) != 0) {
    for (const bool system : {false, true}) {
      AccountSnapshot snapshot;
      snapshot.name = snapshot.name_tag = system ? "$SYS" : "$G";
      if ((query.request.needs & kNeedAccountDetail) != 0 && snapshot.name != query.request.accountz_name) continue;
      snapshot.is_system = system;
      snapshot.jetstream_enabled = !system && JetStreamRuns();
      if (!system) {
        snapshot.clients = static_cast<int>(Sum(&ShardCounters::connections));
        snapshot.subscriptions = static_cast<uint32_t>(Sum(&ShardCounters::subscriptions));
        snapshot.sent.msgs = static_cast<int64_t>(Sum(&ShardCounters::out_messages));
        snapshot.sent.bytes = static_cast<int64_t>(Sum(&ShardCounters::out_bytes));
        snapshot.received.msgs = static_cast<int64_t>(Sum(&ShardCounters::in_messages));
        snapshot.received.bytes = static_cast<int64_t>(Sum(&ShardCounters::in_bytes));
        snapshot.slow_consumers = static_cast<int64_t>(Sum(&ShardCounters::slow_consumers));
      }
      data.accounts.push_back(std::move(snapshot));
    }
  }
  connection->second->Respond(monitor_->Finish(query.request, std::move(data)), query.request.keep_alive);
}

// The engine tells what it counts; the limit of its disk, when it knows better than the settings.
void Server::AddSettings(JetStreamVarz* jetstream) const {
  const int64_t max_storage = jetstream->config.max_storage;
  jetstream->config = jetstream_->config;
  if (max_storage > 0) jetstream->config.max_storage = max_storage;
  jetstream->limits = jetstream_->limits;
  jetstream->stats.api_level = kApiLevel;
}

void Server::FillVarz(VarzSnapshot* v) {
  const Options& o = options();
  v->server_id = info_.server_id;
  v->server_name = info_.server_name;
  v->host = info_.host;
  v->port = info_.port;
  v->auth_required = o.AuthRequired();
  v->max_connections = o.max_connections;
  v->max_subscriptions = o.max_subscriptions;
  v->ping_interval_ns = o.ping_interval.count();
  v->ping_max = o.ping_max;
  v->http_host = o.http_host;
  v->http_port = o.http_port;
  v->http_base_path = o.http_base_path;
  v->https_port = o.https_port;
  v->auth_timeout_s = o.auth_timeout;
  v->max_control_line = static_cast<int32_t>(o.max_control_line);
  v->max_payload = o.max_payload;
  v->max_pending = o.max_pending;
  v->tls_timeout_s = 2;
  v->write_deadline_ns = o.write_deadline.count();
  v->write_timeout = std::string(WriteTimeoutName(o.write_timeout));
  v->start_ns = start_ns_;
  v->now_ns = WallClockNs();
  const ProcessUsage::Sample usage = usage_.Read();
  v->mem_bytes = usage.rss_bytes;
  v->cpu_percent = usage.cpu_percent;
  v->cores = UsableCores();
  v->gomaxprocs = static_cast<int>(mesh_->shards());
  v->connections = static_cast<int64_t>(Sum(&ShardCounters::connections));
  v->total_connections = Sum(&ShardCounters::connections_total);
  v->in_msgs = v->in_client_msgs = static_cast<int64_t>(Sum(&ShardCounters::in_messages));
  v->in_bytes = v->in_client_bytes = static_cast<int64_t>(Sum(&ShardCounters::in_bytes));
  v->out_msgs = v->out_client_msgs = static_cast<int64_t>(Sum(&ShardCounters::out_messages));
  v->out_bytes = v->out_client_bytes = static_cast<int64_t>(Sum(&ShardCounters::out_bytes));
  v->slow_consumers = static_cast<int64_t>(Sum(&ShardCounters::slow_consumers));
  v->slow_consumer_stats.clients = static_cast<uint64_t>(v->slow_consumers);
  v->stale_connections = static_cast<int64_t>(Sum(&ShardCounters::stale_connections));
  v->stale_connection_stats.clients = static_cast<uint64_t>(v->stale_connections);
  v->stalled_clients = static_cast<int64_t>(Sum(&ShardCounters::stalls));
  v->subscriptions = static_cast<uint32_t>(Sum(&ShardCounters::subscriptions));
  v->config_load_time_ns = config_load_ns_;
  v->config_digest = o.config_digest;
  v->tags = o.server_tags;
  v->metadata = o.server_metadata;
  v->feature_flags = o.feature_flags;
  v->system_account = o.system_account.empty() ? "$SYS" : o.system_account;
  v->millrace = OwnStats();
}

MillraceStats Server::OwnStats() const {
  MillraceStats stats;
  stats.version = kMillraceVersion;
  stats.shards = mesh_->shards();
  stats.turns = Sum(&ShardCounters::turns);
  stats.long_turns = Sum(&ShardCounters::long_turns);
  stats.congestions = Sum(&ShardCounters::congestions);
  stats.damaged_parts = Sum(&ShardCounters::damaged_parts);
  stats.scrubbed_bytes = Sum(&ShardCounters::scrubbed_bytes);
  stats.scrub_passes = Sum(&ShardCounters::scrub_passes);
  for (size_t phase = 0; phase < kTurnPhases; ++phase) {
    uint64_t turns = 0;
    for (uint32_t shard = 0; shard < mesh_->shards(); ++shard)
      turns += mesh_->counters(shard).long_turns_by[phase].Get();
    stats.long_turns_by_phase.emplace_back(kTurnPhaseNames[phase], turns);
  }
  for (uint32_t shard = 0; shard < mesh_->shards(); ++shard)
    stats.longest_turn_ns = std::max(stats.longest_turn_ns, mesh_->counters(shard).longest_turn_ns.Get());
  return stats;
}

void Server::OnSecond() {
  usage_.Tick(io_->Now().count());
  for (MonitorConnection* connection : MonitorConnections()) connection->CheckHead(io_->Now());
  timers_->Arm(&second_timer_, io_->Now() + std::chrono::seconds(1));
}

}  // namespace millrace
