// SPDX-License-Identifier: Apache-2.0
// What is no delivery and no ack: beginning, configuration, what the stream tells, administration.
#include "broker/jetstream/consumer/consumer.h"

#include <algorithm>

#include "broker/jetstream/api/consumer_check.h"
#include "broker/jetstream/consumer/consumer_advise.h"
#include "proto/base/check.h"
#include "proto/subject.h"

namespace millrace {
namespace {

// What a flow controlled receiver may be behind at most; it begins with a sixteenth.
constexpr int64_t kFlowLimitBytes = 32 * 1024 * 1024;

constexpr uint64_t kEntryUnits = 10;  // of a pace

// Reading without a filter is cheaper than with one that takes everything.
Filters ReadFilters(const ConsumerConfig& config) {
  Filters filters = config.Filters();
  if (std::find(filters.begin(), filters.end(), ">") != filters.end()) filters.clear();
  return filters;
}

}  // namespace

Consumer::Consumer(ConsumerConfig config, ConsumerIdentity identity, StreamLog& log, ConsumerHost& host)
    : config_(std::move(config)),
      identity_(std::move(identity)),
      log_(log),
      host_(host),
      port_(host.port()),
      account_(host.account()),
      state_(config_.ack_policy),
      ack_subject_(host.stream_name(), identity_.name) {
  timer_.Bind<&Consumer::OnTimer>(this);
  state_.set_recording(identity_.persistent);
  filters_ = ReadFilters(config_);
  if (config_.flow_control) {
    flow_ = std::make_unique<FlowWindow>();
    flow_->limit = kFlowLimitBytes;
    flow_->size = kFlowLimitBytes / 16;
  }
  if (config_.priority_policy == PriorityPolicy::kPinnedClient) pin_ = std::make_unique<Pin>();
  ApplyConfig();
  SetInactiveThreshold(config_.is_durable());
}

Consumer::~Consumer() {
  MR_CHECK(!publishing_);  // the host waits with it (consumer_host.h)
  if (!stopped_) {
    waiting_.Clear();
    Stop(StopReason::kDeleted);
  }
}

// What may change while the consumer runs.
void Consumer::ApplyConfig() {
  max_ack_pending_ = config_.max_ack_pending > 0 && config_.ack_policy != AckPolicy::kNone
                         ? static_cast<size_t>(config_.max_ack_pending)
                         : 0;
  max_deliver_ = static_cast<uint32_t>(std::clamp<int64_t>(config_.max_deliver, 0, UINT32_MAX));
  sample_percent_ = 0;
  if (!config_.sample_freq.empty()) {
    std::string unused;
    sample_percent_ = static_cast<int32_t>(ParseSampleFrequency(config_.sample_freq, &unused).value_or(0));
  }
  state_.SetWaits(AckWaits{config_.ack_wait_ns, config_.backoff_ns});
  reports_acks_ = host_.retention() != Retention::kLimits;
  if (config_.rate_limit_bps == 0) {
    rate_limit_.reset();
  } else {
    const bool fresh = rate_limit_ == nullptr;
    if (fresh) rate_limit_ = std::make_unique<RateLimit>();
    rate_limit_->bytes_per_ns = static_cast<double>(config_.rate_limit_bps) / 8 / 1e9;
    rate_limit_->burst = static_cast<double>(host_.message_bytes_max());
    if (fresh) {
      rate_limit_->tokens = rate_limit_->burst;
      rate_limit_->filled_at = port_.Now();
    }
  }
}

// Deadlines of many consumers that lost their clients together are spread over a second, as in the peer.
void Consumer::SetInactiveThreshold(bool durable) {
  int64_t threshold_ns = config_.inactive_threshold_ns;
  const bool ephemeral_default = !durable && threshold_ns <= 0;
  if (ephemeral_default) config_.inactive_threshold_ns = threshold_ns = kEphemeralInactiveDefaultNs;
  if (threshold_ns <= 0) {
    inactive_threshold_ = {};
    return;
  }
  if (ephemeral_default || !is_push()) {
    threshold_ns += 100 * kNsPerMs + static_cast<int64_t>(port_.Random() % 900) * kNsPerMs;
  }
  inactive_threshold_ = Nanos(threshold_ns);
}

void Consumer::Start() {
  SelectStart();
  state_.Begin(next_seq_);
  Activate();
  if constexpr (kDebugChecks) Invariant();
}

absl::Status Consumer::RestoreState(std::string_view full, const std::vector<std::string_view>& deltas) {
  if (full.empty() && deltas.empty()) {  // it was made, and never came to its first turn
    Start();
    return absl::OkStatus();
  }
  if (!full.empty()) {
    if (absl::Status status = state_.Decode(full); !status.ok()) return status;
  }
  for (const std::string_view delta : deltas) {
    if (absl::Status status = state_.Replay(delta); !status.ok()) return status;
  }
  const StreamLogState& log = log_.state();
  // A stream whose last messages were not durable may be behind its consumer.
  if (state_.delivered_stream() > log.last_seq) state_.RollBack(log.last_seq);
  state_.DropBelow(log.first_seq);
  next_seq_ = state_.delivered_stream() + 1;
  Activate();
  if constexpr (kDebugChecks) Invariant();
  return absl::OkStatus();
}

void Consumer::EncodeState(std::string* out) const { state_.Encode(out); }

void Consumer::Activate() {
  MR_CHECK(!began_ && !stopped_);
  began_ = true;
  RecountPending();
  const Nanos now = port_.Now();
  last_request_ = heartbeat_from_ = now;
  if (is_push()) active_ = host_.HasDeliverInterest(config_.deliver_subject, config_.deliver_group);
  if (inactive_threshold_ != Nanos{} && (!is_push() || !active_)) inactive_at_ = now + inactive_threshold_;
  if (config_.replay_policy == ReplayPolicy::kOriginal) {
    replay_ = std::make_unique<Replay>();
    replay_->until_seq = log_.state().last_seq;
  }
  if (paused()) pause_ends_at_ = MonotonicOf(*config_.pause_until_ns);
  ArmTimer();
  Ready();
}

// Counts what is not visible yet as well: counted_seq_ keeps OnAppended from counting it again.
void Consumer::RecountPending() {
  num_pending_ = static_cast<int64_t>(
      log_.Count(filters_, next_seq_, config_.deliver_policy == DeliverPolicy::kLastPerSubject));
  counted_seq_ = log_.state().last_seq;
}

bool Consumer::Matches(std::string_view subject) const {
  if (filters_.empty()) return true;
  for (const std::string& filter : filters_) {
    if (SubjectMatches(subject, filter)) return true;
  }
  return false;
}

void Consumer::OnAppended(uint64_t seq, std::string_view subject, size_t bytes) {
  MR_DCHECK(seq > 0 && seq <= host_.visible_last_seq());
  if (!Matches(subject)) return;
  if (seq > counted_seq_) ++num_pending_;
  if (!ready_ && seq >= next_seq_ && HasReceiver()) Ready();
}

void Consumer::OnAppendedRun(uint64_t last_seq, uint64_t count) {
  MR_DCHECK(filters_.empty() && count > 0 && count <= last_seq);
  MR_DCHECK(last_seq <= host_.visible_last_seq());
  if (last_seq > counted_seq_) num_pending_ += static_cast<int64_t>(std::min(count, last_seq - counted_seq_));
  if (!ready_ && last_seq >= next_seq_ && HasReceiver()) Ready();
}

void Consumer::OnRemoved(uint64_t seq, std::string_view subject) {
  // What was never visible was counted only if it was there when we counted.
  const bool counted = seq <= std::max(counted_seq_, host_.visible_last_seq());
  if (counted && seq >= next_seq_ && Matches(subject)) --num_pending_;
  if (const PendingEntry* entry = state_.pending().Find(seq); entry != nullptr) {
    const uint32_t deliveries = std::max(entry->redeliveries, 1u);
    Terminate(seq, entry->consumer_seq, deliveries, "Unacknowledged message was deleted", Gone::kYes);
  } else if (!state_.exhausted().empty() && state_.Ack(seq)) {
    Ready();
  }
}

void Consumer::OnManyRemoved() {
  const auto gone = [this](uint64_t seq) { return log_.Next({}, seq) != seq; };
  std::vector<PendingEntry> terminated;
  state_.pending().ForEach([&](const PendingEntry& entry) {
    if (gone(entry.seq)) terminated.push_back(entry);
  });
  for (const PendingEntry& entry : terminated) {
    const uint32_t deliveries = std::max(entry.redeliveries, 1u);
    Terminate(entry.seq, entry.consumer_seq, deliveries, "Unacknowledged message was deleted", Gone::kYes);
    Tick(host_.pace(), kEntryUnits);
  }
  std::vector<uint64_t> exhausted;
  for (const auto& [seq, deliveries] : state_.exhausted()) {
    if (gone(seq)) exhausted.push_back(seq);
  }
  for (const uint64_t seq : exhausted) state_.Ack(seq);
  RecountPending();
  Ready();
  if constexpr (kDebugChecks) Invariant();
}

void Consumer::OnPurged(std::string_view filter, uint64_t first_seq, uint64_t last_seq) {
  MR_DCHECK(first_seq <= last_seq + 1 && last_seq == log_.state().last_seq);
  state_.ForgetExhaustedBelow(first_seq);
  // Which of the three: all that this consumer reads is gone, some of it, or nothing.
  bool touched = filter.empty();
  bool wider = false;
  uint64_t start = first_seq;
  if (!filter.empty()) {
    bool subset = !filters_.empty();  // all filters are within the purged one
    for (const std::string& own : filters_) {
      const bool within = IsSubset(own, filter);
      touched |= within;
      subset &= within;
    }
    wider = touched ? !subset : Matches(filter);
    touched |= wider;
    if (!wider) {
      start = log_.Next(Filters{std::string(filter)}, first_seq);
      if (start == 0) start = last_seq + 1;
    }
  }
  if (touched) {
    next_seq_ = std::max(next_seq_, start);
    std::function<bool(uint64_t)> gone;
    if (wider) {
      gone = [this](uint64_t seq) {
        StoredMessage message;
        return log_.Load(seq, &message) == LoadStatus::kAbsent;
      };
    }
    if (state_.Purge(start, next_seq_, gone)) last_acked_ns_ = port_.WallNs();
  }
  RecountPending();
  Ready();
}

void Consumer::OnStreamUpdated() { ApplyConfig(); }

bool Consumer::NeedsAck(uint64_t seq, std::string_view subject) const {
  if (!Matches(subject)) return false;
  if (seq > state_.ack_floor_stream()) {
    if (seq >= next_seq_) return true;
    if (config_.ack_policy == AckPolicy::kExplicit) {
      if (state_.pending().Find(seq) != nullptr) return true;
    } else if (seq <= state_.delivered_stream()) {
      return true;
    }
  }
  return !state_.exhausted().empty() && state_.exhausted().contains(seq);
}

void Consumer::CheckInterest() {
  if (!is_push() || stopped_) return;
  SetActive(host_.HasDeliverInterest(config_.deliver_subject, config_.deliver_group));
}

void Consumer::SetActive(bool active) {
  if (active && !active_) Ready();
  active_ = active;
  if (active_) {
    inactive_at_ = Nanos::max();
  } else if (inactive_threshold_ != Nanos{} && inactive_at_ == Nanos::max()) {
    inactive_at_ = port_.Now() + inactive_threshold_;
    WakeAt(inactive_at_);
  }
}

void Consumer::Ready() {
  if (ready_ || stopped_) return;
  MR_DCHECK(began_);
  ready_ = true;
  host_.MarkReady(this);
}

void Consumer::OnAnswered() {
  MR_CHECK(answers_due_ > 0);
  if (--answers_due_ == 0) Ready();
}

bool Consumer::paused() const { return config_.pause_until_ns.has_value() && port_.WallNs() < *config_.pause_until_ns; }

void Consumer::Pause(int64_t until_ns) {
  const bool changed = config_.pause_until_ns.value_or(kGoZeroTimeNs) != until_ns;
  config_.pause_until_ns.reset();
  if (until_ns != kGoZeroTimeNs) config_.pause_until_ns = until_ns;
  pause_ends_at_ = Nanos::max();
  if (paused()) {
    pause_ends_at_ = MonotonicOf(until_ns);
    WakeAt(pause_ends_at_);
  }
  if (changed) AdvisePause();
  Ready();
}

void Consumer::AdvisePause() {
  ConsumerPauseAdvisory advisory;
  advisory.paused = paused();
  if (config_.pause_until_ns.has_value()) advisory.pause_until_ns = *config_.pause_until_ns;
  Advise(host_, name(), std::move(advisory));
}

void Consumer::UpdateConfig(ConsumerConfig config) {
  const bool deliver_changed = config.deliver_subject != config_.deliver_subject;
  const bool was_durable = config_.is_durable();
  const bool inactive_changed = config.inactive_threshold_ns != config_.inactive_threshold_ns;
  const bool pause_changed = config.pause_until_ns != config_.pause_until_ns;
  Filters filters = ReadFilters(config);
  const bool filters_changed = !std::is_permutation(filters.begin(), filters.end(), filters_.begin(), filters_.end());
  if (deliver_changed) ForceExpirePending();
  config_ = std::move(config);
  ApplyConfig();
  if (inactive_changed) {
    SetInactiveThreshold(was_durable);  // one that becomes durable keeps an ephemeral's default, at the peer as well
    inactive_at_ = inactive_threshold_ == Nanos{} ? Nanos::max() : port_.Now() + inactive_threshold_;
    if (is_push() && active_) inactive_at_ = Nanos::max();
  }
  if (pause_changed) Pause(config_.pause_until_ns.value_or(kGoZeroTimeNs));
  if (filters_changed) {
    filters_ = std::move(filters);
    skip_list_.reset();
    RecountPending();
  }
  if (pin_ == nullptr && config_.priority_policy == PriorityPolicy::kPinnedClient) pin_ = std::make_unique<Pin>();
  if (pin_ != nullptr && config_.priority_policy != PriorityPolicy::kPinnedClient) pin_.reset();
  // A stream that sources by this consumer comes back to where it has acknowledged (ADR-60).
  if (config_.sourcing) (void)Reset(0);
  if (deliver_changed) CheckInterest();
  ArmTimer();
  Ready();
  if constexpr (kDebugChecks) Invariant();
}

// The receiver of pushes is another one: it gets what the last one has not acknowledged.
void Consumer::ForceExpirePending() {
  std::vector<uint64_t> seqs;
  state_.pending().ForEach([&](const PendingEntry& entry) {
    if (entry.state != PendingEntry::State::kQueued) seqs.push_back(entry.seq);
  });
  for (const uint64_t seq : seqs) QueueForRedelivery(seq);
}

absl::StatusOr<uint64_t> Consumer::Reset(uint64_t seq) {
  if (seq == 0) {
    seq = state_.ack_floor_stream() + 1;
  } else if (config_.deliver_policy == DeliverPolicy::kByStartSequence) {
    if (seq < config_.opt_start_seq) return absl::InvalidArgumentError("below start seq");
  } else if (config_.deliver_policy == DeliverPolicy::kByStartTime && config_.opt_start_time_ns.has_value()) {
    if (seq < log_.FirstAtOrAfter(*config_.opt_start_time_ns)) return absl::InvalidArgumentError("below start time");
  } else if (config_.deliver_policy != DeliverPolicy::kAll) {
    return absl::InvalidArgumentError("not allowed");
  }
  next_seq_ = seq;
  redeliveries_.Clear();
  skip_list_.reset();
  last_delivered_ns_ = last_acked_ns_ = 0;
  state_.Begin(seq);
  if (state_.changed()) host_.Persist(this, state_.TakeDelta());  // what the answer waits for
  RecountPending();
  Ready();
  if constexpr (kDebugChecks) Invariant();
  return seq;
}

ConsumerInfo Consumer::Info() {
  const StreamLogState& log = log_.state();
  // Never more than there is: counting and removing may pass each other.
  if (next_seq_ > log.last_seq) {
    num_pending_ = 0;
  } else if (num_pending_ > 0) {
    num_pending_ = static_cast<int64_t>(std::min({num_pending(), log.messages, log.last_seq - next_seq_ + 1}));
  }
  ConsumerInfo info;
  info.stream_name = host_.stream_name();
  info.name = name();
  info.created_ns = identity_.created_ns;
  info.config = config_;
  info.delivered.consumer_seq = state_.delivered_consumer();
  info.delivered.stream_seq = state_.delivered_stream();
  info.ack_floor.consumer_seq = state_.ack_floor_consumer();
  info.ack_floor.stream_seq = state_.ack_floor_stream();
  if (last_delivered_ns_ != 0) info.delivered.last_active_ns = last_delivered_ns_;
  if (last_acked_ns_ != 0) info.ack_floor.last_active_ns = last_acked_ns_;
  info.num_ack_pending = static_cast<int64_t>(state_.pending().size());
  // With one delivery there is no redelivery to speak of, though the given-up ones are remembered.
  info.num_redelivered = config_.max_deliver == 1 ? 0 : static_cast<int64_t>(state_.redelivered());
  info.num_pending = num_pending();
  info.push_bound = is_push() && active_;
  info.ts_ns = port_.WallNs();
  if (paused()) {
    info.paused = true;
    info.pause_remaining_ns = *config_.pause_until_ns - info.ts_ns;
  }
  if (!is_push()) {
    ProcessWaiting(false);
    info.num_waiting = static_cast<int64_t>(waiting_.size());
  }
  if (!config_.priority_groups.empty()) {
    PriorityGroupState group;
    group.group = config_.priority_groups.front();
    if (pin_ != nullptr) {
      group.pinned_client_id = pin_->id;
      group.pinned_ts_ns = pin_->since_ns;
    }
    info.priority_groups.push_back(std::move(group));
  }
  return info;
}

void Consumer::Stop(StopReason reason) {
  if (stopped_) return;
  MR_CHECK(!publishing_);  // the host waits with it (consumer_host.h)
  stopped_ = true;
  places_.Leave();
  publishing_ = true;
  port_.timers().Cancel(&timer_);
  waiting_.RemoveIf([&](PullRequest* request) {
    switch (reason) {
      case StopReason::kDeleted:
        SendStatus(request->reply, "NATS/1.0 409 Consumer Deleted\r\n\r\n");
        break;
      case StopReason::kServerShutdown:
        TellRequest(*request, "409 Server Shutdown");
        break;
      case StopReason::kLeadershipChange:
        SendStatus(request->reply, "NATS/1.0 409 Leadership Change\r\n\r\n");
        break;
    }
    return true;
  });
  publishing_ = false;
  MR_CHECK(waiting_.empty() && !timer_.armed());
}

void Consumer::Invariant() const {
  state_.Invariant();
  waiting_.Invariant();
  MR_CHECK_OP(next_seq_, >, state_.delivered_stream());
  // All that is queued has its place among the redeliveries, once; the rest of that queue has been acknowledged.
  size_t queued = 0;
  redeliveries_.ForEach([&](uint64_t seq) {
    const PendingEntry* entry = state_.pending().Find(seq);
    queued += entry != nullptr && entry->state == PendingEntry::State::kQueued;
  });
  MR_CHECK_OP(queued, ==, state_.pending().queued());
  MR_CHECK(waiting_.empty() || (!is_push() && !stopped_));
  MR_CHECK(waiting_deadline_ <= waiting_.NextDeadline());
  MR_CHECK(stopped_ || timer_at_ == Nanos::max() || timer_.armed());
  if (flow_ != nullptr) {
    MR_CHECK(flow_->asked_for >= 0 && flow_->asked_for <= flow_->outstanding);
    MR_CHECK(flow_->size > 0 && flow_->size <= flow_->limit);
    MR_CHECK(!flow_->id.empty() || flow_->asked_for == 0);
  }
  MR_CHECK(skip_list_ == nullptr || !skip_list_->done());
  MR_CHECK((pin_ != nullptr) == (config_.priority_policy == PriorityPolicy::kPinnedClient));
  MR_CHECK((rate_limit_ != nullptr) == (config_.rate_limit_bps != 0));
  MR_CHECK(identity_.persistent || !state_.changed());
}

}  // namespace millrace
