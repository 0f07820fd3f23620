// SPDX-License-Identifier: Apache-2.0
// Goal: the headers that ask for a trace are read as by the peer, and the event is the one that it sends.
// Method: whole texts, as nats-server 2.15.2 sends them for the same message; and without all that may be left out.
#include "broker/session/trace.h"

#include <gtest/gtest.h>

#include "broker/system/server_object.h"
#include "broker/version.h"

namespace millrace {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

std::string Flags(bool raft) {
  return R"("feature_flags":{"js_ack_fc_v2":false,"js_api_reply_v2":false,"js_raft_delete_range":)" +
         std::string(raft ? "true" : "false") + R"(,"js_snapshot_sources":false},)";
}

TEST(Trace, AnEventHasAllThatThePeersHas) {
  ServerInfo server;
  server.server_name = "n1";
  server.host = "127.0.0.1";
  server.server_id = "NID";
  server.domain = "hub";
  server.jetstream = true;
  Options options;
  options.server_tags = {"t:1", "t:2"};
  options.server_metadata = {{"k", "v"}, {"l", "w"}};
  options.feature_flags = {{"js_raft_delete_range", false}, {"unknown", true}};
  PendingTrace trace;
  trace.request.headers = {{"A", {"1", "2"}}, {"Nats-Trace-Dest", {"dest"}}};
  trace.ingress_ns = 2 * kSecond;
  trace.subject = "x.y";
  trace.message_bytes = 49;
  AccountTable accounts;
  const AccountId other = accounts.Add("A");
  using Kind = TraceEvent::Kind;
  trace.error = "no";
  trace.events = {
      {.kind = Kind::kSubjectMapping, .wall_ns = kSecond, .to = "x.z"},
      {.kind = Kind::kEgress, .wall_ns = 3 * kSecond, .cid = 6, .name = "rn", .sub = "x.*"},
      {.kind = Kind::kEgress, .wall_ns = 4 * kSecond, .account = other, .cid = 7, .sub = "x.y", .queue = "q",
       .error = "why"},
      {.kind = Kind::kStreamExport, .wall_ns = kSecond, .account = other, .to = "y"},
      {.kind = Kind::kServiceImport, .wall_ns = kSecond, .account = other, .from = "x.z", .to = "q"},
      {.kind = Kind::kJetStream, .wall_ns = kSecond, .name = "S", .to = "x.z", .no_interest = true},
      {.kind = Kind::kJetStream, .wall_ns = kSecond, .name = "S", .error = "full"},
  };
  trace.events[1].account = kGlobalAccount;
  const std::string self = ServerObject(server, options).Json(9, 5 * kSecond + 1000);
  EXPECT_EQ(TraceEventJson(self, accounts, TraceOrigin{5, "cn", kGlobalAccount}, trace),
            R"({"server":{"name":"n1","host":"127.0.0.1","id":"NID","domain":"hub","ver":")" +
                std::string(kServerVersion) + R"(","tags":["t:1","t:2"],"metadata":{"k":"v","l":"w"},)" + Flags(false) +
                R"("jetstream":true,"flags":7,"seq":9,"time":"1970-01-01T00:00:05.000001Z"},)"
                R"("request":{"header":{"A":["1","2"],"Nats-Trace-Dest":["dest"]},"msgsize":49},"events":[)"
                R"({"type":"in","ts":"1970-01-01T00:00:02Z","kind":0,"cid":5,"name":"cn","acc":"$G","subj":"x.y",)"
                R"("error":"no"},{"type":"sm","ts":"1970-01-01T00:00:01Z","to":"x.z"},)"
                R"({"type":"eg","ts":"1970-01-01T00:00:03Z","kind":0,"cid":6,"name":"rn","sub":"x.*"},)"
                R"({"type":"eg","ts":"1970-01-01T00:00:04Z","kind":0,"cid":7,"acc":"A","sub":"x.y",)"
                R"("queue":"q","error":"why"},{"type":"se","ts":"1970-01-01T00:00:01Z","acc":"A","to":"y"},)"
                R"({"type":"si","ts":"1970-01-01T00:00:01Z","acc":"A","from":"x.z","to":"q"},)"
                R"({"type":"js","ts":"1970-01-01T00:00:01Z","stream":"S","subject":"x.z","nointerest":true},)"
                R"({"type":"js","ts":"1970-01-01T00:00:01Z","stream":"S","error":"full"}]})");
}

TEST(Trace, AnEventLeavesOutWhatIsNotThere) {
  PendingTrace trace;
  trace.request.headers = {{"Nats-Trace-Dest", {"d"}}};
  trace.ingress_ns = kSecond;
  AccountTable accounts;
  const AccountId account = accounts.Add("A");
  EXPECT_EQ(TraceEventJson(ServerObject({}, {}).Json(1, kSecond), accounts, TraceOrigin{5, "", account}, trace),
            R"({"server":{"name":"","host":"","id":"","ver":")" + std::string(kServerVersion) + R"(",)" + Flags(true) +
                R"("jetstream":false,"flags":0,"seq":1,"time":"1970-01-01T00:00:01Z"},)"
                R"("request":{"header":{"Nats-Trace-Dest":["d"]}},)"
                R"("events":[{"type":"in","ts":"1970-01-01T00:00:01Z","kind":0,"cid":5,"acc":"A","subj":""}]})");
}

TEST(Trace, HeadersSayWhereToAndWhetherToDeliver) {
  const struct {
    std::string_view lines;
    std::string_view read;  // "dest only", with `disabled` in front; "": no trace
  } kCases[] = {
      {"A: 1\r\n", ""},
      {"Nats-Trace-Dest: d\r\n", "d 0"},
      {"Nats-Trace-Dest: d\r\nNats-Trace-Dest: e\r\n", "d 0"},
      {"Nats-Trace-Dest: d\r\nNats-Trace-Only: 1\r\n", "d 1"},
      {"Nats-Trace-Dest: d\r\nNats-Trace-Only: TRUE\r\n", "d 1"},
      {"Nats-Trace-Dest: d\r\nNats-Trace-Only: On\r\n", "d 1"},
      {"Nats-Trace-Dest: d\r\nNats-Trace-Only: yes\r\n", "d 0"},
      {"Nats-Trace-Dest: d\r\nNats-Trace-Only: 0\r\nNats-Trace-Only: 1\r\n", "d 0"},
      {"Nats-Trace-Dest: \r\n", ""},
      {"Nats-Trace-Dest: \r\nNats-Trace-Only: 1\r\n", ""},
      {"Nats-Trace-Dest:  d \t\r\n", "d 0"},
      {"Nats-Trace-Dest: trace disabled\r\nNats-Trace-Only: 1\r\n", ""},
      {"Nats-Trace-Dest: d\r\nNats-Trace-Origin-Account: A\r\n", "disabled d 0"},
      {"Nats-Trace-Dest: d\r\nNats-Trace-Only: 1\r\nNats-Trace-Origin-Account: A\r\n", "disabled d 1"},
      {"traceparent: 0-1-2-01\r\n", ""},
      {"Nats-Trace-Dest: d\r\nNats-Trace-Origin-Account: \r\n", "d 0"},
  };
  for (const auto& one : kCases) {
    const std::optional<TraceRequest> request =
        ReadTraceRequest("NATS/1.0\r\n" + std::string(one.lines) + "\r\n", false);
    const std::string disabled = request && request->disabled ? "disabled " : "";
    EXPECT_EQ(request ? disabled + request->dest + (request->only ? " 1" : " 0") : "", one.read) << one.lines;
  }
}

TEST(Trace, AParentThatRecordsAsksForOneWhereTheAccountHasADestination) {
  const struct {
    std::string_view lines;
    bool asks;
  } kCases[] = {
      {"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n", true},
      {"TraceParent: 0-1-2-01\r\n", true},
      {"traceparent: 0-1-2-00\r\n", false},
      {"traceparent: 0-1-2-1\r\n", false},
      {"traceparent: 0-1-2-7f\r\n", true},
      {"traceparent: 0-1-2-81\r\n", false},
      {"traceparent: 0-1-2-+1\r\n", true},
      {"traceparent: 0-1-2-x1\r\n", false},
      {"traceparent: 0-1-2-3-01\r\n", false},
      {"traceparent: 0-1-2-00\r\ntraceparent: 0-1-2-01\r\n", true},
      {"Nats-Trace-Only: 1\r\ntraceparent: 0-1-2-01\r\n", true},
  };
  for (const auto& one : kCases) {
    const std::optional<TraceRequest> request =
        ReadTraceRequest("NATS/1.0\r\n" + std::string(one.lines) + "\r\n", true);
    ASSERT_EQ(request.has_value(), one.asks) << one.lines;
    if (!request) continue;
    EXPECT_TRUE(request->dest.empty() && !request->only) << one.lines;
  }
}

}  // namespace
}  // namespace millrace
