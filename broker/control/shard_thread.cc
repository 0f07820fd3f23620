// SPDX-License-Identifier: Apache-2.0
#include "broker/control/shard_thread.h"

#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/random.h>

#include <algorithm>
#include <bit>

#include "absl/strings/str_format.h"
#include "broker/control/clock.h"
#include "broker/control/memory.h"
#include "broker/system/beats/system_beats.h"
#include "proto/base/status.h"

namespace millrace {
namespace {

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

RouterLimits RouterLimitsOf(const Options& options) {
  RouterLimits limits;
  limits.pending_bytes_max = static_cast<uint64_t>(options.max_pending);
  limits.high_water_bytes =
      std::min(static_cast<uint64_t>(options.tuning.output_high_water), limits.pending_bytes_max / 4 * 3);
  limits.inline_payload_bytes_max = static_cast<uint64_t>(options.tuning.mail_inline_bytes_max);
  limits.producers_pause = !options.no_fast_producer_stall;
  return limits;
}

ShardOptions ShardOptionsOf(const Options& options) {
  const Tuning& tuning = options.tuning;
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
  return shard;
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

void StayOn(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  sched_setaffinity(0, sizeof set, &set);
}

}  // namespace

uint32_t RingBytes(const Options& options) {
  const auto needed = static_cast<uint64_t>(options.max_control_line) * 8 + 64 * 1024;
  return static_cast<uint32_t>(std::max(std::bit_ceil(needed), static_cast<uint64_t>(options.tuning.ring_bytes)));
}

std::vector<int> ChooseCpus(const Tuning& tuning) {
  const auto shards = static_cast<size_t>(tuning.shards);
  std::vector<int> cpus = UsableCpus();
  const bool pin = tuning.pin_shards && shards > 1 && cpus.size() >= shards;
  cpus.resize(shards);
  if (!pin) std::fill(cpus.begin(), cpus.end(), -1);
  return cpus;
}

absl::Status ShardThread::Open(const Tuning& tuning) {
  MR_ASSIGN_OR_RETURN(io_, UringIo::Create(UringOptionsOf(tuning)));
  return absl::OkStatus();
}

void ShardThread::Start(Plan plan, Mesh& mesh) {
  ShardOptions options = ShardOptionsOf(plan.config->options);
  options.account_connections = plan.account_connections;
  options.notices = plan.notices;
  thread_ = std::thread([this, &mesh, plan = std::move(plan), options = std::move(options)] {
    Run(plan, mesh, options);
  });
}

void ShardThread::Run(const Plan& plan, Mesh& mesh, const ShardOptions& options) {
  const uint32_t index = plan.index;
  pthread_setname_np(pthread_self(), absl::StrFormat("shard-%d", index).c_str());
  if (plan.cpu >= 0) StayOn(plan.cpu);
  // Timers are as exact as asked for: a gathering shard waits for less than the 50 us that they may be late otherwise.
  prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL);
  io_->Enable(plan.ring_fds);
  MeshPort& port = mesh.port(index);
  port.Adopt();
  shard_ = std::make_unique<Shard>(options, *io_, port, mesh.counters(index), plan.config, WallClockUs);
  if (plan.engine) {
    shard_->AddPart(std::make_unique<JetStreamPart>(shard_->part_host(), home_, *plan.engine));
    CollectFreedMemory();  // what only the recovery needed
  }
  if (plan.services) {
    shard_->AddPart(std::make_unique<SystemServices>(shard_->part_host(), shard_->system(), *plan.services));
  }
  if (index == 0) {
    auto beats = std::make_unique<SystemBeats>(shard_->part_host(), shard_->server_events(), *plan.account_connections);
    shard_->AddPart(std::move(beats));
    shard_->log().Flush();
    port.SendParcel(mesh.control(), std::make_unique<Ready>());
    port.Ship([this](uint32_t target) { io_->Wake(target); });
  }
  while (!shard_->stopped()) shard_->RunOnce(true);
  shard_.reset();  // on the thread that it belongs to
}

}  // namespace millrace
