// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/consumer/consumer_state.h"

#include <algorithm>
#include <array>
#include <utility>

#include "proto/base/check.h"

namespace millrace {
namespace {

constexpr uint8_t kVersion = 1;

// Operations of a delta, behind its version. Values are on disk: never reused.
enum class Op : uint8_t {
  kTime = 1,       // ns: of the operations that follow
  kDeliver = 2,    // gap, count: first deliveries of sequences in a row, `gap` above what was delivered
  kRedeliver = 3,  // seq
  kTouch = 4,      // seq, ns
  kUnqueue = 5,    // seq, ns
  kAck = 6,        // first, count
  kAckUpTo = 7,    // seq, consumer seq
  kExhaust = 8,    // seq
  kForget = 9,     // seq: what was given up below it
  kMoved = 10,     // consumer seq, stream seq: delivered and acknowledged at once
  kAll = 11,       // a checkpoint, which ends the delta or is followed by operations
  kPurge = 12,     // first seq, next seq
};

void AppendVarint(uint64_t value, std::string* out) {
  while (value >= 0x80) {
    out->push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out->push_back(static_cast<char>(value));
}

uint64_t ZigZag(int64_t value) { return (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63); }
int64_t UnZigZag(uint64_t value) { return static_cast<int64_t>((value >> 1) ^ (~(value & 1) + 1)); }

void AppendOp(Op op, std::string* out) { out->push_back(static_cast<char>(op)); }

}  // namespace

// Reads what AppendVarint wrote; after the end, or a number of more than 64 bits, everything is 0 and ok() is false.
class ConsumerState::Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}
  bool ok() const { return ok_; }
  bool done() const { return rest_.empty(); }
  uint8_t Byte() {
    if (rest_.empty()) {
      ok_ = false;
      return 0;
    }
    const auto byte = static_cast<uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return byte;
  }
  uint64_t Number() {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const uint8_t byte = Byte();
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    ok_ = false;
    rest_ = {};
    return 0;
  }
  int64_t Signed() { return UnZigZag(Number()); }
  std::string_view rest() const { return rest_; }
  void set_rest(std::string_view rest) { rest_ = rest; }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

void ConsumerState::Begin(uint64_t seq) {
  MR_CHECK(seq > 0);
  pending_.Clear();
  exhausted_.clear();
  redelivered_ = 0;
  delivered_consumer_ = floor_consumer_ = 0;
  delivered_stream_ = floor_stream_ = seq - 1;
  RecordAll();
}

uint64_t ConsumerState::Deliver(uint64_t seq, int64_t time_ns) {
  MR_DCHECK(seq > delivered_stream_);
  if (policy_ == AckPolicy::kNone) {
    delivered_stream_ = floor_stream_ = seq;
    floor_consumer_ = ++delivered_consumer_;
    moved_ = recording_;
    return delivered_consumer_;
  }
  if (recording_) {
    RecordTime(time_ns);
    if (run_count_ != 0 && seq == run_first_ + run_count_) {
      ++run_count_;
    } else {
      FlushRuns();
      run_gap_ = seq - delivered_stream_;
      run_first_ = seq;
      run_count_ = 1;
    }
  }
  delivered_stream_ = seq;
  pending_.Add(seq, ++delivered_consumer_, time_ns);
  return delivered_consumer_;
}

uint64_t ConsumerState::Redeliver(uint64_t seq, int64_t time_ns) {
  if (recording_) {
    RecordTime(time_ns);
    FlushRuns();
    AppendOp(Op::kRedeliver, &delta_);
    AppendVarint(seq, &delta_);
  }
  const PendingEntry* entry = pending_.Find(seq);
  MR_CHECK(entry != nullptr);
  if (entry->redeliveries == 0) ++redelivered_;
  MR_DCHECK(redelivered_ <= pending_.size());
  pending_.Redeliver(seq, time_ns);
  return ++delivered_consumer_;
}

bool ConsumerState::Touch(uint64_t seq, int64_t time_ns) {
  if (!pending_.Touch(seq, time_ns)) return false;
  RecordWait(static_cast<uint8_t>(Op::kTouch), seq, time_ns);
  return true;
}

bool ConsumerState::Unqueue(uint64_t seq, int64_t time_ns) {
  if (!pending_.Unqueue(seq, time_ns)) return false;
  RecordWait(static_cast<uint8_t>(Op::kUnqueue), seq, time_ns);
  return true;
}

void ConsumerState::RecordWait(uint8_t op, uint64_t seq, int64_t time_ns) {
  MR_DCHECK(pending_.Find(seq) != nullptr);
  if (!recording_) return;
  FlushRuns();
  StartDelta();
  delta_.push_back(static_cast<char>(op));
  AppendVarint(seq, &delta_);
  AppendVarint(ZigZag(time_ns), &delta_);
}

bool ConsumerState::Ack(uint64_t seq) {
  PendingEntry removed;
  const bool was_pending = pending_.Remove(seq, &removed);
  if (!was_pending && (exhausted_.empty() || exhausted_.erase(seq) == 0)) return false;
  if (recording_) {
    if (ack_count_ != 0 && seq == ack_first_ + ack_count_) {
      ++ack_count_;
    } else {
      FlushRuns();
      ack_first_ = seq;
      ack_count_ = 1;
    }
  }
  if (!was_pending) return false;
  DropRedelivered(removed);
  MoveFloor(removed.consumer_seq, seq);
  return true;
}

// A pending message has gone.
void ConsumerState::DropRedelivered(const PendingEntry& removed) {
  if (removed.redeliveries == 0) return;
  MR_DCHECK(redelivered_ > 0);
  --redelivered_;
}

void ConsumerState::MoveFloor(uint64_t consumer_seq, uint64_t seq) {
  MR_DCHECK(seq <= delivered_stream_ && consumer_seq <= delivered_consumer_);
  const PendingEntry* next = pending_.first();
  if (next == nullptr) {
    floor_consumer_ = delivered_consumer_;
    floor_stream_ = delivered_stream_;
  } else if (consumer_seq == floor_consumer_ + 1) {
    floor_consumer_ = consumer_seq;
    floor_stream_ = seq;
    if (next->seq < seq) next = pending_.After(seq);
    if (next != nullptr && next->consumer_seq > 0) {
      floor_consumer_ = next->consumer_seq - 1;
      floor_stream_ = next->seq - 1;
    }
  }
}

void ConsumerState::AckUpTo(uint64_t seq, uint64_t consumer_seq, std::vector<uint64_t>* acked) {
  MR_DCHECK(consumer_seq <= delivered_consumer_);
  if (recording_) {
    FlushRuns();
    StartDelta();
    AppendOp(Op::kAckUpTo, &delta_);
    AppendVarint(seq, &delta_);
    AppendVarint(consumer_seq, &delta_);
  }
  floor_consumer_ = consumer_seq;
  floor_stream_ = seq;
  pending_.RemoveUpTo(seq, [&](const PendingEntry& entry) {
    DropRedelivered(entry);
    if (acked != nullptr) acked->push_back(entry.seq);
  });
  if (!exhausted_.empty()) absl::erase_if(exhausted_, [seq](const auto& item) { return item.first <= seq; });
}

void ConsumerState::Exhaust(uint64_t seq) {
  PendingEntry removed;
  if (!pending_.Remove(seq, &removed)) return;
  if (recording_) {
    FlushRuns();
    StartDelta();
    AppendOp(Op::kExhaust, &delta_);
    AppendVarint(seq, &delta_);
  }
  DropRedelivered(removed);
  exhausted_[seq] = removed.redeliveries + 1;
  MoveFloor(removed.consumer_seq, seq);
}

void ConsumerState::ForgetExhaustedBelow(uint64_t seq) {
  if (exhausted_.empty()) return;
  if (absl::erase_if(exhausted_, [seq](const auto& item) { return item.first < seq; }) == 0) return;
  if (!recording_) return;
  FlushRuns();
  StartDelta();
  AppendOp(Op::kForget, &delta_);
  AppendVarint(seq, &delta_);
}

bool ConsumerState::Purge(uint64_t first_seq, uint64_t next_seq, const std::function<bool(uint64_t)>& gone) {
  MR_CHECK(first_seq <= next_seq);
  const std::array before = {delivered_stream_, floor_consumer_, floor_stream_};
  const auto is_gone = [&](uint64_t seq) { return seq < first_seq || (gone && gone(seq)); };
  if (next_seq > delivered_stream_ + 1) delivered_stream_ = next_seq - 1;
  std::vector<uint64_t> lost;
  if (floor_stream_ < first_seq) {
    floor_stream_ = first_seq - 1;
    pending_.ForEach([&](const PendingEntry& entry) {
      if (is_gone(entry.seq)) lost.push_back(entry.seq);
    });
  }
  PendingEntry removed;
  for (const uint64_t seq : lost) {
    pending_.Remove(seq, &removed);
    DropRedelivered(removed);
    if (removed.consumer_seq > floor_consumer_) floor_consumer_ = removed.consumer_seq;
  }
  const size_t forgotten = absl::erase_if(exhausted_, [&](const auto& item) { return is_gone(item.first); });
  if (pending_.empty()) {
    floor_consumer_ = delivered_consumer_;
    floor_stream_ = delivered_stream_;
  }
  const std::array after = {delivered_stream_, floor_consumer_, floor_stream_};
  if (before == after && lost.empty() && forgotten == 0) return false;
  if (gone) {
    RecordAll();
  } else if (recording_) {
    FlushRuns();
    StartDelta();
    AppendOp(Op::kPurge, &delta_);
    AppendVarint(first_seq, &delta_);
    AppendVarint(next_seq, &delta_);
  }
  return !lost.empty();
}

// As in the peer: keeps the highest consumer sequences, so that numbers seen by clients do not come again.
void ConsumerState::RollBack(uint64_t last_seq) {
  if (floor_stream_ > last_seq) {
    floor_stream_ = last_seq;
    floor_consumer_ = delivered_consumer_;
    pending_.Clear();
    exhausted_.clear();
    redelivered_ = 0;
  }
  std::vector<uint64_t> beyond;
  uint64_t last_pending = 0;
  uint64_t last_consumer = 0;
  pending_.ForEach([&](const PendingEntry& entry) {
    if (entry.seq > last_seq) {
      beyond.push_back(entry.seq);
    } else {
      last_pending = entry.seq;
      last_consumer = std::max(last_consumer, entry.consumer_seq);
    }
  });
  PendingEntry removed;
  for (const uint64_t seq : beyond) {
    pending_.Remove(seq, &removed);
    DropRedelivered(removed);
  }
  absl::erase_if(exhausted_, [last_seq](const auto& item) { return item.first > last_seq; });
  // Floors may lie above what is pending: a purge with a filter, which leaves gaps, moves them.
  delivered_stream_ = std::max(floor_stream_, last_pending);
  delivered_consumer_ = std::max(floor_consumer_, last_consumer);
  RecordAll();
}

void ConsumerState::DropBelow(uint64_t first_seq) {
  ForgetExhaustedBelow(first_seq);
  while (const PendingEntry* entry = pending_.first()) {
    if (entry->seq >= first_seq) return;
    Ack(entry->seq);
  }
}

std::string_view ConsumerState::TakeDelta() {
  FlushRuns();
  if (moved_) {
    StartDelta();
    AppendOp(Op::kMoved, &delta_);
    AppendVarint(delivered_consumer_, &delta_);
    AppendVarint(delivered_stream_, &delta_);
    moved_ = false;
  }
  MR_DCHECK(recording_);
  MR_DCHECK(run_count_ == 0 && ack_count_ == 0);
  taken_.swap(delta_);
  delta_.clear();
  delta_time_ns_ = 0;
  return taken_;
}

void ConsumerState::StartDelta() {
  if (delta_.empty()) delta_.push_back(static_cast<char>(kVersion));
}

void ConsumerState::RecordTime(int64_t time_ns) {
  if (time_ns == delta_time_ns_) return;
  FlushRuns();
  StartDelta();
  AppendOp(Op::kTime, &delta_);
  AppendVarint(ZigZag(time_ns), &delta_);
  delta_time_ns_ = time_ns;
}

void ConsumerState::FlushDeliveries() {
  MR_DCHECK(run_gap_ > 0 && run_first_ + run_count_ - 1 <= delivered_stream_);
  StartDelta();
  AppendOp(Op::kDeliver, &delta_);
  AppendVarint(run_gap_, &delta_);
  AppendVarint(run_count_, &delta_);
  run_count_ = 0;
}

void ConsumerState::FlushRuns() {
  // At most one of the two goes on at a time.
  MR_DCHECK(run_count_ == 0 || ack_count_ == 0);
  if (run_count_ != 0) FlushDeliveries();
  if (ack_count_ != 0) {
    StartDelta();
    AppendOp(Op::kAck, &delta_);
    AppendVarint(ack_first_, &delta_);
    AppendVarint(ack_count_, &delta_);
    ack_count_ = 0;
  }
}

void ConsumerState::RecordAll() {
  if (!recording_) return;
  run_count_ = ack_count_ = 0;
  moved_ = false;
  delta_time_ns_ = 0;
  delta_.clear();
  StartDelta();
  AppendOp(Op::kAll, &delta_);
  Encode(&delta_);
}

void ConsumerState::Import(const Positions& positions, const std::vector<PendingEntry>& pending,
                           const absl::flat_hash_map<uint64_t, uint32_t>& exhausted) {
  pending_.Clear();
  redelivered_ = 0;
  delivered_consumer_ = positions.delivered_consumer;
  delivered_stream_ = positions.delivered_stream;
  floor_consumer_ = std::min(positions.floor_consumer, delivered_consumer_);
  floor_stream_ = std::min(positions.floor_stream, delivered_stream_);
  for (PendingEntry entry : pending) {
    if (entry.seq == 0 || entry.seq > delivered_stream_) continue;
    entry.consumer_seq = std::min(entry.consumer_seq, delivered_consumer_);
    if (entry.redeliveries != 0) ++redelivered_;
    pending_.Restore(entry);
  }
  exhausted_ = exhausted;
  absl::erase_if(exhausted_, [this](const auto& item) { return item.first > delivered_stream_; });
  RecordAll();
}

void ConsumerState::Invariant() const {
  pending_.Invariant();
  size_t redelivered = 0;
  pending_.ForEach([&](const PendingEntry& entry) {
    MR_CHECK_OP(entry.seq, <=, delivered_stream_);
    MR_CHECK_OP(entry.consumer_seq, <=, delivered_consumer_);
    redelivered += entry.redeliveries != 0;
  });
  MR_CHECK_OP(redelivered, ==, redelivered_);
  for (const auto& [seq, redeliveries] : exhausted_) {
    MR_CHECK_OP(seq, <=, delivered_stream_);
    MR_CHECK(pending_.Find(seq) == nullptr);
  }
  // The stream's floor is what a client says where it acknowledges all up to a sequence.
  MR_CHECK_OP(floor_consumer_, <=, delivered_consumer_);
  MR_CHECK(policy_ != AckPolicy::kExplicit || floor_stream_ <= delivered_stream_);
  MR_CHECK(run_count_ == 0 || ack_count_ == 0);
  MR_CHECK(recording_ || !changed());
}

// version, delivered (consumer, stream), floor (consumer, stream), number of pending, for each the differences of seq,
// consumer seq and time to the one before and its redeliveries; number of given up, for each seq and redeliveries.
void ConsumerState::Encode(std::string* out) const {
  out->push_back(static_cast<char>(kVersion));
  AppendVarint(delivered_consumer_, out);
  AppendVarint(delivered_stream_, out);
  AppendVarint(floor_consumer_, out);
  AppendVarint(floor_stream_, out);
  AppendVarint(pending_.size(), out);
  PendingEntry before;
  pending_.ForEach([&](const PendingEntry& entry) {
    AppendVarint(entry.seq - before.seq, out);
    AppendVarint(ZigZag(static_cast<int64_t>(entry.consumer_seq - before.consumer_seq)), out);
    AppendVarint(ZigZag(entry.time_ns - before.time_ns), out);
    AppendVarint(entry.redeliveries, out);
    before = entry;
  });
  AppendVarint(exhausted_.size(), out);
  for (const auto& [seq, redeliveries] : exhausted_) {
    AppendVarint(seq, out);
    AppendVarint(redeliveries, out);
  }
}

absl::Status ConsumerState::Decode(std::string_view full) {
  if (!DecodeFrom(&full)) return absl::DataLossError("consumer checkpoint: not one of this version, or cut");
  if (!full.empty()) return absl::DataLossError("consumer checkpoint: bytes behind its end");
  return absl::OkStatus();
}

bool ConsumerState::DecodeFrom(std::string_view* bytes) {
  Reader reader(*bytes);
  if (reader.Byte() != kVersion) return false;
  pending_.Clear();
  exhausted_.clear();
  redelivered_ = 0;
  delivered_consumer_ = reader.Number();
  delivered_stream_ = reader.Number();
  floor_consumer_ = reader.Number();
  floor_stream_ = reader.Number();
  PendingEntry entry;
  for (uint64_t left = reader.Number(); left != 0 && reader.ok(); --left) {
    const uint64_t gap = reader.Number();
    entry.consumer_seq += static_cast<uint64_t>(reader.Signed());
    entry.time_ns += reader.Signed();
    entry.redeliveries = static_cast<uint32_t>(reader.Number());
    if (!reader.ok() || gap == 0 || entry.seq + gap < entry.seq) return false;
    entry.seq += gap;
    if (entry.redeliveries != 0) ++redelivered_;
    pending_.Restore(entry);
  }
  for (uint64_t left = reader.Number(); left != 0 && reader.ok(); --left) {
    const uint64_t seq = reader.Number();
    exhausted_[seq] = static_cast<uint32_t>(reader.Number());
  }
  *bytes = reader.rest();
  return reader.ok();
}

absl::Status ConsumerState::Replay(std::string_view delta) {
  if (delta.empty()) return absl::OkStatus();
  Reader reader(delta);
  if (reader.Byte() != kVersion) return absl::DataLossError("consumer delta: not of this version");
  const bool recording = std::exchange(recording_, false);
  int64_t time_ns = 0;
  bool fits = true;
  while (fits && reader.ok() && !reader.done()) fits = ReplayOne(&reader, &time_ns);
  recording_ = recording;
  if (!fits || !reader.ok()) return absl::DataLossError("consumer delta: an operation that does not fit, or cut");
  return absl::OkStatus();
}

bool ConsumerState::ReplayDeliveries(Reader* reader, int64_t time_ns) {
  const uint64_t gap = reader->Number();
  const uint64_t count = reader->Number();
  if (!reader->ok() || gap == 0 || policy_ == AckPolicy::kNone) return false;
  uint64_t seq = delivered_stream_ + gap;
  for (uint64_t i = 0; i < count; ++i) Deliver(seq++, time_ns);
  return true;
}

bool ConsumerState::ReplayOne(Reader* reader, int64_t* time_ns) {
  const Op op = static_cast<Op>(reader->Byte());
  if (op == Op::kDeliver) return ReplayDeliveries(reader, *time_ns);
  if (op == Op::kTime) {
    *time_ns = reader->Signed();
    return true;
  }
  if (op == Op::kAll) {
    std::string_view rest = reader->rest();
    const bool fits = DecodeFrom(&rest);
    reader->set_rest(rest);
    return fits;
  }
  uint64_t first = reader->Number();
  switch (op) {
    case Op::kRedeliver:
      if (pending_.Find(first) == nullptr) return false;
      Redeliver(first, *time_ns);
      return true;
    case Op::kTouch:
      Touch(first, reader->Signed());
      return true;
    case Op::kUnqueue:
      Unqueue(first, reader->Signed());
      return true;
    case Op::kAck:
      for (uint64_t count = reader->Number(); count != 0 && reader->ok(); --count) Ack(first++);
      return true;
    case Op::kAckUpTo:
      AckUpTo(first, reader->Number(), nullptr);
      return true;
    case Op::kExhaust:
      Exhaust(first);
      return true;
    case Op::kForget:
      ForgetExhaustedBelow(first);
      return true;
    case Op::kPurge:
      Purge(first, reader->Number(), nullptr);
      return true;
    case Op::kMoved:
      delivered_consumer_ = floor_consumer_ = first;
      delivered_stream_ = floor_stream_ = reader->Number();
      return true;
    default:
      return false;
  }
}

}  // namespace millrace
