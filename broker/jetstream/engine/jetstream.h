// SPDX-License-Identifier: Apache-2.0
// JetStream: all of it on one shard: the parts, put together; the order of what they do in a turn; what clients and the
//         store say to it.
// Owner:  shard.  Source: spec 5a, 5d.
// A turn: Deliver (inside publishers' turns) stores messages, takes acks and queues API requests; RunTurn answers them,
//         sends what has become durable, lets consumers deliver, and hands what was staged to the store.
// Today all streams live on one shard, the first; messages and requests reach it like any subscriber (README.md).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/jetstream/api_server/api_server.h"
#include "broker/jetstream/backup/backups.h"
#include "broker/jetstream/base/options.h"
#include "broker/jetstream/base/port.h"
#include "broker/jetstream/directory/stream_directory.h"
#include "broker/jetstream/stream/stream_host.h"
#include "broker/jetstream/upstream/origin_search.h"
#include "store/shard/shard_store.h"

namespace millrace {

class JetStream final : public Sink, public StreamHost, public ShardStoreListener, private HoldListener {
 public:
  static constexpr uint64_t kNoStream = StreamWork::kNoStream;

  JetStream(JetStreamPort& port, ShardStore& store, JetStreamEngineOptions options);
  ~JetStream() override;

  // Takes over what the store has recovered and begins to listen.
  void Start();
  // The JetStream phase of a turn. True: more is left to do, run another turn without waiting.
  bool RunTurn();
  // Limits and accounts may be others from now on; domain and names are not.
  void SetOptions(const JetStreamEngineOptions& options);
  // Begins the end: no more messages are taken, waiting pulls are told. Turns go on until stopped().
  void StartStop();
  bool stopped() const { return stopping_ && store_.closed(); }
  // When RunTurn wants to be called next although nothing happens.
  Nanos NextTick() const { return store_.NextTick(); }

  StreamTable& streams() { return directory_.streams(); }
  Stream* FindStream(AccountId account, std::string_view name) { return directory_.Find(account, name); }
  // `uid`: of the stream that nobody else may touch until the work has ended, or kNoStream. The stream may be gone when
  // it comes to it.
  void RunLong(uint64_t uid, LongTasks::Work work) { work_.RunLong(uid, std::move(work)); }
  // Of one account.
  AccountInfo Usage(const JetStreamAccount& account) const { return api_.Usage(account); }
  const StreamDirectory& directory() const { return directory_; }
  JetStreamAccount::Counts api_counts() const { return api_.counts(); }
  // Aborts unless what the parts keep of streams, consumers and tasks agrees with them. Walks all that are awake. For
  // between turns: inside of one, and inside of a task, sums may be on their way.
  void Invariant() const;

  // --- Sink: of each account $JS.API.>, $JS.ACK.>, $JS.FC.>
  bool Deliver(const Subscription& subscription, const Message& message) override;
  // The peer's API belongs to its system account, into which all others import it; a trace goes no further.
  bool DeliverTraced(const Subscription& subscription, const Message& message) override;

  // --- StreamHost
  Stream* FindAwake(uint64_t uid) const override { return directory_.streams().FindAwake(uid); }
  Lsn StoreConfig(const Stream& stream, const StreamConfig& config, Applied applied) override {
    return directory_.StoreConfig(stream, config, applied);
  }
  std::unique_ptr<Upstream> MakeUpstream(Stream& stream, std::string_view positions) override;
  void OnReaderGone(AccountId account, const std::vector<std::string>& origins) override;
  void OnLoaded() override { loaded_ = true; }
  void AckLater(uint64_t stream_uid, uint64_t seq) override { late_acks_.emplace_back(stream_uid, seq); }

  // --- ShardStoreListener
  void OnDurable(Lsn durable) override { durable_moved_ = true; }
  void OnStorage(StorageState state, std::string_view why) override;

 private:
  // --- HoldListener
  void OnHeld(uint64_t uid) override;
  void OnReleased(uint64_t uid, uint64_t visible_seq) override;

  // What each account may, and what we listen to in it, as options_ say.
  void SetAccounts();
  void Listen(JetStreamAccount* account, bool api, bool streams);
  void StopListening();
  bool DeliverAck(const Message& message);
  bool DeliverFlowControl(const Message& message);
  // Takes the message when the stream is free, and alone with it.
  void Postpone(const Stream& stream, const Message& message, bool (JetStream::*deliver)(const Message&));

  // --- phases of the turn
  void WakeLoading();
  void ReleaseDurable();
  void Show(Stream* stream, uint64_t seq);

  JetStreamPort& port_;
  ShardStore& store_;
  JetStreamEngineOptions options_;

  // What streams have of their surroundings (StreamHost::Parts).
  StreamWork work_;
  Replies replies_;
  StagedQueue staged_;
  StoreRecords records_;
  StorageUse storage_;
  DeliveryQueue deliveries_;
  StreamReaders readers_;
  BatchUse batch_use_;
  JetStreamAccounts accounts_;

  OriginSearches searches_;    // streams that read end theirs in it
  StreamDirectory directory_;  // the streams
  Backups backups_;
  ApiServer api_;

  std::string domain_prefix_;  // of API requests; empty without a domain
  std::vector<std::pair<uint64_t, uint64_t>> late_acks_;  // stream uid, seq: the message was not at hand
  bool loaded_ = false;
  bool durable_moved_ = false;
  bool started_ = false;
  bool stopping_ = false;
};

}  // namespace millrace
