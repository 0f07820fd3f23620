// SPDX-License-Identifier: Apache-2.0
// Golden: pages recorded from nats-server 2.15.2 (tests/monitor/golden/), and snapshots read back
// from them.
// Owner:  caller (pure).
#pragma once

#include <cmath>
#include <cstdint>
#include <ctime>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "broker/monitor/pages.h"

namespace millrace {

using Json = nlohmann::ordered_json;

inline std::string ReadGolden(const std::string& name) {
  std::ifstream file(std::string(MR_GOLDEN_DIR) + "/" + name + ".json");
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// "2026-11-23T22:38:44.3019Z"; the zero time of Go is 0.
inline int64_t ReadTime(const Json& json, const char* key) {
  if (!json.contains(key)) return 0;
  const std::string text = json[key];
  if (text == "0001-01-01T00:00:00Z") return 0;
  tm parts = {};
  const char* rest = strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  double fraction = 0;
  int64_t nanos = 0;
  if (rest != nullptr && *rest == '.') {
    fraction = std::stod(rest);
    nanos = std::llround(fraction * 1e9);
  }
  return int64_t{timegm(&parts)} * 1'000'000'000 + nanos;
}

template <typename T>
T Get(const Json& json, const char* key) {
  return json.contains(key) ? json[key].template get<T>() : T();
}
inline std::string Text(const Json& json, const char* key) { return Get<std::string>(json, key); }
inline std::vector<std::string> Texts(const Json& json, const char* key) {
  return Get<std::vector<std::string>>(json, key);
}
inline int64_t Int(const Json& json, const char* key) { return Get<int64_t>(json, key); }

inline SubInfo ReadSub(const Json& json) {
  SubInfo sub;
  sub.account = Text(json, "account");
  sub.account_tag = Text(json, "account_tag");
  sub.subject = Text(json, "subject");
  sub.queue = Text(json, "qgroup");
  sub.sid = Text(json, "sid");
  sub.msgs = Int(json, "msgs");
  sub.max = Int(json, "max");
  sub.cid = Get<uint64_t>(json, "cid");
  return sub;
}

inline SublistStats ReadSublist(const Json& json) {
  SublistStats stats;
  stats.num_subscriptions = Get<uint32_t>(json, "num_subscriptions");
  stats.num_cache = Get<uint32_t>(json, "num_cache");
  stats.num_inserts = Get<uint64_t>(json, "num_inserts");
  stats.num_removes = Get<uint64_t>(json, "num_removes");
  stats.num_matches = Get<uint64_t>(json, "num_matches");
  stats.max_fanout = Get<uint32_t>(json, "max_fanout");
  stats.cache_hits = static_cast<uint64_t>(
      std::llround(Get<double>(json, "cache_hit_rate") * static_cast<double>(stats.num_matches)));
  stats.cache_entries = stats.num_cache;
  stats.total_fanout = static_cast<uint64_t>(
      std::llround(Get<double>(json, "avg_fanout") * static_cast<double>(stats.num_cache)));
  return stats;
}

inline int64_t ReadRtt(const std::string& text) {
  const double number = std::stod(text);
  if (text.ends_with("µs")) return std::llround(number * 1e3);
  if (text.ends_with("ms")) return std::llround(number * 1e6);
  if (text.ends_with("ns")) return std::llround(number);
  return std::llround(number * 1e9);
}

inline ConnInfo ReadConn(const Json& json) {
  ConnInfo info;
  info.cid = Get<uint64_t>(json, "cid");
  info.kind = Text(json, "kind");
  info.type = Text(json, "type");
  info.ip = Text(json, "ip");
  info.port = Get<int>(json, "port");
  info.start_ns = ReadTime(json, "start");
  info.last_activity_ns = ReadTime(json, "last_activity");
  info.stop_ns = ReadTime(json, "stop");
  info.reason = Text(json, "reason");
  info.rtt_ns = ReadRtt(json["rtt"]);
  info.pending_bytes = Int(json, "pending_bytes");
  info.in_msgs = Int(json, "in_msgs");
  info.out_msgs = Int(json, "out_msgs");
  info.in_bytes = Int(json, "in_bytes");
  info.out_bytes = Int(json, "out_bytes");
  info.num_subs = Get<uint32_t>(json, "subscriptions");
  info.name = Text(json, "name");
  info.lang = Text(json, "lang");
  info.version = Text(json, "version");
  info.user = Text(json, "authorized_user");
  info.account = Text(json, "account");
  for (const std::string& subject : Texts(json, "subscriptions_list"))
    info.subs.emplace_back().subject = subject;
  if (json.contains("subscriptions_list_detail"))
    for (const Json& sub : json["subscriptions_list_detail"]) info.subs.push_back(ReadSub(sub));
  return info;
}

inline ConnzInput ReadConnz(const Json& json) {
  ConnzInput input;
  input.server_id = Text(json, "server_id");
  input.now_ns = ReadTime(json, "now");
  for (const Json& each : json["connections"]) {
    ConnInfo info = ReadConn(each);
    (info.stop_ns != 0 ? input.closed : input.open).push_back(std::move(info));
  }
  return input;
}

inline DataStats ReadDataStats(const Json& json) {
  DataStats stats;
  stats.msgs = Int(json, "msgs");
  stats.bytes = Int(json, "bytes");
  return stats;
}

}  // namespace millrace
