// SPDX-License-Identifier: Apache-2.0
// Counters: what a message with Nats-Incr becomes on a counter stream (spec J-3a, ADR-49).
// Owner:  caller (pure).
// Body:   {"val":"<whole number of any size>"}
// Header: Nats-Counter-Sources holds, for counters that add up others, {"<stream>":{"<subject>":"<its last value>"}}.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace millrace {

struct CounterResult {
  std::string header;  // block
  std::string body;
  std::string value;
};

// The value of a counter message's body; nullopt: it is none.
std::optional<std::string> ReadCounterValue(std::string_view body);

// The last message of the subject; nullptr data: there is none.
struct CounterBefore {
  bool exists = false;
  std::string_view header;
  std::string_view body;
};

// `increment` is the message's valid Nats-Incr, `stream_source` its Nats-Stream-Source: then the message holds the
// value of a counter elsewhere, and what it adds is the difference to what that counter was before.
// nullopt: a value that is none (kMessageCounterBroken).
std::optional<CounterResult> ApplyIncrement(const CounterBefore& before, std::string_view subject,
                                            std::string_view increment, std::string_view stream_source,
                                            std::string_view header, std::string_view body);

}  // namespace millrace
