// SPDX-License-Identifier: Apache-2.0
// ShardStore: everything one shard keeps on disk: the write-ahead log, the catalog, the logs of its streams.
// Owner:  shard. One per shard and directory; only its thread calls it.
// Layout: DIR/wal (write_ahead_log.h), DIR/catalog (catalog.h), DIR/segments (segment_store.h), DIR/quarantine.
// Use:    Open, then adopt recovered(); every turn: changes, then EndTurn(now) last, and OnTick(now) at NextTick().
//         What a call returns as Lsn is durable when durable() has reached it; OnDurable says so from inside the
//         disk's completions, once per flush and not once per record.
// Small volumes: files of the log, the reserve and the free space that is asked for are parts of the volume, if those
//         are less than what the options say.
// Full disk, failed disk: accepting() is false. Stage no message then; deletions and acknowledgements may be staged
//         while state() is kFull (they are what makes room). Reading goes on in every state.
// Format: FORMAT.md.  Proof: tests/crash cuts a workload at every write and sync.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/base/nanos.h"
#include "store/disk.h"
#include "store/journal.h"
#include "store/keys/store_keys.h"
#include "store/stored_log.h"
#include "store/stream_log.h"

namespace millrace {

// The value of a header as 128 bits; the same in every release.
struct HeaderHash {
  uint64_t high = 0;
  uint64_t low = 0;
  bool operator==(const HeaderHash&) const = default;
  template <class H>
  friend H AbslHashValue(H h, const HeaderHash& hash) {
    return H::combine(std::move(h), hash.low);
  }
};
HeaderHash HashHeader(std::string_view value);

// Of a message that has it.
struct SeenHeader {
  HeaderHash value;
  uint64_t seq = 0;
  int64_t time_ns = 0;
};

struct ShardStoreOptions {
  uint64_t random = 0;  // from the caller's source of randomness: identity of a new store
  uint64_t wal_file_bytes = 16 << 20;
  uint32_t wal_files = 3;                     // kept: in use and ready
  // Growth of the log that starts a checkpoint. 0: half of the files that are kept, one of them at least; up to four
  // times that where a checkpoint costs more than a quarter of it (very many streams).
  uint64_t checkpoint_bytes = 0;
  // The same when hardly anything is written for checkpoint_idle_after; and what waits on disk for a checkpoint to be
  // given back.
  uint64_t checkpoint_idle_bytes = 1 << 20;
  Nanos checkpoint_idle_after = std::chrono::seconds(2);
  uint64_t congested_bytes = 4 << 20;         // staged and not yet durable: Congested()
  uint64_t reserve_bytes = 32 << 20;          // free space below which messages are refused
  uint64_t record_bytes = 0;                  // of the largest message: two of them always have room
  uint64_t checkpoint_group_bytes = 4 << 20;  // of encoded state, per sync of the segments
  uint32_t checkpoint_slice = 256;            // objects looked at per turn
  std::string seen_header;                    // RecoveredStream::seen is about it; empty: about none
  StoreKeys* keys = nullptr;                  // that seal everything; they outlive the store
  std::function<void(const absl::Status& status)> on_keys;  // nothing under old keys is left, and they are forgotten
  // Recovery tells how far it is, at most every few MiB.
  std::function<void(uint64_t bytes_done, uint64_t bytes_total, uint64_t records)> progress;
};

enum class StorageState : uint8_t {
  kOk,
  kFull,    // no room for messages; resumes by itself
  kFailed,  // the log could not be written, twice; ends with a restart only
};

class ShardStoreListener {
 public:
  virtual ~ShardStoreListener() = default;
  virtual void OnDurable(Lsn durable) = 0;
  // `why` is for the log and the advisory; also called for errors that change no state (a checkpoint that failed).
  virtual void OnStorage(StorageState state, std::string_view why) = 0;
};

// The engine owns the state of consumers; the store asks for it when it writes a checkpoint.
class ConsumerStateSource {
 public:
  virtual ~ConsumerStateSource() = default;
  // All of the consumer's state at this moment. A delta staged later may repeat what is in here already: replaying a
  // delta onto a state that contains it must change nothing.
  virtual void EncodeConsumer(uint64_t uid, std::string* out) = 0;
};

// Sequences that were acknowledged and are not readable any more.
struct LostRange {
  uint64_t first_seq = 0;
  uint64_t last_seq = 0;
};

struct RecoveredStream {  // FindStream gives its log
  uint64_t uid = 0;
  std::string config;
  std::vector<LostRange> lost;
  std::string damage;  // empty, or what is wrong with it in words; it is served as far as it goes
  // Of all messages that are in the log, whatever has become of them, in their order.
  std::vector<SeenHeader> seen;
};

struct RecoveredConsumer {
  uint64_t uid = 0;
  uint64_t stream_uid = 0;
  std::string config;
  std::string state;                // EncodeConsumer's, or empty
  std::vector<std::string> deltas;  // PutConsumerState's since then, in order
};

struct RecoveryReport {
  uint64_t records = 0;        // replayed from the log
  uint64_t log_bytes = 0;
  uint64_t catalog_bytes = 0;
  uint64_t message_bytes = 0;  // StreamLogState::bytes of all streams
  uint64_t torn_bytes = 0;     // of the log's tail that no acknowledgement rests on: cut, copied to quarantine
  uint64_t damaged_batches = 0;   // of the log, below its durable watermark
  uint64_t uncertain_records = 0;  // above the watermark, but a valid batch follows: may never have been flushed
  uint64_t damaged_entries = 0;   // of the catalog
  std::vector<std::string> notes;  // one line for each of the above
};

struct Recovered {
  std::vector<RecoveredStream> streams;
  std::vector<RecoveredConsumer> consumers;
  RecoveryReport report;
};

// Blocking, before ShardStore::Open. nullptr: no encryption is asked for, and the store has none.
absl::StatusOr<std::unique_ptr<StoreKeys>> OpenStoreKeys(Disk& disk, const KeyOptions& options);

class ShardStore {
 public:
  // Blocking. `disk` and `logs` outlive the store. An error means: this directory cannot be served at all.
  static absl::StatusOr<std::unique_ptr<ShardStore>> Open(Disk& disk, StoredLogs& logs,
                                                          const ShardStoreOptions& options);
  virtual ~ShardStore() = default;  // after closed(), or at once: what was not durable is then as after a crash

  // What was found; the engine takes it over (and frees it) before the first turn.
  virtual Recovered& recovered() = 0;
  virtual void set_listener(ShardStoreListener* listener) = 0;
  virtual void set_consumers(ConsumerStateSource* consumers) = 0;

  // --- streams. A memory stream's configuration is kept, its messages are not: after a restart it is there, and empty.
  virtual StreamLog* CreateStream(std::string_view config, const StreamLogOptions& options, Lsn* lsn) = 0;
  virtual StreamLog* FindStream(uint64_t uid) = 0;  // nullptr: no such stream
  // The caller forgets the stream's log, and asks FindStream for it when it wants it again: one without messages takes
  // no memory meanwhile.
  virtual void LetRest(uint64_t uid) = 0;
  virtual Lsn UpdateStream(uint64_t uid, std::string_view config, const StreamLogOptions& options) = 0;
  // The StreamLog is destroyed; its files go when the deletion is durable. Consumers of it are deleted with it.
  virtual Lsn DeleteStream(uint64_t uid) = 0;

  // --- consumers
  virtual uint64_t CreateConsumer(uint64_t stream_uid, std::string_view config, Lsn* lsn) = 0;  // the new uid
  virtual Lsn UpdateConsumer(uint64_t uid, std::string_view config) = 0;
  virtual Lsn DeleteConsumer(uint64_t uid) = 0;
  virtual Lsn PutConsumerState(uint64_t uid, std::string_view delta) = 0;
  // The next checkpoint asks for its state although no delta was put: the log tells in another way what has changed.
  virtual void TouchConsumer(uint64_t uid) = 0;

  // --- turns
  virtual void EndTurn(Nanos now) = 0;  // submits what was staged; one step of a checkpoint
  virtual void OnTick(Nanos now) = 0;
  virtual Nanos NextTick() const = 0;   // when OnTick wants to be called; Nanos::max(): no need
  virtual bool HasWork() const = 0;     // true: run another turn without waiting (a checkpoint has steps to do)

  virtual Journal& journal() = 0;
  virtual Lsn staged() const = 0;
  virtual Lsn durable() const = 0;
  virtual StorageState state() const = 0;
  virtual bool accepting() const = 0;
  // False: nothing that would be staged now becomes durable soon, not even a deletion.
  virtual bool writable() const = 0;
  virtual bool Congested() const = 0;  // pause producers; ask again every turn

  // Secure deletion: what was removed from this stream until now is to be nowhere on the disk (eraser.h). That is so
  // when erased() has reached the ticket.
  virtual uint64_t EraseFromDisk(uint64_t stream_uid) = 0;
  virtual uint64_t erased() const = 0;

  virtual void StartCheckpoint() = 0;  // now, whatever the size of the log
  // Writes a checkpoint and stops: keep turning until closed(). Stage nothing afterwards.
  virtual void StartClose() = 0;
  virtual bool closed() const = 0;

  struct Stats {
    uint64_t flushes = 0;
    uint64_t flushed_bytes = 0;
    uint64_t log_bytes = 0;  // since the last checkpoint
    uint64_t log_files = 0;
    uint64_t log_file_bytes = 0;  // on disk
    uint64_t checkpoints = 0;
    uint64_t catalog_bytes = 0;
    uint64_t streams = 0;
    uint64_t consumers = 0;
  };
  virtual Stats stats() const = 0;
  // Everything that is kept twice, here and in what is behind it, agrees. Costs as much as there is.
  virtual void Recount() const {}
};

}  // namespace millrace
