// SPDX-License-Identifier: Apache-2.0
// How a message gets into a stream: what it is (alone, or of a batch), the checks, then the log, then the answer.
#include <charconv>

#include "absl/strings/str_format.h"
#include "broker/jetstream/api/message_headers.h"
#include "broker/jetstream/api/responses.h"
#include "broker/jetstream/base/letter.h"
#include "broker/jetstream/stream/stream.h"
#include "proto/base/check.h"
#include "proto/headers.h"
#include "proto/subject.h"

namespace millrace {
namespace {

constexpr std::string_view kNoResponders = "NATS/1.0 503\r\n\r\n";

}  // namespace

bool Stream::Deliver(const Subscription& subscription, const Message& message) {
  OnUsed();
  const LongTasks::Unpaused unpaused(host_.tasks());  // the router delivers
  if (held_ || log_->NeedsPrepare() || MayBeLong(message)) [[unlikely]] {
    PublishLong(message);
  } else {
    Take(message);
  }
  if (host_.Congested()) [[unlikely]]
    port().StallPublisher(message);
  return true;
}

// A message for the stream, alone with it.
void Stream::PublishLong(const Message& message) {
  Letter letter(message);
  const size_t bytes = letter.bytes();
  host_.work().Enqueue(uid(), [&host = host_, uid = uid(), letter = std::move(letter)] {
    if (Stream* found = host.FindAwake(uid)) return found->Take(letter.View());
    if (!letter.reply.empty())
      host.replies().SendNow(letter.message.account, letter.reply, kNoResponders, kNoResponders.size());
  }, bytes);
}

// It may remove much of the stream.
bool Stream::MayBeLong(const Message& message) const {
  const bool rolls_up = config_.allow_rollup_hdrs && message.header_bytes > 0 &&
                        FindHeader(message.payload.substr(0, message.header_bytes), kRollupHeader).has_value();
  return rolls_up || (config_.max_bytes > 0 && message.payload.size() > kLargeBytes);
}

void Stream::Take(const Message& message) {
  MR_DCHECK(started_ && !stopped_ && MayChange());
  if (log_->NeedsPrepare()) [[unlikely]] log_->Prepare();
  MR_DCHECK(message.header_bytes <= message.payload.size());
  Inbound in;
  in.subject = message.subject;
  in.reply = message.reply;
  in.header = message.payload.substr(0, message.header_bytes);
  in.body = message.payload.substr(message.header_bytes);
  PublishAny(in);
}

void Stream::PublishAny(const Inbound& original) {
  Inbound in = original;
  std::string cleaned;
  // A status is not stored, nor what an import of another account says of the client.
  const bool clean =
      in.header.empty() || (in.header.starts_with(kHeaderLine) && !FindHeader(in.header, kRequestInfoHeader));
  if (!clean) [[unlikely]] {
    cleaned = in.header;
    RemoveHeaderStatus(&cleaned);
    RemoveHeader(&cleaned, kRequestInfoHeader);
    in.header = cleaned;
  }
  if (IsFastBatchReply(in.reply)) [[unlikely]]
    return PublishFast(in);
  Publish(in);
}

std::optional<ApiError> Stream::Publish(const Inbound& original) {
  Inbound in = original;
  Checked checked;
  if (!in.header.empty()) {
    checked.headers = ReadPublishHeaders(in.header);
    if (!checked.headers.batch_id.empty() && !in.sourced) {
      PublishAtomic(in, checked.headers);
      return std::nullopt;
    }
  }
  std::string transformed;
  if (Transform(in.subject, &transformed)) in.subject = transformed;
  std::optional<ApiError> error = Check(&in, &checked);
  AckExtra extra;
  if (!error && checked.duplicate_of != 0) {
    extra.duplicate = true;
    Answer(in.reply, checked.duplicate_of, extra);
    return std::nullopt;
  }
  uint64_t seq = 0;
  if (!error) error = Commit(&in, &checked, false, &seq);
  if (error) {
    Refuse(in.reply, *error);
    return error;
  }
  extra.counter = checked.counter;
  Answer(in.reply, seq, extra);
  return std::nullopt;
}

bool Stream::Transform(std::string_view subject, std::string* transformed) {
  if (!ingest_transform_) return false;
  std::optional<std::string> to = ingest_transform_->Match(subject, static_cast<uint32_t>(port().Random()));
  if (!to) return false;
  *transformed = *std::move(to);
  return true;
}

std::optional<ApiError> Stream::Commit(Inbound* in, Checked* checked, bool discard_checked, uint64_t* seq) {
  *seq = in->seq != 0 ? in->seq : log_->state().last_seq + 1;
  MR_DCHECK(*seq > log_->state().last_seq);
  // Nobody will ever want it: the sequence is spent, and the message confirmed, all the same.
  if (config_.retention == Retention::kInterest && NobodyNeeds(*seq, in->subject, nullptr)) {
    const Lsn lsn = log_->SkipTo(*seq);
    OnStaged(lsn);
    NoteMessageId(checked->headers.msg_id, *seq, port().WallNs(), MessageIds::InLog::kNo);
    ApplyRollup(*in, *checked, 0);
    return std::nullopt;
  }
  if (!checked->headers.ttl.empty()) {
    const std::optional<int64_t> ttl = ParseMessageTtl(checked->headers.ttl);
    if (!ttl) return MakeError(ApiErrorId::kMessageTTLInvalid);
    // A message must not go before the marker that it follows, or the marker could be missed; where there is one
    // message a subject, it has taken the marker's place.
    const int64_t ttl_min = config_.subject_delete_marker_ttl_ns / kNsPerSecond;
    if (*ttl > 0 && *ttl < ttl_min && config_.max_msgs_per_subject != 1) {
      std::string header(in->header);
      RemoveHeader(&header, kTtlHeader);
      AddHeader(&header, kTtlHeader, std::to_string(ttl_min));
      Rewrite(in, checked, std::move(header));
    }
  }
  if (!discard_checked) {
    if (std::optional<ApiError> error = CheckDiscardNew(*in)) return error;
  }
  uint64_t last_of_subject = 0;
  if (republish_transform_) {
    if (const std::optional<SubjectState> state = log_->FindSubject(in->subject)) last_of_subject = state->last_seq;
  }
  Store(*in, *checked, *seq);
  if (republish_transform_) RepublishMessage(*in, *seq, last_of_subject);
  return std::nullopt;
}

void Stream::Store(const Inbound& in, const Checked& checked, uint64_t seq) {
  MR_DCHECK(MayChange() && !in.subject.empty() && in.header.size() <= UINT32_MAX);
  StoredMessage message;
  message.seq = seq;
  message.time_ns = std::max(in.time_ns != 0 ? in.time_ns : port().WallNs(), log_->state().last_time_ns);
  message.subject = in.subject;
  message.header_bytes = static_cast<uint32_t>(in.header.size());
  std::string joined;
  if (in.header.empty()) {
    message.payload = in.body;
  } else if (in.header.data() + in.header.size() == in.body.data()) {
    message.payload = {in.header.data(), in.header.size() + in.body.size()};
  } else {
    joined.reserve(in.header.size() + in.body.size());
    joined.append(in.header).append(in.body);
    message.payload = joined;
  }
  const Lsn lsn = log_->Append(message);
  MR_DCHECK(log_->state().last_seq == seq);
  if (!in.header.empty() || config_.allow_msg_schedules) NoteHeaders(seq, message.time_ns, in.subject, checked.headers);
  NoteMessageId(checked.headers.msg_id, seq, message.time_ns);
  EnforceLimits(in.subject);
  ApplyRollup(in, checked, 1);
  OnStaged(lsn);
  const bool aged_later = config_.max_age_ns <= 0 || ExpiresBy(message.time_ns + config_.max_age_ns);
  if (!aged_later && !waits_for_disk_) ArmExpiry();
}

void Stream::ApplyRollup(const Inbound& in, const Checked& checked, uint64_t keep) {
  if (!config_.allow_rollup_hdrs || config_.deny_purge) return;
  Lsn lsn = 0;
  MR_DCHECK(keep <= 1 && MayChange());
  if (checked.rollup != Checked::Rollup::kNone) {
    StreamPurgeRequest purge;
    purge.keep = keep;
    if (checked.rollup == Checked::Rollup::kSubject) purge.filter = in.subject;
    Purge(purge, &lsn);
  }
  // The message is the last that a schedule makes, or says that a schedule is to end.
  if (checked.headers.schedule_next == kScheduleNextPurge && !checked.headers.scheduler.empty()) {
    StreamPurgeRequest purge;
    purge.filter = checked.headers.scheduler;
    if (later_ != nullptr) later_->schedules.Remove(purge.filter);
    Purge(purge, &lsn);
  }
}

void Stream::RepublishMessage(const Inbound& in, uint64_t seq, uint64_t last_of_subject) {
  const std::optional<std::string> to = republish_transform_->Match(in.subject, static_cast<uint32_t>(port().Random()));
  if (!to || !IsValidLiteral(*to)) return;
  MR_DCHECK(last_of_subject < seq);
  std::string block(in.header);
  AddHeader(&block, kStreamHeader, config_.name);
  AddHeader(&block, kSubjectHeader, in.subject);
  AddHeader(&block, kSequenceHeader, std::to_string(seq));
  AddHeader(&block, kTimeStampHeader, FormatGoTime(log_->state().last_time_ns));
  AddHeader(&block, kLastSequenceHeader, std::to_string(last_of_subject));
  const bool bare = config_.republish->headers_only;
  if (bare) AddHeader(&block, kMsgSizeHeader, std::to_string(in.body.size()));
  const auto header_bytes = static_cast<uint32_t>(block.size());
  if (!bare) block += in.body;
  host_.replies().SendWhenDurable(log_->options(), account(), *to, block, header_bytes);
}

void Stream::Answer(std::string_view reply, uint64_t seq, const AckExtra& extra) {
  if (reply.empty() || config_.no_ack) return;
  Send(reply, Ack(seq, extra));
}

std::string Stream::Ack(uint64_t seq, const AckExtra& extra) const {
  return PubAckAnswer({.stream = config_.name,
                       .domain = host_.options().domain,
                       .seq = seq,
                       .duplicate = extra.duplicate,
                       .batch = extra.batch,
                       .count = extra.count,
                       .counter = extra.counter});
}

void Stream::Refuse(std::string_view reply, const ApiError& error) {
  if (!reply.empty() && !config_.no_ack) Send(reply, PubAckErrorAnswer(error, config_.name, 0));
}

void Stream::Send(std::string_view reply, std::string_view payload) {
  host_.replies().SendWhenDurable(log_->options(), account(), reply, payload, 0);
}

}  // namespace millrace
