// SPDX-License-Identifier: Apache-2.0
// Fast batches: messages are stored as they come, without an answer each; the publisher learns now and then how far it
// is, and how often it will (spec J-3c, ADR-50). The reply of each message says what it is (fast_batch_reply.h).
#include <algorithm>

#include "broker/jetstream/api/message_headers.h"
#include "broker/jetstream/api/responses.h"
#include "broker/jetstream/api/versioning.h"
#include "broker/jetstream/stream/stream.h"
#include "proto/base/check.h"
#include "proto/headers.h"

namespace millrace {

void Stream::PublishFast(const Inbound& original) {
  Inbound in = original;
  const std::optional<FastBatchReply> message = ParseFastBatchReply(in.reply);
  FastBatch* batch = nullptr;
  if (std::optional<ApiError> error = CheckFast(in, message, &batch)) return Refuse(in.reply, *error);
  std::string without_level;
  if (FindHeader(in.header, kRequiredApiLevelHeader)) {
    without_level = in.header;
    RemoveHeader(&without_level, kRequiredApiLevelHeader);
    in.header = without_level;
  }
  batch->deadline = port().Now() + host_.options().batches.timeout;
  if (!batches().timer.armed()) port().timers().Arm(&batches().timer, batch->deadline);
  if (message->ping) return OnPing(in, *message, batch);

  if (message->seq != batch->last_seq + 1) {
    Send(in.reply, BatchFlowGap(batch->last_seq + 1, message->seq));
    // What is missing may be missing; what has been there before may not come again.
    if (!batch->gap_ok || message->seq <= batch->last_seq) return FinishFast(batch, in.reply);
  }
  if (message->commit_without) {
    // The message itself is not part of the batch; a gap before it is.
    batch->last_seq = message->seq - 1;
    batch->stored_seq = batch->last_seq;
    return FinishFast(batch, in.reply);
  }
  batch->last_seq = message->seq;
  if (message->seq == 1 && !message->commit && !config_.no_ack) Send(in.reply, BatchFlowAck(0, batch->flow));
  StoreFast(in, *message, batch);
}

std::optional<ApiError> Stream::CheckFast(const Inbound& in, const std::optional<FastBatchReply>& message,
                                          FastBatch** out) {
  if (config_.sealed) return MakeError(ApiErrorId::kStreamSealed);
  if (host_.storage().OutOfResources(config_.storage)) return MakeError(ApiErrorId::kInsufficientResources);
  if (std::optional<ApiError> error = CheckAccount(BytesOf(in))) return error;
  if (config_.max_msg_size >= 0 && in.header.size() + in.body.size() > static_cast<size_t>(config_.max_msg_size))
    return MakeError(ApiErrorId::kStreamMessageExceedsMaximum);
  if (!config_.allow_batched) return MakeError(ApiErrorId::kBatchPublishDisabled);
  if (!message) return MakeError(ApiErrorId::kBatchPublishInvalidPattern);
  if (message->id.size() > kBatchIdBytesMax) return MakeError(ApiErrorId::kBatchPublishInvalidBatchID);
  auto it = batches().fast.find(message->id);
  if (it == batches().fast.end()) {
    if (message->seq != 1 || message->ping) return MakeError(ApiErrorId::kBatchPublishUnknownBatchID);
    const BatchLimits& limits = host_.options().batches;
    BatchUse& use = host_.batch_use();
    if (batches().fast.size() >= limits.fast_per_stream || use.fast >= limits.fast_total)
      return MakeError(ApiErrorId::kBatchPublishTooManyInflight);
    auto made = std::make_unique<FastBatch>();
    made->id = message->id;
    made->gap_ok = message->gap_ok;
    made->flow_max = message->flow;
    made->SetFirstFlow(batches().fast.size() + 1);
    std::string id = made->id;
    it = batches().fast.emplace(std::move(id), std::move(made)).first;
    ++use.fast;
  }
  *out = it->second.get();
  const std::string_view level = FindHeader(in.header, kRequiredApiLevelHeader).value_or("");
  if (!level.empty() && RefusesRequiredLevel(level)) {
    batches().fast.erase(it);
    MR_DCHECK(host_.batch_use().fast > 0);
    --host_.batch_use().fast;
    return MakeError(ApiErrorId::kRequiredApiLevel);
  }
  return std::nullopt;
}

void Stream::StoreFast(const Inbound& original, const FastBatchReply& message, FastBatch* batch) {
  MR_DCHECK(batch->last_seq == message.seq && batch->stored_seq < message.seq);
  Inbound in = original;
  std::string transformed;
  if (Transform(in.subject, &transformed)) in.subject = transformed;
  Checked checked;
  checked.headers = ReadPublishHeaders(in.header);
  BatchChanges changes;
  std::optional<ApiError> error = CheckInBatch(&in, &checked, &changes);
  const std::string& expected_id = std::string(checked.headers.expected_last_msg_id);
  if (!error && !expected_id.empty() && expected_id != ids().last)
    error = MakeError(ApiErrorId::kStreamWrongLastMsgID, {{"id", ids().last}});
  uint64_t seq = 0;
  if (!error) error = Commit(&in, &checked, true, &seq);
  if (error) return OnFastError(in, message, batch, *error, checked.duplicate_of);
  batch->stream_seq = seq;
  batch->stored_seq = batch->last_seq;
  if (message.commit) return FinishFast(batch, in.reply);
  SendFlow(batch, in.reply);
}

// The message was not stored, since it was stored before (duplicate_of) or since something forbids it.
void Stream::OnFastError(const Inbound& in, const FastBatchReply& message, FastBatch* batch, const ApiError& error,
                         uint64_t duplicate_of) {
  const bool duplicate = Is(error, ApiErrorId::kAtomicPublishContainsDuplicateMessage);
  if (duplicate) {
    batch->stored_seq = message.seq;
    SendFlow(batch, in.reply);
    if (!message.commit) return;
  }
  // A batch that fails with its first message is answered like any publish.
  if (!message.gap_ok && batch->last_seq == 1) {
    if (duplicate) {
      AckExtra extra;
      extra.duplicate = true;
      extra.batch = batch->id;
      extra.count = message.seq;
      Send(in.reply, Ack(duplicate_of, extra));
    } else {
      Send(in.reply, PubAckErrorAnswer(error, config_.name, 0));
    }
    MR_DCHECK(host_.batch_use().fast > 0);
    batches().fast.erase(batches().fast.find(batch->id));
    --host_.batch_use().fast;
    return;
  }
  if (!duplicate) Send(in.reply, BatchFlowError(message.seq, error));
  if (message.gap_ok && !message.commit) return;
  MR_DCHECK(batch->last_seq == message.seq);
  if (!duplicate) batch->stored_seq = --batch->last_seq;
  FinishFast(batch, in.reply);
}

void Stream::OnPing(const Inbound& in, const FastBatchReply& message, FastBatch* batch) {
  if (message.seq > batch->last_seq) {
    Send(in.reply, BatchFlowGap(batch->last_seq + 1, message.seq + 1));
    if (!batch->gap_ok) return FinishFast(batch, in.reply);
    batch->last_seq = message.seq;
    batch->stored_seq = batch->last_seq;
    if (SendFlow(batch, in.reply)) return;
  }
  if (!in.reply.empty()) Send(in.reply, BatchFlowAck(batch->told_seq, batch->flow));
}

// The batch ends with what has been stored so far.
void Stream::FinishFast(FastBatch* batch, std::string_view reply) {
  AckExtra extra;
  extra.batch = batch->id;
  extra.count = batch->last_seq;
  MR_DCHECK(host_.batch_use().fast > 0 && batch->stored_seq <= batch->last_seq);
  Send(reply, Ack(batch->stream_seq, extra));
  batches().fast.erase(batches().fast.find(batch->id));
  --host_.batch_use().fast;
}

bool Stream::SendFlow(FastBatch* batch, std::string_view reply) {
  if (!batch->TakeFlow(batches().fast.size())) return false;
  Send(reply, BatchFlowAck(batch->told_seq, batch->flow));
  return true;
}

}  // namespace millrace
