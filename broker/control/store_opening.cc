// SPDX-License-Identifier: Apache-2.0
#include "broker/control/store_opening.h"

#include <sys/random.h>

#include <utility>

#include "absl/strings/str_format.h"
#include "broker/control/clock.h"
#include "broker/control/store_wait.h"
#include "broker/io/uring_disk.h"
#include "broker/jetstream/engine/banner.h"
#include "proto/base/status.h"
#include "store/segment/segment_store.h"

namespace millrace {

void StoreOpening::LogStarting() {
  log_.Info("Starting JetStream");
  start_ns_ = WallClockNs();
}

void StoreOpening::LogStarted() { log_.Info(JetStreamStartedLine(WallClockNs() - start_ns_)); }

void StoreOpening::LogError(const std::string& line) {
  if (thread_.shard() != nullptr) {
    thread_.shard()->log().Error(line);
  } else {
    log_.Error(line);
  }
}

absl::Status StoreOpening::Lock(int signal_fd) {
  const JetStreamOptions& options = options_.jetstream;
  const std::string directory = ResolveJetStream(options).config.store_dir;
  absl::Status status = PrepareStoreDir(directory);
  if (status.ok()) {
    absl::StatusOr<std::unique_ptr<UringDisk>> disk = UringDisk::Open(thread_.io(), directory, SyncProbe{});
    status = disk.status();
    if (status.ok()) status = TakeStore(**disk, StoreWait{directory, options.store_lock_wait, signal_fd}, &log_);
    if (status.ok()) home_.disk = *std::move(disk);
  }
  if (status.ok() || absl::IsCancelled(status)) return status;
  LogStarting();
  LogStarted();
  return absl::UnavailableError(absl::StrFormat("Can't start JetStream: %s", std::string(status.message())));
}

absl::Status StoreOpening::Open(const AccountTable& accounts, JetStreamSettings* settings) {
  LogStarting();
  *settings = ResolveJetStream(options_.jetstream);
  if (settings->temporary) log_.Warn("Temporary storage directory used, data could be lost on system reboot");
  if (settings->dynamic) log_.Debug(DynamicLimitsLine(*settings));
  absl::Status opened = OpenStore(settings);
  if (opened.ok()) opened = CheckAccounts(accounts, *settings);
  if (!opened.ok()) {
    LogStarted();
    return absl::UnavailableError(absl::StrFormat("Can't start JetStream: %s", std::string(opened.message())));
  }
  for (std::string& line : AccountEnabledLines(accounts)) log_.Debug(std::move(line));
  return absl::OkStatus();
}

absl::Status StoreOpening::OpenStore(JetStreamSettings* settings) {
  const JetStreamOptions& options = options_.jetstream;
  MR_ASSIGN_OR_RETURN(const SyncProbe sync, ProbeSync(settings->config.store_dir, false));
  settings->sync_method = Describe(sync);
  for (std::string& line : JetStreamBanner(*settings)) log_.Info(std::move(line));
  home_.disk->set_sync(sync);
  MR_RETURN_IF_ERROR(OpenKeys());
  MR_RETURN_IF_ERROR(OpenSegments());

  ShardStoreOptions store = StoreOptionsOf(options);
  MR_CHECK(getrandom(&store.random, sizeof store.random, 0) == sizeof store.random);
  store.record_bytes = static_cast<uint64_t>(options_.max_payload);
  store.keys = home_.keys.get();
  store.on_keys = [thread = &thread_](const absl::Status& status) {  // comes from a turn
    if (status.ok()) {
      thread->shard()->log().Info("JetStream storage is encrypted as a whole, the old key is forgotten");
    } else {
      thread->shard()->log().Error("JetStream storage: keys/current: " + std::string(status.message()));
    }
  };
  store.progress = [this](uint64_t done, uint64_t total, uint64_t records) {
    log_.Info(absl::StrFormat("  Recovering: %d of %d MiB of the log, %d records", done >> 20, total >> 20, records));
  };
  MR_ASSIGN_OR_RETURN(home_.shard_store, ShardStore::Open(*home_.disk, *home_.segments, store));
  const Recovered& recovered = home_.store().recovered();
  for (const std::string& note : recovered.report.notes) log_.Warn("  Recovery: " + note);
  settings->config.max_storage =
      FinishMaxStorage(*settings, static_cast<int64_t>(recovered.report.message_bytes));
  return absl::OkStatus();
}

absl::Status StoreOpening::OpenSegments() {
  const JetStreamOptions& options = options_.jetstream;
  SegmentStoreOptions segments;
  segments.keys = home_.keys.get();
  MR_CHECK(getrandom(&segments.random, sizeof segments.random, 0) == sizeof segments.random);
  segments.cache_bytes = static_cast<uint64_t>(options.block_cache_bytes);
  // What may be dead counts as a part of the log: docs/durability.md has the sum.
  segments.slack_bytes = static_cast<uint64_t>(options.wal_file_bytes * options.wal_files / 4);
  segments.scrub_bytes_per_second = static_cast<uint64_t>(options.scrub_bytes_per_second);
  segments.on_scrubbed = [counters = &counters_](uint64_t bytes, bool pass_done) {
    counters->scrubbed_bytes.Add(bytes);
    if (pass_done) counters->scrub_passes.Add(1);
  };
  segments.on_damage = [this](std::string_view what) {
    counters_.damaged_parts.Add(1);
    LogError("JetStream storage is damaged: " + std::string(what));
  };
  MR_ASSIGN_OR_RETURN(home_.segments, SegmentStore::Open(*home_.disk, segments));
  return absl::OkStatus();
}

absl::Status StoreOpening::OpenKeys() {
  KeyOptions options = KeyOptionsOf(options_.jetstream);
  options.random = [](uint8_t* to, size_t bytes) {
    MR_CHECK(getrandom(to, bytes, 0) == static_cast<ssize_t>(bytes));  // up to 256 bytes come whole
  };
  MR_ASSIGN_OR_RETURN(home_.keys, OpenStoreKeys(*home_.disk, options));
  const StoreKeys* keys = home_.keys.get();
  if (keys == nullptr) return absl::OkStatus();
  if (keys->rotated()) log_.Info("  Encryption key changed: prev_key opened the store, and may go");
  if (keys->converting()) {
    log_.Info(absl::StrFormat("  Encrypting what was stored %s, while the server works",
                              keys->has_plain() ? "without a key" : "with another cipher"));
  }
  return absl::OkStatus();
}

}  // namespace millrace
