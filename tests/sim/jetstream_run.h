// SPDX-License-Identifier: Apache-2.0
// RunJetStreamLives: a server with JetStream that crashes or stops, and starts on what is left, several times.
// Owner:  the simulating thread.
#pragma once

#include <cstdint>
#include <string>

namespace millrace::sim {

// Fails the process when a rule is broken; says what has happened. `shards` and `operations` (of all lives together)
// of 0: drawn from the seed. What a crashed server had in memory stays there.
std::string RunJetStreamLives(uint64_t seed, uint32_t shards, uint64_t operations);

}  // namespace millrace::sim
