// SPDX-License-Identifier: Apache-2.0
// StreamDirectory: which streams and consumers there are, the subjects that streams claim in their accounts, and the
//         storage that is reserved for them. Whatever makes, changes or drops one goes through here.
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
#include "broker/jetstream/directory/kept_streams.h"
#include "broker/jetstream/directory/stream_table.h"
#include "broker/jetstream/stream/stream_host.h"
#include "store/shard/shard_store.h"

namespace millrace {

class StreamDirectory {
 public:
  explicit StreamDirectory(StreamHost& host) : host_(host), streams_(host), kept_(host) {}
  StreamDirectory(const StreamDirectory&) = delete;
  StreamDirectory& operator=(const StreamDirectory&) = delete;

  // Takes over what the store has recovered; streams begin to listen with Start.
  void Adopt();
  void Start();
  // Nobody gets messages any more.
  void Stop() {
    streams_.Stop(StopReason::kServerShutdown);
    kept_.Stop();
  }

  // --- accounts: who has JetStream may have changed. A task.
  // Streams of those that have it no more are put away, those of others come back.
  void FollowAccounts();
  // All streams of this account go for good, those that are put away too. How many there were.
  size_t PurgeAccount(std::string_view name);
  size_t kept() const { return kept_.size(); }

  // --- streams
  StreamTable& streams() { return streams_; }
  const StreamTable& streams() const { return streams_; }
  Stream* Find(AccountId account, std::string_view name) { return streams_.Find(account, name); }
  struct Made {
    Stream* stream = nullptr;
    bool created = false;
    std::optional<ApiError> error;
  };
  // kLater: it takes messages from Stream::FinishRestore on.
  enum class Begin : uint8_t { kNow, kLater };
  Made MakeStream(JetStreamAccount& owner, StreamConfig config, bool pedantic, Begin begin = Begin::kNow);
  // Why a stream may not become this, which has been checked as a configuration (CheckStreamConfig).
  std::optional<ApiError> CheckUpdate(Stream* stream, StreamConfig* config, bool pedantic);
  // The position to wait for.
  Lsn UpdateStream(Stream* stream, StreamConfig config);
  void DropStream(Stream* stream);

  // Of a stream that is to be restored: its configuration.
  std::optional<ApiError> CheckRestore(JetStreamAccount& owner, StreamConfig* config);
  // And once it is known that it needs so many bytes: its limits and reservations.
  std::optional<ApiError> CheckRestoredBytes(JetStreamAccount& owner, StreamConfig config, uint64_t bytes);

  StreamCheckContext CheckContext(JetStreamAccount& owner);
  Lsn StoreConfig(const Stream& stream, const StreamConfig& config, Applied applied);

  // --- consumers
  // nullptr: there is none; its stream is awake then, or not there.
  Consumer* FindConsumer(AccountId account, std::string_view stream, std::string_view consumer) const;
  // *lsn stays as it is where nothing is stored.
  Consumer* AddConsumer(Stream* stream, ConsumerConfig config, Lsn* lsn);
  void RestoreConsumer(Stream* stream, const ConsumerSnapshot& snapshot);
  Lsn UpdateConsumer(Consumer* consumer, ConsumerConfig config);
  void DeleteConsumer(Consumer* consumer);

  // What the streams of an account take up, and may.
  void Describe(const JetStreamAccount& owner, AccountInfo* info) const;
  // Of all streams: what they reserve.
  int64_t reserved(Storage storage) const { return storage == Storage::kMemory ? reserved_memory_ : reserved_storage_; }
  // Aborts unless what is kept of streams and consumers agrees with them. Walks all that are awake.
  void Invariant() const;

 private:
  void List(Stream* stream);
  void Unlist(Stream* stream);
  void Reserve(Stream* stream, int64_t sign);
  // Some of the subjects belong to another stream.
  static bool AreTaken(const JetStreamAccount& owner, const std::vector<std::string>& subjects, uint64_t but_uid);
  // Of what is limited together with the stream that is checked.
  Reservations ReservationsWithout(const JetStreamAccount& owner, const Stream* stream,
                                   const StreamConfig& checked) const;
  int64_t CountWithout(const JetStreamAccount& owner, const Stream* stream, const StreamConfig& checked) const;
  StreamLogOptions LogOptionsOf(const StreamConfig& config) const;
  // Of the owner, as the store keeps it with its streams.
  std::string_view StoredName(const JetStreamAccount& owner) const;

  // --- what the store has recovered (recovery.cc)
  struct Recovery {
    absl::flat_hash_map<uint64_t, std::vector<MessageIds::Record>> ids;  // by the uid of their stream
    absl::flat_hash_set<uint64_t> with_consumers;
    struct Unserved {
      std::string account;
      KeptStream stream;
    };
    absl::flat_hash_map<uint64_t, Unserved> unserved;  // by uid
  };
  static Recovery SortRecords(std::vector<RecoveredConsumer>* records);
  void AdoptStream(RecoveredStream* found, Recovery* recovery);
  void KeepStream(RecoveredStream* found, std::string account, KeptStream kept, Recovery* recovery);
  void KeepRecord(const RecoveredConsumer& found, KeptStream* stream);
  void AdoptRecord(const RecoveredConsumer& found, Recovery* recovery);
  void AdoptConsumer(const RecoveredConsumer& found, Stream* stream);

  // --- accounts (stream_accounts.cc)
  bool FollowOne();
  void PutAway(Stream* stream);
  void TakeBack(JetStreamAccount& owner, KeptStream kept);
  void TakeBackConsumer(Stream* stream, const KeptConsumer& kept);

  StreamHost& host_;
  StreamTable streams_;
  KeptStreams kept_;
  int64_t reserved_memory_ = 0;
  int64_t reserved_storage_ = 0;
  bool following_ = false;  // FollowAccounts is under way
};

}  // namespace millrace
