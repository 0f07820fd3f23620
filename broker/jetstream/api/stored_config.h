// SPDX-License-Identifier: Apache-2.0
// Stored configurations: what the store keeps of a stream or consumer besides its messages and its state: when it was
//         made, its configuration as the API prints it, and the account of a stream.
// Owner:  caller (pure).
// Format: "<created, ns since 1970>[+] <JSON>[ <account>]"; the plus: Applied::kPartly; an account is written unless
//         it is the one of those who are in no account; streams of earlier versions are all its.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "broker/jetstream/api/consumer_config.h"
#include "broker/jetstream/api/stream_config.h"

namespace millrace {

// kPartly: what an update of the stream lets go of may still be there, if the server ends before it is all removed.
enum class Applied : uint8_t { kWhole, kPartly };

// `account` may be empty.
std::string WriteStored(int64_t created_ns, const StreamConfig& config, std::string_view account,
                        Applied applied = Applied::kWhole);
std::string WriteStored(int64_t created_ns, const ConsumerConfig& config);
// False: it cannot be read.
bool ReadStored(std::string_view text, int64_t* created_ns, StreamConfig* config, std::string* account,
                Applied* applied);
bool ReadStored(std::string_view text, int64_t* created_ns, ConsumerConfig* config);

// What lives in memory by its owner's wish, or only as long as somebody listens, is not in the store.
inline bool IsStored(const ConsumerConfig& config) { return !config.direct && !config.mem_storage; }

}  // namespace millrace
