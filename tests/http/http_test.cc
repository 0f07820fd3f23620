// SPDX-License-Identifier: Apache-2.0
// Goal: requests are understood whatever their split, and refused as the peer refuses them. Method:
// the requests that were tried on the peer, each cut at every byte.
#include "broker/http/http.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

struct Outcome {
  std::vector<HttpRequest> requests;
  int error_status = 0;
  std::string error_detail;
};

Outcome Drain(HttpParser* parser, Outcome outcome = {}) {
  for (;;) {
    HttpRequest request;
    switch (parser->Next(&request)) {
      case HttpParser::Status::kNeedMore:
        return outcome;
      case HttpParser::Status::kRequest:
        outcome.requests.push_back(request);
        break;
      case HttpParser::Status::kError:
        outcome.error_status = parser->error_status();
        outcome.error_detail = parser->error_detail();
        return outcome;
    }
  }
}

Outcome Parse(std::string_view bytes) {
  HttpParser whole;
  whole.Append(bytes);
  const Outcome expected = Drain(&whole);
  for (size_t cut = 0; cut <= bytes.size(); ++cut) {
    HttpParser parser;
    parser.Append(bytes.substr(0, cut));
    Outcome outcome = Drain(&parser);
    if (outcome.error_status == 0) {
      parser.Append(bytes.substr(cut));
      outcome = Drain(&parser, std::move(outcome));
    }
    EXPECT_EQ(outcome.error_status, expected.error_status) << bytes << " cut at " << cut;
    EXPECT_EQ(outcome.requests.size(), expected.requests.size()) << bytes << " cut at " << cut;
  }
  return expected;
}

TEST(HttpParserTest, RequestsSplitAtEveryByteGiveTheSame) {
  const Outcome two =
      Parse("GET /a?b=1 HTTP/1.1\r\nHost: x\r\n\r\nHEAD /c HTTP/1.1\r\nhost:y\r\n\r\n");
  ASSERT_EQ(two.requests.size(), 2u);
  EXPECT_EQ(two.requests[0].target, "/a?b=1");
  EXPECT_TRUE(two.requests[0].keep_alive);
  EXPECT_FALSE(two.requests[0].head());
  EXPECT_TRUE(two.requests[1].head());
}

TEST(HttpParserTest, ShortBodiesAreSkipped) {
  const Outcome two = Parse(
      "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\nHost: "
      "x\r\n\r\n");
  ASSERT_EQ(two.requests.size(), 2u);
  EXPECT_EQ(two.requests[1].target, "/b");
}

TEST(HttpParserTest, ConnectionStaysOrCloses) {
  EXPECT_FALSE(Parse("GET / HTTP/1.0\r\n\r\n").requests.at(0).keep_alive);
  EXPECT_TRUE(Parse("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").requests.at(0).keep_alive);
  EXPECT_FALSE(
      Parse("GET / HTTP/1.1\r\nHost: x\r\nConnection: a, close\r\n\r\n").requests.at(0).keep_alive);
  EXPECT_FALSE(Parse("GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
                   .requests.at(0)
                   .keep_alive);
  EXPECT_FALSE(Parse("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 999999\r\n\r\nx")
                   .requests.at(0)
                   .keep_alive);
  EXPECT_TRUE(Parse("GET / HTTP/1.1\nHost: x\n\n").requests.at(0).keep_alive);
}

TEST(HttpParserTest, NothingIsReadBehindARequestThatCloses) {
  const Outcome one = Parse(
      "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(one.requests.size(), 1u);
}

TEST(HttpParserTest, BadRequestsAreRefusedAsThePeerRefusesThem) {
  for (const char* bad : {
           "GARBAGE\r\n\r\n",
           "\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
           "GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
           "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
           "G@T / HTTP/1.1\r\nHost: x\r\n\r\n",
           "GET / HTTP/3\r\nHost: x\r\n\r\n",
           "GET / HTTP/1.1\r\nHost: x\r\nBad Header\r\n\r\n",
           "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
           "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -3\r\n\r\n",
           "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
           "GET / HTTP/1.1\r\n\r\n",
       })
    EXPECT_EQ(Parse(bad).error_status, 400) << bad;
  EXPECT_EQ(Parse("GET / HTTP/1.1\r\n\r\n").error_detail, "missing required Host header");
  EXPECT_EQ(Parse("GET / HTTP/2.0\r\nHost: x\r\n\r\n").error_status, 505);
}

TEST(HttpParserTest, AHeadLargerThanTheBoundIsRefused) {
  HttpParser parser;
  HttpRequest request;
  parser.Append("GET / HTTP/1.1\r\nHost: x\r\nA: ");
  parser.Append(std::string(kHttpHeadBytesMax - 30, 'a'));
  EXPECT_EQ(parser.Next(&request), HttpParser::Status::kNeedMore);
  parser.Append("aaaaaaaaaa");
  EXPECT_EQ(parser.Next(&request), HttpParser::Status::kError);
  EXPECT_EQ(parser.error_status(), 431);
  EXPECT_EQ(HttpErrorBytes(431),
            "HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: text/plain; "
            "charset=utf-8\r\nConnection: close\r\n\r\n431 Request Header Fields Too Large");
}

TEST(HttpResponseTest, HeadersAreThePeers) {
  HttpResponse response;
  response.body = "{}";
  const int64_t when = 1'795'473'524;
  EXPECT_EQ(
      SerializeHttp(response, false, true, false, when),
      "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nContent-Type: application/json\r\n"
      "Date: Mon, 23 Nov 2026 22:38:44 GMT\r\nContent-Length: 2\r\n\r\n{}");
  EXPECT_EQ(
      SerializeHttp(response, true, false, false, when),
      "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nContent-Type: application/json\r\n"
      "Date: Mon, 23 Nov 2026 22:38:44 GMT\r\nContent-Length: 2\r\nConnection: close\r\n\r\n");
  EXPECT_NE(SerializeHttp(response, false, true, true, when).find("Connection: keep-alive"),
            std::string::npos);
}

TEST(HttpTargetTest, PathAndParametersAreDecoded) {
  const HttpTarget target("/c%6Fnnz?subs=%64etail&user=a+b%2B&user=second&bad=%zz&x=1;y=2&flag");
  EXPECT_TRUE(target.valid());
  EXPECT_EQ(target.path(), "/connz");
  EXPECT_EQ(target.Param("subs"), "detail");
  EXPECT_EQ(target.Param("user"), "a b+");
  EXPECT_EQ(target.Param("bad"), "");
  EXPECT_EQ(target.Param("x"), "");
  EXPECT_EQ(target.Param("flag"), "");
  EXPECT_FALSE(HttpTarget("/a%zz").valid());
  EXPECT_FALSE(HttpTarget("/a%4").valid());
  EXPECT_FALSE(HttpTarget("varz").valid());
  EXPECT_EQ(HttpTarget("http://host:1/varz?a=1").path(), "/varz");
  EXPECT_EQ(HttpTarget("/a?u=http://x/").path(), "/a");
}

}  // namespace
}  // namespace millrace
