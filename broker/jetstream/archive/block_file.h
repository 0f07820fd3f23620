// SPDX-License-Identifier: Apache-2.0
// Block files: how nats-server keeps messages (msgs/N.blk) and consumers (obs/NAME/o.dat) on its disk, and in backups
//              before 2.15. Only read.
// Owner:  caller (pure).  Source: spec J-71.
// Format: records of u32 length (top bit: it has headers), u64 sequence (top bit: erased; next: the tombstone of a
//         deleted one), i64 time, u16 subject length, subject, [u32 header length, header], body, 8 bytes of checksum,
//         which are not looked at: the archive has its own. A file that begins with "cmp", 1 and its plain length is
//         compressed.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "broker/jetstream/archive/consumer_snapshot.h"

namespace millrace {

struct BlockRecord {
  enum class Kind : uint8_t { kMessage, kErased, kTombstone };
  Kind kind = Kind::kMessage;
  uint64_t seq = 0;
  int64_t time_ns = 0;
  std::string_view subject;
  std::string_view header;
  std::string_view body;
};

// In the order of the file. False: it is damaged, or visit says so.
bool ReadBlockFile(std::string_view file, const std::function<bool(const BlockRecord&)>& visit);

// Into all of *snapshot but its configuration.
bool ReadConsumerFile(std::string_view file, ConsumerSnapshot* snapshot);

}  // namespace millrace
