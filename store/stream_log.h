// SPDX-License-Identifier: Apache-2.0
// StreamLog: the messages of one stream in order of their sequences, with an index by subject.
// Owner:  shard.  It knows nothing of limits, retention, acknowledgements or clocks: who uses it decides what is
//         appended and removed, and asks the journal when a change is durable.
// Views:  what Load gives is valid until the next call that changes or loads anything of this shard's store.
// Cost:   Load of a recent or neighbouring message touches memory only; finding the next match of a filter costs what
//         is found, not what is skipped; memory follows the configured budget and the number of live subjects.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "proto/base/check.h"
#include "store/journal.h"
#include "store/pace.h"

namespace millrace {

struct StoredMessage {
  uint64_t seq = 0;
  int64_t time_ns = 0;  // wall clock
  std::string_view subject;
  std::string_view payload;  // header block, if any, and body
  uint32_t header_bytes = 0;

  std::string_view header() const { return payload.substr(0, header_bytes); }
  std::string_view body() const { return payload.substr(header_bytes); }
};

enum class LoadStatus : uint8_t {
  kFound,
  kAbsent,   // removed, or never was
  kPending,  // on its way from the disk: StreamLogListener::OnLoaded tells when to ask again
  kDamaged,  // its checksum fails: reported, quarantined, never served
};

// Counts as nats-server does (spec J-3g).
struct StreamLogState {
  uint64_t messages = 0;
  uint64_t bytes = 0;      // sum of MessageBytes over live messages
  uint64_t first_seq = 0;  // of the first live message; last_seq + 1 when there is none (0 while last_seq is 0)
  int64_t first_time_ns = 0;
  uint64_t last_seq = 0;
  int64_t last_time_ns = 0;
  uint64_t subjects = 0;  // with live messages
  // Sequences between first_seq and last_seq that are gone.
  uint64_t deleted() const { return messages == 0 ? 0 : last_seq - first_seq + 1 - messages; }
};

struct SubjectState {
  uint64_t messages = 0;
  uint64_t first_seq = 0;
  uint64_t last_seq = 0;
};

// What one message counts for in StreamLogState::bytes and max_bytes: as nats-server's file and memory stores count it.
uint64_t MessageBytes(bool memory, size_t subject_bytes, size_t header_bytes, size_t payload_bytes);

// A set of filters: a message matches when one of them does. Empty: everything matches. Filters do not overlap.
using Filters = std::vector<std::string>;

struct StreamLogOptions {
  bool memory = false;         // nothing of it reaches the disk
  bool compress = false;       // S2 blocks
  bool async = false;          // acknowledged before it is durable: Append returns 0
  uint32_t block_bytes = 256 * 1024;
};

class StreamLogListener {
 public:
  virtual ~StreamLogListener() = default;
  // A Load that said kPending may be asked again.
  virtual void OnLoaded() = 0;
  // Long work of the log's own. It is done at once, or when nobody else works with the log; it may be paused meanwhile.
  virtual void RunLong(std::function<void()> work) { work(); }
};

// Bytes of several logs, which may be a part of a larger sum.
struct BytesSum {
  void Add(uint64_t more) {
    for (BytesSum* at = this; at != nullptr; at = at->above) at->bytes += more;
  }
  // At most what is there.
  void Take(uint64_t less) {
    for (BytesSum* at = this; at != nullptr; at = at->above) {
      MR_DCHECK(at->bytes >= less);
      at->bytes -= less;
    }
  }

  uint64_t bytes = 0;
  BytesSum* above = nullptr;
};

class StreamLog {
 public:
  virtual ~StreamLog() = default;

  virtual uint64_t uid() const = 0;
  virtual const StreamLogState& state() const = 0;
  virtual const StreamLogOptions& options() const = 0;
  virtual void set_options(const StreamLogOptions& options) = 0;  // `memory` does not change
  virtual void set_listener(StreamLogListener* listener) = 0;
  // state().bytes is part of *sum from now on, at once whatever changes it, until another sum or nullptr is given.
  virtual void set_bytes_sum(BytesSum* sum) = 0;
  // Whoever may pause what takes long; the log is then in nobody else's hands until the call has returned.
  virtual void set_pace(Pace* pace) {}
  // The next Append has long work to do before it (making the index, sealing a run of it), which Prepare does instead.
  virtual bool NeedsPrepare() const { return false; }
  virtual void Prepare() {}
  // Finding messages in it may take long.
  virtual bool IsLarge() const { return false; }
  // Gives up what is in memory of a log that is about to be deleted; nothing but that may follow.
  virtual void Dissolve() {}

  // --- changes. Each returns the position to wait for, 0 when there is nothing to wait for.
  // message.seq is above state().last_seq; what lies between is absent for good.
  virtual Lsn Append(const StoredMessage& message) = 0;
  // Moves last_seq up to `seq` (first sequence of a new stream: seq - 1; mirrors: gaps at the origin).
  virtual Lsn SkipTo(uint64_t seq) = 0;
  enum class Erase : uint8_t { kNo, kYes };  // kYes: the bytes become unreadable (nats-server overwrites them)
  virtual Lsn Remove(uint64_t seq, Erase erase) = 0;  // no effect when absent
  virtual Lsn RemoveMany(const std::vector<uint64_t>& seqs) = 0;
  virtual Lsn TrimBelow(uint64_t seq) = 0;  // removes every message below; first_seq becomes at least `seq`
  // Removes everything; first_seq becomes last_seq + 1.
  virtual Lsn Purge() = 0;

  // --- reading
  virtual LoadStatus Load(uint64_t seq, StoredMessage* message) = 0;
  // The same, but waits for the disk instead of kPending: for the rare publish that depends on a message's content.
  virtual LoadStatus LoadNow(uint64_t seq, StoredMessage* message) { return Load(seq, message); }
  // The first live sequence >= from that matches, with the message when it is at hand at no extra cost. 0: none.
  virtual uint64_t Next(const Filters& filters, uint64_t from) = 0;
  // The last live sequence <= from that matches. 0: none.
  virtual uint64_t Previous(const Filters& filters, uint64_t from) = 0;
  // Live messages >= from that match; last_per_subject: only the last one of each subject counts.
  virtual uint64_t Count(const Filters& filters, uint64_t from, bool last_per_subject) = 0;
  virtual std::optional<SubjectState> FindSubject(std::string_view subject) = 0;
  // Subjects with live messages that match, in no particular order. visit returns false to stop.
  virtual void ForEachSubject(const Filters& filters,
                              const std::function<bool(std::string_view subject, const SubjectState&)>& visit) = 0;
  // The last sequence <= up_to (0: no bound) of each matching subject, ascending. At most max + 1 are returned.
  virtual std::vector<uint64_t> LastPerSubject(const Filters& filters, uint64_t up_to, size_t max) = 0;
  // Of every subject all messages but its last `keep`, ascending.
  virtual std::vector<uint64_t> OlderThanLast(uint64_t keep) = 0;
  // What is below must go in order that no more than so many messages and bytes are left.
  virtual uint64_t FirstWithin(uint64_t messages, uint64_t bytes) = 0;
  // The first live sequence whose time is >= time_ns; last_seq + 1 when there is none.
  virtual uint64_t FirstAtOrAfter(int64_t time_ns) = 0;
  // Sequences between first_seq and last_seq that are gone, ascending, at most `max`.
  virtual std::vector<uint64_t> Deleted(size_t max) = 0;
};

}  // namespace millrace
