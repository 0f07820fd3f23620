// SPDX-License-Identifier: Apache-2.0
// Message schedules: a stored message with Nats-Schedule is published to its target whenever it is due (spec J-3d,
// ADR-51).
#include <algorithm>

#include "broker/jetstream/api/message_headers.h"
#include "broker/jetstream/api/schedule.h"
#include "broker/jetstream/stream/stream.h"
#include "proto/base/check.h"
#include "proto/headers.h"
#include "proto/subject.h"

namespace millrace {
namespace {

constexpr size_t kSchedulesPerRound = 256;
constexpr Nanos kRound = std::chrono::milliseconds(10);
// When what is due cannot be stored.
constexpr int64_t kRetryNs = 10 * kNsPerSecond;

// In any case.
bool IsSub(std::string_view rollup) {
  return rollup.size() == 3 && (rollup[0] | 32) == 's' && (rollup[1] | 32) == 'u' && (rollup[2] | 32) == 'b';
}

}  // namespace

std::optional<ApiError> Stream::CheckSchedule(Inbound* in, Checked* checked, const BatchChanges* batch) {
  if (in->sourced) return std::nullopt;  // the stream that it comes from has checked it
  const PublishHeaders h = checked->headers;
  std::optional<absl::TimeZone> zone;
  std::optional<ApiErrorId> wrong;
  if (h.schedule_time_zone.data() != nullptr) {
    if (!h.schedule_time_zone.empty()) zone = LoadScheduleTimeZone(h.schedule_time_zone);
    if (!zone) wrong = ApiErrorId::kMessageSchedulesTimeZoneInvalid;
  }
  const int64_t now_ns = port().WallNs();
  if (!wrong && !h.schedule.empty() && !NextSchedule(h.schedule, zone ? &*zone : nullptr, now_ns, now_ns))
    wrong = ApiErrorId::kMessageSchedulesPatternInvalid;
  if (wrong || !h.schedule.empty()) {
    if (!config_.allow_msg_schedules) return MakeError(ApiErrorId::kMessageSchedulesDisabled);
    if (wrong) return MakeError(*wrong);
    if (std::optional<ApiError> error = CheckScheduleHeaders(*in, h)) return error;
    // Of one subject only the last schedule counts, so the stream keeps no other.
    if (h.rollup.empty()) {
      std::string header(in->header);
      AddHeader(&header, kRollupHeader, "sub");
      Rewrite(in, checked, std::move(header));
    } else if (!IsSub(h.rollup)) {
      return MakeError(ApiErrorId::kMessageSchedulesRollupInvalid);
    }
  }
  return CheckScheduler(*in, h, batch);
}

std::optional<ApiError> Stream::CheckScheduleHeaders(const Inbound& in, const PublishHeaders& h) const {
  if (!h.schedule_ttl.empty() && !ParseMessageTtl(h.schedule_ttl))
    return MakeError(ApiErrorId::kMessageSchedulesTTLInvalid);
  if (!h.schedule_rollup.empty() && h.schedule_rollup != "sub")
    return MakeError(ApiErrorId::kMessageSchedulesRollupInvalid);
  if (!h.schedule_ttl.empty() && !config_.allow_msg_ttl) return MakeError(ApiErrorId::kMessageTTLDisabled);
  if (h.schedule_target.empty() || !IsValidLiteral(h.schedule_target) || h.schedule_target == in.subject)
    return MakeError(ApiErrorId::kMessageSchedulesTargetInvalid);
  const std::string_view source = h.schedule_source;
  if (!source.empty() && (source == h.schedule_target || source == in.subject || !IsValidLiteral(source)))
    return MakeError(ApiErrorId::kMessageSchedulesSourceInvalid);
  if (!TakesSubject(h.schedule_target)) return MakeError(ApiErrorId::kMessageSchedulesTargetInvalid);
  if (!source.empty() && !TakesSubject(source)) return MakeError(ApiErrorId::kMessageSchedulesSourceInvalid);
  return std::nullopt;
}

bool Stream::TakesSubject(std::string_view subject) const {
  return std::any_of(config_.subjects.begin(), config_.subjects.end(),
                     [subject](const std::string& filter) { return SubjectMatches(subject, filter); });
}

// What the server writes on messages that a schedule makes; a client may only say that a schedule is to end.
std::optional<ApiError> Stream::CheckScheduler(const Inbound& in, const PublishHeaders& h, const BatchChanges* batch) {
  const auto invalid = [] { return MakeError(ApiErrorId::kMessageSchedulesSchedulerInvalid); };
  if (h.schedule_next.empty()) {
    if (!h.scheduler.empty()) return invalid();
    return std::nullopt;
  }
  if (h.schedule_next != kScheduleNextPurge) return invalid();
  if (h.scheduler.empty() || h.scheduler == in.subject || !IsValidLiteral(h.scheduler)) return invalid();
  if (!config_.allow_msg_schedules) return MakeError(ApiErrorId::kMessageSchedulesDisabled);
  if (batch != nullptr) {
    if (const auto it = batch->subjects.find(h.scheduler); it != batch->subjects.end()) {
      if (!it->second.schedule) return invalid();
      return std::nullopt;
    }
  }
  // A schedule that has gone already may be ended again; a message that is none may not be purged this way.
  StoredMessage message;
  const uint64_t seq = LastSequenceOf(h.scheduler);
  if (seq == 0 || log_->LoadNow(seq, &message) != LoadStatus::kFound) return std::nullopt;
  if (FindHeader(message.header(), kScheduleHeader).value_or("").empty()) return invalid();
  return std::nullopt;
}

void Stream::ArmSchedules() {
  MR_CHECK(later_ != nullptr && !later_->scanning);
  const int64_t due_ns = later_->schedules.next_ns();
  if (due_ns == ScheduleIndex::kNever || waits_for_disk_) return;
  const Nanos wait{std::max<int64_t>(due_ns - port().WallNs(), 0)};
  port().timers().Arm(&later_->schedule_timer, port().Now() + std::max(wait, kRound));
}

void Stream::OnScheduleTimer() {
  RunOwn(&Stream::FireSchedules);
}

void Stream::FireSchedules() {
  MR_CHECK(later_ != nullptr && MayChange());
  if (later_->scanning) return;  // a later message may say otherwise; Scan arms us when it is through
  for (const ScheduleIndex::Due& due : later_->schedules.FindDue(port().WallNs(), kSchedulesPerRound)) {
    switch (Fire(due)) {
      case Fired::kDone:
        break;
      case Fired::kGone:
        later_->schedules.Remove(due.subject);
        break;
      case Fired::kPending:
        waits_for_disk_ = true;
        return;
    }
  }
  ArmSchedules();
}

Stream::Fired Stream::Fire(const ScheduleIndex::Due& due) {
  MR_CHECK(!later_->scanning);
  StoredMessage message;
  const LoadStatus status = log_->Load(due.seq, &message);
  if (status == LoadStatus::kPending) return Fired::kPending;
  if (status != LoadStatus::kFound) return Fired::kGone;
  const std::string schedule_block(message.header());
  const PublishHeaders h = ReadPublishHeaders(schedule_block);
  std::optional<absl::TimeZone> zone;
  if (h.schedule_time_zone.data() != nullptr) {
    zone = LoadScheduleTimeZone(h.schedule_time_zone);
    if (!zone) return Fired::kGone;
  }
  if (h.schedule.empty() || h.schedule_target.empty()) return Fired::kGone;
  const std::optional<ScheduledTime> next =
      NextSchedule(h.schedule, zone ? &*zone : nullptr, due.at_ns, port().WallNs());
  if (!next) return Fired::kGone;
  std::string header = schedule_block;
  std::string body(message.body());
  if (!h.schedule_source.empty()) {
    // The source's last message is sent, if it has one.
    const uint64_t last = LastSequenceOf(h.schedule_source);
    const LoadStatus source = last == 0 ? LoadStatus::kAbsent : log_->Load(last, &message);
    if (source == LoadStatus::kPending) return Fired::kPending;
    if (source == LoadStatus::kFound) {
      header = message.header();
      body = message.body();
    }
  }
  RemoveHeadersWithPrefix(&header, kScheduleHeader);  // Nats-Schedule-… and Nats-Scheduler too
  RemoveHeadersWithPrefix(&header, "Nats-Expected-");
  for (const std::string_view key : {kMsgIdHeader, kTtlHeader, kRollupHeader}) RemoveHeader(&header, key);
  AddHeader(&header, kSchedulerHeader, due.subject);
  AddHeader(&header, kScheduleNextHeader,
            next->repeats ? FormatGoTime(next->next_ns) : std::string(kScheduleNextPurge));
  if (!h.schedule_ttl.empty()) AddHeader(&header, kTtlHeader, h.schedule_ttl);
  if (!h.schedule_rollup.empty()) AddHeader(&header, kRollupHeader, h.schedule_rollup);

  Inbound in;
  const std::string target(h.schedule_target);
  in.subject = target;
  in.header = header;
  in.body = body;
  in.sourced = true;
  if (Publish(in)) {
    later_->schedules.Move(due.subject, next->repeats ? next->next_ns : port().WallNs() + kRetryNs);
  } else if (!next->repeats) {
    later_->schedules.Remove(due.subject);  // stored, and purged with it unless the stream may not be purged
  } else {
    later_->schedules.Move(due.subject, next->next_ns);  // also where nobody wanted the message: it was not stored
  }
  return Fired::kDone;
}

}  // namespace millrace
