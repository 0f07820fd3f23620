// SPDX-License-Identifier: Apache-2.0
// MessageIds: which Nats-Msg-Id a stream has seen within its duplicate window, and under which sequence (spec J-19).
// Owner:  shard.  Memory: about 80 bytes an id (a 128-bit hash stands for it), none when the window is empty.
// Kept:   so that an id outlives its message over a restart. In the log it stands with the message; of older ones
//         checkpoints write records, consumers of the store without a configuration. A record takes ids until it has
//         kIdsPerRecord, is written by the checkpoints of that time and by none thereafter, and goes when the window
//         has passed its last id. A publish costs the id in memory; what the store keeps is bounded by the window.
// Format: store/FORMAT.md.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "broker/io/timer_wheel.h"
#include "broker/jetstream/base/port.h"
#include "broker/jetstream/base/store_records.h"
#include "store/shard/shard_store.h"

namespace millrace {

// In the place of a consumer's configuration.
inline constexpr std::string_view kIdsRecord = "ids";

class MessageIds final : public RecordOwner {
 public:
  static constexpr uint32_t kIdsPerRecord = 4096;

  // kept: a restart finds them again. `port`, `store` and `records` outlive it.
  MessageIds(JetStreamPort& port, ShardStore& store, StoreRecords& records, uint64_t stream_uid, bool kept);
  ~MessageIds();
  MessageIds(const MessageIds&) = delete;
  MessageIds& operator=(const MessageIds&) = delete;

  void set_window(int64_t window_ns) { window_ns_ = window_ns; }
  // The sequence that this id was stored under within the window; 0: it is new.
  uint64_t Find(std::string_view id);
  // seq is above all before.
  enum class InLog : uint8_t { kYes, kNo };  // kNo: no message in the log tells of the id
  void Add(std::string_view id, uint64_t seq, int64_t time_ns, InLog in_log);
  // What the log says of this message becomes unreadable.
  void KeepOutOfLog(uint64_t seq);
  size_t size() const { return order_.size(); }
  // Nothing is given to the store any more.
  void Stop() { port_.timers().Cancel(&timer_); }

  // --- after a start: what the store has kept, records in the order of their uids
  struct Record {
    uint64_t uid = 0;
    std::string state;
    std::vector<std::string> deltas;
  };
  void Restore(const std::vector<Record>& records, std::vector<SeenHeader> logged);
  void EncodeRecord(uint64_t uid, std::string* out) override;
  // It knows of all messages that were there before it. Until then they have to be read, and given to AddFound.
  bool complete() const { return complete_; }
  void AddFound(const std::vector<SeenHeader>& found);

  std::string last;    // of the message that came last; empty: it had none
  bool ready = false;  // `last` is known, and complete() is true

 private:
  struct Kept {
    uint64_t uid = 0;
    uint32_t ids = 0;      // of order_, behind those of the records before
    uint32_t taken = 0;    // that it ever had
    bool closed = false;   // takes no more
    bool changed = false;  // since EncodeRecord
    bool found = false;    // of AddFound, and never encoded
    // Not deleted while ids up to here are there: for its deltas that are in the log and not in its state.
    uint64_t hold_seq = 0;
  };

  std::deque<SeenHeader>::const_iterator FindSeq(uint64_t seq) const;
  void Append(const SeenHeader& seen);
  Kept& OpenRecord();
  Kept NewRecord();
  void Touch(Kept* kept);
  bool Expire();
  void DeleteRecords();
  void OnTimer();
  void Arm(Nanos in);

  JetStreamPort& port_;
  ShardStore& store_;
  StoreRecords& records_;
  const uint64_t stream_uid_;
  const bool kept_;
  int64_t window_ns_ = 0;
  bool complete_ = false;
  size_t found_unwritten_ = 0;  // records: until they are written the others do not say that it is complete
  absl::flat_hash_map<HeaderHash, uint64_t> seqs_;
  std::deque<SeenHeader> order_;  // oldest first
  std::deque<Kept> kept_in_;  // where they are, in the same order; together they hold all of order_
  TimerNode timer_;           // when ids go although nobody asks
};

}  // namespace millrace
