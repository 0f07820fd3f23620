// SPDX-License-Identifier: Apache-2.0
// Journal: the one write-ahead log of a shard, as those see it who write to it.
// Owner:  shard.  A record is durable when durable() has reached the position its Append returned. One flush makes all
//         records durable that were staged before it was submitted (group commit).
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string_view>

namespace millrace {

// Position in the log; grows with every record. 0: nothing to wait for.
using Lsn = uint64_t;

// What a record is about. Values are on disk (store/FORMAT.md): never reused.
enum class RecordKind : uint8_t {
  kNone = 0,
  kStreamPut = 1,       // object: stream uid; configuration, created or changed
  kStreamDelete = 2,    // object: stream uid
  kAppend = 3,          // object: stream uid; one message
  kRemove = 4,          // object: stream uid; sequences
  kTrim = 5,            // object: stream uid; everything below a sequence
  kPurge = 6,           // object: stream uid; all messages
  kErase = 7,           // object: stream uid; kRemove whose bytes must become unreadable
  kConsumerPut = 8,     // object: consumer uid; configuration
  kConsumerDelete = 9,  // object: consumer uid
  kConsumerState = 10,  // object: consumer uid; what changed
  kWatermark = 11,      // no object: says only how far the log is durable
  kStreamSkip = 12,     // object: stream uid; last sequence moves up without messages (mirrors)
};

class Journal {
 public:
  virtual ~Journal() = default;
  // Stages a record whose body is the concatenation of `parts`, which are copied. Never blocks.
  virtual Lsn Append(RecordKind kind, uint64_t object, std::initializer_list<std::string_view> parts) = 0;
  // Records staged between the two become durable together, and a crash leaves all of them or none. They end in the
  // turn they began in; not nested. Memory follows what is staged: callers bound it.
  virtual void BeginAtomic() {}
  virtual void EndAtomic() {}
  virtual Lsn staged() const = 0;
  virtual Lsn durable() const = 0;
  // False: the disk is full or has failed. What was staged may never become durable; stage nothing new.
  virtual bool accepting() const = 0;
};

}  // namespace millrace
