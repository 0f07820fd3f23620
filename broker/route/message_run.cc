// SPDX-License-Identifier: Apache-2.0
#include "broker/route/message_run.h"

#include "broker/route/subscription.h"

namespace millrace {

bool Sink::DeliverTraced(const Subscription& subscription, const Message& message) {
  if (message.trace->only) return true;
  Message untraced = message;
  untraced.trace = nullptr;
  return Deliver(subscription, untraced);
}

void Sink::DeliverRun(const Subscription& subscription, const MessageRun& run) {
  for (uint32_t i = 0; i < run.size() && !subscription.removed; ++i) Deliver(subscription, run.At(i));
}

}  // namespace millrace
