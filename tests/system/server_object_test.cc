// SPDX-License-Identifier: Apache-2.0
// Goal: the server describes itself as nats-server 2.15.2 does, to the byte. The texts were recorded from it.
#include "broker/system/server_object.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

TEST(ServerObject, SaysAllThatIsConfiguredInThePeersOrder) {
  ServerInfo info;
  info.server_name = "srv";
  info.host = "127.0.0.1";
  info.server_id = "NBPO";
  info.domain = "hub";
  info.jetstream = true;
  Options options;
  options.server_tags = {"a:b", "ccc"};
  options.server_metadata = {{"k", "v"}};
  options.feature_flags = {{"js_ack_fc_v2", true}};
  EXPECT_EQ(ServerObject(info, options).Json(13, 1'796'091'449'749'542'726),
            R"({"name":"srv","host":"127.0.0.1","id":"NBPO","domain":"hub","ver":"2.15.2","tags":["a:b","ccc"],)"
            R"("metadata":{"k":"v"},"feature_flags":{"js_ack_fc_v2":true,"js_api_reply_v2":false,)"
            R"("js_raft_delete_range":true,"js_snapshot_sources":false},"jetstream":true,"flags":7,"seq":13,)"
            R"("time":"2026-12-01T02:17:29.749542726Z"})");
}

TEST(ServerObject, LeavesOutWhatIsNotThere) {
  ServerInfo info;
  info.server_name = info.server_id = "NBPO";
  info.host = "0.0.0.0";
  EXPECT_EQ(ServerObject(info, Options()).Json(2, 1'000'000'000),
            R"({"name":"NBPO","host":"0.0.0.0","id":"NBPO","ver":"2.15.2","feature_flags":{"js_ack_fc_v2":false,)"
            R"("js_api_reply_v2":false,"js_raft_delete_range":true,"js_snapshot_sources":false},"jetstream":false,)"
            R"("flags":0,"seq":2,"time":"1970-01-01T00:00:01Z"})");
}

}  // namespace
}  // namespace millrace
