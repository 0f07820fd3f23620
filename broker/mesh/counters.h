// SPDX-License-Identifier: Apache-2.0
// Counters: what one shard has done, written by that shard alone and summed by the control thread at any time.
// Owner:  two shards (writer: the shard, by plain stores; reader: the control thread, by relaxed loads).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace millrace {

class Counter {
 public:
  void Add(uint64_t n) { value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed); }
  void Set(uint64_t n) { value_.store(n, std::memory_order_relaxed); }
  uint64_t Get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// What a shard does in a turn, in this order. kKernel: submitting and collecting, without waiting.
enum class TurnPhase : uint8_t { kKernel, kMail, kReceive, kTimers, kParts, kSend };
inline constexpr size_t kTurnPhases = 6;
inline constexpr const char* kTurnPhaseNames[kTurnPhases] = {"kernel", "mail",      "receive",
                                                            "timers", "parts",     "send"};

struct alignas(128) ShardCounters {
  Counter in_messages;
  Counter in_bytes;
  Counter out_messages;
  Counter out_bytes;
  Counter connections;         // open now
  Counter connections_total;   // ever placed here
  Counter connections_closed;  // ever closed here; placed - closed is exact for the acceptor
  Counter subscriptions;
  Counter slow_consumers;
  Counter stale_connections;
  Counter stalls;  // times a producer was paused for a slow consumer
  Counter cache_hits;
  Counter cache_misses;
  Counter interest_inserts;
  Counter interest_removes;
  Counter turns;
  Counter long_turns;      // over 1 ms
  Counter long_turns_by[kTurnPhases];  // of these, by the phase that took longest
  Counter longest_turn_ns;
  Counter damaged_parts;   // blocks and index runs of JetStream that failed their checksums
  Counter scrubbed_bytes;  // stored bytes that were read to find such, and are good
  Counter scrub_passes;
  Counter congestions;     // times a producer was paused because mail for another shard piled up
};

}  // namespace millrace
