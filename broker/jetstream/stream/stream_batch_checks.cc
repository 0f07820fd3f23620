// SPDX-License-Identifier: Apache-2.0
// What a message of a batch must fulfil. The peer checks those before it stores any, in an order of its own, and
// against what the batch will have changed.
#include <algorithm>

#include "broker/jetstream/api/message_headers.h"
#include "broker/jetstream/stream/stream.h"
#include "proto/base/check.h"
#include "proto/headers.h"

namespace millrace {
namespace {

constexpr size_t kHeaderBytesMax = 65535;

}  // namespace

std::optional<ApiError> Stream::CheckInBatch(Inbound* in, Checked* checked, BatchChanges* batch) {
  if (in->header.size() > kHeaderBytesMax) return MakeError(ApiErrorId::kStreamHeaderExceedsMaximum);
  if (!in->header.empty()) {
    const PublishHeaders& h = checked->headers;
    if (std::optional<ApiError> error = CheckIncrement(*in, h)) return error;
    if (!h.expected_stream.empty() && h.expected_stream != config_.name) return MakeError(ApiErrorId::kStreamNotMatch);
    if (!h.ttl.empty()) {
      const std::optional<int64_t> ttl = ParseMessageTtl(h.ttl);
      if (!config_.allow_msg_ttl && (!ttl || *ttl != 0)) return MakeError(ApiErrorId::kMessageTTLDisabled);
      if (!ttl) return MakeError(ApiErrorId::kMessageTTLInvalid);
    }
    if (!h.msg_id.empty()) {
      checked->duplicate_of = ids().Find(h.msg_id);
      if (!batch->ids.insert(std::string(h.msg_id)).second || checked->duplicate_of != 0)
        return MakeError(ApiErrorId::kAtomicPublishContainsDuplicateMessage);
    }
    if (!h.stream_source.empty()) return MakeError(ApiErrorId::kMessageSourceHdrNotAllowed);
  }
  if (std::optional<ApiError> error = Count(in, checked, batch)) return error;
  if (config_.allow_msg_counter && CheckSize(*in)) return MakeError(ApiErrorId::kStreamMessageExceedsMaximum);
  if (!in->header.empty()) {
    if (std::optional<ApiError> error = CheckExpectedInBatch(*in, checked->headers, batch)) return error;
    if (std::optional<ApiError> error = CheckSchedule(in, checked, batch)) return error;
    if (std::optional<ApiError> error = CheckRollup(*in, checked, batch)) return error;
  }
  ++batch->messages;
  batch->last_bytes = BytesOf(*in);
  batch->bytes += batch->last_bytes;
  BatchChanges::Subject& subject = batch->subjects[std::string(in->subject)];
  ++subject.messages;
  MR_DCHECK(subject.messages <= batch->messages && batch->subjects.size() <= batch->messages);
  subject.schedule = !checked->headers.schedule.empty();
  return CheckDiscardNewInBatch(*in, checked->headers, *batch);
}

std::optional<ApiError> Stream::CheckExpectedInBatch(const Inbound& in, const PublishHeaders& h, BatchChanges* batch) {
  const auto wrong = [](uint64_t seq) {
    return MakeError(ApiErrorId::kStreamWrongLastSequence, {{"seq", std::to_string(seq)}});
  };
  if (const std::optional<uint64_t> expected = ReadSequence(h.expected_last_seq)) {
    const uint64_t last = log_->state().last_seq + batch->messages;
    if (*expected != last) return wrong(last);
    // Only the first message of a batch may ask for it.
    if (batch->messages > 0) return MakeError(ApiErrorId::kStreamWrongLastSequenceConstant);
  }
  const std::optional<uint64_t> expected = ReadSequence(h.expected_subject_seq);
  if (!expected) {
    if (h.expected_subject_seq_from.empty()) return std::nullopt;
    return MakeError(ApiErrorId::kStreamExpectedLastSeqPerSubjectInvalid);
  }
  const std::string_view subject = h.expected_subject_seq_from.empty() ? in.subject : h.expected_subject_seq_from;
  if (batch->Writes(subject)) return MakeError(ApiErrorId::kStreamWrongLastSequenceConstant);
  const auto checked = batch->expected.find(subject);
  const uint64_t last = checked != batch->expected.end() ? checked->second : LastSequenceOf(subject);
  if (last != *expected) return wrong(last);
  batch->expected.emplace(std::string(subject), last);
  return std::nullopt;
}

// `batch` counts the message already.
std::optional<ApiError> Stream::CheckDiscardNewInBatch(const Inbound& in, const PublishHeaders& h,
                                                       const BatchChanges& batch) {
  MR_DCHECK(batch.messages > 0 && batch.Writes(in.subject));
  if (config_.discard != Discard::kNew) return std::nullopt;
  const auto refuse = [](std::string_view why) { return MakeErrorText(ApiErrorId::kStreamStoreFailedF, why); };
  const StreamLogState& state = log_->state();
  if (config_.max_msgs > 0 && state.messages + batch.messages > static_cast<uint64_t>(config_.max_msgs))
    return refuse("maximum messages exceeded");
  if (config_.max_bytes > 0 && state.bytes + batch.bytes > static_cast<uint64_t>(config_.max_bytes))
    return refuse("maximum bytes exceeded");
  if (config_.discard_new_per_subject && config_.max_msgs_per_subject > 0 && h.rollup.empty()) {
    const std::optional<SubjectState> subject = log_->FindSubject(in.subject);
    const uint64_t messages = (subject ? subject->messages : 0) + batch.subjects.find(in.subject)->second.messages;
    if (messages > static_cast<uint64_t>(config_.max_msgs_per_subject))
      return refuse("maximum messages per subject exceeded");
  }
  return std::nullopt;
}

}  // namespace millrace
