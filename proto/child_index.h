// SPDX-License-Identifier: Apache-2.0
// ChildIndex: the hash table that finds a trie node by parent and token; one table for the whole trie.
// Owner:  caller (pure).  Holds 8 bytes a slot: a 32-bit tag and a node number; the caller knows whose they are.
// Growing and shrinking move a few slots with each change, so no single insertion pays for a million others.
#pragma once

#include <cstddef>
#include <cstdint>

#include "proto/base/check.h"
#include "proto/base/zeros.h"

namespace millrace {

class ChildIndex {
 public:
  ChildIndex() = default;
  ChildIndex(const ChildIndex&) = delete;
  ChildIndex& operator=(const ChildIndex&) = delete;
  ~ChildIndex() { Clear(); }

  // The node under this tag for which is_it(node) holds, or 0. Tags are 32 well mixed bits.
  template <typename F>
  uint32_t Find(uint32_t tag, F&& is_it) const {
    const Slot* slot = FindIn(now_, tag, is_it);
    if (slot == nullptr && old_.slots != nullptr) [[unlikely]] {
      slot = FindIn(old_, tag, is_it);
    }
    return slot == nullptr ? 0 : slot->node;
  }

  // The caller has made sure that the node is not there yet. node is neither 0 nor kGone.
  void Insert(uint32_t tag, uint32_t node) {
    MR_DCHECK(node != 0 && node != kGone);
    if (old_.slots != nullptr) {
      MoveSome();
    } else if (count_ * 4 >= now_.capacity() * 3) {
      Rebuild(now_.capacity() == 0 ? kCapacityMin : now_.capacity() * 2);
    }
    Put(tag, node);
    ++count_;
  }

  void Erase(uint32_t tag, uint32_t node) {
    const auto is_it = [node](uint32_t other) { return other == node; };
    if (const Slot* slot = FindIn(now_, tag, is_it); slot != nullptr) {
      CloseGap(static_cast<size_t>(slot - now_.slots));
    } else {
      slot = FindIn(old_, tag, is_it);
      MR_CHECK(slot != nullptr);
      const_cast<Slot*>(slot)->node = kGone;  // this table only shrinks; CloseGap would upset MoveSome
    }
    --count_;
    if (old_.slots != nullptr) {
      MoveSome();
    } else if (now_.capacity() > kCapacityMin && count_ * 16 < now_.capacity()) {
      Rebuild(now_.capacity() / 4);
    }
  }

  void Clear() {
    now_.Free();
    old_.Free();
    now_ = {};
    old_ = {};
    count_ = 0;
    moved_ = 0;
  }

  size_t count() const { return count_; }
  size_t memory_bytes() const { return (now_.capacity() + old_.capacity()) * sizeof(Slot); }

 private:
  struct Slot {
    uint32_t tag;
    uint32_t node;  // 0: never used, ends a probe
  };
  struct Table {
    Slot* slots = nullptr;
    uint32_t mask = 0;
    size_t capacity() const { return slots == nullptr ? 0 : size_t{mask} + 1; }
    void Free() { FreeZeros(slots, capacity() * sizeof(Slot)); }
  };
  static constexpr uint32_t kGone = 0xffffffff;
  static constexpr size_t kCapacityMin = 16;
  // Slots moved per change: about a microsecond's work, so that the time in which two tables have to be asked is short.
  // On average a change moves one or two. Any number above 8 finishes before the next growth or shrinking is due.
  static constexpr size_t kMovedPerChange = 512;

  template <typename F>
  static const Slot* FindIn(const Table& table, uint32_t tag, F&& is_it) {
    if (table.slots == nullptr) return nullptr;
    for (uint32_t at = tag & table.mask;; at = (at + 1) & table.mask) {
      const Slot& slot = table.slots[at];
      if (slot.node == 0) return nullptr;
      if (slot.tag == tag && slot.node != kGone && is_it(slot.node)) return &slot;
    }
  }

  void Put(uint32_t tag, uint32_t node) {
    uint32_t at = tag & now_.mask;
    while (now_.slots[at].node != 0) at = (at + 1) & now_.mask;
    now_.slots[at] = {tag, node};
  }

  // Pulls later members of the probe run back over the hole, so that no marker has to stay.
  void CloseGap(size_t hole_at) {
    uint32_t hole = static_cast<uint32_t>(hole_at);
    for (uint32_t at = (hole + 1) & now_.mask; now_.slots[at].node != 0; at = (at + 1) & now_.mask) {
      const uint32_t home = now_.slots[at].tag & now_.mask;
      if (((at - home) & now_.mask) >= ((at - hole) & now_.mask)) {
        now_.slots[hole] = now_.slots[at];
        hole = at;
      }
    }
    now_.slots[hole] = {};
  }

  void Rebuild(size_t capacity) {
    MR_CHECK(old_.slots == nullptr && capacity <= size_t{1} << 31);
    old_ = now_;
    moved_ = 0;
    now_.slots = static_cast<Slot*>(AllocateZeros(capacity * sizeof(Slot)));
    PopulateZeros(now_.slots, capacity * sizeof(Slot));
    now_.mask = static_cast<uint32_t>(capacity - 1);
    if (old_.slots != nullptr) MoveSome();
  }

  void MoveSome() {
    const size_t end = moved_ + kMovedPerChange;
    for (; moved_ < end && moved_ < old_.capacity(); ++moved_) {
      Slot& slot = old_.slots[moved_];
      if (slot.node == 0 || slot.node == kGone) continue;
      Put(slot.tag, slot.node);
      slot.node = kGone;
    }
    if (moved_ == old_.capacity()) {
      old_.Free();
      old_ = {};
    }
  }

  Table now_;
  Table old_;  // what is left of the table before, while slots move
  size_t moved_ = 0;
  size_t count_ = 0;
};

}  // namespace millrace
