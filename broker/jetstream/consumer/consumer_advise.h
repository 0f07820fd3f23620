// SPDX-License-Identifier: Apache-2.0
// Advise: one advisory of a consumer, made only when somebody listens for it.
// Owner:  shard.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "broker/jetstream/api/advisories.h"
#include "broker/jetstream/consumer/consumer_host.h"

namespace millrace {

// `advisory` is one of those that name stream, consumer and domain, which are filled in here.
template <typename Advisory>
void Advise(ConsumerHost& host, std::string_view consumer, Advisory advisory) {
  advisory.stream = host.stream_name();
  advisory.consumer = consumer;
  const std::string subject = AdvisorySubject(advisory);
  if (!host.port().HasInterest(host.account(), subject)) return;
  advisory.domain = host.domain();
  if constexpr (requires { advisory.account; }) advisory.account = host.account_name();
  host.Advisory(subject, AdvisoryJson(AdvisoryHead{host.NewId(), host.port().WallNs()}, advisory));
}

}  // namespace millrace
