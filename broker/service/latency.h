// SPDX-License-Identifier: Apache-2.0
// Service latency: which requests to an export are measured, and the metric that its account is sent of one.
// Owner:  caller (pure).
// Source: ADR-3; nats-server 2.15.2.  Proof: tests/service/latency_test.cc.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/account/account_spec.h"
#include "proto/base/nanos.h"

namespace millrace {

// The headers that a measurement was asked for with, their keys as Go writes them.
using TriggerHeaders = std::map<std::string, std::vector<std::string>>;

// Whether this request is measured: by a draw out of 100, or because somebody traces it already (Uber-Trace-Id, B3,
// Traceparent) and has not decided against it. `draw`: from 0 to 99.
std::optional<TriggerHeaders> SampleRequest(const ServiceLatency& latency, std::string_view header_block,
                                            uint32_t draw);

enum class LatencyStatus : uint8_t {
  kOk,           // 200
  kBadRequest,   // 400: it wants no reply
  kUnwanted,     // 408: nobody waits for the reply any more
  kUnavailable,  // 503: nobody took the request
  kTimeout,      // 504: no reply within the threshold of the export
};

// One end of a request. Unknown: no JSON.
struct LatencyClient {
  std::string json = {};  // as ClientInfo
  Nanos rtt{0};
};

struct LatencyMetric {
  std::string id = {};  // a NUID
  int64_t now_ns = 0;
  LatencyStatus status = LatencyStatus::kOk;
  LatencyClient requestor = {};
  LatencyClient responder = {};
  TriggerHeaders headers = {};
  int64_t asked_ns = 0;  // when the request was here
  Nanos answered{0};     // from then until the reply was; kOk only, as is:
  Nanos system{0};       // until the metric was made
};

std::string LatencyMetricJson(const LatencyMetric& metric);

}  // namespace millrace
