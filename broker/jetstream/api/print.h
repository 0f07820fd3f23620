// SPDX-License-Identifier: Apache-2.0
// Print: our structs as JSON, byte for byte what the peer prints: its key order and its rules of what is left out.
// Owner:  caller (pure).
#pragma once

#include <string>

#include "broker/jetstream/api/requests.h"
#include "broker/jetstream/api/stream_info.h"
#include "broker/json/writer.h"

namespace millrace {

// For StreamConfig, ConsumerConfig, StreamState, StreamInfo, StreamSourceInfo, ConsumerInfo, SequenceInfo, ClusterInfo,
// AccountInfo, PubAck, ApiMessage, ApiError, Placement and the requests.
template <typename T>
std::string PrintJson(const T& value);

// The same as a value inside of a document that is being written.
template <typename T>
void WriteJson(const T& value, JsonWriter* json);

}  // namespace millrace
