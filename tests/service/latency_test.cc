// SPDX-License-Identifier: Apache-2.0
// Goal: the requests that are measured are those that the peer measures, and their metrics have its words.
// Method: headers against what nats-server 2.15.2 makes of them, and whole texts.
#include "broker/service/latency.h"

#include <gtest/gtest.h>

#include <chrono>

namespace millrace {
namespace {

using std::chrono::microseconds;

std::string Shown(const std::optional<TriggerHeaders>& headers) {
  if (!headers) return "no";
  std::string text = "yes";
  for (const auto& [key, values] : *headers) {
    for (const std::string& value : values) text += " " + key + "=" + value;
  }
  return text;
}

TEST(Latency, HeadersThatTraceAlreadyAreSampled) {
  const ServiceLatency by_header{.subject = "l", .sampling = ServiceLatency::kByHeader};
  const struct {
    std::string_view lines;
    std::string_view shown;
  } kCases[] = {
      {"", "no"},
      {"A: b\r\n", "no"},
      {"Uber-Trace-Id: 1:2:3:1\r\n", "yes Uber-Trace-Id=1:2:3:1"},
      {"uber-trace-id: 1:2:3:1\r\nuberctx-a: x\r\nB3: 1\r\n", "yes Uber-Trace-Id=1:2:3:1 Uberctx-A=x"},
      {"Uber-Trace-Id: 1:2:3:0\r\nB3: 1\r\n", "no"},
      {"Uber-Trace-Id: 1:2:3:0f\r\n", "yes Uber-Trace-Id=1:2:3:0f"},
      {"Uber-Trace-Id: 1:2:3:123\r\n", "no"},
      {"Uber-Trace-Id: 1:2:3\r\n", "no"},
      {"Uber-Trace-Id: 1:2:3:z\r\n", "no"},
      {"X-B3-Sampled: 1\r\nX-B3-TraceId: a\r\nX-B3-SpanId: b\r\nX-B3-ParentSpanId: c\r\nC: d\r\n",
       "yes X-B3-Parentspanid=c X-B3-Sampled=1 X-B3-Spanid=b X-B3-Traceid=a"},
      {"X-B3-Sampled: 0\r\nX-B3-TraceId: a\r\n", "no"},
      {"X-B3-Sampled: d\r\n", "no"},
      {"X-B3-TraceId: a\r\n", "yes X-B3-Traceid=a"},
      {"B3: a-b-1-c\r\n", "yes B3=a-b-1-c"},
      {"b3: a-b-0-c\r\n", "no"},
      {"B3: 0\r\n", "no"},
      {"B3: 1\r\n", "yes B3=1"},
      {"B3: a-b\r\n", "yes B3=a-b"},
      {"traceparent: 00-a-b-01\r\ntracestate: s \r\n", "yes Traceparent=00-a-b-01 Tracestate=s"},
      {"traceparent: 00-a-b-00\r\n", "no"},
      {"traceparent: 00-a-b-1\r\n", "no"},
      {"traceparent: 00-a-b-01\r\ntraceparent: c\r\n", "yes Traceparent=00-a-b-01 Traceparent=c"},
      {"traceparent: 00-a-b-01\r\nno colon\r\n", "no"},
  };
  for (const auto& one : kCases) {
    EXPECT_EQ(Shown(SampleRequest(by_header, "NATS/1.0\r\n" + std::string(one.lines) + "\r\n", 0)), one.shown)
        << one.lines;
  }
}

TEST(Latency, AShareIsDrawnAndWhoTracesIsAlwaysSampled) {
  EXPECT_EQ(Shown(SampleRequest({.subject = "l", .sampling = 100}, {}, 99)), "yes");
  EXPECT_EQ(Shown(SampleRequest({.subject = "l", .sampling = 30}, {}, 30)), "yes");
  EXPECT_EQ(Shown(SampleRequest({.subject = "l", .sampling = 30}, {}, 31)), "no");
  EXPECT_EQ(Shown(SampleRequest({.subject = "l", .sampling = 30}, "NATS/1.0\r\nB3: 1\r\n\r\n", 31)), "yes B3=1");
  EXPECT_EQ(Shown(SampleRequest({.subject = "l", .sampling = ServiceLatency::kByHeader}, {}, 0)), "no");
}

TEST(Latency, AMetricHasThePeersWords) {
  constexpr int64_t kSecond = 1'000'000'000;
  LatencyMetric metric{.id = "ID",
                       .now_ns = 3 * kSecond,
                       .requestor = {.json = R"({"acc":"A","rtt":1000})", .rtt = microseconds(1)},
                       .responder = {.json = R"({"acc":"B"})", .rtt = microseconds(2)},
                       .headers = {{"B3", {"1"}}},
                       .asked_ns = 2 * kSecond + 1000,
                       .answered = microseconds(10),
                       .system = microseconds(4)};
  EXPECT_EQ(LatencyMetricJson(metric),
            R"({"type":"io.nats.server.metric.v1.service_latency","id":"ID","timestamp":"1970-01-01T00:00:03Z",)"
            R"("status":200,"requestor":{"acc":"A","rtt":1000},"responder":{"acc":"B"},"header":{"B3":["1"]},)"
            R"("start":"1970-01-01T00:00:02Z","service":8000,"system":4000,"total":15000})");
  // How far away the responder is can be known too late to be true.
  metric.responder.rtt = microseconds(20);
  metric.headers.clear();
  EXPECT_NE(
      LatencyMetricJson(metric).find(R"(},"start":"1970-01-01T00:00:02Z","service":0,"system":4000,"total":15000})"),
      std::string::npos);
  metric.responder = {};
  EXPECT_NE(LatencyMetricJson(metric).find(
                R"("requestor":{"acc":"A","rtt":1000},"start":"1970-01-01T00:00:02Z","service":10000,"system":0,)"
                R"("total":11000})"),
            std::string::npos);
  metric.status = LatencyStatus::kTimeout;
  EXPECT_NE(LatencyMetricJson(metric).find(
                R"("status":504,"description":"Service Timeout","requestor":{"acc":"A","rtt":1000},)"
                R"("start":"1970-01-01T00:00:02Z","service":0,"system":0,"total":0})"),
            std::string::npos);
}

}  // namespace
}  // namespace millrace
