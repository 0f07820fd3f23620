// SPDX-License-Identifier: Apache-2.0
#include "store/shard/shard_recovery.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_format.h"
#include "proto/base/status.h"
#include "proto/headers.h"
#include "store/segment/stream_records.h"
#include "store/hash.h"
#include "store/log/wal_recovery.h"

namespace millrace {
namespace {

constexpr uint64_t kProgressBytes = 4 << 20;

class Recovery {
 public:
  Recovery(Disk& disk, Catalog& catalog, WriteAheadLog& wal, StoredLogs& logs, const ShardStoreOptions& options,
           ShardObjects* objects, Recovered* recovered)
      : disk_(disk), catalog_(catalog), wal_(wal), logs_(logs), options_(options), objects_(*objects),
        recovered_(*recovered), report_(recovered->report) {}

  absl::Status Run() {
    MR_RETURN_IF_ERROR(wal_.Open());
    if (options_.keys != nullptr && options_.keys->converting()) wal_.files().MarkStale();
    if (catalog_.created() && !wal_.files().files().empty()) {
      return absl::DataLossError(
          "there is a write-ahead log and no catalog: put catalog/current back, or move wal/ aside");
    }
    const WalProgress progress = [this](uint64_t done, uint64_t total) {
      if (options_.progress) options_.progress(done / 2, total, 0);  // reading is one half, replaying the other
    };
    // A deleted stream's files may be gone already, though the catalog still speaks of it: it is not even opened.
    const WalGlance glance = [this](std::string_view payload) {
      WalRecord record;
      while (NextWalRecord(&payload, &record)) {
        const bool deletes = record.kind == RecordKind::kStreamDelete || record.kind == RecordKind::kConsumerDelete;
        if (deletes) deleted_.insert(record.object);
        // Also of what is gone: a number given twice would let the old deletion take the new object.
        objects_.next_uid = std::max(objects_.next_uid, record.object + 1);
      }
    };
    MR_ASSIGN_OR_RETURN(scan_, ScanWal(disk_, wal_.files(), catalog_.identity(), catalog_.replay_from(), progress,
                                       glance, options_.keys));
    MR_RETURN_IF_ERROR(LoadCatalog());
    MR_RETURN_IF_ERROR(Replay());
    Report();
    MR_RETURN_IF_ERROR(PutTornAside());
    MR_RETURN_IF_ERROR(MakeStable());
    wal_.files().DropUnfinished();
    wal_.Start(std::max(scan_.highest, highest_), scan_.end, scan_.epoch + 1, scan_.file_seq + 1);
    objects_.next_uid = std::max(objects_.next_uid, catalog_.next_uid());
    for (const uint64_t uid : deleted_) objects_.deleted.push_back({uid, 0, marked_.contains(uid)});
    std::sort(objects_.deleted.begin(), objects_.deleted.end(),
              [](const DeletedObject& a, const DeletedObject& b) { return a.uid < b.uid; });
    if (!catalog_.damage().empty() || !scan_.gaps.empty()) logs_.KeepUnknown();
    logs_.OnRecovered();
    Hand();
    return absl::OkStatus();
  }

 private:
  struct StreamFacts {  // of a stream, while recovering
    std::string config;
    std::vector<LostRange> lost;
    std::string damage;
    size_t gaps_seen = 0;
    std::vector<SeenHeader> seen;
  };
  struct ConsumerFacts {
    std::string config;
    std::string state;
    std::vector<std::string> deltas;
  };

  absl::Status LoadCatalog() {
    report_.catalog_bytes = catalog_.file_bytes();
    MR_RETURN_IF_ERROR(catalog_.Load([this](CatalogKind kind, uint64_t uid, Lsn lsn, std::string_view blob) {
      highest_ = std::max(highest_, lsn);
      if (kind == CatalogKind::kDeleted) {  // nothing else of it is there
        marked_.insert(uid);
        deleted_.insert(uid);
      }
      if (deleted_.contains(uid)) return;
      if (kind == CatalogKind::kStreamConfig) PutStream(uid, lsn, blob, false);
      if (kind == CatalogKind::kConsumerConfig) PutConsumer(uid, lsn, blob, false);
    }));
    MR_RETURN_IF_ERROR(catalog_.Load([this](CatalogKind kind, uint64_t uid, Lsn lsn, std::string_view blob) {
      if (kind == CatalogKind::kStreamState) {
        const auto at = objects_.streams.find(uid);
        if (at == objects_.streams.end() || at->second.options.memory) return;
        const absl::Status restored = at->second.Wake(uid, logs_, wal_).Restore(blob);
        if (!restored.ok()) return Damage(uid, std::string(restored.message()));
        at->second.state_lsn = lsn;
      } else if (kind == CatalogKind::kConsumerState) {
        const auto at = objects_.consumers.find(uid);
        if (at == objects_.consumers.end()) return;
        at->second.state_lsn = lsn;
        consumers_[uid].state = blob;
      }
    }));
    return absl::OkStatus();
  }

  void Damage(uint64_t stream, std::string what) {
    report_.notes.push_back(absl::StrFormat("stream %d: %s", stream, what));
    std::string& damage = streams_[stream].damage;
    damage += (damage.empty() ? "" : "; ") + std::move(what);
  }

  void PutStream(uint64_t uid, Lsn lsn, std::string_view record, bool dirty) {
    objects_.next_uid = std::max(objects_.next_uid, uid + 1);
    std::string_view config;
    StreamLogOptions options;
    if (!DecodeStream(record, &config, &options)) {
      report_.notes.push_back(absl::StrFormat("stream %d: its configuration is of a version that we do not know", uid));
      return;
    }
    MR_CHECK(!deleted_.contains(uid));  // what is deleted is not even opened
    const auto [at, fresh] = objects_.streams.try_emplace(uid);
    StoredStream& stream = at->second;
    if (!fresh && lsn <= stream.config_lsn) return;
    if (!fresh) options.memory = stream.options.memory;
    stream.options = options;
    if (stream.stored != nullptr) stream.stored->log()->set_options(options);
    stream.config_lsn = lsn;
    stream.config_dirty = dirty;
    if (dirty) stream.record = std::make_unique<const std::string>(record);
    streams_[uid].config = config;
  }

  void PutConsumer(uint64_t uid, Lsn lsn, std::string_view record, bool dirty) {
    objects_.next_uid = std::max(objects_.next_uid, uid + 1);
    std::string_view config;
    uint64_t stream_uid = 0;
    if (!DecodeConsumerConfig(record, &stream_uid, &config)) return;
    const bool known = objects_.consumers.contains(uid);
    StoredConsumer& consumer = objects_.consumers[uid];
    if (known && lsn <= consumer.config_lsn) return;
    consumer.stream_uid = stream_uid;
    consumer.config_lsn = lsn;
    consumer.config_dirty = dirty;
    if (dirty) consumer.record = std::make_unique<const std::string>(record);
    consumers_[uid].config = config;
  }

  absl::Status Replay() {
    std::string payload;
    uint64_t bytes = 0;
    uint64_t total = 0;
    for (const WalBatch& batch : scan_.batches) total += batch.header.payload_bytes;
    uint64_t reported = 0;
    for (size_t i = 0; i < scan_.batches.size(); ++i) {
      const WalBatch& batch = scan_.batches[i];
      while (gaps_passed_ < scan_.gaps.size() && scan_.gaps[gaps_passed_].before <= i) ++gaps_passed_;
      MR_RETURN_IF_ERROR(ReadWalPayload(disk_, batch, catalog_.identity(), &payload, options_.keys));
      std::string_view rest = payload;
      WalRecord record;
      bool orphans = false;
      for (Lsn lsn = batch.header.lsn; NextWalRecord(&rest, &record); ++lsn) {
        if (lsn <= catalog_.replay_from() || deleted_.contains(record.object)) continue;
        ++report_.records;
        orphans |= !ReplayOne(lsn, record);
      }
      if (orphans) MR_RETURN_IF_ERROR(PutAside("orphans", batch));
      bytes += payload.size();
      if (options_.progress && bytes - reported >= kProgressBytes) {
        reported = bytes;
        options_.progress((total + bytes) / 2, total, report_.records);
      }
    }
    report_.log_bytes = bytes;
    return absl::OkStatus();
  }

  // False: it is about something whose configuration is lost.
  bool ReplayOne(Lsn lsn, const WalRecord& record) {
    switch (record.kind) {
      case RecordKind::kNone:
      case RecordKind::kWatermark:
      case RecordKind::kStreamDelete:
      case RecordKind::kConsumerDelete:
        return true;
      case RecordKind::kStreamPut:
        PutStream(record.object, lsn, record.body, true);
        return true;
      case RecordKind::kConsumerPut:
        PutConsumer(record.object, lsn, record.body, true);
        return true;
      case RecordKind::kConsumerState: {
        const auto at = objects_.consumers.find(record.object);
        if (at == objects_.consumers.end()) return false;
        if (lsn <= at->second.state_lsn) return true;
        at->second.state_dirty = true;
        consumers_[record.object].deltas.emplace_back(record.body);
        return true;
      }
      default:
        return ReplayChange(lsn, record);
    }
  }

  bool ReplayChange(Lsn lsn, const WalRecord& record) {
    const auto at = objects_.streams.find(record.object);
    if (at == objects_.streams.end()) return false;
    StoredStream& stream = at->second;
    if (stream.options.memory) return true;
    if (record.kind == RecordKind::kAppend && !options_.seen_header.empty()) LookAtHeader(record);
    if (lsn <= stream.state_lsn) return true;
    StoredLog& stored = stream.Wake(record.object, logs_, wal_);
    if (gaps_passed_ == 0 || record.kind != RecordKind::kAppend) [[likely]] {
      stored.Replay(record.kind, record.body);
      return true;
    }
    StreamFacts& facts = streams_[record.object];
    const uint64_t before = stored.log()->state().last_seq;
    stored.Replay(record.kind, record.body);
    const uint64_t after = stored.log()->state().last_seq;
    const bool concerned = facts.gaps_seen < gaps_passed_ && scan_.gaps[gaps_passed_ - 1].last > stream.state_lsn;
    facts.gaps_seen = gaps_passed_;
    if (concerned && after > before + 1) {
      facts.lost.push_back({before + 1, after - 1});
      Damage(record.object, absl::StrFormat("sequences %d to %d are lost", before + 1, after - 1));
    }
    return true;
  }

  void LookAtHeader(const WalRecord& record) {
    StoredMessage message;
    if (!ReadAppend(record.body, &message) || message.header_bytes == 0) return;
    const std::optional<std::string_view> value = FindHeader(message.header(), options_.seen_header);
    if (!value || value->empty()) return;
    streams_[record.object].seen.push_back({HashHeader(*value), message.seq, message.time_ns});
  }

  void Report() {
    for (const CatalogDamage& damage : catalog_.damage()) {
      const bool stream = damage.kind == CatalogKind::kStreamConfig || damage.kind == CatalogKind::kStreamState;
      if (stream && objects_.streams.contains(damage.uid)) {
        Damage(damage.uid, damage.what);
      } else {
        report_.notes.push_back(damage.what);
      }
    }
    report_.damaged_entries = catalog_.damage().size();
    report_.damaged_batches = scan_.damaged;
    for (const WalGap& gap : scan_.gaps) {
      if (gap.uncertain) report_.uncertain_records += gap.last - gap.first + 1;
      report_.notes.push_back(absl::StrFormat(
          gap.uncertain ? "records %d to %d of the log are unreadable, and may never have been flushed"
                        : "records %d to %d of the log were acknowledged and are unreadable",
          gap.first, gap.last));
    }
    for (const WalBatch& batch : scan_.torn) report_.torn_bytes += WalBatchBytes(batch.header);
    if (report_.torn_bytes > 0) {
      report_.notes.push_back(absl::StrFormat("the log's tail of %d bytes was cut off by a crash before it was "
                                              "acknowledged; it is in quarantine/", report_.torn_bytes));
    }
  }

  absl::Status PutTornAside() {
    for (const WalBatch& batch : scan_.torn) MR_RETURN_IF_ERROR(PutAside("torn", batch));
    return absl::OkStatus();
  }

  // What was read may have been in a cache only: from here on it is served, so it has to stay. Nobody knows whether the
  // flush of what is above the watermark has failed; what it lost counts as clean, so it is written again.
  absl::Status MakeStable() {
    for (const WalBatch& batch : scan_.batches) {
      if (batch.header.last_lsn() <= scan_.durable) continue;
      const absl::Status written = WriteAgain(batch);
      // In place, so only a file system that never overwrites asks for room.
      if (!written.ok() && !absl::IsResourceExhausted(written)) return written;
    }
    for (const auto& file : wal_.files().files()) {
      if (file->seq != 0) MR_RETURN_IF_ERROR(disk_.SyncNow(file->file));
    }
    return absl::OkStatus();
  }

  // Without the sync.
  absl::Status WriteAgain(const WalBatch& batch) {
    MR_ASSIGN_OR_RETURN(const Disk::File file,
                        disk_.Open(WalFiles::PathOf(batch.file->number), FileUse::kWrite, false));
    std::string bytes(WalBatchBytes(batch.header), '\0');
    const absl::StatusOr<size_t> got = disk_.ReadNow(file, batch.offset, bytes.data(), bytes.size());
    absl::Status status = got.status();
    if (status.ok() && *got < bytes.size()) status = absl::DataLossError("a batch of the log ends early");
    if (status.ok()) status = disk_.WriteNow(file, batch.offset, bytes);
    disk_.Close(file);
    return status;
  }

  // Copies a batch to quarantine/, once.
  absl::Status PutAside(std::string_view why, const WalBatch& batch) {
    MR_RETURN_IF_ERROR(disk_.MakeDirectory("quarantine"));
    const std::string name = absl::StrFormat("%s.%d.%d", why, batch.header.epoch, batch.header.lsn);
    MR_ASSIGN_OR_RETURN(const std::vector<std::string> there, disk_.List("quarantine"));
    if (std::binary_search(there.begin(), there.end(), name)) return absl::OkStatus();
    std::string bytes(WalBatchBytes(batch.header), '\0');
    MR_ASSIGN_OR_RETURN(const Disk::File from,
                        disk_.Open(WalFiles::PathOf(batch.file->number), FileUse::kRead, false));
    const absl::StatusOr<size_t> got = disk_.ReadNow(from, batch.offset, bytes.data(), bytes.size());
    disk_.Close(from);
    if (!got.ok()) return absl::OkStatus();  // unreadable: there is nothing to keep
    bytes.resize(*got);
    const absl::StatusOr<Disk::File> to = disk_.Open("quarantine/" + name, FileUse::kWrite, true);
    absl::Status status = to.status();
    if (to.ok()) {
      status = disk_.WriteNow(*to, 0, bytes);
      if (status.ok()) status = disk_.SyncNow(*to);
      disk_.Close(*to);
    }
    if (absl::IsResourceExhausted(status)) {
      report_.notes.push_back(absl::StrFormat("no space to keep quarantine/%s", name));
      return absl::OkStatus();
    }
    MR_RETURN_IF_ERROR(status);
    return disk_.SyncDirectory("quarantine");
  }

  // To the engine: streams and consumers in the order of their creation. A consumer whose stream is gone is gone.
  void Hand() {
    std::vector<uint64_t> uids;
    for (const auto& [uid, stream] : objects_.streams) {
      uids.push_back(uid);
      if (stream.stored != nullptr) report_.message_bytes += stream.stored->log()->state().bytes;
    }
    std::sort(uids.begin(), uids.end());
    for (const uint64_t uid : uids) {
      StreamFacts& facts = streams_[uid];
      recovered_.streams.push_back({uid, std::move(facts.config), std::move(facts.lost), std::move(facts.damage),
                                    std::move(facts.seen)});
    }
    uids.clear();
    for (const auto& [uid, consumer] : objects_.consumers) uids.push_back(uid);
    std::sort(uids.begin(), uids.end());
    for (const uint64_t uid : uids) {
      const uint64_t stream_uid = objects_.consumers[uid].stream_uid;
      const auto stream = objects_.streams.find(stream_uid);
      if (stream == objects_.streams.end()) {
        if (!deleted_.contains(stream_uid)) {
          report_.notes.push_back(absl::StrFormat("consumer %d: its stream %d is not there", uid, stream_uid));
        }
        objects_.consumers.erase(uid);
        objects_.deleted.push_back({uid, 0});
        continue;
      }
      stream->second.consumers.push_back(uid);
      ConsumerFacts& facts = consumers_[uid];
      recovered_.consumers.push_back({uid, stream_uid, std::move(facts.config), std::move(facts.state),
                                      std::move(facts.deltas)});
    }
  }

  Disk& disk_;
  Catalog& catalog_;
  WriteAheadLog& wal_;
  StoredLogs& logs_;
  const ShardStoreOptions& options_;
  ShardObjects& objects_;
  Recovered& recovered_;
  RecoveryReport& report_;
  WalScan scan_;
  Lsn highest_ = 0;  // that the catalog speaks of
  size_t gaps_passed_ = 0;
  absl::flat_hash_set<uint64_t> deleted_;
  absl::flat_hash_set<uint64_t> marked_;  // by the catalog; among them
  absl::flat_hash_map<uint64_t, StreamFacts> streams_;
  absl::flat_hash_map<uint64_t, ConsumerFacts> consumers_;
};

}  // namespace

// Written into the store.
HeaderHash HashHeader(std::string_view value) {
  return {Hash64(value, 0x9e3779b97f4a7c15ull), Hash64(value, 0xc2b2ae3d27d4eb4full)};
}

absl::Status RecoverShard(Disk& disk, Catalog& catalog, WriteAheadLog& wal, StoredLogs& logs,
                          const ShardStoreOptions& options, ShardObjects* objects, Recovered* recovered) {
  return Recovery(disk, catalog, wal, logs, options, objects, recovered).Run();
}

}  // namespace millrace
