// SPDX-License-Identifier: Apache-2.0
// Message headers: what the values of JetStream's publish headers mean (spec 5g).
// Owner:  caller (pure).  The names of headers live here too; looking them up in a message is proto/headers.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace millrace {

inline constexpr std::string_view kMsgIdHeader = "Nats-Msg-Id";
inline constexpr std::string_view kExpectedLastMsgIdHeader = "Nats-Expected-Last-Msg-Id";
inline constexpr std::string_view kRollupHeader = "Nats-Rollup";
inline constexpr std::string_view kTtlHeader = "Nats-TTL";
inline constexpr std::string_view kIncrementHeader = "Nats-Incr";
inline constexpr std::string_view kCounterSourcesHeader = "Nats-Counter-Sources";
inline constexpr std::string_view kBatchCommitHeader = "Nats-Batch-Commit";
inline constexpr std::string_view kScheduleHeader = "Nats-Schedule";
inline constexpr std::string_view kSchedulerHeader = "Nats-Scheduler";
inline constexpr std::string_view kScheduleNextHeader = "Nats-Schedule-Next";
inline constexpr std::string_view kScheduleNextPurge = "purge";
inline constexpr std::string_view kMarkerReasonHeader = "Nats-Marker-Reason";  // MaxAge, Purge, Remove
inline constexpr std::string_view kStreamSourceHeader = "Nats-Stream-Source";
inline constexpr std::string_view kRequiredApiLevelHeader = "Nats-Required-Api-Level";
inline constexpr std::string_view kRequestInfoHeader = "Nats-Request-Info";
inline constexpr std::string_view kOperationHeader = "KV-Operation";  // PURGE, DEL: a convention of clients
inline constexpr std::string_view kStreamHeader = "Nats-Stream";
inline constexpr std::string_view kSubjectHeader = "Nats-Subject";
inline constexpr std::string_view kSequenceHeader = "Nats-Sequence";
inline constexpr std::string_view kTimeStampHeader = "Nats-Time-Stamp";
inline constexpr std::string_view kLastSequenceHeader = "Nats-Last-Sequence";
inline constexpr std::string_view kNumPendingHeader = "Nats-Num-Pending";
inline constexpr std::string_view kMsgSizeHeader = "Nats-Msg-Size";
inline constexpr std::string_view kLastConsumerHeader = "Nats-Last-Consumer";
inline constexpr std::string_view kLastStreamHeader = "Nats-Last-Stream";
inline constexpr std::string_view kConsumerStalledHeader = "Nats-Consumer-Stalled";
inline constexpr std::string_view kPendingMessagesHeader = "Nats-Pending-Messages";
inline constexpr std::string_view kPendingBytesHeader = "Nats-Pending-Bytes";
inline constexpr std::string_view kPinIdHeader = "Nats-Pin-Id";

inline constexpr int64_t kTtlNever = -1;

// Nats-TTL, Nats-Schedule-TTL: a Go duration of a second or more, whole seconds, or "never" (in any case).
// Seconds; 0: none; kTtlNever. nullopt: kMessageTTLInvalid.
std::optional<int64_t> ParseMessageTtl(std::string_view text);

// The peer's reader of numbers in headers: digits only, -1 when it is anything else.
int64_t ParseHeaderNumber(std::string_view text);

}  // namespace millrace
