// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/pages.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "broker/jetstream/api/print.h"
#include "broker/jetstream/jetstream.h"

namespace millrace {
namespace {

constexpr std::string_view kAccount = "$G";

// By name, so that two looks at a page show the same order.
template <class Map>
auto Sorted(const Map& map) {
  std::vector<typename Map::mapped_type::pointer> all;
  std::vector<std::pair<std::string_view, typename Map::mapped_type::pointer>> named;
  for (const auto& [name, each] : map) named.emplace_back(name, each.get());
  std::sort(named.begin(), named.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [name, each] : named) all.push_back(each);
  return all;
}

JszStream Describe(const Stream& stream, const JszOptions& options, const std::string& leader) {
  JszStream page;
  page.name = stream.name();
  page.created_ns = stream.created_ns();
  ClusterInfo cluster;
  cluster.leader = leader;
  page.cluster = PrintJson(cluster);
  if (options.config) page.config = PrintJson(stream.config());
  page.state = PrintJson(stream.State(nullptr));
  if (stream.upstream() != nullptr) {
    StreamInfo info;
    stream.upstream()->Describe(&info);
    if (info.mirror) page.mirror = PrintJson(*info.mirror);
    for (const StreamSourceInfo& source : info.sources)
      page.sources.append(page.sources.empty() ? "[" : ",").append(PrintJson(source));
    if (!page.sources.empty()) page.sources.push_back(']');
  }
  if (!options.consumers) return page;
  for (Consumer* consumer : Sorted(stream.consumers())) {
    const bool direct = consumer->hidden();
    if (direct && !options.direct_consumers) continue;
    ConsumerInfo info = consumer->Info();
    if (!options.config) info.config.reset();
    (direct ? page.direct_consumers : page.consumers).push_back(PrintJson(info));
  }
  return page;
}

}  // namespace

void JetStreamPages::FillVarz(JetStreamVarz* varz) const {
  const AccountInfo usage = engine_.Usage();
  JetStreamStats& stats = varz->stats;
  stats.memory = usage.total.memory;
  stats.storage = usage.total.storage;
  stats.reserved_memory = usage.total.reserved_memory;
  stats.reserved_storage = usage.total.reserved_storage;
  stats.accounts = 1;
  stats.api_total = usage.api.total;
  stats.api_errors = usage.api.errors;
  stats.api_inflight = usage.api.inflight;
  varz->config.max_storage = engine_.options().storage_max;
}

void JetStreamPages::FillJsz(const JszOptions& options, JszSnapshot* jsz) const {
  FillVarz(&jsz->server);
  jsz->total = 1;
  jsz->streams = static_cast<int>(engine_.streams().size());
  const StreamTable::Totals totals = engine_.streams().totals();
  jsz->messages = totals.file.messages + totals.memory.messages;
  jsz->bytes = totals.file.bytes + totals.memory.bytes;
  jsz->consumers = static_cast<int>(totals.consumers);
  if (SelectJszAccounts(options, {std::string(kAccount)}).empty()) return;
  JszAccount& account = jsz->accounts.emplace_back();
  account.name = account.id = kAccount;
  const JetStreamStats& stats = jsz->server.stats;
  account.memory = stats.memory;
  account.storage = stats.storage;
  account.api_total = stats.api_total;
  account.api_errors = stats.api_errors;
  if (!options.streams) return;
  engine_.streams().ForEach([&](const Stream& stream) {
    account.streams.push_back(Describe(stream, options, engine_.options().server_name));
  });
}

void JetStreamPages::FillHealth(const HealthzOptions& options, JetStreamHealth* health) const {
  // The account's directory comes with its first stream, for the peer and so for probes.
  health->account_found = options.account == kAccount && !engine_.streams().empty();
  const Stream* named = engine_.FindStream(options.stream);
  health->stream_found = health->account_found && named != nullptr;
  health->consumer_found = health->stream_found && named->FindConsumer(options.consumer) != nullptr;
  if (engine_.store().state() != StorageState::kFailed) return;
  // Nothing can be stored any more, in no stream of the disk.
  engine_.streams().ForEach([&](const Stream& stream) {
    if (stream.config().storage == Storage::kMemory) return;
    if (!options.account.empty() && !health->account_found) return;
    if (!options.stream.empty() && stream.name() != options.stream) return;
    HealthError& error = health->broken.emplace_back();
    error.type = HealthErrorType::kStream;
    error.account = kAccount;
    error.stream = stream.name();
    error.error = absl::StrFormat("JetStream stream '%s > %s' write error: the write-ahead log failed", kAccount,
                                  stream.name());
  });
}

}  // namespace millrace
