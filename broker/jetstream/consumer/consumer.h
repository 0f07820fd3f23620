// SPDX-License-Identifier: Apache-2.0
// Consumer: one reader of a stream, push or pull: what it has delivered, what is acknowledged, who waits for more.
// Owner:  shard.  It publishes through JetStreamPort, reads a StreamLog, and tells its ConsumerHost the rest.
// Source: spec 5c, 5f, 5h, 5i, 5m; ADR-9, 13, 15, 17, 34, 37, 42, 60. Decisions: README.md.
//
// One turn: OnAppended, OnAck, OnNextRequest, … change state and call host.MarkReady; the host then calls Deliver,
// which publishes until the budget, congestion or the end, and ends with at most one host.Persist.
//
// A message, as this consumer sees it:
//   state      event → state
//   unseen     delivered → pending (ack policy none: done)
//   pending    ack, +TERM, gone from the stream → done · -NAK, ack_wait passed → queued (with a delay: pending)
//              · ack_wait passed for the last time → exhausted
//   queued     delivered again → pending · ack, +TERM, gone → done
//   exhausted  ack, gone → done (it counts as redelivered, and in interest streams it is kept, until then)
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "broker/jetstream/consumer/ack_subject.h"
#include "broker/jetstream/api/advisories.h"
#include "broker/jetstream/api/consumer_config.h"
#include "broker/jetstream/api/requests.h"
#include "broker/jetstream/api/stream_info.h"
#include "broker/jetstream/archive/consumer_snapshot.h"
#include "broker/jetstream/base/store_records.h"
#include "broker/jetstream/consumer/consumer_host.h"
#include "broker/jetstream/consumer/consumer_state.h"
#include "broker/jetstream/consumer/delivery_places.h"
#include "broker/jetstream/consumer/pull_queue.h"
#include "broker/jetstream/consumer/redelivery_queue.h"
#include "store/stream_log.h"

namespace millrace {

struct ConsumerIdentity {
  std::string name;
  int64_t created_ns = 0;
  uint64_t uid = 0;        // of the store
  bool persistent = true;  // false: nothing of it outlives the process, and Persist is not called
};

// What is left for this turn; Deliver takes from it.
struct DeliverBudget {
  int64_t messages = 0;
  int64_t bytes = 0;
  bool empty() const { return messages <= 0 || bytes <= 0; }
};

enum class DeliverStatus : uint8_t {
  kIdle,       // nothing to do until MarkReady
  kMore,       // the budget ended it: call again, in a later turn or round
  kCongested,  // a receiver is above its high-water mark: call again when it is relieved, or in a later turn
  kLoading,    // the next message is on its way from the disk: call again after StreamLogListener::OnLoaded
};

enum class StopReason : uint8_t {
  kDeleted,           // waiting pulls hear 409 Consumer Deleted
  kServerShutdown,    // 409 Server Shutdown
  kLeadershipChange,  // 409 Leadership Change
};

class Consumer final : public RecordOwner {
 public:
  // The config is checked and has its defaults (consumer_check.h). Then Start or RestoreState, once.
  Consumer(ConsumerConfig config, ConsumerIdentity identity, StreamLog& log, ConsumerHost& host);
  ~Consumer();
  Consumer(const Consumer&) = delete;
  Consumer& operator=(const Consumer&) = delete;

  // A new consumer: finds where it begins.
  void Start();
  // One that was there: `full` from EncodeState (or empty), then the deltas given to Persist since, in their order.
  absl::Status RestoreState(std::string_view full, const std::vector<std::string_view>& deltas);
  void EncodeState(std::string* out) const;
  void EncodeRecord(uint64_t uid, std::string* out) override { EncodeState(out); }
  // For a backup of the stream up to `last_seq`; and one that comes from a backup, in the place of Start.
  void Export(uint64_t last_seq, ConsumerSnapshot* snapshot) const;
  void Import(const ConsumerSnapshot& snapshot);

  // --- what the stream tells
  // A message became visible. Call it for each one that is still there, in order; cheap when the filters do not match.
  void OnAppended(uint64_t seq, std::string_view subject, size_t bytes);
  // The same for `count` messages up to `last_seq`, for consumers without a filter only.
  void OnAppendedRun(uint64_t last_seq, uint64_t count);
  // A message left the log other than by OnPurged: limits, deletion, age, retention. Visible or not.
  void OnRemoved(uint64_t seq, std::string_view subject);
  void OnManyRemoved();  // the same for whatever is no longer there
  // Many messages left at once. `filter`: of the purge, empty for all; first_seq: the log's, afterwards.
  void OnPurged(std::string_view filter, uint64_t first_seq, uint64_t last_seq);
  // Retention, limits or subjects of the stream's configuration changed.
  void OnStreamUpdated();

  // --- what clients say. Nothing here publishes (consumer_host.h).
  void OnNextRequest(std::string_view reply, std::string_view header, std::string_view body);
  void OnAck(const AckSubject& ack, std::string_view reply, std::string_view body);
  // `subject` is the whole $JS.FC subject, `header` the header block of the answer.
  void OnFlowControlReply(std::string_view subject, std::string_view header);
  // Interest has changed somewhere (JetStreamPort::InterestEpoch): look whether the receiver of pushes is there. Pull
  // consumers look when they need to know.
  void CheckInterest();

  // --- the engine
  DeliverStatus Deliver(DeliverBudget* budget);
  DeliveryPlaces& places() { return places_; }
  StreamLog& log() { return log_; }
  uint64_t stream_uid() const { return log_.uid(); }
  // What clients asked for is done and not answered yet. Nothing is delivered until each AwaitAnswer has its
  // OnAnswered, so that nobody gets messages of a consumer, or of a change, before hearing of it.
  void AwaitAnswer() { ++answers_due_; }
  void OnAnswered();

  // --- administration
  // The new config is one that jetstream/api allows after config().
  void UpdateConfig(ConsumerConfig config);
  // pause_until of the config, as the PAUSE request sets it; a time that is past resumes.
  void Pause(int64_t until_ns);
  // False: no such priority group.
  bool Unpin(std::string_view group);
  // Back, or forward, to this sequence; 0: behind the ack floor. The new sequence, or why not (error 10204).
  absl::StatusOr<uint64_t> Reset(uint64_t seq);
  ConsumerInfo Info();
  // No more timers, deliveries or requests; waiting pulls are told why. The destructor calls it silently if nobody did.
  void Stop(StopReason reason);

  // Aborts unless all that it counts and remembers agrees. Walks what is pending and who waits.
  void Invariant() const;

  const std::string& name() const { return identity_.name; }
  const ConsumerIdentity& identity() const { return identity_; }
  const ConsumerConfig& config() const { return config_; }
  const Filters& filters() const { return filters_; }  // empty: all messages
  bool is_push() const { return config_.is_push(); }
  // Another stream reads by it: it is neither listed nor counted, and nobody is told of it.
  bool hidden() const { return config_.direct || config_.sourcing; }
  // Push: somebody listens. Pull: always.
  bool active() const { return active_; }
  bool Matches(std::string_view subject) const;
  // For interest and work-queue retention: this consumer still needs the message.
  bool NeedsAck(uint64_t seq, std::string_view subject) const;
  // First sequence that this consumer may still need: everything below is acknowledged.
  uint64_t ack_floor() const { return state_.ack_floor_stream(); }

 private:
  enum class Found : uint8_t {
    kNew,
    kRedelivery,
    kNothing,  // the end of what is visible
    kFull,     // max_ack_pending
    kLoading,
  };
  // Pushes with flow control (ADR-9): bytes that may be on their way before the receiver has answered.
  struct FlowWindow {
    int64_t limit = 0;
    int64_t size = 0;
    int64_t outstanding = 0;
    int64_t asked_for = 0;  // of outstanding, what the answer to `id` gives back
    std::string id;         // the subject an answer goes to; empty: none is due
  };
  // Deliver policy last_per_subject: what is sent before reading goes on behind `resume`.
  struct SkipList {
    uint64_t resume = 0;
    std::vector<uint64_t> seqs;  // ascending
    size_t next = 0;
    bool done() const { return next == seqs.size(); }
  };
  // The client that a pinned_client consumer sends to.
  struct Pin {
    std::string id;  // empty: nobody
    std::string group;
    int64_t since_ns = kGoZeroTimeNs;
    Nanos expires_at{};
  };
  // What the last request said: a client that fetches says the same again and again.
  struct LastRequest {
    std::string body;
    ConsumerNextRequest next;
  };
  // A bucket of bytes (rate_limit_bps).
  struct RateLimit {
    double bytes_per_ns = 0;
    double burst = 0;
    double tokens = 0;
    Nanos filled_at{};
  };
  // Replay policy original, until what was there at the start is through.
  struct Replay {
    uint64_t until_seq = 0;
    int64_t last_time_ns = 0;  // of the last message sent; 0: none yet
    uint64_t held_seq = 0;     // waits until held_until
    Nanos held_until{};
  };

  // --- consumer.cc
  void ApplyConfig();
  void SetInactiveThreshold(bool durable);
  void Activate();
  void RecountPending();
  uint64_t num_pending() const { return num_pending_ < 0 ? 0 : static_cast<uint64_t>(num_pending_); }
  bool paused() const;
  void SetActive(bool active);
  void Ready();
  void ForceExpirePending();
  bool AtMaxAckPending() const { return max_ack_pending_ != 0 && state_.pending().size() >= max_ack_pending_; }
  // Someone would take a message now.
  bool HasReceiver() const {
    return is_push() ? active_ && (flow_ == nullptr || flow_->outstanding <= flow_->size) : !waiting_.empty();
  }
  void AdvisePause();

  // --- consumer_start.cc
  void SelectStart();
  uint64_t StartByPolicy();

  // --- consumer_timer.cc: all deadlines share one timer, armed for the nearest or earlier
  void OnTimer();
  void ArmTimer();
  void WakeAt(Nanos at);
  Nanos MonotonicOf(int64_t wall_ns) const;
  void OnWaitsExpired();
  void CheckInactive();
  void OnHeartbeat();

  // --- consumer_deliver.cc
  DeliverStatus DeliverSome(DeliverBudget* budget);
  Found FindNext();
  Found FindRedelivery();
  Found FindNew();
  Found FindSkipped();
  Found AtEnd(uint64_t next_seq);
  void SkipDamaged(uint64_t seq);
  bool Held(size_t bytes);
  Sent SendToPush(std::string_view ack_subject, size_t bytes);
  Sent SendToPull(std::string_view ack_subject, size_t bytes);
  Sent Publish(std::string_view deliver_to, std::string_view ack_subject);
  void OnSent();
  void AddPinHeader();
  void MakeHeadersOnly();

  // --- consumer_flow.cc
  void SendStatus(std::string_view subject, std::string_view header, std::string_view reply = {});
  void SendHeartbeat(std::string_view subject);
  void CountFlow(int64_t bytes);
  void SendFlowControl();

  // --- consumer_pull.cc
  void RefuseRequest(std::string_view reply, int code, std::string_view text);
  const ConsumerNextRequest* ReadRequest(std::string_view body, std::string* error);
  bool CheckRequest(const ConsumerNextRequest& request, bool is_json, std::string_view reply);
  bool CheckNoWait(const ConsumerNextRequest& request, std::string_view reply);
  PullRequest* NextRequest(size_t bytes);
  enum class Turn : uint8_t { kTakes, kPasses, kRemoved };
  Turn CheckPin(PullRequest* request, bool need_pin, bool* assigned);
  bool IsBelowOverflow(const PullRequest& request) const;
  void OnTaken(PullRequest* request);
  int64_t ProcessWaiting(bool end_of_stream);
  void TellRequest(const PullRequest& request, std::string_view status);
  void AssignPin(PullRequest* request);
  void SetPinTimer(std::string_view group);
  void Unassign();
  void ReleasePin(std::string_view group, std::string_view reason);

  // --- consumer_ack.cc
  enum class Gone : uint8_t { kNo, kYes };  // the message has left the log already
  bool Acknowledge(uint64_t seq, uint64_t consumer_seq, uint64_t deliveries, bool sample, Gone gone);
  void Nak(const AckSubject& ack, std::string_view argument);
  bool Terminate(uint64_t seq, uint64_t consumer_seq, uint64_t deliveries, std::string_view reason, Gone gone);
  void SampleAck(const PendingEntry& entry, uint64_t consumer_seq, uint64_t deliveries);
  void QueueForRedelivery(uint64_t seq);
  void GiveUp(uint64_t seq, uint64_t deliveries);

  ConsumerConfig config_;
  ConsumerIdentity identity_;
  StreamLog& log_;
  ConsumerHost& host_;
  JetStreamPort& port_;
  const AccountId account_;
  Filters filters_;
  ConsumerState state_;
  AckSubjectWriter ack_subject_;

  uint64_t next_seq_ = 1;         // where reading goes on; above what was delivered
  bool began_ = false;            // Start, RestoreState or Import: once
  int64_t num_pending_ = 0;       // matching messages from next_seq_ on, as the peer counts them; may dip below 0
  uint64_t counted_seq_ = 0;      // num_pending_ knows of everything up to here without OnAppended
  size_t max_ack_pending_ = 0;    // 0: no limit
  uint32_t max_deliver_ = 0;      // 0: no limit
  int32_t sample_percent_ = 0;
  RedeliveryQueue redeliveries_;  // of pending messages; those that were acknowledged since are skipped
  PullQueue waiting_;

  int64_t last_delivered_ns_ = 0;  // wall clock; 0: never
  int64_t last_acked_ns_ = 0;
  TimerNode timer_;
  Nanos timer_at_ = Nanos::max();
  Nanos waiting_deadline_ = Nanos::max();  // not after the nearest of the waiting requests
  Nanos last_request_{};                   // or delivery, or ack: what keeps a pull consumer alive
  Nanos last_waiting_check_ = kLongAgo;
  Nanos heartbeat_from_{};
  Nanos inactive_threshold_{};  // 0: lives for ever
  Nanos inactive_at_ = Nanos::max();
  Nanos pause_ends_at_ = Nanos::max();
  Nanos held_until_ = Nanos::max();  // a rate limit or the original pace

  std::unique_ptr<FlowWindow> flow_;
  std::unique_ptr<SkipList> skip_list_;
  std::unique_ptr<Pin> pin_;
  std::unique_ptr<RateLimit> rate_limit_;
  std::unique_ptr<Replay> replay_;
  std::unique_ptr<LastRequest> last_asked_;

  // The Deliver that goes on: the turn's times and what is visible in it; what FindNext found.
  Nanos now_{};
  int64_t wall_ns_ = 0;
  uint64_t visible_seq_ = 0;
  StoredMessage message_;
  uint64_t deliveries_ = 1;  // of message_, this one included
  std::string edited_;       // its payload, when it is not sent as it is stored

  DeliveryPlaces places_{this};
  uint32_t answers_due_ = 0;
  bool active_ = true;         // push: somebody listens
  bool ready_ = false;         // marked since the last Deliver
  bool at_end_ = false;        // the last Deliver found nothing more for those that wait
  bool stopped_ = false;
  bool publishing_ = false;    // inside of Deliver, a timer or Stop: statuses are published at once
  bool reports_acks_ = false;  // retention wants to hear of acks
};

}  // namespace millrace
