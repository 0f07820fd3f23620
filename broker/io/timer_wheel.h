// SPDX-License-Identifier: Apache-2.0
// TimerWheel: deadlines of one thread; arming, cancelling and finding the next one are O(1).
// Owner:  shard.  Resolution: 1 ms ticks (a timer never fires early).  Range: kLevels levels of 64 slots, 139 years.
// A node is a member of its owner. It may be re-armed or cancelled at any time, also from a handler.
#pragma once

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstdint>

#include "broker/io/io.h"
#include "proto/base/check.h"
#include "proto/base/shard_checker.h"

namespace millrace {

class TimerNode {
 public:
  using Handler = void (*)(void* owner);

  TimerNode() = default;
  TimerNode(const TimerNode&) = delete;
  TimerNode& operator=(const TimerNode&) = delete;
  ~TimerNode() { MR_DCHECK(!armed()); }

  template <auto Method, class Owner>
  void Bind(Owner* owner) {
    owner_ = owner;
    handler_ = [](void* self) { (static_cast<Owner*>(self)->*Method)(); };
  }
  bool armed() const { return slot_ != nullptr; }
  // When it fires: rounded up to milliseconds, and in the next one at the earliest. Armed ones only.
  Nanos due() const {
    MR_DCHECK(armed());
    return std::chrono::milliseconds(tick_);
  }

 private:
  friend class TimerWheel;
  void* owner_ = nullptr;
  Handler handler_ = nullptr;
  TimerNode* next_ = nullptr;
  TimerNode** slot_ = nullptr;  // what points at us; nullptr when not armed
  uint64_t tick_ = 0;
  uint8_t level_ = 0;
  uint8_t index_ = 0;
};

class TimerWheel {
 public:
  explicit TimerWheel(Nanos now) : now_tick_(Tick(now)) {}

  void Arm(TimerNode* node, Nanos at) {
    MR_DCHECK(shard_checker_.Here());
    MR_DCHECK(node->handler_ != nullptr);
    Cancel(node);
    node->tick_ = std::max(RoundUp(at), now_tick_ + 1);
    Link(node);
  }

  void Cancel(TimerNode* node) {
    MR_DCHECK(shard_checker_.Here());
    if (!node->armed()) return;
    MR_DCHECK(*node->slot_ == node && (occupied_[node->level_] >> node->index_ & 1) != 0);
    *node->slot_ = node->next_;
    if (node->next_ != nullptr) node->next_->slot_ = node->slot_;
    if (slots_[node->level_][node->index_] == nullptr) occupied_[node->level_] &= ~(uint64_t{1} << node->index_);
    node->slot_ = nullptr;
    node->next_ = nullptr;
  }

  // A time not after the next deadline (exact when it is near); Nanos::max() when nothing is armed.
  Nanos NextDeadline() const {
    for (int level = 0; level < kLevels; ++level) {
      if (occupied_[level] == 0) continue;
      const unsigned shift = 6u * static_cast<unsigned>(level);
      const auto current = static_cast<unsigned>(now_tick_ >> shift & 63);
      // Distance to the next occupied slot after the current one, cyclically; the current one itself is a lap away.
      const uint64_t rotated = std::rotr(occupied_[level], static_cast<int>((current + 1) & 63));
      const auto distance = static_cast<uint64_t>(std::countr_zero(rotated)) + 1;
      const uint64_t tick = ((now_tick_ >> shift) + distance) << shift;
      return std::chrono::milliseconds(tick);
    }
    return Nanos::max();
  }

  // Fires everything due at `now`.
  void Expire(Nanos now) {
    MR_DCHECK(shard_checker_.Here());
    const uint64_t target = Tick(now);
    while (now_tick_ < target) {
      bool empty = true;
      for (const uint64_t bits : occupied_) empty &= bits == 0;
      if (empty) {
        now_tick_ = target;
        return;
      }
      const auto next = static_cast<uint64_t>(NextDeadline() / std::chrono::milliseconds(1));
      now_tick_ = std::min(next, target);
      if (now_tick_ < next) return;
      Cascade();
      Fire();
    }
  }

 private:
  static constexpr int kLevels = 7;  // the last one never turns over: a timer across that boundary would be a year late

  static uint64_t Tick(Nanos at) { return static_cast<uint64_t>(at / std::chrono::milliseconds(1)); }
  static uint64_t RoundUp(Nanos at) {
    return static_cast<uint64_t>((at + std::chrono::milliseconds(1) - Nanos{1}) / std::chrono::milliseconds(1));
  }

  void Link(TimerNode* node) {
    const uint64_t differs = node->tick_ ^ now_tick_;
    int level = differs == 0 ? 0 : (63 - std::countl_zero(differs)) / 6;
    if (level >= kLevels) {
      level = kLevels - 1;
      node->tick_ = now_tick_ + (uint64_t{1} << (6 * kLevels - 1));
    }
    const auto index = static_cast<uint8_t>(node->tick_ >> (6 * level) & 63);
    TimerNode** slot = &slots_[level][index];
    node->level_ = static_cast<uint8_t>(level);
    node->index_ = index;
    node->next_ = *slot;
    if (node->next_ != nullptr) node->next_->slot_ = &node->next_;
    node->slot_ = slot;
    *slot = node;
    occupied_[level] |= uint64_t{1} << index;
  }

  TimerNode* Detach(int level, unsigned index) {
    TimerNode* list = slots_[level][index];
    slots_[level][index] = nullptr;
    occupied_[level] &= ~(uint64_t{1} << index);
    return list;
  }

  // Brings the nodes of the higher levels' current slots down.
  void Cascade() {
    for (int level = kLevels - 1; level > 0; --level) {
      const auto index = static_cast<unsigned>(now_tick_ >> (6 * level) & 63);
      TimerNode* node = Detach(level, index);
      while (node != nullptr) {
        TimerNode* next = node->next_;
        Link(node);
        node = next;
      }
    }
  }

  void Fire() {
    TimerNode** slot = &slots_[0][now_tick_ & 63];
    while (*slot != nullptr) {
      TimerNode* node = *slot;
      MR_DCHECK(node->tick_ <= now_tick_ && node->slot_ == slot);
      Cancel(node);
      node->handler_(node->owner_);
    }
  }

  [[no_unique_address]] ShardChecker shard_checker_;
  uint64_t now_tick_;
  uint64_t occupied_[kLevels] = {};
  TimerNode* slots_[kLevels][64] = {};
};

}  // namespace millrace
