// SPDX-License-Identifier: Apache-2.0
// PullQueue: the pull requests that wait at a consumer, in the order in which they get messages.
// Owner:  shard.  One message goes to the first request, which then goes behind the others; with priorities, behind the
//         others of its priority. Requests are pooled: a client that asks again and again allocates nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "proto/base/nanos.h"

namespace millrace {

struct PullRequest {
  std::string reply;
  int64_t remaining = 0;  // messages still wanted
  int64_t delivered = 0;
  int64_t bytes_left = 0;  // max_bytes; 0: no limit
  Nanos expires_at = Nanos::max();  // which is never
  Nanos heartbeat{};                // 0: none
  Nanos heartbeat_at{};
  Nanos received{};
  bool no_wait = false;
  // Priority groups. has_group: the request was JSON; then group names one of the consumer's.
  bool has_group = false;
  std::string group;
  std::string pin_id;
  int64_t min_pending = 0;
  int64_t min_ack_pending = 0;
  int32_t priority = INT32_MAX;  // lower goes first

  PullRequest* next = nullptr;
};

class PullQueue {
 public:
  PullQueue() = default;
  ~PullQueue();
  PullQueue(const PullQueue&) = delete;
  PullQueue& operator=(const PullQueue&) = delete;

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  PullRequest* first() const { return head_; }
  size_t no_waits() const { return no_waits_; }

  // A cleared request to fill in; then Add or AddByPriority, or Release.
  PullRequest* Acquire();
  void Release(PullRequest* request);
  void Add(PullRequest* request);
  void AddByPriority(PullRequest* request);  // behind those of the same priority

  // The first one got a message: behind the others.
  void Rotate(bool by_priority);
  void RemoveFirst();
  void Clear();
  // Removes each request for which `drop` returns true, first to last.
  template <typename F>
  void RemoveIf(F&& drop);
  // Aborts unless the list and the counts agree. Walks the queue.
  void Invariant() const;
  // The nearest of expiries and heartbeats; Nanos::max() when there is none. Walks the queue.
  Nanos NextDeadline() const;

 private:
  static constexpr size_t kPooledMax = 8;

  void Unlink(PullRequest* before, PullRequest* request);

  PullRequest* head_ = nullptr;
  PullRequest* tail_ = nullptr;
  PullRequest* pool_ = nullptr;
  uint32_t size_ = 0;
  uint32_t pooled_ = 0;
  uint32_t no_waits_ = 0;
};

template <typename F>
void PullQueue::RemoveIf(F&& drop) {
  PullRequest* before = nullptr;
  for (PullRequest* request = head_; request != nullptr;) {
    PullRequest* next = request->next;
    if (drop(request)) {
      Unlink(before, request);
      Release(request);
    } else {
      before = request;
    }
    request = next;
  }
}

}  // namespace millrace
