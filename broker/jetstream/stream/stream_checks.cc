// SPDX-License-Identifier: Apache-2.0
// What a message must fulfil to be stored, in the peer's order (spec 5m, Publish).
#include <algorithm>

#include "absl/strings/str_format.h"
#include "broker/jetstream/api/message_headers.h"
#include "broker/jetstream/stream/decimal.h"
#include "broker/jetstream/stream/stream.h"
#include "proto/base/check.h"
#include "proto/headers.h"
#include "proto/quoted.h"
#include "proto/subject.h"

namespace millrace {
namespace {

constexpr size_t kHeaderBytesMax = 65535;

std::string Lowercase(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  }
  return lower;
}

}  // namespace

std::optional<ApiError> Stream::Check(Inbound* in, Checked* checked) {
  if (config_.sealed) return MakeError(ApiErrorId::kStreamSealed);
  if (std::optional<ApiError> error = CheckSize(*in)) return error;
  if (!in->header.empty()) {
    if (std::optional<ApiError> error = CheckHeaders(in, checked)) return error;
    if (checked->duplicate_of != 0) return std::nullopt;
  }
  if (std::optional<ApiError> error = Count(in, checked, nullptr)) return error;
  // The checks may have made the message larger.
  if (std::optional<ApiError> error = CheckSize(*in)) return error;
  // What makes room may come in: without its marker no message would expire.
  const bool shrinks = in->in_place_of > 0 && in->in_place_of >= BytesOf(*in) && host_.store().accepting();
  if (shrinks) return std::nullopt;
  if (host_.storage().OutOfResources(config_.storage)) return MakeError(ApiErrorId::kInsufficientResources);
  return CheckAccount(BytesOf(*in));
}

std::optional<ApiError> Stream::CheckAccount(uint64_t bytes) {
  if (!owner_.WouldExceed(config_.storage, bytes)) [[likely]]
    return std::nullopt;
  const bool memory = config_.storage == Storage::kMemory;
  port().log().WarnLimited(absl::StrFormat("JetStream %s resource limits exceeded for account: %s",
                                           memory ? "memory" : "file", Quoted(owner_.name())));
  return MakeError(owner_.LimitsFor(1) == nullptr ? ApiErrorId::kNoLimits : ApiErrorId::kAccountResourcesExceeded);
}

std::optional<ApiError> Stream::CheckSize(const Inbound& in) const {
  if (config_.max_msg_size >= 0 && in.header.size() + in.body.size() > static_cast<size_t>(config_.max_msg_size))
    return MakeError(ApiErrorId::kStreamMessageExceedsMaximum);
  if (in.header.size() > kHeaderBytesMax) return MakeError(ApiErrorId::kStreamHeaderExceedsMaximum);
  return std::nullopt;
}

std::optional<ApiError> Stream::CheckHeaders(Inbound* in, Checked* checked) {
  MR_DCHECK(!in->header.empty() && checked->duplicate_of == 0);
  const PublishHeaders h = checked->headers;
  if (std::optional<ApiError> error = CheckIncrement(*in, h)) return error;
  if (!h.expected_stream.empty() && h.expected_stream != config_.name) return MakeError(ApiErrorId::kStreamNotMatch);
  if (!in->sourced && !config_.allow_msg_ttl && !h.ttl.empty() && ParseMessageTtl(h.ttl).value_or(0) != 0)
    return MakeError(ApiErrorId::kMessageTTLDisabled);
  if (std::optional<ApiError> error = CheckExpected(*in, h)) return error;
  if (std::optional<ApiError> error = CheckSchedule(in, checked, nullptr)) return error;
  if (!in->sourced && !h.stream_source.empty()) return MakeError(ApiErrorId::kMessageSourceHdrNotAllowed);
  if (!h.msg_id.empty() && !config_.mirror) {
    checked->duplicate_of = ids().Find(h.msg_id);
    if (checked->duplicate_of != 0) return std::nullopt;
  }
  if (!h.expected_last_msg_id.empty() && h.expected_last_msg_id != ids().last)
    return MakeError(ApiErrorId::kStreamWrongLastMsgID, {{"id", ids().last}});
  return CheckRollup(*in, checked, nullptr);
}

std::optional<ApiError> Stream::CheckIncrement(const Inbound& in, const PublishHeaders& h) const {
  if (h.increment.empty()) return std::nullopt;
  if (!Decimal::Parse(h.increment)) return MakeError(ApiErrorId::kMessageIncrInvalid);
  if (in.sourced) return std::nullopt;
  if (!config_.allow_msg_counter) return MakeError(ApiErrorId::kMessageIncrDisabled);
  if (!in.body.empty()) return MakeError(ApiErrorId::kMessageIncrPayload);
  for (const std::string_view other : {h.rollup, h.expected_stream, h.expected_last_msg_id, h.expected_subject_seq_from,
                                       h.expected_last_seq, h.expected_subject_seq}) {
    if (!other.empty()) return MakeError(ApiErrorId::kMessageIncrInvalid);
  }
  return std::nullopt;
}

// The subject may be one with wildcards: the last of all that it takes.
uint64_t Stream::LastSequenceOf(std::string_view subject) {
  if (!IsLiteral(subject)) return log_->Previous({std::string(subject)}, log_->state().last_seq);
  const std::optional<SubjectState> state = log_->FindSubject(subject);
  return state ? state->last_seq : 0;
}

// Optimistic concurrency (spec J-22).
std::optional<ApiError> Stream::CheckExpected(const Inbound& in, const PublishHeaders& h) {
  if (const std::optional<uint64_t> expected = ReadSequence(h.expected_subject_seq)) {
    const std::string_view of = h.expected_subject_seq_from.empty() ? in.subject : h.expected_subject_seq_from;
    const uint64_t last = LastSequenceOf(of);
    if (last != *expected) return MakeError(ApiErrorId::kStreamWrongLastSequence, {{"seq", std::to_string(last)}});
  } else if (!h.expected_subject_seq_from.empty()) {
    return MakeError(ApiErrorId::kStreamExpectedLastSeqPerSubjectInvalid);
  }
  const uint64_t last = log_->state().last_seq;
  const std::optional<uint64_t> expected = ReadSequence(h.expected_last_seq);
  if (expected && *expected != last)
    return MakeError(ApiErrorId::kStreamWrongLastSequence, {{"seq", std::to_string(last)}});
  return std::nullopt;
}

std::optional<ApiError> Stream::CheckRollup(const Inbound& in, Checked* checked, const BatchChanges* batch) const {
  if (checked->headers.rollup.empty()) return std::nullopt;
  const auto refuse = [](std::string_view why) { return MakeErrorText(ApiErrorId::kStreamRollupFailedF, why); };
  if ((!config_.allow_rollup_hdrs || config_.deny_purge) && !in.sourced) return refuse("rollup not permitted");
  const std::string rollup = Lowercase(checked->headers.rollup);
  if (rollup == "sub") {
    if (batch != nullptr && batch->Writes(in.subject)) return refuse("batch rollup sub invalid");
    checked->rollup = Checked::Rollup::kSubject;
  } else if (rollup == "all") {
    if (batch != nullptr && batch->messages > 0) return refuse("batch rollup all invalid");
    checked->rollup = Checked::Rollup::kAll;
  } else {
    return refuse(absl::StrFormat("rollup value invalid: \"%s\"", rollup));
  }
  return std::nullopt;
}

// Makes an increment into the counter's new value.
std::optional<ApiError> Stream::Count(Inbound* in, Checked* checked, BatchChanges* batch) {
  if (!config_.allow_msg_counter) return std::nullopt;
  MR_DCHECK(checked->counter.empty());  // once a message
  const PublishHeaders& h = checked->headers;
  if (h.increment.empty()) return MakeError(ApiErrorId::kMessageIncrMissing);
  CounterBefore before;
  StoredMessage last;
  const CounterResult* counted = nullptr;
  if (batch != nullptr) {
    if (const auto it = batch->counters.find(in->subject); it != batch->counters.end()) counted = &it->second;
  }
  if (counted != nullptr) {
    before = CounterBefore{true, counted->header, counted->body};
  } else if (const uint64_t seq = LastSequenceOf(in->subject); seq != 0) {
    if (log_->LoadNow(seq, &last) != LoadStatus::kFound) return MakeError(ApiErrorId::kMessageCounterBroken);
    before = CounterBefore{true, last.header(), last.body()};
  }
  std::optional<CounterResult> result =
      ApplyIncrement(before, in->subject, h.increment, h.stream_source, in->header, in->body);
  if (!result) return MakeError(ApiErrorId::kMessageCounterBroken);
  if (result->header.size() + result->body.size() > host_.options().max_payload)
    return MakeError(ApiErrorId::kStreamMessageExceedsMaximum);
  if (batch != nullptr) batch->counters[std::string(in->subject)] = *result;
  Rewrite(in, checked, std::move(result->header));
  checked->body_text = std::move(result->body);
  checked->counter = std::move(result->value);
  in->body = checked->body_text;
  return std::nullopt;
}

void Stream::Rewrite(Inbound* in, Checked* checked, std::string header) {
  checked->header_text = std::move(header);
  in->header = checked->header_text;
  checked->headers = ReadPublishHeaders(in->header);
}

// Limits that refuse the new message instead of dropping old ones (spec J-16).
std::optional<ApiError> Stream::CheckDiscardNew(const Inbound& in) {
  if (config_.discard != Discard::kNew || in.in_place_of > 0) return std::nullopt;
  const auto refuse = [](std::string_view why) { return MakeErrorText(ApiErrorId::kStreamStoreFailedF, why); };
  bool subject_full = false;
  uint64_t first_of_subject = 0;
  if (config_.max_msgs_per_subject > 0) {
    if (const std::optional<SubjectState> state = log_->FindSubject(in.subject)) {
      subject_full = state->messages >= static_cast<uint64_t>(config_.max_msgs_per_subject);
      first_of_subject = state->first_seq;
    }
    // A rollup makes room once it is stored.
    if (subject_full && config_.discard_new_per_subject && !FindHeader(in.header, kRollupHeader))
      return refuse("maximum messages per subject exceeded");
  }
  const StreamLogState& state = log_->state();
  if (config_.max_msgs > 0 && state.messages >= static_cast<uint64_t>(config_.max_msgs) && !subject_full)
    return refuse("maximum messages exceeded");
  if (config_.max_bytes > 0) {
    const bool memory = config_.storage == Storage::kMemory;
    const uint64_t bytes = BytesOf(in);
    if (state.bytes + bytes > static_cast<uint64_t>(config_.max_bytes)) {
      if (!subject_full) return refuse("maximum bytes exceeded");
      // The subject's oldest message goes; is the room that it leaves enough?
      StoredMessage oldest;
      if (log_->LoadNow(first_of_subject, &oldest) != LoadStatus::kFound ||
          MessageBytes(memory, oldest.subject.size(), oldest.header_bytes, oldest.payload.size()) < bytes) {
        return refuse("maximum bytes exceeded");
      }
    }
  }
  return std::nullopt;
}

}  // namespace millrace
