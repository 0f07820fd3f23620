// SPDX-License-Identifier: Apache-2.0
// Mesh: the rings between all participants (the shards, and the control thread as the last one), and who sleeps.
// Owner:  process (Mesh); each MeshPort belongs to one participant's thread.
// Bounds: a ring that is full spills into an overflow queue of its producer; a shard stops reading from the connections
//         that feed it above kOverflowPauseBytes, so the queue is bounded by what has been received by then. Nothing is
//         dropped, nobody spins.
// Sleep:  a participant sets kAsleep, fences, and looks at all inbound rings once more before it blocks; a producer
//         publishes, fences, and then reads the state: one of the two sees the other.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "broker/mesh/counters.h"
#include "broker/mesh/ring.h"
#include "proto/base/shard_checker.h"

namespace millrace {

inline constexpr uint32_t kMeshShardsMax = 64;
inline constexpr uint64_t kOverflowPauseBytes = 1 << 20;

class MeshPort;

class Mesh {
 public:
  // `shards` data shards plus the control thread.
  Mesh(uint32_t shards, uint32_t ring_bytes);
  ~Mesh();

  uint32_t shards() const { return shards_; }
  uint32_t control() const { return shards_; }
  uint32_t participants() const { return shards_ + 1; }
  MeshPort& port(uint32_t participant) { return *ports_[participant]; }
  ShardCounters& counters(uint32_t participant) { return counters_[participant]; }

 private:
  friend class MeshPort;
  enum State : uint32_t { kAwake, kAsleep };
  struct alignas(128) Participant {
    std::atomic<uint32_t> state{kAwake};
  };

  SpscRing& ring(uint32_t from, uint32_t to) { return *rings_[from * participants() + to]; }

  const uint32_t shards_;
  std::vector<Participant> states_;
  std::vector<ShardCounters> counters_;
  std::vector<std::unique_ptr<SpscRing>> rings_;  // from * participants + to; none to oneself
  std::vector<std::unique_ptr<MeshPort>> ports_;
};

// One participant's side of the mesh.
class MeshPort {
 public:
  MeshPort(Mesh& mesh, uint32_t self, uint32_t record_bytes_max);

  // Called once on the participant's thread, where that is not the one that made the mesh.
  void Adopt() { shard_checker_.Adopt(); }

  uint32_t self() const { return self_; }
  uint32_t shards() const { return mesh_.shards(); }
  uint32_t control() const { return mesh_.control(); }
  const ShardCounters& counters(uint32_t participant) const { return mesh_.counters(participant); }

  // Largest body that a record for another participant may have.
  size_t body_bytes_max() const { return record_bytes_max_ - sizeof(MailHeader); }
  // Starts a record for `target` and returns its body; it leaves with the next Ship.
  char* Append(uint32_t target, MailKind kind, size_t body_bytes);
  void SendParcel(uint32_t target, std::unique_ptr<Parcel> parcel);

  // Position of the last record appended for `target`; Consumed tells whether the target had finished with it when we
  // last drained: its answers are then behind us.
  uint64_t position(uint32_t target) const { return outbound_[target].appended; }
  bool Consumed(uint32_t target, uint64_t position) const;
  // Before the next sleep: wake us when `target` has consumed `position` (the PING barrier).
  void WakeAt(uint32_t target, uint64_t position);
  uint64_t overflow_bytes(uint32_t target) const { return outbound_[target].overflow_bytes; }
  // Records that had to overflow so far.
  uint64_t overflowed() const { return overflowed_; }
  bool AnyOverflowAbove(uint64_t bytes) const;

  bool HasMail() const;
  // Runs handle(from, header, body) over everything published to us so far. Returns the number of records.
  template <class Handle>
  uint64_t Drain(Handle&& handle) {
    MR_DCHECK(shard_checker_.Here());
    uint64_t records = 0;
    SnapshotConsumed();
    for (uint32_t i = 0; i < mesh_.participants(); ++i) {
      const uint32_t from =
          drain_from_ + i < mesh_.participants() ? drain_from_ + i : drain_from_ + i - mesh_.participants();
      if (from == self_) continue;
      records += mesh_.ring(from, self_).Drain([&](const MailHeader& header, const char* body) {
        handle(from, header, body);
      });
    }
    if (++drain_from_ == mesh_.participants()) drain_from_ = 0;
    drained_ |= records > 0;
    return records;
  }

  // End of the turn: publishes what was appended and what was consumed, and wakes who sleeps and has cause to wake.
  void Ship(const std::function<void(uint32_t)>& wake);

  // Announces sleep; false (then the caller must not block) if there is mail, or something to ship, or what WakeAt
  // waits for has come true, or a full ring has room again.
  bool TrySleep();
  // After blocking (or deciding not to): takes the announcement and the wishes of WakeAt back.
  void Awake();

 private:
  // "The first `records` of your mail are dealt with" may be said once `position` of ours has been published.
  struct Acknowledgement {
    uint64_t position;
    uint64_t records;
  };
  struct Outbound {
    uint64_t appended = 0;  // records, overflow included
    uint64_t overflow_bytes = 0;
    uint64_t drained_before_move = 0;   // what the target had drained when we last tried to move the overflow
    uint64_t consumed_seen = 0;         // by the target, as of our last drain
    uint64_t wake_at = 0;               // record position whose consumption we sleep for; 0 = none
    uint64_t room_at = 0;               // the same for room in a full ring
    bool dirty = false;
    std::deque<std::string> overflow;  // whole records, in order
    std::deque<Acknowledgement> acknowledgements;  // of the target's mail, behind the answers that still overflow
  };

  void WakeIfAsleep(uint32_t target, const std::function<void(uint32_t)>& wake);
  void MoveOverflow(uint32_t target);
  void AcknowledgeTo(uint32_t from);
  void SnapshotConsumed();

  [[no_unique_address]] ShardChecker shard_checker_;
  Mesh& mesh_;
  const uint32_t self_;
  const uint32_t record_bytes_max_;
  std::vector<Outbound> outbound_;
  bool anything_dirty_ = false;
  bool drained_ = false;
  uint32_t drain_from_ = 0;
  uint64_t overflowed_ = 0;
};

}  // namespace millrace
