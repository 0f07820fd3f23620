// SPDX-License-Identifier: Apache-2.0
// JetStream: the engine of one shard: its streams, the API that manages them, and the JetStream phase of a turn.
// Owner:  shard.  Source: spec 5a, 5d.
// A turn: Deliver (inside publishers' turns) stores messages, takes acks and queues API requests; RunTurn answers them,
//         sends what has become durable, lets consumers deliver, and hands what was staged to the store.
// Hold:   what may take long runs as a task (long_tasks.h). While a task that concerns a stream is paused, the stream
//         is held: messages, acknowledgements, requests and timers of it and its consumers wait, and are taken in the
//         order in which they came when the task has ended. So whatever a task does to a stream is one step to
//         everybody else; its record in the log is staged at its end.
// Today all streams live on one shard, the first; messages and requests reach it like any subscriber (README.md).
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "broker/jetstream/api/advisories.h"
#include "broker/jetstream/api/api_error.h"
#include "broker/jetstream/api/consumer_check.h"
#include "broker/jetstream/api/requests.h"
#include "broker/jetstream/api/responses.h"
#include "broker/jetstream/api/stream_check.h"
#include "broker/jetstream/backup/backups.h"
#include "broker/jetstream/stream/batch.h"
#include "broker/jetstream/stream/filter_index.h"
#include "broker/jetstream/base/long_tasks.h"
#include "broker/jetstream/stream/message_ids.h"
#include "broker/jetstream/base/name_map.h"
#include "broker/jetstream/base/reply_queue.h"
#include "broker/jetstream/base/port.h"
#include "broker/jetstream/api/stored_config.h"
#include "broker/jetstream/stream/stream.h"
#include "broker/jetstream/upstream/stream_readers.h"
#include "broker/jetstream/directory/stream_table.h"
#include "store/shard_store.h"

namespace millrace {

struct JetStreamEngineOptions {
  std::string domain;
  std::string server_name;
  std::string server_id;
  ServerLimits limits;
  bool strict = true;         // requests with unknown fields are refused
  bool async = false;         // streams that do not say otherwise are confirmed before they are durable
  uint32_t block_bytes = 256 * 1024;
  // Bytes of messages, as StreamLogState counts them: with more than that nothing is stored, and max_bytes of all
  // streams together may not exceed it.
  int64_t memory_max = 0;
  int64_t storage_max = 0;
  uint64_t max_payload = 1 << 20;
  uint64_t max_pending = 64 << 20;
  uint64_t request_queue_max = 10'000;
  BatchLimits batches;
  StreamTableOptions streams;
};

// One API request as it waits for its phase of the turn.
struct ApiRequest {
  AccountId account = kGlobalAccount;
  ConnectionId origin;
  std::string subject;
  std::string reply;
  std::string header;
  std::string body;
};

class JetStream final : public Sink, public ShardStoreListener, public ConsumerStateSource {
 public:
  JetStream(JetStreamPort& port, ShardStore& store, JetStreamEngineOptions options);
  ~JetStream() override;
  JetStream(const JetStream&) = delete;
  JetStream& operator=(const JetStream&) = delete;

  // Takes over what the store has recovered and begins to listen.
  void Start();
  // The JetStream phase of a turn. True: more is left to do, run another turn without waiting.
  bool RunTurn();
  // Limits may be others from now on; domain and names are not.
  void SetOptions(const JetStreamEngineOptions& options) { options_ = options; }
  // Begins the end: no more messages are taken, waiting pulls are told. Turns go on until stopped().
  void StartStop();
  bool stopped() const { return stopping_ && store_.closed(); }
  // When RunTurn wants to be called next although nothing happens.
  Nanos NextTick() const { return store_.NextTick(); }
  // Producers of messages should pause.
  bool Congested() const { return store_.Congested() || held_bytes_ > kHeldBytesMax; }

  // --- Sink: $JS.API.>, $JS.ACK.>, $JS.FC.>
  bool Deliver(const Subscription& subscription, const Message& message) override;

  // --- what streams and consumers use
  JetStreamPort& port() { return port_; }
  ShardStore& store() { return store_; }
  const JetStreamEngineOptions& options() const { return options_; }
  uint64_t max_payload() const { return options_.max_payload; }
  uint64_t max_pending() const { return options_.max_pending; }
  // No message may be stored: the disk is full, or the server's limit is exceeded (by the last one that was stored;
  // with `more`: once so many bytes have been stored). Says so in the log.
  bool OutOfResources(Storage storage, uint64_t more = 0);
  void MarkReady(Consumer* consumer, Stream* stream);
  void WatchInterest(Consumer* consumer) { push_consumers_.insert(consumer); }
  void Forget(Consumer* consumer);  // it is about to go: nothing here refers to it any more
  void OnStaged(Stream* stream, Lsn lsn);
  Lsn StoreConfig(const Stream& stream, const StreamConfig& config, Applied applied);
  void SendNow(AccountId account, std::string_view to, std::string_view payload, uint32_t header_bytes);
  // Not before all that has been staged so far is durable, unless the stream does not promise that.
  void SendWhenDurable(Stream* stream, AccountId account, std::string_view to, std::string_view payload,
                       uint32_t header_bytes);
  void ReplyToAck(Consumer* consumer, std::string_view reply);
  void PersistConsumer(Stream* stream, Consumer* consumer, std::string_view delta);
  // An answer about it has been queued, to leave when what is staged now is durable: it delivers nothing before.
  void DeliverWhenAnswered(Consumer* consumer);
  void DeleteLater(Stream* stream, Consumer* consumer);
  void AckLater(Stream* stream, uint64_t seq);
  void OnLoaded(Stream* stream);
  // --- long work (Hold)
  static constexpr uint64_t kNoStream = 0;  // uids begin at 1
  // `uid`: of the stream that nobody else may touch until the work has ended, or kNoStream. The stream may be gone when
  // it comes to it.
  void RunLong(uint64_t uid, LongTasks::Work work);
  void RunOn(const Stream& stream, void (Stream::*work)());
  // A message for the stream, alone with it.
  void PublishLong(const Stream& stream, const Message& message);
  // The stream is another one's at the moment.
  bool MustWait(const Stream& stream) const { return stream.held() && tasks_.owner() != stream.uid(); }
  bool AnyHeld() const { return !holds_.empty(); }
  LongTasks& tasks() { return tasks_; }

  BatchUse& batch_use() { return batch_use_; }
  StreamReaders& readers() { return readers_; }
  IdRecords& id_records() { return id_records_; }
  // Positions of a stream's sources, kept in the store as if they were a consumer's state.
  void KeepSources(Stream* stream, std::string_view changed);
  void ForgetSources(Stream* stream);

  // --- streams
  Stream* FindStream(std::string_view name) { return streams_.Find(name); }
  StreamTable& streams() { return streams_; }
  struct Made {
    Stream* stream = nullptr;
    bool created = false;
    std::optional<ApiError> error;
  };
  // kLater: it takes messages from Stream::FinishRestore on.
  enum class Begin : uint8_t { kNow, kLater };
  Made MakeStream(StreamConfig config, bool pedantic, Begin begin = Begin::kNow);
  // A stream that is to be restored, and needs so many bytes: its limits and reservations.
  std::optional<ApiError> CheckRestore(StreamConfig config, uint64_t bytes);
  void RestoreConsumer(Stream* stream, const ConsumerSnapshot& snapshot);
  void DropStream(Stream* stream);

  // --- ShardStoreListener, ConsumerStateSource
  void OnDurable(Lsn durable) override { durable_moved_ = true; }
  void OnStorage(StorageState state, std::string_view why) override;
  void EncodeConsumer(uint64_t uid, std::string* out) override;

  template <class A>
  void Advise(const A& advisory);  // jetstream_api.h

  AccountInfo Usage() const;
  // Aborts unless what the engine keeps of streams, consumers and tasks agrees with them. Walks all that are awake. For
  // between turns: inside of one, and inside of a task, sums may be on their way.
  void Invariant() const;
  std::string NewEventId() { return RandomDigits(22); }  // looks like a NUID

 private:
  bool DeliverApi(const Message& message);
  bool DeliverAck(const Message& message);
  bool DeliverFlowControl(const Message& message);
  Consumer* FindConsumer(std::string_view stream, std::string_view consumer) const;

  struct Ready {
    Consumer* consumer;
    Stream* stream;
  };
  // What waits for a stream that is held.
  struct Hold {
    struct Waiting {
      LongTasks::Work work;
      size_t bytes;
    };
    std::deque<Waiting> waiting;
    uint64_t visible_seq = 0;  // Stream::SetVisible waits, too; 0: there was none
  };
  // A copy of a message as it came.
  struct Letter {
    explicit Letter(const Message& message);
    Message View() const;
    size_t bytes() const { return sizeof(Letter) + subject.size() + reply.size() + payload.size(); }
    Message message;
    std::string subject, reply, payload;
  };
  static constexpr size_t kHeldBytesMax = 2 << 20;
  void Enqueue(uint64_t uid, LongTasks::Work work, size_t bytes);
  bool Postpone(const Stream& stream, const Message& message, bool (JetStream::*deliver)(const Message&));
  void Drain(uint64_t uid);
  void OnTaskEnded(uint64_t uid);
  void Show(Stream* stream, uint64_t seq);
  void Run(ApiRequest request);
  Stream* StreamFor(const ApiRequest& request);

  void AnswerRequests();
  void AnswerParked();
  void ReleaseDurable();
  void Release(ReplyQueue* replies, Lsn durable);
  void DeliverReady();
  void DeliverTo(const Ready& ready);
  void DeleteConsumers();
  void DeleteConsumer(Stream* stream, Consumer* consumer);
  void LookAtInterest();
  // *lsn stays as it is where nothing is stored.
  Consumer* AddConsumer(Stream* stream, ConsumerConfig config, Lsn* lsn);
  Lsn StoreConfig(const ConsumerIdentity& identity, const ConsumerConfig& config);
  void Publish(AccountId account, std::string_view to, std::string_view payload, uint32_t header_bytes);
  StreamLogOptions LogOptionsOf(const StreamConfig& config) const;
  void Adopt();
  // What all streams together take up: subjects, reserved bytes.
  void List(Stream* stream);
  void Unlist(Stream* stream);
  void Reserve(const StreamConfig& config, int64_t sign);
  // Some of the subjects belong to another stream.
  bool AreTaken(const std::vector<std::string>& subjects, uint64_t but_uid) const;
  StreamCheckContext CheckContext();
  Reservations ReservationsWithout(const Stream* stream, Storage storage) const;

  // --- handlers of the API (api.cc, api_streams.cc, api_consumers.cc)
  struct ApiRoute;
  static const std::vector<ApiRoute>& Routes();
  // False: it waits for the disk and is asked again.
  bool Handle(const ApiRequest& request);
  void Respond(const ApiRequest& request, const std::string& answer, Lsn lsn = 0, std::string_view header = {});
  // When what was removed from this stream until now is nowhere on the disk.
  void RespondOnceErased(const ApiRequest& request, const std::string& answer, uint64_t stream_uid);
  void Audit(const ApiRequest& request, const std::string& answer);
  void Refuse(const ApiRequest& request, ResponseKind kind, const ApiError& error);
  template <class Request>
  bool Parse(const ApiRequest& request, ResponseKind kind, Request* out);

  bool OnAccountInfo(const ApiRequest& request);
  bool OnStreamCreate(const ApiRequest& request);
  bool OnStreamUpdate(const ApiRequest& request);
  bool OnStreamNames(const ApiRequest& request);
  bool OnStreamList(const ApiRequest& request);
  bool OnStreamInfo(const ApiRequest& request);
  bool OnStreamDelete(const ApiRequest& request);
  bool OnStreamPurge(const ApiRequest& request);
  bool OnStreamSnapshot(const ApiRequest& request);
  bool OnStreamRestore(const ApiRequest& request);
  bool OnMessageDelete(const ApiRequest& request);
  bool OnMessageGet(const ApiRequest& request);
  bool OnDirectGet(const ApiRequest& request);
  bool OnConsumerCreate(const ApiRequest& request);
  bool OnConsumerNames(const ApiRequest& request);
  bool OnConsumerList(const ApiRequest& request);
  bool OnConsumerInfo(const ApiRequest& request);
  bool OnConsumerDelete(const ApiRequest& request);
  bool OnConsumerPause(const ApiRequest& request);
  bool OnConsumerUnpin(const ApiRequest& request);
  bool OnConsumerReset(const ApiRequest& request);
  bool OnClusterOnly(const ApiRequest& request);
  Stream* FindDirect(std::string_view name);
  Stream* StreamOf(const ApiRequest& request, ResponseKind kind, size_t token);
  StreamInfo InfoOf(Stream& stream, const StreamInfoRequest* details);
  ConsumerInfo InfoOf(Consumer& consumer);
  std::string NewConsumerName();
  std::string RandomDigits(size_t count);  // of base 62

  JetStreamPort& port_;
  ShardStore& store_;
  JetStreamEngineOptions options_;
  LongTasks tasks_;
  absl::flat_hash_map<uint64_t, std::unique_ptr<Hold>> holds_;  // by uid
  size_t held_bytes_ = 0;  // of messages that wait
  IdRecords id_records_;
  StreamReaders readers_{*this};  // streams that read end their searches in it
  StreamTable streams_;
  absl::flat_hash_map<uint64_t, Consumer*> consumers_by_uid_;
  std::vector<Subscription*> subscriptions_;
  std::string domain_prefix_;  // of API requests; empty without a domain

  std::deque<ApiRequest> requests_;
  std::vector<ApiRequest> parked_;  // wait for the disk
  bool loaded_ = false;
  ReplyQueue immediate_;
  ReplyQueue durable_;
  ReplyQueue erasing_;  // secure deletions, by their tickets
  bool durable_moved_ = false;

  // Streams whose messages up to `seq` are visible when `lsn` is durable.
  struct Staged {
    Lsn lsn;
    uint64_t stream_uid;
    uint64_t seq;
    uint64_t turn;
  };
  std::deque<Staged> staged_;
  uint64_t turn_ = 0;
  FilterIndex subjects_;  // of all streams, by uid
  int64_t reserved_memory_ = 0;
  int64_t reserved_storage_ = 0;
  Nanos tell_limit_at_{0};  // not before

  std::vector<Ready> ready_;
  DeliverBudget deliver_budget_;  // of this turn
  absl::flat_hash_set<Consumer*> ready_set_;
  struct Held {
    Ready ready;
    ConnectionId by;
  };
  std::vector<Held> congested_;  // retried when relieved
  std::vector<Ready> loading_;    // retried after OnLoaded
  struct Unanswered {
    Lsn lsn;
    Consumer* consumer;
  };
  std::vector<Unanswered> unanswered_;  // their answers wait for the disk
  std::vector<Ready> to_delete_;
  std::vector<std::pair<uint64_t, uint64_t>> late_acks_;  // stream uid, seq: the message was not at hand

  BatchUse batch_use_;
  Backups backups_;
  absl::flat_hash_map<uint64_t, Stream*> source_records_;  // by their uid of the store
  absl::flat_hash_set<Consumer*> push_consumers_;
  uint64_t interest_epoch_ = 0;
  uint64_t api_total_ = 0;
  uint64_t api_errors_ = 0;
  bool started_ = false;
  bool stopping_ = false;
};

}  // namespace millrace
