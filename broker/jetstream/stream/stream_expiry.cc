// SPDX-License-Identifier: Apache-2.0
// How messages go with time: by the stream's max_age, by a TTL of their own; and the marker that takes the place of the
// last message of a subject (spec J-39, ADR-43, ADR-48). nats-server places markers for this reason only, MaxAge.
#include <algorithm>

#include "absl/strings/str_format.h"
#include "broker/jetstream/api/message_headers.h"
#include "broker/jetstream/stream/stream.h"
#include "broker/json/go_format.h"
#include "proto/base/check.h"
#include "proto/headers.h"

namespace millrace {
namespace {

// Messages that expire one by one are removed in strides of this, so many at a time; the turn is not only theirs.
constexpr Nanos kStride = std::chrono::milliseconds(10);
constexpr size_t kMessagesPerStride = 2048;
constexpr uint64_t kMessageUnits = 20;  // of a pace
// When a marker cannot be stored.
constexpr Nanos kRetry = std::chrono::seconds(2);

bool IsMarker(std::string_view header) {
  if (header.empty()) return false;
  const std::optional<std::string_view> reason = FindHeader(header, kMarkerReasonHeader);
  return (reason && !reason->empty()) || FindHeader(header, kOperationHeader) == "PURGE";
}

}  // namespace

Stream::Expiry& Stream::expiry() {
  if (expiry_ == nullptr) {
    expiry_ = std::make_unique<Expiry>();
    expiry_->timer.Bind<&Stream::OnExpiryTimer>(this);
  }
  return *expiry_;
}

void Stream::ArmExpiry() {
  int64_t due_ns = later_ != nullptr ? later_->ttls.next_ns() : TtlIndex::kNever;
  if (config_.max_age_ns > 0 && log_->state().messages > 0) {
    int64_t first_ns = log_->state().first_time_ns;
    if (expiry_ != nullptr && expiry_->age_floor > log_->state().first_seq) {
      const uint64_t seq = log_->Next({}, expiry_->age_floor);
      StoredMessage message;
      // A message that is not at hand is waited for once it is due for sure: its time is that of its neighbours at
      // least.
      if (seq != 0 && log_->Load(seq, &message) == LoadStatus::kFound) first_ns = message.time_ns;
      if (seq == 0) first_ns = TtlIndex::kNever - config_.max_age_ns;
    }
    due_ns = std::min(due_ns, first_ns + config_.max_age_ns);
  }
  if (due_ns == TtlIndex::kNever) return;
  MR_DCHECK(!stopped_);
  expiry().due_ns = due_ns;
  const Nanos wait{std::max<int64_t>(due_ns - port().WallNs(), 0)};
  port().timers().Arm(&expiry().timer, port().Now() + std::max(wait, kStride));
}

void Stream::OnExpiryTimer() {
  RunOwn(&Stream::ExpireMessages);
}

void Stream::ExpireMessages() {
  MR_DCHECK(started_ && MayChange());
  if (config_.max_age_ns > 0 && !config_.allow_msg_ttl) {
    const uint64_t keep_from = log_->FirstAtOrAfter(port().WallNs() - config_.max_age_ns + 1);
    if (keep_from > log_->state().first_seq) TrimBelow(keep_from);
    return ArmExpiry();
  }
  size_t budget = kMessagesPerStride;
  if (ExpireByAge(&budget) && ExpireByTtl(&budget)) ArmExpiry();
}

// False: it waits for the disk.
bool Stream::ExpireByAge(size_t* budget) {
  if (config_.max_age_ns <= 0) return true;
  const int64_t cutoff_ns = port().WallNs() - config_.max_age_ns;
  StoredMessage message;
  uint64_t& floor = expiry().age_floor;
  for (uint64_t seq = log_->Next({}, floor); seq != 0; seq = log_->Next({}, floor)) {
    if (*budget == 0) return true;
    Tick(&pace_, kMessageUnits);
    const LoadStatus status = log_->Load(seq, &message);
    if (status == LoadStatus::kPending) {
      waits_for_disk_ = true;
      return false;
    }
    if (status == LoadStatus::kFound) {
      if (message.time_ns > cutoff_ns) break;
      const std::optional<std::string_view> ttl = FindHeader(message.header(), kTtlHeader);
      const bool stays = ttl && !ttl->empty() && ParseMessageTtl(*ttl).value_or(0) == kTtlNever;
      if (!stays) {
        MR_DCHECK(*budget > 0 && message.seq == seq);
        --*budget;
        if (!ExpireOne(message)) ExpireLater(seq);
      }
    }
    floor = seq + 1;
  }
  return true;
}

bool Stream::ExpireByTtl(size_t* budget) {
  if (later_ == nullptr) return true;
  const std::vector<uint64_t> due = later_->ttls.TakeDue(port().WallNs(), *budget);
  StoredMessage message;
  for (size_t i = 0; i < due.size(); ++i) {
    Tick(&pace_, kMessageUnits);
    const LoadStatus status = log_->Load(due[i], &message);
    if (status == LoadStatus::kAbsent) continue;
    if (status == LoadStatus::kPending) {
      waits_for_disk_ = true;
      for (; i < due.size(); ++i) later_->ttls.Add(due[i], port().WallNs());
      return false;
    }
    if (status != LoadStatus::kFound) {
      RemoveMessage(due[i], {});
    } else if (!ExpireOne(message)) {
      ExpireLater(due[i]);
    }
  }
  return true;
}

bool Stream::ExpireOne(const StoredMessage& message) {
  const uint64_t seq = message.seq;
  const std::string subject(message.subject);
  if (config_.subject_delete_marker_ttl_ns >= kNsPerSecond && !IsMarker(message.header())) {
    const uint64_t bytes = MessageBytes(config_.storage == Storage::kMemory, subject.size(), message.header_bytes,
                                        message.payload.size());
    const std::optional<SubjectState> state = log_->FindSubject(subject);
    if (state && state->messages == 1 && !PlaceMarker(subject, bytes)) return false;
  }
  // The marker has rolled it up, unless the stream may not be purged.
  if (IsLive(seq)) RemoveMessage(seq, subject);
  return true;
}

// Its marker cannot be stored. Those behind it, which may make room, do not wait for it.
void Stream::ExpireLater(uint64_t seq) {
  MR_CHECK(later_ != nullptr);  // markers imply TTLs
  later_->ttls.Add(seq, port().WallNs() + kRetry.count());
}

bool Stream::PlaceMarker(const std::string& subject, uint64_t in_place_of) {
  MR_DCHECK(config_.allow_msg_ttl && in_place_of > 0);
  const int64_t ttl_s = config_.subject_delete_marker_ttl_ns / kNsPerSecond;
  const std::string header =
      absl::StrFormat("NATS/1.0\r\n%s: MaxAge\r\n%s: %s\r\n%s: sub\r\n\r\n", std::string(kMarkerReasonHeader),
                      std::string(kTtlHeader), FormatDuration(ttl_s * kNsPerSecond), std::string(kRollupHeader));
  Inbound in;
  in.subject = subject;
  in.header = header;
  in.sourced = true;
  in.in_place_of = in_place_of;
  return !Publish(in).has_value();
}

}  // namespace millrace
