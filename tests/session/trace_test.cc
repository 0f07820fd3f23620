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
  trace.egress.push_back({3 * kSecond, 6, "rn", "x.*", "", ""});
  trace.egress.push_back({4 * kSecond, 7, "", "x.y", "q", "why"});
  const std::string self = ServerObject(server, options).Json(9, 5 * kSecond + 1000);
  EXPECT_EQ(TraceEventJson(self, TraceOrigin{5, "cn", "$G"}, trace),
            R"({"server":{"name":"n1","host":"127.0.0.1","id":"NID","domain":"hub","ver":")" +
                std::string(kServerVersion) + R"(","tags":["t:1","t:2"],"metadata":{"k":"v","l":"w"},)" + Flags(false) +
                R"("jetstream":true,"flags":7,"seq":9,"time":"1970-01-01T00:00:05.000001Z"},)"
                R"("request":{"header":{"A":["1","2"],"Nats-Trace-Dest":["dest"]},"msgsize":49},"events":[)"
                R"({"type":"in","ts":"1970-01-01T00:00:02Z","kind":0,"cid":5,"name":"cn","acc":"$G","subj":"x.y"},)"
                R"({"type":"eg","ts":"1970-01-01T00:00:03Z","kind":0,"cid":6,"name":"rn","sub":"x.*"},)"
                R"({"type":"eg","ts":"1970-01-01T00:00:04Z","kind":0,"cid":7,"sub":"x.y","queue":"q",)"
                R"("error":"why"}]})");
}

TEST(Trace, AnEventLeavesOutWhatIsNotThere) {
  PendingTrace trace;
  trace.request.headers = {{"Nats-Trace-Dest", {"d"}}};
  trace.ingress_ns = kSecond;
  EXPECT_EQ(TraceEventJson(ServerObject({}, {}).Json(1, kSecond), TraceOrigin{5, "", "A"}, trace),
            R"({"server":{"name":"","host":"","id":"","ver":")" + std::string(kServerVersion) + R"(",)" + Flags(true) +
                R"("jetstream":false,"flags":0,"seq":1,"time":"1970-01-01T00:00:01Z"},)"
                R"("request":{"header":{"Nats-Trace-Dest":["d"]}},)"
                R"("events":[{"type":"in","ts":"1970-01-01T00:00:01Z","kind":0,"cid":5,"acc":"A","subj":""}]})");
}

TEST(Trace, HeadersSayWhereToAndWhetherToDeliver) {
  const struct {
    std::string_view lines;
    std::string_view read;  // "dest only"; "": no trace
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
      {"Nats-Trace-Dest: \r\nNats-Trace-Only: 1\r\n", " 1"},
      {"Nats-Trace-Dest: d\r\nNats-Trace-Origin-Account: A\r\n", ""},
      {"Nats-Trace-Dest: d\r\nNats-Trace-Only: 1\r\nNats-Trace-Origin-Account: A\r\n", " 1"},
      {"Nats-Trace-Dest: d\r\nNats-Trace-Origin-Account: \r\n", "d 0"},
  };
  for (const auto& one : kCases) {
    const std::optional<TraceRequest> request =
        ReadTraceRequest("NATS/1.0\r\n" + std::string(one.lines) + "\r\n");
    EXPECT_EQ(request ? request->dest + (request->only ? " 1" : " 0") : "", one.read) << one.lines;
  }
}

}  // namespace
}  // namespace millrace
