// SPDX-License-Identifier: Apache-2.0
// Upgrade: the peer's checks in its order, what it answers, and what a request says of the client.
#include "broker/websocket/upgrade.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

UpgradeRequest Good() {
  return {"GET", "/", {{"Host", "a"}, {"Upgrade", "websocket"}, {"Connection", "keep-alive, Upgrade"},
                       {"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="}, {"Sec-WebSocket-Version", "13"}}};
}

UpgradeRequest With(std::string name, std::string value) {
  UpgradeRequest request = Good();
  for (auto& field : request.fields)
    if (field.first == name) return field.second = value, request;
  request.fields.emplace_back(name, value);
  return request;
}

std::string Refusal(const UpgradeRequest& request, const UpgradeRules& rules = {}) {
  const UpgradeAnswer answer = AnswerUpgrade(request, rules);
  return answer.refusal ? std::to_string(answer.refusal->status) + " " + answer.refusal->reason : "";
}

TEST(Upgrade, AnswersAsThePeer) {
  const std::string head =
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
  EXPECT_EQ(AnswerUpgrade(Good(), {}).response, head + "\r\n");
  UpgradeRequest request = With("sec-websocket-extensions", "foo, Permessage-Deflate; x");
  request.fields.emplace_back("Nats-No-Masking", "true");
  EXPECT_EQ(AnswerUpgrade(request, {.compression = true, .response_fields = "X: y\r\n"}).response,
            head + "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; "
                   "client_no_context_takeover\r\nNats-No-Masking: true\r\nX: y\r\n\r\n");
  EXPECT_FALSE(AnswerUpgrade(request, {}).upgrade.compression);
}

TEST(Upgrade, RefusesAsThePeer) {
  UpgradeRequest request = Good();
  request.path = "/any/mqtt";
  EXPECT_EQ(Refusal(request), "404 mqtt websocket endpoint not enabled");
  EXPECT_EQ(AnswerUpgrade(request, {.mqtt = true}).upgrade.kind, UpgradeKind::kMqtt);
  request.path = "/leafnode";
  EXPECT_EQ(AnswerUpgrade(request, {}).upgrade.kind, UpgradeKind::kLeaf);
  request.method = "POST";
  EXPECT_EQ(Refusal(request), "405 request method must be GET");
  EXPECT_EQ(Refusal(With("Host", "")), "400 'Host' missing in request");
  EXPECT_EQ(Refusal(With("Upgrade", "h2c")), "400 invalid value for header 'Upgrade'");
  EXPECT_EQ(Refusal(With("Connection", "close")), "400 invalid value for header 'Connection'");
  EXPECT_EQ(Refusal(With("Sec-WebSocket-Key", "")), "400 key missing");
  for (const char* key : {"short", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZQ=.", "dGhlIHNhbXBsZSBub25jZSEh"})
    EXPECT_EQ(Refusal(With("Sec-WebSocket-Key", key)), "400 invalid websocket key") << key;
  // Bits behind the last whole byte have no meaning.
  EXPECT_EQ(Refusal(With("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZR==")), "");
  EXPECT_EQ(Refusal(With("Sec-WebSocket-Version", "12")), "400 invalid version");
}

TEST(Upgrade, ChecksOrigins) {
  const UpgradeRules same = {.same_origin = true};
  EXPECT_EQ(Refusal(Good(), same), "");
  EXPECT_EQ(Refusal(With("Origin", "HTTP://A:80"), same), "");
  EXPECT_EQ(Refusal(With("Origin", "http://b"), same), "403 origin not allowed: not same origin");
  EXPECT_EQ(Refusal(With("Origin", "https://a"), same), "403 origin not allowed: not same origin");
  EXPECT_EQ(Refusal(With("Origin", "null"), same), "403 origin not allowed: parse \"null\": invalid URI for request");
  const UpgradeRules listed = {.allowed_origins = {{"https", "good.example", "443"}}};
  EXPECT_EQ(Refusal(With("Origin", "https://Good.example"), listed), "");
  EXPECT_EQ(Refusal(With("Sec-WebSocket-Origin", "http://good.example"), listed),
            "403 origin not allowed: not in the allowed list");
  EXPECT_EQ(Refusal(With("Origin", "http://b")), "");
}

TEST(Upgrade, KnowsTheClient) {
  EXPECT_EQ(AnswerUpgrade(With("X-Forwarded-For", "192.0.2.1"), {}).upgrade.client_ip, "192.0.2.1");
  EXPECT_EQ(AnswerUpgrade(With("X-Forwarded-For", "192.0.2.1, 10.0.0.1"), {}).upgrade.client_ip, "");
  UpgradeRequest request = With("User-Agent", "Mozilla/5.0 Version/17.0 Safari/605.1");
  EXPECT_TRUE(AnswerUpgrade(request, {}).upgrade.browser);
  EXPECT_FALSE(AnswerUpgrade(request, {}).upgrade.whole_messages);
  request.fields.emplace_back("Sec-WebSocket-Extensions", "permessage-deflate");
  EXPECT_TRUE(AnswerUpgrade(request, {.compression = true}).upgrade.whole_messages);
  const UpgradeRules rules = {.jwt_cookie = "j", .user_cookie = "u", .password_cookie = "p", .token_cookie = "t"};
  const Upgrade upgrade = AnswerUpgrade(With("Cookie", "j=e30.e30; u=\"ivan\"; p=a=b; x=1; t=bad\"one"), rules).upgrade;
  EXPECT_EQ(upgrade.jwt, "e30.e30");
  EXPECT_EQ(upgrade.user, "ivan");
  EXPECT_EQ(upgrade.password, "a=b");
  EXPECT_EQ(upgrade.token, "");
}

}  // namespace
}  // namespace millrace
