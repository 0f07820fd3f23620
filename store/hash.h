// SPDX-License-Identifier: Apache-2.0
// Hash64: the checksum of everything the store writes (xxh3_64, seeded). The seed ties bytes to their place: a block of
//         another store, or of another position, does not pass.
// Owner:  caller (pure).
#pragma once

#include <cstdint>
#include <string_view>

namespace millrace {

uint64_t Hash64(std::string_view bytes, uint64_t seed);

}  // namespace millrace
