// SPDX-License-Identifier: Apache-2.0
#include "store/segment/stream_records.h"

#include "store/varint.h"

namespace millrace {

Lsn StreamJournal::Append(const StoredMessage& message) {
  if (none()) return 0;
  char head[4 * kVarintBytesMax];
  char* end = PutVarint(head, message.seq);
  end = PutVarint(end, ZigZag(message.time_ns));
  end = PutVarint(end, message.header_bytes);
  end = PutVarint(end, message.subject.size());
  return journal_->Append(RecordKind::kAppend, uid_,
                          {{head, static_cast<size_t>(end - head)}, message.subject, message.payload});
}

bool ReadAppend(std::string_view body, StoredMessage* message) {
  uint64_t time = 0;
  uint64_t header_bytes = 0;
  uint64_t subject_bytes = 0;
  if (!TakeVarint(&body, &message->seq) || message->seq == 0 || !TakeVarint(&body, &time) ||
      !TakeVarint(&body, &header_bytes) || !TakeVarint(&body, &subject_bytes)) {
    return false;
  }
  if (subject_bytes > body.size() || header_bytes > body.size() - subject_bytes) return false;
  message->time_ns = UnZigZag(time);
  message->subject = body.substr(0, subject_bytes);
  message->payload = body.substr(subject_bytes);
  message->header_bytes = static_cast<uint32_t>(header_bytes);
  return true;
}

Lsn StreamJournal::Seq(RecordKind kind, uint64_t seq) {
  if (none()) return 0;
  char body[kVarintBytesMax];
  const auto size = static_cast<size_t>(PutVarint(body, seq) - body);
  return journal_->Append(kind, uid_, {{body, size}});
}

Lsn StreamJournal::Remove(const RemovedSeqs& removed) {
  if (none() || removed.empty()) return 0;
  return journal_->Append(RecordKind::kRemove, uid_, {removed.body()});
}

bool ReadSeq(std::string_view body, uint64_t* seq) { return TakeVarint(&body, seq) && *seq != 0; }

void RemovedSeqs::Add(uint64_t seq) {
  AppendVarint(&body_, body_.empty() ? seq : ZigZag(static_cast<int64_t>(seq - before_)));
  before_ = seq;
}

void ForEachSeq(std::string_view body, absl::FunctionRef<void(uint64_t seq)> visit) {
  uint64_t seq = 0;
  if (!TakeVarint(&body, &seq) || seq == 0) return;
  visit(seq);
  uint64_t step = 0;
  while (TakeVarint(&body, &step)) {
    seq += static_cast<uint64_t>(UnZigZag(step));
    visit(seq);
  }
}

}  // namespace millrace
