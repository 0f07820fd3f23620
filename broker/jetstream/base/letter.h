// SPDX-License-Identifier: Apache-2.0
// Letter: a copy of a message as it came, for who cannot take it yet.
// Owner:  shard.
#pragma once

#include <string>

#include "broker/route/subscription.h"

namespace millrace {

struct Letter {
  explicit Letter(const Message& from)
      : message(from), subject(from.subject), reply(from.reply), payload(from.payload) {
    message.origin = nullptr;
    message.trace = nullptr;
    message.deliver_to = message.tail = {};
  }
  // Valid as long as the letter stays where it is.
  Message View() const {
    Message view = message;
    view.subject = subject;
    view.reply = reply;
    view.payload = payload;
    return view;
  }
  size_t bytes() const { return sizeof(Letter) + subject.size() + reply.size() + payload.size(); }

  Message message;
  std::string subject, reply, payload;
};

}  // namespace millrace
