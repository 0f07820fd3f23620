// SPDX-License-Identifier: Apache-2.0
#include "broker/mesh/mesh.h"

#include <algorithm>
#include <cstring>

namespace millrace {

Mesh::Mesh(uint32_t shards, uint32_t ring_bytes)
    : shards_(shards), states_(shards + 1), counters_(shards + 1), rings_(size_t{shards + 1} * (shards + 1)) {
  MR_CHECK(shards >= 1 && shards <= kMeshShardsMax);
  for (uint32_t from = 0; from <= shards; ++from) {
    for (uint32_t to = 0; to <= shards; ++to) {
      if (from != to) rings_[from * participants() + to] = std::make_unique<SpscRing>(ring_bytes);
    }
    ports_.push_back(std::make_unique<MeshPort>(*this, from, SpscRing::RecordBytesMax(ring_bytes)));
  }
}

Mesh::~Mesh() = default;

MeshPort::MeshPort(Mesh& mesh, uint32_t self, uint32_t record_bytes_max)
    : mesh_(mesh), self_(self), record_bytes_max_(record_bytes_max), outbound_(mesh.participants()) {}

char* MeshPort::Append(uint32_t target, MailKind kind, size_t body_bytes) {
  MR_DCHECK(shard_checker_.Here());
  MR_DCHECK(target != self_ && target < mesh_.participants());
  const auto bytes =
      static_cast<uint32_t>((sizeof(MailHeader) + body_bytes + kMailAlignment - 1) & ~size_t{kMailAlignment - 1});
  Outbound& out = outbound_[target];
  ++out.appended;
  out.dirty = anything_dirty_ = true;
  SpscRing& ring = mesh_.ring(self_, target);
  MR_CHECK_OP(bytes, <=, ring.record_bytes_max());
  char* place = out.overflow.empty() ? ring.Reserve(bytes) : nullptr;
  if (place == nullptr) [[unlikely]] {
    ++overflowed_;
    out.overflow.emplace_back(bytes, '\0');
    out.overflow_bytes += bytes;
    place = out.overflow.back().data();
  }
  *reinterpret_cast<MailHeader*>(place) = MailHeader{bytes, kind, {}};
  return place + sizeof(MailHeader);
}

void MeshPort::SendParcel(uint32_t target, std::unique_ptr<Parcel> parcel) {
  Parcel* raw = parcel.release();
  std::memcpy(Append(target, MailKind::kParcel, sizeof raw), &raw, sizeof raw);
}

bool MeshPort::Consumed(uint32_t target, uint64_t position) const {
  MR_DCHECK(shard_checker_.Here());
  return outbound_[target].consumed_seen >= position;
}

void MeshPort::WakeAt(uint32_t target, uint64_t position) {
  MR_DCHECK(shard_checker_.Here());
  MR_DCHECK(position > 0);  // 0 is no wish
  uint64_t& wake_at = outbound_[target].wake_at;
  if (wake_at == 0 || position < wake_at) wake_at = position;
}

bool MeshPort::AnyOverflowAbove(uint64_t bytes) const {
  for (const Outbound& out : outbound_) {
    if (out.overflow_bytes > bytes) return true;
  }
  return false;
}

bool MeshPort::HasMail() const {
  for (uint32_t from = 0; from < mesh_.participants(); ++from) {
    if (from != self_ && mesh_.ring(from, self_).HasMail()) return true;
  }
  return false;
}

void MeshPort::SnapshotConsumed() {
  for (uint32_t target = 0; target < mesh_.participants(); ++target) {
    if (target == self_) continue;
    Outbound& out = outbound_[target];
    const uint64_t consumed = mesh_.ring(self_, target).consumed();
    MR_DCHECK(consumed >= out.consumed_seen && consumed <= out.appended);
    out.consumed_seen = consumed;
  }
}

void MeshPort::MoveOverflow(uint32_t target) {
  Outbound& out = outbound_[target];
  SpscRing& ring = mesh_.ring(self_, target);
  out.drained_before_move = ring.drained();
  while (!out.overflow.empty()) {
    const std::string& record = out.overflow.front();
    char* place = ring.Reserve(static_cast<uint32_t>(record.size()));
    if (place == nullptr) break;
    std::memcpy(place, record.data(), record.size());
    MR_CHECK_OP(out.overflow_bytes, >=, record.size());
    out.overflow_bytes -= record.size();
    out.overflow.pop_front();
  }
  MR_CHECK((out.overflow_bytes == 0) == out.overflow.empty());
}

// Answers come before the acknowledgement of what they answer: who waits for the one has then seen the other. Answers
// that overflow hold the acknowledgement back, but not the room that draining made.
void MeshPort::AcknowledgeTo(uint32_t from) {
  SpscRing& inbound = mesh_.ring(from, self_);
  Outbound& out = outbound_[from];
  const uint64_t records = inbound.consumer_records();
  MR_DCHECK(out.appended >= out.overflow.size());
  if (out.overflow.empty()) [[likely]] {
    out.acknowledgements.clear();
    inbound.Acknowledge(records);
    return;
  }
  if (out.acknowledgements.empty() || out.acknowledgements.back().records != records)
    out.acknowledgements.push_back(Acknowledgement{out.appended, records});
  const uint64_t published = out.appended - out.overflow.size();
  while (!out.acknowledgements.empty() && out.acknowledgements.front().position <= published) {
    inbound.Acknowledge(out.acknowledgements.front().records);
    out.acknowledgements.pop_front();
  }
}

void MeshPort::Ship(const std::function<void(uint32_t)>& wake) {
  MR_DCHECK(shard_checker_.Here());
  if (!anything_dirty_ && !drained_) return;
  bool overflowing = false;
  if (anything_dirty_) {
    for (uint32_t target = 0; target < mesh_.participants(); ++target) {
      Outbound& out = outbound_[target];
      if (!out.dirty) continue;
      if (!out.overflow.empty()) MoveOverflow(target);
      SpscRing& ring = mesh_.ring(self_, target);
      if (ring.Unpublished()) ring.Publish();
    }
  }
  for (uint32_t from = 0; from < mesh_.participants(); ++from) {
    if (from != self_) AcknowledgeTo(from);
  }
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (anything_dirty_) {
    for (uint32_t target = 0; target < mesh_.participants(); ++target) {
      Outbound& out = outbound_[target];
      if (!out.dirty) continue;
      WakeIfAsleep(target, wake);
      out.dirty = !out.overflow.empty();
      overflowing |= out.dirty;
    }
  }
  for (uint32_t from = 0; from < mesh_.participants(); ++from) {
    if (from != self_ && mesh_.ring(from, self_).ProducerWaits()) WakeIfAsleep(from, wake);
  }
  anything_dirty_ = overflowing;
  drained_ = false;
}

void MeshPort::WakeIfAsleep(uint32_t target, const std::function<void(uint32_t)>& wake) {
  std::atomic<uint32_t>& state = mesh_.states_[target].state;
  if (state.load(std::memory_order_relaxed) == Mesh::kAsleep &&
      state.exchange(Mesh::kAwake, std::memory_order_acq_rel) == Mesh::kAsleep) {
    wake(target);
  }
}

bool MeshPort::TrySleep() {
  MR_DCHECK(shard_checker_.Here());
  for (uint32_t target = 0; target < mesh_.participants(); ++target) {
    if (target == self_) continue;
    Outbound& out = outbound_[target];
    // While something waits for room, any progress of the consumer is worth a wake-up; also what it made since we
    // looked for room, for if it has taken everything already it will make none again.
    out.room_at = out.overflow.empty() ? 0 : out.drained_before_move + 1;
    // 0, no wish, is the largest here.
    const uint64_t notify_at = std::min(out.wake_at - 1, out.room_at - 1) + 1;
    if (notify_at != 0) mesh_.ring(self_, target).NotifyAt(notify_at);
  }
  mesh_.states_[self_].state.store(Mesh::kAsleep, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  bool sleep = !HasMail();
  for (uint32_t target = 0; sleep && target < mesh_.participants(); ++target) {
    if (target == self_) continue;
    const SpscRing& ring = mesh_.ring(self_, target);
    const Outbound& out = outbound_[target];
    if (ring.Unpublished() || (out.wake_at != 0 && ring.consumed() >= out.wake_at) ||
        (out.room_at != 0 && ring.drained() >= out.room_at)) {
      sleep = false;
    }
  }
  if (!sleep) Awake();
  return sleep;
}

void MeshPort::Awake() {
  MR_DCHECK(shard_checker_.Here());
  mesh_.states_[self_].state.store(Mesh::kAwake, std::memory_order_relaxed);
  for (uint32_t target = 0; target < mesh_.participants(); ++target) {
    Outbound& out = outbound_[target];
    if (out.wake_at == 0 && out.room_at == 0) continue;
    out.wake_at = out.room_at = 0;
    mesh_.ring(self_, target).NotifyAt(0);
  }
}

}  // namespace millrace
