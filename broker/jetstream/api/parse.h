// SPDX-License-Identifier: Apache-2.0
// Parse: JSON of the JetStream API into our structs, as the peer's Go decoder reads it and with its error texts.
// Owner:  caller (pure).  Grammar: strict JSON; keys match in any case; null leaves a value as it is; of equal keys the
// last counts. Bounds: nesting of 10000. Never throws. Source: spec 5d, 10025.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "broker/jetstream/api/requests.h"

namespace millrace {

enum class JsonMode : uint8_t {
  kStrict,   // "jetstream { strict: true }", the default: an unknown field fails the request
  kLenient,  // it is only reported
};

struct ParseReport {
  std::string error;    // why the request failed: {err} of kInvalidJSON; empty when it is parsed
  std::string warning;  // what the peer logs: "Invalid JetStream request '<account> > <subject>': <warning>"
  std::vector<std::string> unknown_fields;
  bool ok() const { return error.empty(); }
};

// A request body. Empty text is a request with nothing set. *out is only whole when the report is ok.
// Instantiated for every struct of requests.h.
template <typename Request>
ParseReport ParseRequest(std::string_view text, JsonMode mode, Request* out);

// As json.Unmarshal: no mode, unknown fields are ignored, text after the value is an error. Returns the error, or ""
// when parsed. For StreamConfig, ConsumerConfig, StreamInfo, ConsumerInfo, StreamState, PubAck, ApiError, NakOptions
// and the requests. A key that is not sent leaves its member as it was.
template <typename T>
std::string ParseJson(std::string_view text, T* out);

// Requests whose body may be anything look at it only if this holds: names, lists, stream info, purge, stepdown, pause.
bool IsJsonObjectOrArray(std::string_view body);
// Nothing, or an object without members: what stream and consumer delete and consumer info demand (10038), and what msg
// get, msg delete, snapshot, restore and peer removal refuse (10003).
bool IsEmptyRequest(std::string_view body);

// The body of CONSUMER.MSG.NEXT: JSON, a number of messages, or nothing (one). Returns "" or the reason of "400 Bad
// Request - <reason>". batch is as sent (0 when JSON does not name it).
std::string ParseNextRequest(std::string_view body, ConsumerNextRequest* out);

// The payload of -NAK behind its blank: a JSON object with delay, or a Go duration. Returns "" or the error to log.
std::string ParseNakDelay(std::string_view text, int64_t* delay_ns);

}  // namespace millrace
