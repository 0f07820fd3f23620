// SPDX-License-Identifier: Apache-2.0
// StreamRecords: changes of a stream's messages as records of the journal, there and back.
// Owner:  caller (pure, but for the journal, which outlives all who write to it).
// Input:  of the readers is not trusted.
// Format: store/FORMAT.md.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "store/journal.h"
#include "store/stream_log.h"

namespace millrace {

// The body of a kAppend; the views are of it. False: it is none.
bool ReadAppend(std::string_view body, StoredMessage* message);
// The sequence that a kStreamSkip, kTrim or kPurge is about. False: there is none.
bool ReadSeq(std::string_view body, uint64_t* seq);

// The body of a kRemove of many messages: sequences one behind the other, each as the difference from the one before.
class RemovedSeqs {
 public:
  void Add(uint64_t seq);
  bool empty() const { return body_.empty(); }
  std::string_view body() const { return body_; }

 private:
  std::string body_;
  uint64_t before_ = 0;
};

// Calls visit for each sequence of a kRemove or kErase, of one message or of many.
void ForEachSeq(std::string_view body, absl::FunctionRef<void(uint64_t seq)> visit);

// One stream's changes, on their way into the journal: what each returns is the position that it will be durable at.
class StreamJournal {
 public:
  // nullptr: nothing is journalled.
  StreamJournal(Journal* journal, uint64_t uid) : journal_(journal), uid_(uid) {}

  bool none() const { return journal_ == nullptr; }
  Lsn Append(const StoredMessage& message);
  // kStreamSkip, kTrim, kPurge, and kRemove and kErase of one message.
  Lsn Seq(RecordKind kind, uint64_t seq);
  Lsn Remove(const RemovedSeqs& removed);

 private:
  Journal* const journal_;
  const uint64_t uid_;
};

}  // namespace millrace
