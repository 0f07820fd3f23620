// SPDX-License-Identifier: Apache-2.0
// TraceParent: whether who has sent a W3C `traceparent` header records what it traces.
// Owner:  caller (pure).
// Source: https://www.w3.org/TR/trace-context; nats-server 2.15.2 reads no more of it than this.
#pragma once

#include <string_view>

namespace millrace {

// {version}-{trace}-{parent}-{flags}: four parts, two hexadecimal digits of flags below 80, the last bit of them set.
// (The peer reads the flags as a signed number of eight bits.)
bool TraceParentSamples(std::string_view value);

}  // namespace millrace
