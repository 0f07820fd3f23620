// SPDX-License-Identifier: Apache-2.0
// ConsumerState: what of a consumer survives a restart: how far it has delivered, what is acknowledged, what is
//                pending and how often it was sent. Every change is a call, and every call is recorded.
// Owner:  shard.  No clock, no I/O. Replaying the record makes the same calls, hence the same state.
// Format: a delta or a checkpoint begins with its version; numbers are varints. consumer_state.cc has the operations.
// Floors: move as nats-server's consumer store moves them (spec J-48): with nothing pending to what was delivered, else
//         when the ack follows the floor to just below the next pending message.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "broker/jetstream/api/consumer_config.h"
#include "broker/jetstream/consumer/pending_set.h"

namespace millrace {

class ConsumerState {
 public:
  explicit ConsumerState(AckPolicy policy) : policy_(policy) {}
  ConsumerState(const ConsumerState&) = delete;
  ConsumerState& operator=(const ConsumerState&) = delete;

  uint64_t delivered_consumer() const { return delivered_consumer_; }
  uint64_t delivered_stream() const { return delivered_stream_; }
  uint64_t ack_floor_consumer() const { return floor_consumer_; }
  uint64_t ack_floor_stream() const { return floor_stream_; }
  const PendingSet& pending() const { return pending_; }
  // Not pending, and given up after max_deliver: seq → number of redeliveries.
  const absl::flat_hash_map<uint64_t, uint32_t>& exhausted() const { return exhausted_; }
  size_t redelivered() const { return redelivered_ + exhausted_.size(); }  // messages sent more than once, or given up

  // False: changes are not recorded (a consumer that is not kept).
  void set_recording(bool recording) { recording_ = recording; }
  void SetWaits(AckWaits waits) { pending_.SetWaits(std::move(waits)); }

  // --- changes, recorded
  void Begin(uint64_t seq);  // nothing delivered, nothing pending; the next message is `seq` or later
  // A first delivery; returns its consumer sequence. seq > delivered_stream().
  uint64_t Deliver(uint64_t seq, int64_t time_ns);
  // A pending message is sent again; returns the consumer sequence of this delivery.
  uint64_t Redeliver(uint64_t seq, int64_t time_ns);
  bool Touch(uint64_t seq, int64_t time_ns);    // +WPI: waits anew
  bool Unqueue(uint64_t seq, int64_t time_ns);  // -NAK with a delay: waits anew, also if it was queued
  // Acknowledged, terminated or gone. True: it was pending. Otherwise only a given-up message is forgotten.
  bool Ack(uint64_t seq);
  // All up to seq, and the floor becomes (consumer_seq, seq); acked gets what was pending, may be nullptr.
  void AckUpTo(uint64_t seq, uint64_t consumer_seq, std::vector<uint64_t>* acked);
  void Exhaust(uint64_t seq);              // pending, and given up
  void ForgetExhaustedBelow(uint64_t seq);
  // The stream lost everything below first_seq and what `gone` says of the rest; reading goes on at next_seq. Positions
  // and floor move up. True: something was pending there.
  bool Purge(uint64_t first_seq, uint64_t next_seq, const std::function<bool(uint64_t)>& gone);

  // Everything at once, as a backup tells it: `pending` ascends.
  struct Positions {
    uint64_t delivered_consumer = 0;
    uint64_t delivered_stream = 0;
    uint64_t floor_consumer = 0;
    uint64_t floor_stream = 0;
  };
  // What does not fit together (a client has sent it) is left out: floors and messages above what was delivered.
  void Import(const Positions& positions, const std::vector<PendingEntry>& pending,
              const absl::flat_hash_map<uint64_t, uint32_t>& exhausted);

  // After a restart: the stream ends at last_seq, below what was delivered; or it begins at first_seq by now.
  void RollBack(uint64_t last_seq);
  void DropBelow(uint64_t first_seq);

  // --- redelivery queue: order is the caller's, not recorded (after a restart the waits go on)
  bool Queue(uint64_t seq) { return pending_.Queue(seq); }
  void TakeExpired(int64_t now_ns, std::vector<uint64_t>* seqs) { pending_.TakeExpired(now_ns, seqs); }
  void Shrink() { pending_.Shrink(); }

  // Aborts unless positions, floors, counts and the record agree. Walks what is pending and what is given up.
  void Invariant() const;

  // --- persistence
  bool changed() const { return !delta_.empty() || run_count_ != 0 || ack_count_ != 0 || moved_; }
  // What changed since the last call; valid until the next change.
  std::string_view TakeDelta();
  void Encode(std::string* out) const;
  absl::Status Decode(std::string_view full);
  absl::Status Replay(std::string_view delta);

 private:
  class Reader;  // of varints
  // One operation of a delta. False: it does not fit, or is none.
  bool ReplayOne(Reader* reader, int64_t* time_ns);
  bool ReplayDeliveries(Reader* reader, int64_t time_ns);
  void MoveFloor(uint64_t consumer_seq, uint64_t seq);
  void DropRedelivered(const PendingEntry& removed);
  bool DecodeFrom(std::string_view* bytes);  // takes a checkpoint from the front
  void StartDelta();
  void RecordTime(int64_t time_ns);
  void RecordWait(uint8_t op, uint64_t seq, int64_t time_ns);
  void FlushDeliveries();
  void FlushRuns();
  void RecordAll();  // rare and large changes: the delta becomes a checkpoint

  AckPolicy policy_;
  bool recording_ = true;
  bool moved_ = false;  // policy none: positions moved
  uint64_t delivered_consumer_ = 0;
  uint64_t delivered_stream_ = 0;
  uint64_t floor_consumer_ = 0;
  uint64_t floor_stream_ = 0;
  size_t redelivered_ = 0;  // pending entries with redeliveries
  PendingSet pending_;
  absl::flat_hash_map<uint64_t, uint32_t> exhausted_;

  // The record. A run of deliveries or acks without gaps is one operation.
  std::string delta_;
  std::string taken_;
  int64_t delta_time_ns_ = 0;
  uint64_t run_gap_ = 0;    // from what was delivered before to the first of the run
  uint64_t run_first_ = 0;
  uint64_t run_count_ = 0;
  uint64_t ack_first_ = 0;
  uint64_t ack_count_ = 0;
};

}  // namespace millrace
