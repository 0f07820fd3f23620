// SPDX-License-Identifier: Apache-2.0
// Goal: each target asks the core for what it needs and answers with the peer's status and type.
// Method: tables of targets, and the answers the peer gave to them.
#include "broker/monitor/service.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace millrace {
namespace {

HttpRequest Get(std::string target) {
  HttpRequest request;
  request.method = "GET";
  request.target = std::move(target);
  return request;
}

struct Answer {
  std::string status_line, head, body;
};

Answer Ask(MonitorService* service, const HttpRequest& http, MonitorData data = {}) {
  const MonitorRequest request = service->Start(http);
  data.now_ns = int64_t{1'795'473'524} * 1'000'000'000;
  const std::string bytes = service->Finish(request, std::move(data));
  const size_t line = bytes.find("\r\n"), end = bytes.find("\r\n\r\n");
  return {bytes.substr(0, line), bytes.substr(0, end), bytes.substr(end + 4)};
}

TEST(MonitorServiceTest, NeedsFollowTheTarget) {
  MonitorService service("");
  const std::pair<const char*, uint32_t> table[] = {
      {"/", 0u},
      {"/varz", kNeedVarz | kNeedJetStreamVarz},
      {"/connz", kNeedOpenConnections},
      {"/connz?state=closed", kNeedClosedConnections},
      {"/connz?state=any&subs=detail",
       kNeedOpenConnections | kNeedClosedConnections | kNeedConnectionSubs},
      {"/subsz", kNeedSublistStats},
      {"/subscriptionsz?subs=1", kNeedSublistStats | kNeedSubscriptions},
      {"/accountz", kNeedAccountNames},
      {"/accountz?acc=A", kNeedAccountDetail | kNeedSublistStats},
      {"/accstatz?unused=1", kNeedAccountStats},
      {"/healthz", kNeedHealth | kNeedJetStreamHealth},
      {"/healthz?js-server-only=1", kNeedHealth},
      {"/jsz", kNeedJsz},
      {"/healthz?stream=s", 0u},
      {"/routez", 0u},
      {"/connz?limit=x", 0u},
  };
  for (const auto& [target, needs] : table)
    EXPECT_EQ(service.Start(Get(target)).needs, needs) << target;
}

TEST(MonitorServiceTest, RequestsAreCountedAsThePeerCountsThem) {
  MonitorService service("/nats/x/");
  for (const char* target :
       {"/nats/x", "/nats/x/varz", "/nats/x/varz", "/nats/x/subscriptionsz",
        "/nats/x/connz?limit=q", "/nats/x/jsz?limit=q", "/nats/x/stacksz", "/varz", "/"})
    service.Start(Get(target));
  const std::map<std::string, uint64_t> expected = {
      {"/", 1}, {"/varz", 2}, {"/subsz", 1}, {"/jsz", 1}};
  EXPECT_EQ(service.http_req_stats(), expected);
}

TEST(MonitorServiceTest, StatusAndTypeAreThePeers) {
  MonitorService service("");
  constexpr const char* kText = "Content-Type: text/plain; charset=utf-8";
  constexpr const char* kJson = "Content-Type: application/json\r\n";
  const std::tuple<const char*, const char*, const char*, const char*> table[] = {
      {"/nope", "404 Not Found", kText, "404 page not found\n"},
      {"/healthz/", "404 Not Found", kText, "404 page not found\n"},
      {"/HEALTHZ", "404 Not Found", kText, "404 page not found\n"},
      {"/raftz", "404 Not Found", kText, "No Raft nodes registered"},
      {"/ipqueuesz", "200 OK", kJson, "{}"},
      {"/healthz", "200 OK", kJson, "{\"status\":\"ok\"}"},
      {"/healthz?details=1", "200 OK", kJson, "{\"status\":\"ok\"}"},
      {"/healthz?stream=a", "400 Bad Request", kJson,
       "{\"status\":\"error\",\"error\":\"\\\"account\\\" must not be empty when checking stream "
       "health\"}"},
      {"/healthz?stream=a&details=1", "400 Bad Request", kJson,
       "{\"status\":\"error\",\"errors\":[{\"type\":\"BAD_REQUEST\",\"error\":\"\\\"account\\\" "
       "must not be "
       "empty when checking stream health\"}]}"},
      {"/healthz?account=a&consumer=c", "400 Bad Request", kJson,
       "{\"status\":\"error\",\"error\":\"\\\"stream\\\" must not be empty when checking consumer "
       "health\"}"},
      {"/healthz?js-enabled=q", "400 Bad Request", kText,
       "Error decoding boolean for 'js-enabled': strconv.ParseBool: parsing \"q\": invalid syntax"},
      {"/gatewayz?accs=q", "400 Bad Request", kText,
       "Error decoding boolean for 'accs': strconv.ParseBool: parsing \"q\": invalid syntax"},
      {"/jsz?offset=x", "400 Bad Request", kText,
       "Error decoding int for 'offset': strconv.Atoi: parsing \"x\": invalid syntax"},
      {"/accountz?acc=zz", "400 Bad Request", kText, "Account zz does not exist"},
      {"//healthz", "307 Temporary Redirect", "Location: /healthz\r\n",
       "<a href=\"/healthz\">Temporary Redirect</a>.\n\n"},
      {"/x/../healthz?a=1", "307 Temporary Redirect", "Location: /healthz?a=1\r\n",
       "<a href=\"/healthz?a=1\">Temporary Redirect</a>.\n\n"},
      {"//%0d%0aSet-Cookie:a", "307 Temporary Redirect", "Location: /%0D%0ASet-Cookie:a\r\n",
       "<a href=\"/%0D%0ASet-Cookie:a\">Temporary Redirect</a>.\n\n"},
  };
  for (const auto& [target, status, header, body] : table) {
    const Answer answer = Ask(&service, Get(target));
    EXPECT_EQ(answer.status_line, std::string("HTTP/1.1 ") + status) << target;
    EXPECT_NE((answer.head + "\r\n").find(header), std::string::npos) << target << "\n"
                                                                      << answer.head;
    EXPECT_EQ(answer.body, body) << target;
  }
}

TEST(MonitorServiceTest, UnhealthyIs503AndSaysWhy) {
  MonitorService service("");
  MonitorData data;
  data.health.errors.push_back({.type = HealthErrorType::kStream,
                                .account = "A",
                                .stream = "S",
                                .consumer = "",
                                .error = "lost"});
  Answer answer = Ask(&service, Get("/healthz"), data);
  EXPECT_EQ(answer.status_line, "HTTP/1.1 503 Service Unavailable");
  EXPECT_EQ(answer.body, "{\"status\":\"unavailable\",\"error\":\"lost\"}");
  answer = Ask(&service, Get("/healthz?details=true"), data);
  EXPECT_EQ(
      answer.body,
      "{\"status\":\"error\",\"errors\":[{\"type\":\"STREAM\",\"account\":\"A\",\"stream\":\"S\","
      "\"error\":\"lost\"}]}");
  EXPECT_EQ(HealthWarning(data.health, {}), "Healthcheck failed: \"lost\"");
}

TEST(MonitorServiceTest, ABadEscapeInThePathClosesTheConnection) {
  MonitorService service("");
  const MonitorRequest request = service.Start(Get("/a%zz"));
  EXPECT_EQ(request.ready.status, 400);
  EXPECT_FALSE(request.keep_alive);
}

TEST(MonitorServiceTest, HeadHasTheLengthAndNoBody) {
  MonitorService service("");
  HttpRequest head = Get("/healthz");
  head.method = "HEAD";
  const Answer answer = Ask(&service, head);
  EXPECT_NE(answer.head.find("Content-Length: 15"), std::string::npos);
  EXPECT_EQ(answer.body, "");
}

TEST(MonitorServiceTest, DebugPagesAreSane) {
  MonitorService service("");
  MonitorData data;
  data.cmdline = {"nats-server", "-m", "8222"};
  const auto vars = nlohmann::json::parse(Ask(&service, Get("/debug/vars"), data).body);
  EXPECT_EQ(vars["cmdline"][2], "8222");
  EXPECT_GT(vars["memstats"]["Alloc"], 0);
  EXPECT_EQ(Ask(&service, Get("/stacksz")).body.substr(0, 7), "thread ");
}

TEST(MonitorServiceTest, TheIndexLinksToThePages) {
  MonitorService service("/a/b");
  const std::string page = Ask(&service, Get("/a/b")).body;
  EXPECT_NE(page.find("href=\"./b/varz\""), std::string::npos);
  MonitorService plain("");
  EXPECT_NE(Ask(&plain, Get("/")).body.find("href=\"./varz\""), std::string::npos);
}

}  // namespace
}  // namespace millrace
