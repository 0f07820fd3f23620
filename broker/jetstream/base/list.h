// SPDX-License-Identifier: Apache-2.0
// List: objects in a row, each through a node that is its member: entering and leaving take no memory and no look-up.
// Owner:  shard.
// A node leaves its list when it ends, and so does every node of a list that ends: neither is ever found in the other's
// place. A node is in one list at a time.
#pragma once

#include <utility>

#include "proto/base/check.h"

namespace millrace {

template <class Owner>
class List {
 public:
  class Node {
   public:
    explicit Node(Owner* owner) : owner_(owner) {}
    ~Node() { Leave(); }
    Node(const Node&) = delete;
    Node& operator=(const Node&) = delete;

    bool linked() const { return next_ != nullptr; }
    // Nothing where it is in no list.
    void Leave() {
      if (!linked()) return;
      MR_DCHECK(previous_->next_ == this && next_->previous_ == this);
      previous_->next_ = next_;
      next_->previous_ = previous_;
      next_ = previous_ = nullptr;
    }

   private:
    friend class List;
    Owner* const owner_;
    Node* next_ = nullptr;
    Node* previous_ = nullptr;
  };

  List() { head_.next_ = head_.previous_ = &head_; }
  ~List() {
    while (!empty()) head_.next_->Leave();
    head_.next_ = nullptr;
  }
  List(const List&) = delete;
  List& operator=(const List&) = delete;

  bool empty() const { return head_.next_ == &head_; }
  // nullptr: it is empty.
  Owner* front() const { return head_.next_->owner_; }
  void PushBack(Node* node) {
    MR_DCHECK(!node->linked());
    node->previous_ = head_.previous_;
    node->next_ = &head_;
    head_.previous_->next_ = node;
    head_.previous_ = node;
  }
  // nullptr: it is empty.
  Owner* PopFront() {
    Owner* const first = front();
    if (first != nullptr) head_.next_->Leave();
    return first;
  }
  // All of the other list, behind what is here.
  void TakeAll(List* from) {
    if (from->empty()) return;
    Node* const first = from->head_.next_;
    Node* const last = from->head_.previous_;
    from->head_.next_ = from->head_.previous_ = &from->head_;
    first->previous_ = head_.previous_;
    head_.previous_->next_ = first;
    last->next_ = &head_;
    head_.previous_ = last;
  }
  // `visit` may let the one that it is given leave, or end; no other.
  template <class Visit>
  void ForEach(Visit&& visit) const {
    for (Node* node = head_.next_; node != &head_;) visit(std::exchange(node, node->next_)->owner_);
  }

 private:
  Node head_{nullptr};
};

}  // namespace millrace
