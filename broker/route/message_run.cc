// SPDX-License-Identifier: Apache-2.0
#include "broker/route/message_run.h"

#include "broker/route/subscription.h"

namespace millrace {

void Sink::DeliverRun(const Subscription& subscription, const MessageRun& run) {
  for (uint32_t i = 0; i < run.size() && !subscription.removed; ++i) Deliver(subscription, run.At(i));
}

}  // namespace millrace
