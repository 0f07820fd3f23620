// SPDX-License-Identifier: Apache-2.0
#include "broker/system/system_port.h"

#include <utility>

namespace millrace {

// Nobody waits for a server that is faster than its listeners: they are slow consumers like others.
SystemPort::SystemPort(Router& router, const int64_t& wall_ns, SharedSequence& sequence)
    : route_(router, ConnectionId{router.mesh().self(), 0, 0}, nullptr), wall_ns_(wall_ns), sequence_(sequence) {}

bool SystemPort::Flush() {
  if (posted_.empty()) return false;
  // A sink that takes one of these may post the next.
  for (const Notice& notice : std::exchange(posted_, {})) {
    Message message;
    message.account = notice.account;
    message.subject = notice.subject;
    message.reply = notice.reply;
    message.payload = notice.payload;
    message.header_bytes = notice.header_bytes;
    route_.Publish(message);
  }
  return true;
}

}  // namespace millrace
