// SPDX-License-Identifier: Apache-2.0
// Goal: INFO is the line that the peer sends. Method: whole lines; odd names in a configuration are escaped as by Go.
#include "broker/session/info.h"

#include <gtest/gtest.h>

#include "broker/version.h"

namespace millrace {
namespace {

std::string Versions() { return "\"version\":\"" + std::string(kServerVersion) + "\",\"proto\":1"; }

TEST(InfoLine, LeavesOutWhatIsNotSet) {
  ServerInfo server;
  server.server_id = "ID";
  server.server_name = "name";
  server.host = "0.0.0.0";
  server.port = 4222;
  server.max_payload = 1'048'576;
  ClientInfo client;
  client.client_id = 7;
  const std::string expected = R"(INFO {"server_id":"ID","server_name":"name",)" + Versions() + R"(,"go":")" +
                               std::string(kGoVersion) + R"(","host":"0.0.0.0","port":4222,"headers":true,)" +
                               R"("max_payload":1048576,"client_id":7,"api_lvl":)" + std::to_string(kApiLevel) +
                               "} \r\n";
  EXPECT_EQ(InfoLine(server, client), expected);
}

TEST(InfoLine, HasAllThatIsSetInThePeersOrderAndEscapesAsGo) {
  ServerInfo server;
  server.server_name = "<a>\"\n\xE2\x80\xA8\xFF\xC3\xA9";
  server.git_commit = "c0ffee";
  server.ip = "::1";
  server.domain = "hub";
  server.xkey = "X";
  server.jetstream = true;
  server.lame_duck = true;
  server.connect_urls = {"a:1", "b\"c:2"};
  ClientInfo client;
  client.client_ip = "127.0.0.1";
  client.nonce = "n";
  client.auth_required = true;
  client.connect_info = true;
  client.remote_account = "$G";
  client.account_is_system = true;
  std::string expected = R"(INFO {"server_id":"","server_name":"\u003ca\u003e\"\n\u2028\ufffd)" "\xC3\xA9\",";
  expected += Versions() + R"(,"git_commit":"c0ffee","go":")" + std::string(kGoVersion);
  expected += R"(","host":"","port":0,"headers":true,"auth_required":true,"max_payload":0,"jetstream":true,)";
  expected += R"("ip":"::1","client_id":0,"client_ip":"127.0.0.1","nonce":"n","domain":"hub",)";
  expected += R"("connect_urls":["a:1","b\"c:2"],"ldm":true,"connect_info":true,"remote_account":"$G",)";
  expected += R"("acc_is_sys":true,"api_lvl":)" + std::to_string(kApiLevel) + R"(,"xkey":"X"})" " \r\n";
  EXPECT_EQ(InfoLine(server, client), expected);
}

}  // namespace
}  // namespace millrace
