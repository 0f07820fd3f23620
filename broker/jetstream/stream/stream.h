// SPDX-License-Identifier: Apache-2.0
// Stream: one stream at work: what is published to its subjects is checked, stored and confirmed; its consumers read
//         it; its limits and its retention remove what is to go.
// Owner:  shard.  Source: spec 5b, 5e, 5m; messages are in a StreamLog, readers are Consumers.
// Order:  Deliver (inside a publisher's turn) checks and stores. What confirms it waits in Replies until it is
//         durable; consumers see it from then on (visible_last_seq).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "broker/jetstream/api/requests.h"
#include "broker/jetstream/base/name_map.h"
#include "broker/jetstream/base/store_records.h"
#include "broker/jetstream/consumer/consumer.h"
#include "broker/jetstream/consumer/consumer_host.h"
#include "broker/jetstream/stream/batch.h"
#include "broker/jetstream/stream/fast_batch_reply.h"
#include "broker/jetstream/stream/message_ids.h"
#include "broker/jetstream/stream/publish_headers.h"
#include "broker/jetstream/stream/schedule_index.h"
#include "broker/jetstream/stream/stream_host.h"
#include "broker/jetstream/stream/ttl_index.h"
#include "broker/jetstream/stream/upstream.h"
#include "broker/route/subscription.h"
#include "proto/base/check.h"
#include "proto/subject_transform.h"
#include "store/pace.h"
#include "store/shard/shard_store.h"
#include "store/stream_log.h"

namespace millrace {

// In the place of a consumer's configuration: this record of the store holds positions of a stream's sources.
inline constexpr std::string_view kSourceRecord = "sources";

// One message on its way into a stream.
struct Inbound {
  std::string_view subject;
  std::string_view reply;
  std::string_view header;  // block, may be empty
  std::string_view body;
  bool sourced = false;   // comes from another stream, or from this one: stored as it is
  uint64_t seq = 0;       // of a mirror: its place, above all that is there
  int64_t time_ns = 0;    // of a mirror: when it was published
  uint64_t in_place_of = 0;  // bytes of a message whose place it takes: limits of the stream do not refuse it
};

class Stream final : public Sink, public ConsumerHost, public StreamLogListener, public RecordOwner {
 public:
  // `log` lives as long as the stream; the config is checked and has its defaults.
  Stream(StreamHost& host, JetStreamAccount& owner, StreamConfig config, int64_t created_ns, StreamLog* log);
  ~Stream() override;
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // Subscribes to its subjects, and arms what depends on the messages that are there.
  void Start();
  bool started() const { return started_; }
  // Takes its subscriptions back and stops its consumers.
  void Stop(StopReason reason);
  // A config that api/stream_check.h allows after the present one.
  void Update(StreamConfig config);
  // That update removes messages, each for a reason of its own: it takes a while, and is finished at the next start.
  bool LetsGo(const StreamConfig& next) const;
  void NoteUnfinishedUpdate();  // before Start

  // --- rest (stream_table.h)
  using Subscriptions = absl::InlinedVector<Subscription*, 1>;
  // What a stream at rest keeps, besides what the store and StreamTable know.
  struct Remains {
    Subscriptions subscriptions;
    std::unique_ptr<MessageIds> ids;
  };
  // It waits for nothing, and nothing but messages and requests will come to it.
  bool MayRest() const;
  Remains Leave();              // before it is destroyed, in the place of Stop
  void Return(Remains remains);  // in the place of Start
  // Of the turn in which it was found last, or was sent a message.
  Nanos used_at() const { return used_at_; }
  void OnUsed() { used_at_ = port().Now(); }

  // --- put away (kept_streams.h): what it has besides its configuration and its log; after Stop
  std::unique_ptr<MessageIds> ReleaseIds() { return std::move(ids_); }
  // The record of its sources' positions, and what is in it; 0: there is none.
  uint64_t ReleaseSources(std::string* text);
  bool has_unfinished_update() const { return unfinished_update_; }
  // And back; before Start.
  void RestoreIds(std::unique_ptr<MessageIds> ids) { ids_ = std::move(ids); }

  // Messages that the store could not recover, for the state that clients see.
  void NoteLost(const std::vector<LostRange>& ranges);
  // What the store has kept of its message ids; before Start.
  void RestoreIds(std::vector<MessageIds::Record> records, std::vector<SeenHeader> logged);

  JetStreamAccount& owner() const { return owner_; }
  const StreamConfig& config() const { return config_; }
  const std::string& name() const { return config_.name; }
  int64_t created_ns() const { return created_ns_; }
  StreamLog& log() { return *log_; }
  const StreamLog& log() const { return *log_; }
  uint64_t uid() const { return log_->uid(); }

  // --- long work (stream_work.h, Hold)
  bool held() const override { return held_; }
  // It is another one's at the moment.
  bool MustWait() const { return held_ && host_.tasks().owner() != uid(); }
  // Alone with the stream, unless that is gone when it comes to it.
  void RunOwn(void (Stream::*work)());
  void set_held(bool held) {
    MR_CHECK(held_ != held);
    held_ = held;
  }
  Pace* pace() override { return &pace_; }
  // Done with, as far as it takes memory; then it is dropped.
  void Dissolve();
  // Before messages are stored that do not come from publishers. False: later.
  bool Prepare();

  // --- messages in
  bool Deliver(const Subscription& subscription, const Message& message) override;
  bool DeliverTraced(const Subscription& subscription, const Message& message) override;
  // The same, in its turn.
  void Take(const Message& message);
  // Stores a message of a client, alone or as part of a batch, as its headers and its reply say.
  void PublishAny(const Inbound& in);
  // Stores a message or says why not. The reply of `in` is answered either way, unless it is empty or the stream is
  // no_ack.
  std::optional<ApiError> Publish(const Inbound& in);

  // --- mirrors and sources
  // nullptr: it is no mirror and has no sources.
  Upstream* upstream() const { return upstream_.get(); }
  // What the store has kept of its sources' positions, in this record; before Start.
  void RestoreSources(uint64_t record_uid, std::string_view text);
  void EncodeSources(std::string* out) const;
  // What has changed of them, for the store, which keeps them as if they were a consumer's state.
  void KeepSources(std::string_view changed);
  // Nothing comes below `seq` any more, nor at it.
  void SkipTo(uint64_t seq);
  // A mirror or a stream that sources this one is no longer there.
  void OnReaderGone();  // long

  // --- backup: messages of another server, as they were there; then FinishRestore in the place of Start
  void Restore(const StoredMessage& message);
  void FinishRestore();

  // --- administration
  // How many messages went; the position to wait for is in *lsn.
  uint64_t Purge(const StreamPurgeRequest& request, Lsn* lsn);
  // False: there is no such message.
  bool Delete(uint64_t seq, bool erase, Lsn* lsn);
  StreamState State(const StreamInfoRequest* details) const;
  // Subjects with their counts as a JSON object, in order: of those that match, `max` from `offset` on; how many match.
  std::string Subjects(const std::string& filter, int64_t offset, int64_t max, int64_t* total);

  // --- consumers
  using Consumers = NameMap<std::unique_ptr<Consumer>>;
  const Consumers& consumers() const { return consumers_ != nullptr ? *consumers_ : NoConsumers(); }
  Consumer* FindConsumer(std::string_view name) const;
  Consumer* AddConsumer(ConsumerConfig config, ConsumerIdentity identity);
  // A consumer that is no longer there may have been the last that wanted some messages.
  void RemoveConsumer(std::string_view name, StopReason reason);
  void DropConsumers();  // after Stop
  size_t public_consumers() const;  // without internal ones

  // Aborts unless what it keeps agrees with its log, its configuration and itself. Walks consumers and batches.
  void Invariant() const;
  // What its batches take of the shard's bounds.
  void AddBatchUse(BatchUse* use) const;

  // --- the engine
  // Messages up to `seq` are durable.
  void SetVisible(uint64_t seq);
  // All that its log has now is durable with `lsn`; 0: it need not be.
  void OnStaged(Lsn lsn);

  // --- ConsumerHost
  JetStreamPort& port() override;
  AccountId account() const override { return owner_.id(); }
  std::string_view account_name() const override { return owner_.name(); }
  std::string_view domain() const override;
  std::string_view stream_name() const override { return config_.name; }
  std::string NewId() override;
  Retention retention() const override { return config_.retention; }
  int64_t max_messages_per_subject() const override { return config_.max_msgs_per_subject; }
  uint64_t message_bytes_max() const override;
  uint64_t visible_last_seq() const override { return visible_last_seq_; }
  bool HasDeliverInterest(std::string_view subject, std::string_view group) override;
  void MarkReady(Consumer* consumer) override;
  void OnAcked(Consumer* consumer, uint64_t seq) override;
  void SendLater(std::string_view subject, std::string_view header) override;
  void ReplyToAck(Consumer* consumer, std::string_view reply) override;
  void Advisory(std::string_view subject, std::string json) override;
  void Persist(Consumer* consumer, std::string_view delta) override;
  void Delete(Consumer* consumer) override;

  // --- StreamLogListener
  void OnLoaded() override;
  void RunLong(std::function<void()> work) override;

  // --- RecordOwner, of the positions of its sources
  void EncodeRecord(uint64_t uid, std::string* out) override { EncodeSources(out); }

 private:
  // What a message becomes while it is checked. Not moved: what it was made into are views into it.
  struct Checked {
    PublishHeaders headers;
    std::string header_text;  // when the block had to change
    std::string body_text;    // a counter's value
    std::string counter;
    enum class Rollup : uint8_t { kNone, kSubject, kAll } rollup = Rollup::kNone;
    uint64_t duplicate_of = 0;
  };
  // What the answer to a publish says besides the sequence.
  struct AckExtra {
    bool duplicate = false;
    std::string_view counter;
    std::string_view batch;
    uint64_t count = 0;
  };

  // --- what a stream has only when it is used, to be small when it is not
  struct Batches {
    NameMap<std::unique_ptr<AtomicBatch>> atomic;
    NameMap<std::unique_ptr<FastBatch>> fast;
    TimerNode timer;
  };
  struct Expiry {
    TimerNode timer;
    int64_t due_ns = 0;      // wall clock, while it is armed
    uint64_t age_floor = 0;  // messages below that are left are not subject to age (Nats-TTL: never)
  };
  struct Later {
    TtlIndex ttls;
    ScheduleIndex schedules;
    TimerNode schedule_timer;
    // While this is so, both indexes know only what is below scan_at; messages that come wait for the scan as well.
    bool scanning = false;
    uint64_t scan_at = 0;
    TimerNode scan_timer;
  };

  // --- checks, in the peer's order (stream_checks.cc)
  std::optional<ApiError> Check(Inbound* in, Checked* checked);
  std::optional<ApiError> CheckHeaders(Inbound* in, Checked* checked);
  std::optional<ApiError> CheckSize(const Inbound& in) const;
  std::optional<ApiError> CheckIncrement(const Inbound& in, const PublishHeaders& headers) const;
  std::optional<ApiError> CheckExpected(const Inbound& in, const PublishHeaders& headers);
  std::optional<ApiError> CheckRollup(const Inbound& in, Checked* checked, const BatchChanges* batch) const;
  std::optional<ApiError> CheckDiscardNew(const Inbound& in);
  std::optional<ApiError> CheckAccount(uint64_t bytes);
  std::optional<ApiError> Count(Inbound* in, Checked* checked, BatchChanges* batch);
  uint64_t LastSequenceOf(std::string_view subject);
  // As the stream's state counts a message.
  uint64_t BytesOf(const Inbound& in) const {
    return MessageBytes(config_.storage == Storage::kMemory, in.subject.size(), in.header.size(),
                        in.header.size() + in.body.size());
  }
  static void Rewrite(Inbound* in, Checked* checked, std::string header);

  // --- checks of messages of batches, whose order is another (stream_batch_checks.cc)
  std::optional<ApiError> CheckInBatch(Inbound* in, Checked* checked, BatchChanges* batch);
  std::optional<ApiError> CheckExpectedInBatch(const Inbound& in, const PublishHeaders& headers, BatchChanges* batch);
  std::optional<ApiError> CheckDiscardNewInBatch(const Inbound& in, const PublishHeaders& headers,
                                                 const BatchChanges& batch);

  // --- what has passed goes into the log
  bool Transform(std::string_view subject, std::string* transformed);
  std::optional<ApiError> Commit(Inbound* in, Checked* checked, bool discard_checked, uint64_t* seq);
  void Store(const Inbound& in, const Checked& checked, uint64_t seq);
  void EnforceLimits(std::string_view subject);
  void DropBeyondLimits();
  void DropBeyondSubjectLimit();
  void DropWithoutInterest();
  void FinishUpdate();
  void TellRemoved();
  static constexpr uint64_t kLargeBytes = 64 << 10;  // of one message that may take the place of many
  bool MayBeLong(const Message& message) const;
  void PublishLong(const Message& message);
  void ApplyRollup(const Inbound& in, const Checked& checked, uint64_t keep);
  void RepublishMessage(const Inbound& in, uint64_t seq, uint64_t last_of_subject);
  void Answer(std::string_view reply, uint64_t seq, const AckExtra& extra);
  void Refuse(std::string_view reply, const ApiError& error);
  // Whatever no_ack says.
  void Send(std::string_view reply, std::string_view payload);
  std::string Ack(uint64_t seq, const AckExtra& extra) const;

  // --- batches (stream_batch.cc, stream_fast_batch.cc)
  void PublishAtomic(const Inbound& in, const PublishHeaders& headers);
  std::optional<ApiError> AddToBatch(const Inbound& in, const PublishHeaders& headers, AtomicBatch** batch);
  std::optional<ApiError> CommitBatch(AtomicBatch* batch, std::string_view reply, bool without_last);
  void Abandon(AtomicBatch* batch, std::string_view reason);
  void PublishFast(const Inbound& in);
  std::optional<ApiError> CheckFast(const Inbound& in, const std::optional<FastBatchReply>& message, FastBatch** batch);
  void StoreFast(const Inbound& in, const FastBatchReply& message, FastBatch* batch);
  void OnFastError(const Inbound& in, const FastBatchReply& message, FastBatch* batch, const ApiError& error,
                   uint64_t duplicate_of);
  void OnPing(const Inbound& in, const FastBatchReply& message, FastBatch* batch);
  void FinishFast(FastBatch* batch, std::string_view reply);
  bool SendFlow(FastBatch* batch, std::string_view reply);
  void OnBatchTimeout();
  void ArmBatchTimeout();
  void DropBatches();
  Batches& batches();

  // --- schedules (stream_schedules.cc)
  std::optional<ApiError> CheckSchedule(Inbound* in, Checked* checked, const BatchChanges* batch);
  std::optional<ApiError> CheckScheduleHeaders(const Inbound& in, const PublishHeaders& headers) const;
  std::optional<ApiError> CheckScheduler(const Inbound& in, const PublishHeaders& headers, const BatchChanges* batch);
  bool TakesSubject(std::string_view subject) const;
  void OnScheduleTimer();
  void FireSchedules();
  enum class Fired : uint8_t { kDone, kGone, kPending };
  Fired Fire(const ScheduleIndex::Due& due);
  void ArmSchedules();

  // --- what headers of stored messages ask for later; found again after a start (stream_scan.cc)
  void NoteHeaders(uint64_t seq, int64_t time_ns, std::string_view subject, const PublishHeaders& headers);
  void StartScan();
  void OnScanTimer();
  void Scan();
  bool IsLive(uint64_t seq) { return log_->Next({}, seq) == seq; }

  void Subscribe();
  void Unsubscribe();
  void StartUpstream();
  std::vector<std::string> StopUpstream();  // the origins that it read
  void ForgetSources();
  void CompileTransforms();
  MessageIds& ids() {
    if (ids_ == nullptr || !ids_->ready) [[unlikely]]
      PrepareIds();
    return *ids_;
  }
  void MakeIds();
  void PrepareIds();
  void NoteMessageId(std::string_view id, uint64_t seq, int64_t time_ns,
                     MessageIds::InLog in_log = MessageIds::InLog::kYes);

  // The stream may be changed by whoever calls: nobody holds it, or the task that runs does.
  bool MayChange() const { return !MustWait(); }
  // Removes a message whatever the reason, and tells the consumers.
  Lsn RemoveMessage(uint64_t seq, std::string_view subject, StreamLog::Erase erase = StreamLog::Erase::kNo);
  Lsn TrimBelow(uint64_t seq);
  void TellPurged(std::string_view filter);
  bool NobodyNeeds(uint64_t seq, std::string_view subject, const Consumer* but) const;
  void RemoveUnneeded(uint64_t through = UINT64_MAX);

  // --- age and TTL (stream_expiry.cc)
  void OnExpiryTimer();
  void ExpireMessages();
  bool ExpireByAge(size_t* budget);
  bool ExpireByTtl(size_t* budget);
  // The message's time is over. False: not now.
  bool ExpireOne(const StoredMessage& message);
  void ExpireLater(uint64_t seq);
  bool PlaceMarker(const std::string& subject, uint64_t in_place_of);
  void ArmExpiry();
  Expiry& expiry();
  // Whether the timer goes off by then (wall clock).
  bool ExpiresBy(int64_t due_ns) const {
    return expiry_ != nullptr && expiry_->timer.armed() && expiry_->due_ns <= due_ns;
  }
  static const Consumers& NoConsumers();
  bool HasFilteredConsumers() const;

  // What the log says of its work; it may be paused while the task that runs owns this stream.
  class OwnPace final : public Pace {
   public:
    explicit OwnPace(Stream& stream) : stream_(stream) {}

   private:
    void OnDue() override;
    Stream& stream_;
    uint64_t told_ = 0;
  };

  friend class StreamTable;

  StreamHost& host_;
  JetStreamAccount& owner_;
  StreamConfig config_;
  const int64_t created_ns_;
  StreamLog* const log_;
  OwnPace pace_{*this};
  Subscriptions subscriptions_;
  std::unique_ptr<SubjectTransform> ingest_transform_;
  std::unique_ptr<SubjectTransform> republish_transform_;
  std::unique_ptr<MessageIds> ids_;  // since the first id came
  bool started_ = false;
  bool stopped_ = false;
  bool held_ = false;                // only the task that owns it may touch it or its consumers
  bool had_messages_ = false;        // before anything came: there may be ids among them that no record has
  bool unfinished_update_ = false;   // until Start
  bool waits_for_disk_ = false;      // expiry, schedules or a scan, for OnLoaded
  uint64_t visible_last_seq_ = 0;
  Nanos used_at_ = kLongAgo;
  size_t place_ = 0;  // StreamTable's
  std::unique_ptr<Consumers> consumers_;  // since the first one

  std::unique_ptr<Expiry> expiry_;  // since something may expire
  std::unique_ptr<Later> later_;  // where TTLs or schedules are allowed

  std::unique_ptr<Upstream> upstream_;
  Boxed<LostStreamData> lost_;
  Boxed<std::string> source_record_;  // of the store, until Start
  uint64_t source_record_uid_ = 0;    // 0: the store has none

  std::unique_ptr<Batches> batches_;  // since the first one
};

}  // namespace millrace
