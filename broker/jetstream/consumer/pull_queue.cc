// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/consumer/pull_queue.h"

#include <algorithm>

#include "proto/base/check.h"

namespace millrace {

PullQueue::~PullQueue() {
  Clear();
  MR_CHECK(size_ == 0 && no_waits_ == 0 && tail_ == nullptr);
  while (pool_ != nullptr) {
    PullRequest* next = pool_->next;
    delete pool_;
    pool_ = next;
  }
}

PullRequest* PullQueue::Acquire() {
  if (pool_ == nullptr) return new PullRequest;
  PullRequest* request = pool_;
  MR_DCHECK(pooled_ > 0);
  pool_ = request->next;
  --pooled_;
  request->next = nullptr;
  return request;
}

void PullQueue::Release(PullRequest* request) {
  MR_DCHECK(request != head_ && request != tail_ && pooled_ <= kPooledMax);
  if (pooled_ == kPooledMax) {
    delete request;
    return;
  }
  // The strings keep their room: the next request of the same client fits into it.
  std::string reply = std::move(request->reply);
  std::string group = std::move(request->group);
  std::string pin_id = std::move(request->pin_id);
  *request = PullRequest{};
  reply.clear();
  group.clear();
  pin_id.clear();
  request->reply = std::move(reply);
  request->group = std::move(group);
  request->pin_id = std::move(pin_id);
  request->next = pool_;
  pool_ = request;
  ++pooled_;
}

void PullQueue::Add(PullRequest* request) {
  MR_DCHECK((head_ == nullptr) == (size_ == 0) && request != tail_);
  request->next = nullptr;
  if (tail_ == nullptr) {
    head_ = request;
  } else {
    tail_->next = request;
  }
  tail_ = request;
  ++size_;
  no_waits_ += request->no_wait;
}

void PullQueue::AddByPriority(PullRequest* request) {
  if (tail_ == nullptr || tail_->priority <= request->priority) {
    Add(request);
    return;
  }
  MR_DCHECK(size_ > 0);
  PullRequest** at = &head_;  // the tail is behind us: the loop ends
  while ((*at)->priority <= request->priority) at = &(*at)->next;
  request->next = *at;
  *at = request;
  ++size_;
  no_waits_ += request->no_wait;
}

void PullQueue::Rotate(bool by_priority) {
  if (size_ < 2) return;
  PullRequest* request = head_;
  Unlink(nullptr, request);
  if (by_priority) {
    AddByPriority(request);
  } else {
    Add(request);
  }
}

void PullQueue::RemoveFirst() {
  MR_DCHECK(head_ != nullptr);
  PullRequest* request = head_;
  Unlink(nullptr, request);
  Release(request);
}

void PullQueue::Clear() {
  while (head_ != nullptr) RemoveFirst();
}

Nanos PullQueue::NextDeadline() const {
  Nanos next = Nanos::max();
  for (const PullRequest* request = head_; request != nullptr; request = request->next) {
    next = std::min(next, request->expires_at);
    if (request->heartbeat != Nanos{}) next = std::min(next, request->heartbeat_at);
  }
  return next;
}

void PullQueue::Unlink(PullRequest* before, PullRequest* request) {
  MR_DCHECK(size_ > 0 && (before == nullptr ? head_ : before->next) == request);
  MR_DCHECK(no_waits_ >= (request->no_wait ? 1u : 0u));
  (before == nullptr ? head_ : before->next) = request->next;
  if (request == tail_) tail_ = before;
  --size_;
  no_waits_ -= request->no_wait;
}

void PullQueue::Invariant() const {
  size_t size = 0;
  size_t no_waits = 0;
  for (const PullRequest* request = head_; request != nullptr; request = request->next) {
    MR_CHECK(request->next != nullptr || request == tail_);
    ++size;
    no_waits += request->no_wait;
  }
  MR_CHECK((head_ == nullptr) == (tail_ == nullptr));
  MR_CHECK_OP(size, ==, size_);
  MR_CHECK_OP(no_waits, ==, no_waits_);
  MR_CHECK_OP(pooled_, <=, kPooledMax);
}

}  // namespace millrace
