// SPDX-License-Identifier: Apache-2.0
#include "broker/route/message_codec.h"

#include <algorithm>
#include <bit>

#include "proto/base/bytes.h"
#include "proto/encoder.h"

namespace millrace {
namespace {

// Group names that one record holds; a record may take half a ring at most (shard_thread.cc, RingBytes).
constexpr size_t kRecordGroupBytes = 16 * 1024;
constexpr size_t kRunRecordBytes = 16 * 1024;  // in one record when it holds more than one message

// {u32 length, bytes}
size_t CountedBytes(std::string_view text) { return sizeof(uint32_t) + text.size(); }

char* AppendCounted(char* at, std::string_view text) {
  return AppendBytes(Store(at, static_cast<uint32_t>(text.size())), text);
}

std::string_view TakeCounted(const char** at) {
  const auto length = Load<uint32_t>(*at);
  const std::string_view text{*at + sizeof length, length};
  *at += sizeof length + length;
  return text;
}

std::string_view Take(const char** at, size_t bytes) {
  const std::string_view text{*at, bytes};
  *at += bytes;
  return text;
}

uint8_t FlagsOf(const Message& message, const RemoteDelivery& delivery, bool by_reference, bool elsewhere) {
  int flags = 0;
  if (delivery.to_plain) flags |= kToPlain;
  if (by_reference) flags |= kByReference;
  if (delivery.report_undelivered) flags |= kReportUndelivered;
  if (elsewhere) flags |= kDeliverTo;
  if (message.by_service) flags |= kByService;
  if (message.trace != nullptr) flags |= kTraced | (message.trace->only ? kTraceOnly : 0);
  return static_cast<uint8_t>(flags);
}

void SendRecord(MeshPort* mesh, uint32_t target, const Message& message, const RemoteDelivery& delivery,
                uint64_t inline_bytes_max, SharedPayload** shared) {
  const bool by_reference = message.payload.size() > inline_bytes_max;
  if (by_reference) {
    if (*shared == nullptr) *shared = SharedPayload::Create(mesh->self(), message.payload);
    ++(*shared)->references;
  }
  const bool elsewhere = !message.deliver_to.empty() && message.deliver_to != message.subject;
  MessageMail mail{};
  mail.origin = message.origin_id;
  mail.account = message.account;
  mail.header_bytes = message.header_bytes;
  mail.payload_bytes = static_cast<uint32_t>(message.payload.size());
  mail.subject_bytes = static_cast<uint32_t>(message.subject.size());
  mail.reply_bytes = static_cast<uint32_t>(message.reply.size());
  mail.group_count = static_cast<uint16_t>(delivery.groups.size());
  mail.flags = FlagsOf(message, delivery, by_reference, elsewhere);
  if (message.trace != nullptr) {
    mail.trace_id = message.trace->id;
    ++message.trace->reports_missing;
  }
  mail.hops = delivery.hops;
  mail.header_zeros = message.header_zeros;
  mail.size_zeros = message.size_zeros;
  size_t bytes = sizeof mail + message.subject.size() + message.reply.size();
  bytes += by_reference ? sizeof(SharedPayload*) : message.payload.size();
  if (elsewhere) bytes += CountedBytes(message.deliver_to);
  for (const std::string_view group : delivery.groups) bytes += CountedBytes(group);
  char* at = mesh->Append(target, MailKind::kMessage, bytes);
  [[maybe_unused]] const char* const end = at + bytes;
  at = Store(at, mail);
  if (elsewhere) at = AppendCounted(at, message.deliver_to);
  if (by_reference) at = Store(at, *shared);
  at = AppendBytes(at, message.subject);
  at = AppendBytes(at, message.reply);
  if (!by_reference) at = AppendBytes(at, message.payload);
  for (const std::string_view group : delivery.groups) at = AppendCounted(at, group);
  MR_DCHECK(at == end);
}

// Bytes of a message in a record whose first one is `begin`.
size_t RunPartBytes(const MessageRun& run, uint32_t index, uint32_t begin) {
  const RunMessage& message = run[index];
  const bool same = index > begin && (!run.mixed() || message.subject == run[index - 1].subject);
  return sizeof(MessageRunPart) + message.tail.size() + (same ? 0 : message.subject.size());
}

void SendRunRecord(MeshPort* mesh, uint32_t target, const MessageRun& run, uint32_t begin, uint32_t end,
                   size_t bytes) {
  const MessageRunMail mail{run.common().origin_id, run.common().account, end - begin, 0};
  char* at = Store(mesh->Append(target, MailKind::kMessageRun, sizeof mail + bytes), mail);
  char* text = at + (end - begin) * sizeof(MessageRunPart);
  for (uint32_t i = begin; i < end; ++i) {
    const RunMessage& message = run[i];
    const size_t tail_bytes = message.tail.size();
    const size_t subject_bytes = RunPartBytes(run, i, begin) - sizeof(MessageRunPart) - tail_bytes;
    at = Store(at, MessageRunPart{static_cast<uint32_t>(subject_bytes), static_cast<uint32_t>(tail_bytes),
                                  message.payload_bytes, message.header_bytes});
    text = AppendBytes(AppendBytes(text, message.subject.substr(0, subject_bytes)), message.tail);
  }
  MR_DCHECK(text == at - (end - begin) * sizeof(MessageRunPart) + bytes);
}

}  // namespace

// ---- kMessage ------------------------------------------------------------------------------------------------------

void SendMessage(MeshPort* mesh, uint32_t target, const Message& message, RemoteDelivery delivery,
                 uint64_t inline_bytes_max, SharedPayload** shared) {
  MR_DCHECK(delivery.to_plain || !delivery.groups.empty());  // a record for nobody
  std::span<const std::string_view> groups = delivery.groups;
  const bool report = delivery.report_undelivered;
  do {
    size_t count = 0;
    for (size_t bytes = 0; count < groups.size() && bytes < kRecordGroupBytes; ++count) {
      bytes += CountedBytes(groups[count]);
    }
    delivery.groups = groups.first(count);
    delivery.report_undelivered = report && count == groups.size();
    SendRecord(mesh, target, message, delivery, inline_bytes_max, shared);
    groups = groups.subspan(count);
    delivery.to_plain = false;
  } while (!groups.empty());
}

bool GroupNames::Next(std::string_view* name) {
  if (left_ == 0) return false;
  --left_;
  *name = TakeCounted(&at_);
  return true;
}

MessageRecord::MessageRecord(const char* body) {
  const auto mail = Load<MessageMail>(body);
  MR_DCHECK(mail.header_bytes <= mail.payload_bytes);
  const char* at = body + sizeof mail;
  if ((mail.flags & kDeliverTo) != 0) message.deliver_to = TakeCounted(&at);
  if ((mail.flags & kByReference) != 0) {
    shared = Load<SharedPayload*>(at);
    at += sizeof shared;
  }
  message.account = mail.account;
  message.subject = Take(&at, mail.subject_bytes);
  message.reply = Take(&at, mail.reply_bytes);
  message.payload = shared != nullptr ? shared->view() : Take(&at, mail.payload_bytes);
  MR_DCHECK(message.payload.size() == mail.payload_bytes);
  message.header_bytes = mail.header_bytes;
  message.header_zeros = mail.header_zeros;
  message.size_zeros = mail.size_zeros;
  message.origin_id = mail.origin;
  to_plain = (mail.flags & kToPlain) != 0;
  groups = GroupNames(at, mail.group_count);
  hops = mail.hops;
  report_undelivered = (mail.flags & kReportUndelivered) != 0;
  message.by_service = (mail.flags & kByService) != 0;
  traced = (mail.flags & kTraced) != 0;
  trace_only = (mail.flags & kTraceOnly) != 0;
  trace_id = mail.trace_id;
}

// ---- kMessageRun ---------------------------------------------------------------------------------------------------

void SendRun(MeshPort* mesh, const MessageRun& run, uint64_t inline_bytes_max) {
  const size_t room = std::min(kRunRecordBytes, mesh->body_bytes_max() - sizeof(MessageRunMail) - kMailAlignment);
  for (uint32_t begin = 0; begin < run.size();) {
    uint32_t end = begin;
    size_t bytes = 0;
    for (; end < run.size() && run[end].payload_bytes <= inline_bytes_max; ++end) {
      const size_t more = RunPartBytes(run, end, begin);
      if (end > begin && bytes + more > room) break;
      bytes += more;
    }
    SharedPayload* shared = nullptr;
    for (ShardSet rest = run.remote(); rest != 0; rest &= rest - 1) {
      const auto target = static_cast<uint32_t>(std::countr_zero(rest));
      MR_DCHECK(target < mesh->shards() && target != mesh->self());
      if (end > begin) {
        SendRunRecord(mesh, target, run, begin, end, bytes);
      } else {
        SendMessage(mesh, target, run.At(begin), {.to_plain = true}, inline_bytes_max, &shared);
      }
    }
    begin = std::max(end, begin + 1);
  }
}

RunRecord::RunRecord(const char* body) : count_(Load<MessageRunMail>(body).count), left_(count_) {
  const auto mail = Load<MessageRunMail>(body);
  common_.account = mail.account;
  common_.origin_id = mail.origin;
  part_at_ = body + sizeof mail;
  text_ = part_at_ + mail.count * sizeof(MessageRunPart);
}

bool RunRecord::Next(Part* part) {
  if (left_ == 0) return false;
  const auto head = Load<MessageRunPart>(part_at_);
  MR_DCHECK(left_ < count_ || head.subject_bytes > 0);
  --left_;
  part_at_ += sizeof head;
  part->new_subject = head.subject_bytes > 0;
  if (part->new_subject) common_.subject = Take(&text_, head.subject_bytes);
  part->tail = Take(&text_, head.tail_bytes);
  part->payload_bytes = head.payload_bytes;
  part->header_bytes = head.header_bytes;
  return true;
}

// ---- the rest ------------------------------------------------------------------------------------------------------

void SendPayloadHome(MeshPort* mesh, SharedPayload* shared) {
  Store(mesh->Append(shared->owner, MailKind::kPayloadHome, sizeof shared), shared);
}

SharedPayload* ReadPayloadHome(const char* body) { return Load<SharedPayload*>(body); }

void AnnounceInterest(MeshPort* mesh, const InterestMail& change, std::string_view filter, std::string_view queue) {
  InterestMail mail = change;
  mail.filter_bytes = static_cast<uint32_t>(filter.size());
  mail.queue_bytes = static_cast<uint32_t>(queue.size());
  for (uint32_t target = 0; target < mesh->shards(); ++target) {
    if (target == mesh->self()) continue;
    char* at = mesh->Append(target, MailKind::kInterest, sizeof mail + filter.size() + queue.size());
    AppendBytes(AppendBytes(Store(at, mail), filter), queue);
  }
}

InterestRecord::InterestRecord(const char* body) : change(Load<InterestMail>(body)) {
  const char* at = body + sizeof change;
  filter = Take(&at, change.filter_bytes);
  queue = Take(&at, change.queue_bytes);
}

void SendUndelivered(MeshPort* mesh, const ConnectionId& origin, const Message& message) {
  const UndeliveredMail mail{origin, message.account, static_cast<uint32_t>(message.subject.size()),
                             static_cast<uint32_t>(message.reply.size())};
  const size_t bytes = sizeof mail + message.subject.size() + message.reply.size();
  char* at = Store(mesh->Append(origin.shard, MailKind::kUndelivered, bytes), mail);
  AppendBytes(AppendBytes(at, message.subject), message.reply);
}

UndeliveredRecord::UndeliveredRecord(const char* body) {
  const auto mail = Load<UndeliveredMail>(body);
  const char* at = body + sizeof mail;
  origin = mail.origin;
  subject = Take(&at, mail.subject_bytes);
  reply = Take(&at, mail.reply_bytes);
}

void SendStall(MeshPort* mesh, const ConnectionId& origin) {
  const StallMail mail{origin};
  Store(mesh->Append(origin.shard, MailKind::kStall, sizeof mail), mail);
}

ConnectionId ReadStall(const char* body) { return Load<StallMail>(body).origin; }

void SendTraceReport(MeshPort* mesh, std::unique_ptr<TraceReport> report) {
  const uint32_t target = report->origin.shard;
  Store(mesh->Append(target, MailKind::kTraceReport, sizeof(TraceReport*)), report.release());
}

std::unique_ptr<TraceReport> ReadTraceReport(const char* body) {
  return std::unique_ptr<TraceReport>(Load<TraceReport*>(body));
}

}  // namespace millrace
