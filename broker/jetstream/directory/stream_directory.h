// SPDX-License-Identifier: Apache-2.0
// StreamDirectory: which streams and consumers there are, the subjects that streams claim, and the storage that is
//         reserved for them. Whatever makes, changes or drops one goes through here.
// Owner:  shard; part of the engine.  Source: spec 5a, 5d.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "broker/jetstream/api/api_error.h"
#include "broker/jetstream/api/consumer_config.h"
#include "broker/jetstream/api/stream_check.h"
#include "broker/jetstream/api/stream_config.h"
#include "broker/jetstream/api/stream_info.h"
#include "broker/jetstream/archive/consumer_snapshot.h"
#include "broker/jetstream/directory/filter_index.h"
#include "broker/jetstream/directory/stream_table.h"
#include "broker/jetstream/stream/stream_host.h"
#include "store/shard/shard_store.h"

namespace millrace {

class StreamDirectory {
 public:
  explicit StreamDirectory(StreamHost& host) : host_(host), streams_(host) {}
  StreamDirectory(const StreamDirectory&) = delete;
  StreamDirectory& operator=(const StreamDirectory&) = delete;

  // Takes over what the store has recovered; streams begin to listen with Start.
  void Adopt();
  void Start();
  // Nobody gets messages any more.
  void Stop() { streams_.Stop(StopReason::kServerShutdown); }

  // --- streams
  StreamTable& streams() { return streams_; }
  const StreamTable& streams() const { return streams_; }
  Stream* Find(std::string_view name) { return streams_.Find(name); }
  struct Made {
    Stream* stream = nullptr;
    bool created = false;
    std::optional<ApiError> error;
  };
  // kLater: it takes messages from Stream::FinishRestore on.
  enum class Begin : uint8_t { kNow, kLater };
  Made MakeStream(StreamConfig config, bool pedantic, Begin begin = Begin::kNow);
  // Why a stream may not become this, which has been checked as a configuration (CheckStreamConfig).
  std::optional<ApiError> CheckUpdate(Stream* stream, StreamConfig* config, bool pedantic);
  // The position to wait for.
  Lsn UpdateStream(Stream* stream, StreamConfig config);
  void DropStream(Stream* stream);

  // Of a stream that is to be restored: its configuration.
  std::optional<ApiError> CheckRestore(StreamConfig* config);
  // And once it is known that it needs so many bytes: its limits and reservations.
  std::optional<ApiError> CheckRestoredBytes(StreamConfig config, uint64_t bytes);

  StreamCheckContext CheckContext();
  Lsn StoreConfig(const Stream& stream, const StreamConfig& config, Applied applied);

  // --- consumers
  // nullptr: there is none; its stream is awake then, or not there.
  Consumer* FindConsumer(std::string_view stream, std::string_view consumer) const;
  // *lsn stays as it is where nothing is stored.
  Consumer* AddConsumer(Stream* stream, ConsumerConfig config, Lsn* lsn);
  void RestoreConsumer(Stream* stream, const ConsumerSnapshot& snapshot);
  Lsn UpdateConsumer(Consumer* consumer, ConsumerConfig config);
  void DeleteConsumer(Consumer* consumer);

  // What all streams together take up.
  void Describe(AccountInfo* info) const;
  // Aborts unless what is kept of streams and consumers agrees with them. Walks all that are awake.
  void Invariant() const;

 private:
  void List(Stream* stream);
  void Unlist(Stream* stream);
  void Reserve(const StreamConfig& config, int64_t sign);
  // Some of the subjects belong to another stream.
  bool AreTaken(const std::vector<std::string>& subjects, uint64_t but_uid) const;
  Reservations ReservationsWithout(const Stream* stream, Storage storage) const;
  StreamLogOptions LogOptionsOf(const StreamConfig& config) const;

  // --- what the store has recovered (recovery.cc)
  struct Recovery {
    absl::flat_hash_map<uint64_t, std::vector<MessageIds::Record>> ids;  // by the uid of their stream
    absl::flat_hash_set<uint64_t> with_consumers;
  };
  static Recovery SortRecords(std::vector<RecoveredConsumer>* records);
  void AdoptStream(RecoveredStream* found, Recovery* recovery);
  void AdoptRecord(const RecoveredConsumer& found);
  void AdoptConsumer(const RecoveredConsumer& found, Stream* stream);

  StreamHost& host_;
  StreamTable streams_;
  FilterIndex subjects_;  // of all streams, by uid
  int64_t reserved_memory_ = 0;
  int64_t reserved_storage_ = 0;
};

}  // namespace millrace
