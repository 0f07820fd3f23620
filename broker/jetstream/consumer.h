// SPDX-License-Identifier: Apache-2.0
// Consumer: one reader of a stream, push or pull: what it has delivered, what is acknowledged, who waits for more.
// Owner:  shard.  It publishes through JetStreamPort, reads a StreamLog, and tells its ConsumerHost the rest.
// Source: spec 5c, 5f, 5h, 5i, 5m; ADR-9, 13, 15, 17, 34, 37, 42, 60. Decisions: README.md, "Consumers".
//
// One turn: OnAppended, OnAck, OnNextRequest, … change state and call host.MarkReady; the host then calls Deliver, which
// publishes until the budget, congestion or the end, and ends with at most one host.Persist.
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
#include "broker/jetstream/ack_subject.h"
#include "broker/jetstream/api/advisories.h"
#include "broker/jetstream/api/consumer_config.h"
#include "broker/jetstream/api/stream_info.h"
#include "broker/jetstream/consumer_host.h"
#include "broker/jetstream/consumer_state.h"
#include "broker/jetstream/pull_queue.h"
#include "store/stream_log.h"

namespace millrace {

struct ConsumerIdentity {
  std::string name;
  int64_t created_ns = 0;
  uint64_t uid = 0;  // of the store
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

class Consumer {
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

  // --- what the stream tells
  // A message became visible. Call it for each one that is still there, in order; cheap when the filters do not match.
  void OnAppended(uint64_t seq, std::string_view subject, size_t bytes);
  // The same for `count` messages up to `last_seq`, for consumers without a filter only.
  void OnAppendedRun(uint64_t last_seq, uint64_t count);
  // A message left the log other than by OnPurged: limits, deletion, age, retention. Visible or not.
  void OnRemoved(uint64_t seq, std::string_view subject);
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

  const std::string& name() const { return identity_.name; }
  const ConsumerIdentity& identity() const { return identity_; }
  const ConsumerConfig& config() const { return config_; }
  const Filters& filters() const { return filters_; }  // empty: all messages
  bool is_push() const { return config_.is_push(); }
  // Push: somebody listens. Pull: always.
  bool active() const { return active_; }
  bool Matches(std::string_view subject) const;
  // For interest and work-queue retention: this consumer still needs the message.
  bool NeedsAck(uint64_t seq, std::string_view subject) const;
  // First sequence that this consumer may still need: everything below is acknowledged.
  uint64_t ack_floor() const { return state_.ack_floor_stream(); }

 private:
  enum class Next : uint8_t { kMessage, kNothing, kFull, kLoading };

  // --- consumer.cc
  void SelectStart();
  void RecountPending();
  uint64_t num_pending() const { return num_pending_ < 0 ? 0 : static_cast<uint64_t>(num_pending_); }
  void Ready();
  void ApplyConfig();
  void SetInactiveThreshold();
  bool paused() const;
  void OnTimer();
  void ArmTimer();
  void WakeAt(Nanos at);
  void OnWaitsExpired();
  void CheckInactive();
  void FlushState();
  AdvisoryHead NewAdvisoryHead();
  template <typename A>
  void Advise(const A& advisory);
  void Report(uint64_t seq);

  // --- consumer_deliver.cc
  DeliverStatus DeliverSome(DeliverBudget* budget);
  Next FindNext(bool* redelivery);
  Next FindRedelivery();
  Next FindNew();
  Sent Send(std::string_view deliver_to, uint64_t deliveries);
  void OnSent(uint64_t seq, int64_t time_ns, bool redelivery, size_t bytes);
  void OnEnd();
  std::string_view HeadersOnly(uint32_t* header_bytes);
  Nanos HoldUntil(size_t bytes);
  void SendNow(std::string_view subject, std::string_view reply, std::string_view header);
  void SendHeartbeat(std::string_view subject);
  bool NeedsFlowControl(size_t bytes);
  void SendFlowControl();

  // --- consumer_pull.cc
  PullRequest* NextRequest(size_t bytes);
  int64_t ProcessWaiting(bool end_of_stream);
  void SendStatusNow(const PullRequest& request, std::string_view status);
  void SetPinTimer();
  void AssignPin(PullRequest* request);
  void UnassignPin();

  // --- consumer_ack.cc
  bool AckOne(const AckSubject& ack, bool sample);
  bool AckOne(uint64_t seq, uint64_t consumer_seq, uint64_t deliveries, bool sample);
  void Nak(const AckSubject& ack, std::string_view argument);
  void Terminate(uint64_t seq, uint64_t consumer_seq, uint64_t deliveries, std::string_view reason);
  void SampleAck(const PendingEntry& entry, uint64_t consumer_seq, uint64_t deliveries);
  void GiveUp(uint64_t seq, uint64_t deliveries);

  // What is rarely there lives apart, so that an idle consumer is small.
  struct FlowWindow;
  struct SkipList;
  struct Pin;
  struct RateLimit;

  ConsumerConfig config_;
  ConsumerIdentity identity_;
  StreamLog& log_;
  ConsumerHost& host_;
  JetStreamPort& port_;
  Filters filters_;
  ConsumerState state_;
  AckSubjectWriter ack_subject_;

  uint64_t next_seq_ = 1;      // where reading goes on; above what was delivered
  int64_t num_pending_ = 0;    // matching messages from next_seq_ on, as the peer counts them
  uint64_t counted_seq_ = 0;   // num_pending_ knows of everything up to here without OnAppended
  bool active_ = true;
  bool reports_acks_ = false;  // retention wants to hear of acks
};

}  // namespace millrace
