// SPDX-License-Identifier: Apache-2.0
// CheckQueue: questions that wait for a helper thread. Source addresses have their turns, one question each, so that
//             whoever asks for many waits for them himself. Within a source those whose peer has probably gone come
//             last.
// Owner:  caller (pure).
// Bounds: `waiting_max` questions. One more: the source that has the most waiting gives up its last, which may be this.
#pragma once

#include <cstddef>
#include <deque>
#include <list>
#include <optional>
#include <string>
#include <string_view>

#include "broker/mesh/mail.h"
#include "broker/question.h"

namespace millrace {

// Whom an address counts for: an IPv6 one for its /64, which one customer has all of.
std::string SourceOf(std::string_view address);

class CheckQueue {
 public:
  struct Entry {
    ConnectionId id;
    Question question;
    bool postponed = false;
  };

  explicit CheckQueue(size_t waiting_max) : waiting_max_(waiting_max) {}

  // Returns the one for which there is no room, which may be this one.
  std::optional<Entry> Add(Entry entry);
  // The next one.
  std::optional<Entry> Take();
  // Behind all others of its source, also those to come. False: the connection has none here.
  bool Postpone(const ConnectionId& id);
  // That of a connection that has gone. False: it has none here.
  bool Remove(const ConnectionId& id);

  size_t size() const { return size_; }
  void Clear();
  // Aborts unless it holds what it says; reads all of it.
  void Invariant() const;

 private:
  struct Source {
    std::string name;
    std::deque<Entry> waiting;  // never empty between two calls; the postponed ones last
  };

  static void Insert(Source* source, Entry entry);

  const size_t waiting_max_;
  size_t size_ = 0;
  std::list<Source> sources_;  // the next in turn first
};

}  // namespace millrace
