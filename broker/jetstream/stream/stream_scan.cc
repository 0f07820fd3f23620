// SPDX-License-Identifier: Apache-2.0
// What headers of stored messages ask for later: TTLs and schedules. Two indexes hold that; they are not stored, but
// made from the messages again after a start, slice by slice, while the stream is already at work.
// Cost:  every message of a stream with allow_msg_ttl or allow_msg_schedules is read once after a start; what is due in
//        the meantime goes when the scan has reached it (TTL) or is through (schedules).
#include <algorithm>

#include "broker/jetstream/api/message_headers.h"
#include "broker/jetstream/api/schedule.h"
#include "broker/jetstream/stream/stream.h"
#include "proto/base/check.h"
#include "proto/headers.h"

namespace millrace {
namespace {

constexpr size_t kMessagesPerSlice = 1024;
constexpr Nanos kHeldRetry = std::chrono::milliseconds(1);

}  // namespace

void Stream::StartScan() {
  if (!config_.allow_msg_ttl && !config_.allow_msg_schedules) return;  // and neither can be disallowed again
  if (later_ == nullptr) {
    later_ = std::make_unique<Later>();
    later_->schedule_timer.Bind<&Stream::OnScheduleTimer>(this);
    later_->scan_timer.Bind<&Stream::OnScanTimer>(this);
  }
  later_->ttls.Clear();
  later_->schedules.Clear();
  later_->scan_at = 0;
  later_->scanning = log_->state().messages > 0;
  port().timers().Cancel(&later_->scan_timer);
  if (later_->scanning) port().timers().Arm(&later_->scan_timer, port().Now());
}

void Stream::OnScanTimer() {
  if (held_) return port().timers().Arm(&later_->scan_timer, port().Now() + kHeldRetry);
  Scan();
}

void Stream::Scan() {
  MR_CHECK(later_ != nullptr && later_->scanning && MayChange());
  StoredMessage message;
  for (size_t i = 0; i < kMessagesPerSlice; ++i) {
    const uint64_t seq = log_->Next({}, later_->scan_at);
    if (seq == 0) {
      later_->scanning = false;
      ArmSchedules();
      if (!waits_for_disk_) ArmExpiry();
      return;
    }
    MR_CHECK_OP(seq, >=, later_->scan_at);
    const LoadStatus status = log_->Load(seq, &message);
    if (status == LoadStatus::kPending) {
      waits_for_disk_ = true;
      return;
    }
    later_->scan_at = seq + 1;
    if (status == LoadStatus::kFound && (message.header_bytes > 0 || config_.allow_msg_schedules))
      NoteHeaders(seq, message.time_ns, message.subject, ReadPublishHeaders(message.header()));
  }
  port().timers().Arm(&later_->scan_timer, port().Now());
}

void Stream::NoteHeaders(uint64_t seq, int64_t time_ns, std::string_view subject, const PublishHeaders& h) {
  if (later_ == nullptr) return;
  MR_DCHECK(seq <= log_->state().last_seq);
  if (later_->scanning && seq >= later_->scan_at) return;  // the scan comes to it
  if (config_.allow_msg_ttl && !h.ttl.empty()) {
    const int64_t ttl_s = ParseMessageTtl(h.ttl).value_or(0);
    constexpr int64_t kLongestTtlS = INT64_MAX / kNsPerSecond / 4;  // 73 years
    if (ttl_s > 0 && ttl_s < kLongestTtlS) {
      const int64_t expires_ns = time_ns + ttl_s * kNsPerSecond;
      if (later_->ttls.WantsSweep()) later_->ttls.Sweep([this](uint64_t one) { return IsLive(one); });
      later_->ttls.Add(seq, expires_ns);
      if (!waits_for_disk_ && !ExpiresBy(expires_ns)) ArmExpiry();
    }
  }
  if (!config_.allow_msg_schedules) return;
  if (!h.schedule.empty()) {
    std::optional<absl::TimeZone> zone;
    if (h.schedule_time_zone.data() != nullptr) zone = LoadScheduleTimeZone(h.schedule_time_zone);
    const std::optional<ScheduledTime> time =
        NextSchedule(h.schedule, zone ? &*zone : nullptr, time_ns, port().WallNs());
    if (later_->schedules.WantsSweep()) later_->schedules.Sweep([this](uint64_t one) { return IsLive(one); });
    if (time) later_->schedules.Add(subject, seq, time->next_ns);
  } else if (h.scheduler.empty()) {
    later_->schedules.Remove(subject);  // another message has taken the schedule's place
  }
  // A message that a schedule has made says when the schedule fires again.
  if (!h.schedule_next.empty() && h.schedule_next != kScheduleNextPurge && !h.scheduler.empty()) {
    if (const std::optional<int64_t> next_ns = ParseGoTime(h.schedule_next, nullptr))
      later_->schedules.Move(h.scheduler, *next_ns);
  }
  if (!later_->scanning) ArmSchedules();
}

}  // namespace millrace
