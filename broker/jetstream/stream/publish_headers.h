// SPDX-License-Identifier: Apache-2.0
// PublishHeaders: what a publisher asks of the stream that stores its message (spec 5g), found in one pass.
// Owner:  caller (pure).  Views into the header block; data() is nullptr where the key is absent. As at the peer the
//         first field of a key counts, and one whose value is empty counts as absent where the comment says so.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace millrace {

struct PublishHeaders {
  std::string_view msg_id;                     // Nats-Msg-Id
  std::string_view expected_stream;            // Nats-Expected-Stream
  std::string_view expected_last_seq;          // Nats-Expected-Last-Sequence
  std::string_view expected_subject_seq;       // Nats-Expected-Last-Subject-Sequence
  std::string_view expected_subject_seq_from;  // Nats-Expected-Last-Subject-Sequence-Subject
  std::string_view expected_last_msg_id;       // Nats-Expected-Last-Msg-Id
  std::string_view rollup;                     // Nats-Rollup
  std::string_view ttl;                        // Nats-TTL
  std::string_view increment;                  // Nats-Incr
  std::string_view batch_id;                   // Nats-Batch-Id
  std::string_view batch_sequence;             // Nats-Batch-Sequence
  std::string_view batch_commit;               // Nats-Batch-Commit
  std::string_view schedule;                   // Nats-Schedule
  std::string_view schedule_target;            // Nats-Schedule-Target
  std::string_view schedule_source;            // Nats-Schedule-Source
  std::string_view schedule_ttl;               // Nats-Schedule-TTL
  std::string_view schedule_time_zone;         // Nats-Schedule-Time-Zone
  std::string_view schedule_rollup;            // Nats-Schedule-Rollup
  std::string_view schedule_next;              // Nats-Schedule-Next
  std::string_view scheduler;                  // Nats-Scheduler
  std::string_view stream_source;              // Nats-Stream-Source
  std::string_view required_api_level;         // Nats-Required-Api-Level
};

PublishHeaders ReadPublishHeaders(std::string_view block);

// As the peer reads a sequence: nullopt when the field is absent or empty; digits that are none, or too many, give a
// number that no sequence has.
std::optional<uint64_t> ReadSequence(std::string_view value);

}  // namespace millrace
