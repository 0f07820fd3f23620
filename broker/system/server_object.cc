// SPDX-License-Identifier: Apache-2.0
#include "broker/system/server_object.h"

#include <utility>

#include "broker/json/writer.h"
#include "broker/monitor/snapshot.h"
#include "broker/version.h"
#include "proto/base/check.h"

namespace millrace {
namespace {

// What the peer says it can with JetStream: that, binary snapshots, and Raft traffic in the account of an asset.
constexpr int kJetStreamFlags = 7;

}  // namespace

ServerObject::ServerObject(const ServerInfo& info, const Options& options) {
  JsonWriter out(JsonLayout::kCompact);
  out.BeginObject();
  out.Put("name", info.server_name);
  out.Put("host", info.host);
  out.Put("id", info.server_id);
  out.Opt("domain", info.domain);
  out.Put("ver", kServerVersion);
  out.OptStrings("tags", options.server_tags);
  if (!options.server_metadata.empty()) {
    out.Key("metadata");
    out.BeginObject();
    for (const auto& [key, value] : options.server_metadata) out.Put(key, value);
    out.EndObject();
  }
  out.Key("feature_flags");
  out.BeginObject();
  for (const auto& [flag, by_default] : DefaultFeatureFlags()) {
    const auto configured = options.feature_flags.find(flag);
    out.PutBool(flag, configured == options.feature_flags.end() ? by_default : configured->second);
  }
  out.EndObject();
  out.PutBool("jetstream", info.jetstream);
  out.PutInt("flags", info.jetstream ? kJetStreamFlags : 0);
  out.EndObject();
  constant_ = std::move(out).Take();
  constant_.back() = ',';
}

std::string ServerObject::Json(uint64_t sequence, int64_t wall_ns) const {
  MR_CHECK(!constant_.empty());
  JsonWriter out(JsonLayout::kCompact);
  out.BeginObject();
  out.PutUint("seq", sequence);
  out.PutTime("time", wall_ns);
  out.EndObject();
  return constant_ + out.text().substr(1);
}

}  // namespace millrace
