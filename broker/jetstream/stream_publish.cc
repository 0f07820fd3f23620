// SPDX-License-Identifier: Apache-2.0
// How a message gets into a stream: the checks in the peer's order (spec 5m, Publish), then the log, then the answer.
#include <charconv>

#include "absl/strings/str_format.h"
#include "broker/jetstream/api/message_headers.h"
#include "broker/jetstream/api/responses.h"
#include "broker/jetstream/jetstream.h"
#include "broker/jetstream/stream.h"
#include "proto/headers.h"
#include "proto/subject.h"

namespace millrace {
namespace {

constexpr size_t kHeaderBytesMax = 65535;

std::string Decimal(uint64_t number) { return std::to_string(number); }

ApiError WrongLastSequence(uint64_t seq) {
  return MakeError(ApiErrorId::kStreamWrongLastSequence, {{"seq", Decimal(seq)}});
}

}  // namespace

bool Stream::Deliver(const Subscription& subscription, const Message& message) {
  Inbound in;
  in.subject = message.subject;
  in.reply = message.reply;
  in.header = message.payload.substr(0, message.header_bytes);
  in.body = message.payload.substr(message.header_bytes);
  Publish(in);
  if (engine_.Congested()) [[unlikely]]
    port().StallPublisher(message);
  return true;
}

std::optional<ApiError> Stream::Publish(const Inbound& original) {
  last_activity_ns_ = port().WallNs();
  Inbound in = original;
  std::string transformed;
  if (ingest_transform_) {
    if (std::optional<std::string> subject = ingest_transform_->Match(in.subject, static_cast<uint32_t>(port().Random()))) {
      transformed = *std::move(subject);
      in.subject = transformed;
    }
  }
  Checked checked;
  if (std::optional<ApiError> error = Check(&in, &checked)) {
    Answer(in.reply, 0, nullptr, &*error);
    return error;
  }
  if (checked.duplicate_of != 0) {
    Answer(in.reply, checked.duplicate_of, &checked, nullptr);
    return std::nullopt;
  }
  const uint64_t seq = log_->state().last_seq + 1;
  // Nobody will ever want it: the sequence is spent, and the message confirmed, all the same.
  if (config_.retention == Retention::kInterest && NobodyNeeds(seq, in.subject, nullptr)) {
    const Lsn lsn = log_->SkipTo(seq);
    engine_.OnStaged(this, lsn);
    last_msg_id_ = checked.headers.msg_id;
    if (!checked.headers.msg_id.empty()) dedupe_.Add(checked.headers.msg_id, seq, port().WallNs());
    ApplyRollup(in, checked, 0);
  } else {
    if (std::optional<ApiError> error = CheckDiscardNew(in)) {
      Answer(in.reply, 0, nullptr, &*error);
      return error;
    }
    uint64_t last_of_subject = 0;
    if (republish_transform_) {
      if (const std::optional<SubjectState> state = log_->FindSubject(in.subject)) last_of_subject = state->last_seq;
    }
    Store(in, checked, seq);
    if (republish_transform_) RepublishMessage(in, seq, last_of_subject);
  }
  Answer(in.reply, seq, &checked, nullptr);
  return std::nullopt;
}

std::optional<ApiError> Stream::Check(Inbound* in, Checked* checked) {
  if (config_.sealed) return MakeError(ApiErrorId::kStreamSealed);
  if (config_.max_msg_size >= 0 && in->header.size() + in->body.size() > static_cast<size_t>(config_.max_msg_size))
    return MakeError(ApiErrorId::kStreamMessageExceedsMaximum);
  if (in->header.size() > kHeaderBytesMax) return MakeError(ApiErrorId::kStreamHeaderExceedsMaximum);
  if (!in->header.empty()) {
    checked->headers = ReadPublishHeaders(in->header);
    if (std::optional<ApiError> error = CheckHeaders(in, checked)) return error;
    if (checked->duplicate_of != 0) return std::nullopt;
  }
  if (engine_.OutOfResources(config_.storage)) return MakeError(ApiErrorId::kInsufficientResources);
  if (!checked->headers.ttl.empty()) {
    const std::optional<int64_t> ttl = ParseMessageTtl(checked->headers.ttl);
    if (!ttl) return MakeError(ApiErrorId::kMessageTTLInvalid);
    checked->ttl_s = *ttl;
  }
  return std::nullopt;
}

std::optional<ApiError> Stream::CheckHeaders(Inbound* in, Checked* checked) {
  const PublishHeaders& h = checked->headers;
  if (!h.expected_stream.empty() && h.expected_stream != config_.name)
    return MakeError(ApiErrorId::kStreamNotMatch);
  if (!in->sourced && !config_.allow_msg_ttl && ParseMessageTtl(h.ttl).value_or(0) != 0)
    return MakeError(ApiErrorId::kMessageTTLDisabled);
  if (std::optional<ApiError> error = CheckExpected(*in, h)) return error;
  if (!in->sourced && !h.stream_source.empty()) return MakeError(ApiErrorId::kMessageSourceHdrNotAllowed);
  if (!h.msg_id.empty() && !config_.mirror) {
    if (!duplicates_loaded_) LoadDuplicates();
    checked->duplicate_of = dedupe_.Find(h.msg_id, port().WallNs());
    if (checked->duplicate_of != 0) return std::nullopt;
  }
  if (!h.expected_last_msg_id.empty() && h.expected_last_msg_id != last_msg_id_)
    return MakeError(ApiErrorId::kStreamWrongLastMsgID, {{"id", last_msg_id_}});
  if (!h.rollup.empty()) {
    if ((!config_.allow_rollup_hdrs || config_.deny_purge) && !in->sourced)
      return MakeErrorText(ApiErrorId::kStreamRollupFailedF, "rollup not permitted");
    if (h.rollup == "sub") {
      checked->rollup = Checked::Rollup::kSubject;
    } else if (h.rollup == "all") {
      checked->rollup = Checked::Rollup::kAll;
    } else {
      return MakeErrorText(ApiErrorId::kStreamRollupFailedF,
                           absl::StrFormat("rollup value invalid: \"%s\"", std::string(h.rollup)));
    }
  }
  return std::nullopt;
}

// Optimistic concurrency (spec J-22).
std::optional<ApiError> Stream::CheckExpected(const Inbound& in, const PublishHeaders& h) {
  if (const std::optional<uint64_t> expected = ReadSequence(h.expected_subject_seq)) {
    // The subject may be one with wildcards: the last of all that it takes.
    const std::string_view subject = h.expected_subject_seq_from.empty() ? in.subject : h.expected_subject_seq_from;
    uint64_t last = 0;
    if (IsLiteral(subject)) {
      if (const std::optional<SubjectState> state = log_->FindSubject(subject)) last = state->last_seq;
    } else {
      last = log_->Previous({std::string(subject)}, log_->state().last_seq);
    }
    if (last != *expected) return WrongLastSequence(last);
  } else if (!h.expected_subject_seq_from.empty()) {
    return MakeError(ApiErrorId::kStreamExpectedLastSeqPerSubjectInvalid);
  }
  if (const std::optional<uint64_t> expected = ReadSequence(h.expected_last_seq)) {
    if (*expected != log_->state().last_seq) return WrongLastSequence(log_->state().last_seq);
  }
  return std::nullopt;
}

// Limits that refuse the new message instead of dropping old ones (spec J-16).
std::optional<ApiError> Stream::CheckDiscardNew(const Inbound& in) {
  if (config_.discard != Discard::kNew) return std::nullopt;
  const auto refuse = [](std::string_view why) { return MakeErrorText(ApiErrorId::kStreamStoreFailedF, why); };
  bool subject_full = false;
  uint64_t first_of_subject = 0;
  if (config_.max_msgs_per_subject > 0) {
    if (const std::optional<SubjectState> state = log_->FindSubject(in.subject)) {
      subject_full = state->messages >= static_cast<uint64_t>(config_.max_msgs_per_subject);
      first_of_subject = state->first_seq;
    }
    if (subject_full && config_.discard_new_per_subject) return refuse("maximum messages per subject exceeded");
  }
  const StreamLogState& state = log_->state();
  if (config_.max_msgs > 0 && state.messages >= static_cast<uint64_t>(config_.max_msgs) && !subject_full)
    return refuse("maximum messages exceeded");
  if (config_.max_bytes > 0) {
    const bool memory = config_.storage == Storage::kMemory;
    const size_t payload = in.header.size() + in.body.size();
    const uint64_t bytes = MessageBytes(memory, in.subject.size(), in.header.size(), payload);
    if (state.bytes + bytes > static_cast<uint64_t>(config_.max_bytes)) {
      if (!subject_full) return refuse("maximum bytes exceeded");
      // The subject's oldest message goes; is the room that it leaves enough?
      StoredMessage oldest;
      if (log_->Load(first_of_subject, &oldest) != LoadStatus::kFound ||
          MessageBytes(memory, oldest.subject.size(), oldest.header_bytes, oldest.payload.size()) < bytes) {
        return refuse("maximum bytes exceeded");
      }
    }
  }
  return std::nullopt;
}

void Stream::Store(const Inbound& in, const Checked& checked, uint64_t seq) {
  StoredMessage message;
  message.seq = seq;
  message.time_ns = std::max(port().WallNs(), log_->state().last_time_ns);
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
  last_msg_id_ = checked.headers.msg_id;
  if (!checked.headers.msg_id.empty()) dedupe_.Add(checked.headers.msg_id, seq, message.time_ns);
  EnforceLimits(in.subject);
  ApplyRollup(in, checked, 1);
  engine_.OnStaged(this, lsn);
  if (config_.max_age_ns > 0 && !expiry_.armed()) ArmExpiry();
}

void Stream::ApplyRollup(const Inbound& in, const Checked& checked, uint64_t keep) {
  if (checked.rollup == Checked::Rollup::kNone) return;
  StreamPurgeRequest purge;
  purge.keep = keep;
  if (checked.rollup == Checked::Rollup::kSubject) purge.filter = in.subject;
  Lsn lsn = 0;
  Purge(purge, &lsn);
}

void Stream::RepublishMessage(const Inbound& in, uint64_t seq, uint64_t last_of_subject) {
  const std::optional<std::string> to = republish_transform_->Match(in.subject, static_cast<uint32_t>(port().Random()));
  if (!to || !IsValidLiteral(*to)) return;
  std::string block(in.header);
  AddHeader(&block, kStreamHeader, config_.name);
  AddHeader(&block, kSubjectHeader, in.subject);
  AddHeader(&block, kSequenceHeader, Decimal(seq));
  AddHeader(&block, kTimeStampHeader, FormatGoTime(log_->state().last_time_ns));
  AddHeader(&block, kLastSequenceHeader, Decimal(last_of_subject));
  const bool bare = config_.republish->headers_only;
  if (bare) AddHeader(&block, kMsgSizeHeader, Decimal(in.body.size()));
  const auto header_bytes = static_cast<uint32_t>(block.size());
  if (!bare) block += in.body;
  engine_.SendWhenDurable(this, account(), *to, block, header_bytes);
}

void Stream::Answer(std::string_view reply, uint64_t seq, const Checked* checked, const ApiError* error) {
  if (reply.empty() || config_.no_ack) return;
  if (error != nullptr) return engine_.SendWhenDurable(this, account(), reply, PubAckErrorAnswer(*error, config_.name, seq), 0);
  char text[512];
  if (ack_prefix_.size() > sizeof text - 64) return;  // names have 255 bytes at most
  char* at = text + ack_prefix_.copy(text, ack_prefix_.size());
  at = std::to_chars(at, text + sizeof text, seq).ptr;
  if (checked != nullptr && checked->duplicate_of != 0) {
    constexpr std::string_view kDuplicate = ",\"duplicate\": true";
    at += kDuplicate.copy(at, kDuplicate.size());
  }
  *at++ = '}';
  engine_.SendWhenDurable(this, account(), reply, std::string_view(text, static_cast<size_t>(at - text)), 0);
}

}  // namespace millrace
