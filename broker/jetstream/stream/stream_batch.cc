// SPDX-License-Identifier: Apache-2.0
// Atomic batches: messages are staged until one says Nats-Batch-Commit; then all are checked, and all are stored or
// none is (spec J-3b, ADR-50). What a commit changes is one unit of the journal, so that it is one after a crash as
// well.
#include <algorithm>
#include <charconv>

#include "broker/jetstream/api/advisories.h"
#include "broker/jetstream/api/message_headers.h"
#include "broker/jetstream/api/versioning.h"
#include "broker/jetstream/stream/stream.h"
#include "proto/base/check.h"
#include "proto/headers.h"

namespace millrace {
namespace {

constexpr Nanos kHeldRetry = std::chrono::milliseconds(1);

std::optional<uint64_t> ReadBatchSequence(std::string_view text) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

}  // namespace

void Stream::PublishAtomic(const Inbound& in, const PublishHeaders& h) {
  AtomicBatch* batch = nullptr;
  std::optional<ApiError> error = AddToBatch(in, h, &batch);
  if (!error && h.batch_commit.data() != nullptr) {
    error = CommitBatch(batch, in.reply, h.batch_commit == "eob");
  } else if (!error && !in.reply.empty() && !config_.no_ack) {
    Send(in.reply, {});  // taken, and that is all it says
  }
  if (error) Refuse(in.reply, *error);
}

std::optional<ApiError> Stream::AddToBatch(const Inbound& in, const PublishHeaders& h, AtomicBatch** out) {
  if (config_.sealed) return MakeError(ApiErrorId::kStreamSealed);
  if (host_.storage().OutOfResources(config_.storage)) return MakeError(ApiErrorId::kInsufficientResources);
  if (std::optional<ApiError> error = CheckAccount(BytesOf(in))) return error;
  if (config_.max_msg_size >= 0 && in.header.size() + in.body.size() > static_cast<size_t>(config_.max_msg_size))
    return MakeError(ApiErrorId::kStreamMessageExceedsMaximum);
  if (!config_.allow_atomic) return MakeError(ApiErrorId::kAtomicPublishDisabled);
  if (h.batch_id.size() > kBatchIdBytesMax) return MakeError(ApiErrorId::kAtomicPublishInvalidBatchID);
  const std::optional<uint64_t> seq = ReadBatchSequence(h.batch_sequence);
  if (!seq) return MakeError(ApiErrorId::kAtomicPublishMissingSeq);

  const BatchLimits& limits = host_.options().batches;
  BatchUse& use = host_.batch_use();
  const bool without_last = h.batch_commit == "eob";  // this message only ends the batch
  const uint64_t size = without_last ? *seq - 1 : *seq;
  const auto too_large = [&limits] {
    return MakeError(ApiErrorId::kAtomicPublishTooLargeBatch, {{"size", std::to_string(limits.messages)}});
  };
  auto it = batches().atomic.find(h.batch_id);
  if (it == batches().atomic.end()) {
    if (*seq != 1) {
      if (size > limits.messages) return too_large();
      return MakeError(ApiErrorId::kAtomicPublishIncompleteBatch);
    }
    if (batches().atomic.size() >= limits.atomic_per_stream || use.atomic >= limits.atomic_total)
      return MakeError(ApiErrorId::kAtomicPublishTooManyInflight);
    auto made = std::make_unique<AtomicBatch>();
    made->id = h.batch_id;
    std::string id = made->id;
    it = batches().atomic.emplace(std::move(id), std::move(made)).first;
    ++use.atomic;
  }
  AtomicBatch* batch = it->second.get();
  if (h.batch_commit.data() != nullptr && !without_last && h.batch_commit != "1") {
    Abandon(batch, {});
    return MakeError(ApiErrorId::kAtomicPublishInvalidBatchCommit);
  }
  if (!h.required_api_level.empty() && RefusesRequiredLevel(h.required_api_level)) {
    Abandon(batch, "unsupported");
    return MakeError(ApiErrorId::kRequiredApiLevel);
  }
  if (++batch->last_seq != *seq || (*seq == 1 && without_last)) {
    Abandon(batch, "incomplete");
    return MakeError(ApiErrorId::kAtomicPublishIncompleteBatch);
  }
  AtomicBatch::Staged staged{std::string(in.subject), std::string(in.header), std::string(in.body)};
  const uint64_t bytes = without_last ? 0 : staged.bytes();
  if (size > limits.messages || batch->bytes + bytes > limits.bytes || use.bytes + bytes > limits.bytes_total) {
    Abandon(batch, "large");
    return too_large();
  }
  if (!without_last) {
    RemoveHeader(&staged.header, kRequiredApiLevelHeader);
    batch->messages.push_back(std::move(staged));
    batch->bytes += bytes;
    use.bytes += bytes;
  }
  batch->deadline = port().Now() + limits.timeout;
  if (!batches().timer.armed()) port().timers().Arm(&batches().timer, batch->deadline);
  *out = batch;
  return std::nullopt;
}

std::optional<ApiError> Stream::CommitBatch(AtomicBatch* batch, std::string_view reply, bool without_last) {
  MR_DCHECK(!batch->messages.empty() && MayChange());
  std::vector<AtomicBatch::Staged> messages = std::move(batch->messages);
  const std::string id = batch->id;
  Abandon(batch, {});  // it is over either way
  BatchChanges changes;
  std::string transformed;
  for (AtomicBatch::Staged& message : messages) {
    Inbound in;
    if (Transform(message.subject, &transformed)) message.subject = transformed;
    in.subject = message.subject;
    in.header = message.header;
    in.body = message.body;
    Checked checked;
    checked.headers = ReadPublishHeaders(in.header);
    if (!checked.headers.expected_last_msg_id.empty()) {
      return MakeError(ApiErrorId::kAtomicPublishUnsupportedHeaderBatch,
                       {{"header", std::string(kExpectedLastMsgIdHeader)}});
    }
    if (std::optional<ApiError> error = CheckInBatch(&in, &checked, &changes)) return error;
    // What the checks have made of it.
    std::string header(in.header);
    std::string body(in.body);
    message.header = std::move(header);
    message.body = std::move(body);
  }
  // One message may exceed the server's limit, the last one here. What the stream's own limit makes room for counts.
  MR_DCHECK(changes.messages == messages.size() && changes.last_bytes <= changes.bytes);
  uint64_t before_last = changes.bytes - changes.last_bytes;
  if (config_.max_bytes > 0 && config_.discard == Discard::kOld) {
    const auto max = static_cast<uint64_t>(config_.max_bytes);
    before_last = std::min(before_last, max - std::min(max, log_->state().bytes));
  }
  if (host_.storage().OutOfResources(config_.storage, before_last))
    return MakeError(ApiErrorId::kInsufficientResources);
  if (std::optional<ApiError> error = CheckAccount(before_last + changes.last_bytes)) return error;
  // The last message says so, also where another has ended the batch.
  if (without_last) AddHeader(&messages.back().header, kBatchCommitHeader, "1");

  const LongTasks::Unpaused unpaused(host_.tasks());  // what is atomic ends in the turn in which it began
  const bool journalled = !log_->options().memory;
  if (journalled) host_.store().journal().BeginAtomic();
  uint64_t seq = 0;
  std::optional<ApiError> error;
  for (const AtomicBatch::Staged& message : messages) {
    Inbound in;
    in.subject = message.subject;
    in.header = message.header;
    in.body = message.body;
    Checked checked;
    checked.headers = ReadPublishHeaders(in.header);
    // All has been checked: this only finds out again what is to be rolled up.
    error = CheckRollup(in, &checked, nullptr);
    if (!error) error = Commit(&in, &checked, true, &seq);
    MR_CHECK(!error);
  }
  if (journalled) host_.store().journal().EndAtomic();
  AckExtra extra;
  extra.batch = id;
  extra.count = messages.size();
  Answer(reply, seq, extra);
  return std::nullopt;
}

// Forgets a batch, and tells why unless `reason` is empty.
void Stream::Abandon(AtomicBatch* batch, std::string_view reason) {
  BatchUse& use = host_.batch_use();
  MR_CHECK(use.atomic > 0 && use.bytes >= batch->bytes);
  --use.atomic;
  use.bytes -= batch->bytes;
  if (!reason.empty()) {
    BatchAbandonedAdvisory advisory;
    advisory.stream = config_.name;
    advisory.domain = domain();
    advisory.batch = batch->id;
    advisory.reason = reason;
    Advisory(AdvisorySubject(advisory), AdvisoryJson(AdvisoryHead{NewId(), port().WallNs()}, advisory));
  }
  const auto at = batches().atomic.find(batch->id);
  MR_CHECK(at != batches().atomic.end());
  batches().atomic.erase(at);
}

Stream::Batches& Stream::batches() {
  if (batches_ == nullptr) {
    batches_ = std::make_unique<Batches>();
    batches_->timer.Bind<&Stream::OnBatchTimeout>(this);
  }
  return *batches_;
}

void Stream::OnBatchTimeout() {
  const Nanos now = port().Now();
  if (held_) return port().timers().Arm(&batches().timer, now + kHeldRetry);
  std::vector<AtomicBatch*> late;
  for (const auto& [id, batch] : batches().atomic) {
    if (batch->deadline <= now) late.push_back(batch.get());
  }
  for (AtomicBatch* batch : late) Abandon(batch, "timeout");
  const size_t before = batches().fast.size();
  absl::erase_if(batches().fast, [now](const auto& item) { return item.second->deadline <= now; });
  MR_CHECK_OP(host_.batch_use().fast, >=, before - batches().fast.size());
  host_.batch_use().fast -= before - batches().fast.size();
  ArmBatchTimeout();
}

// One timer for all: a batch that goes on only moves its deadline, and is found when the timer looks.
void Stream::ArmBatchTimeout() {
  Nanos next = Nanos::max();
  for (const auto& [id, batch] : batches().atomic) next = std::min(next, batch->deadline);
  for (const auto& [id, batch] : batches().fast) next = std::min(next, batch->deadline);
  if (next != Nanos::max()) port().timers().Arm(&batches().timer, next);
}

void Stream::AddBatchUse(BatchUse* use) const {
  if (batches_ == nullptr) return;
  use->atomic += batches_->atomic.size();
  use->fast += batches_->fast.size();
  for (const auto& [id, batch] : batches_->atomic) use->bytes += batch->bytes;
}

void Stream::DropBatches() {
  if (batches_ == nullptr) return;
  while (!batches().atomic.empty()) Abandon(batches().atomic.begin()->second.get(), {});
  MR_CHECK_OP(host_.batch_use().fast, >=, batches().fast.size());
  host_.batch_use().fast -= batches().fast.size();
  batches().fast.clear();
}

}  // namespace millrace
