// SPDX-License-Identifier: Apache-2.0
// Password hash: whether a secret is the one that a bcrypt hash was made of.
// Owner:  caller (pure).
// Cost:   tens of milliseconds of CPU and more, by design: never on a shard or the control thread.
#pragma once

#include <string_view>

#include "broker/account/secret.h"

namespace millrace {

// All of $2a$, $2b$, $2x$ and $2y$ are computed alike, as the peer does. A hash that is cut short fits nothing.
bool MatchesHash(std::string_view hash, const Secret& secret);

}  // namespace millrace
