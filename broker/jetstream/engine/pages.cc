// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/engine/pages.h"

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "broker/jetstream/api/print.h"
#include "broker/jetstream/engine/jetstream.h"
#include "broker/jetstream/base/sort_in_slices.h"

namespace millrace {
namespace {


constexpr uint64_t kPrintUnits = 400;  // a state or configuration

// By name, so that two looks at a page show the same order. Copies: consumers come and go while the task is paused.
std::vector<std::string> ConsumerNames(const Stream& stream, LongTasks* tasks) {
  std::vector<std::string> names;
  names.reserve(stream.consumers().size());
  for (const auto& [name, consumer] : stream.consumers()) names.push_back(name);
  SortInSlices(&names, std::less<>(), tasks);
  return names;
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
  return page;
}

void DescribeConsumers(JetStream* engine, const Stream& stream, const JszOptions& options, JszStream* page) {
  const uint64_t uid = stream.uid();
  for (const std::string& name : ConsumerNames(stream, &engine->tasks())) {
    const Stream* at = engine->streams().FindFree(page->name, &engine->tasks());
    Consumer* consumer = at == nullptr || at->uid() != uid ? nullptr : at->FindConsumer(name);
    if (consumer == nullptr) continue;
    const bool direct = consumer->hidden();
    if (direct && !options.direct_consumers) continue;
    ConsumerInfo info = consumer->Info();
    if (!options.config) info.config.reset();
    (direct ? page->direct_consumers : page->consumers).push_back(PrintJson(info));
    engine->tasks().Tick(kPrintUnits);
  }
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
  if (SelectJszAccounts(options, {engine_.account().name}).empty()) return;
  JszAccount& account = jsz->accounts.emplace_back();
  account.name = account.id = engine_.account().name;
  const JetStreamStats& stats = jsz->server.stats;
  account.memory = stats.memory;
  account.storage = stats.storage;
  account.api_total = stats.api_total;
  account.api_errors = stats.api_errors;
  if (!options.streams) return;
  account.streams.reserve(engine_.streams().size());
  engine_.streams().ForEach(&engine_.tasks(), [&](const Stream& stream) {
    JszStream& page = account.streams.emplace_back(Describe(stream, options, engine_.options().server_name));
    if (options.consumers) DescribeConsumers(&engine_, stream, options, &page);
    engine_.tasks().Tick(options.config ? 2 * kPrintUnits : kPrintUnits);
  });
}

void JetStreamPages::FillHealth(const HealthzOptions& options, JetStreamHealth* health) const {
  // The account's directory comes with its first stream, for the peer and so for probes.
  health->account_found = options.account == engine_.account().name && !engine_.streams().empty();
  const Stream* named = engine_.FindStream(options.stream);
  health->stream_found = health->account_found && named != nullptr;
  health->consumer_found = health->stream_found && named->FindConsumer(options.consumer) != nullptr;
  if (engine_.store().state() != StorageState::kFailed) return;
  // Nothing can be stored any more, in no stream of the disk.
  engine_.streams().ForEach(&engine_.tasks(), [&](const Stream& stream) {
    engine_.tasks().Tick(kPrintUnits);
    if (stream.config().storage == Storage::kMemory) return;
    if (!options.account.empty() && !health->account_found) return;
    if (!options.stream.empty() && stream.name() != options.stream) return;
    HealthError& error = health->broken.emplace_back();
    error.type = HealthErrorType::kStream;
    error.account = engine_.account().name;
    error.stream = stream.name();
    error.error = absl::StrFormat("JetStream stream '%s > %s' write error: the write-ahead log failed",
                                  engine_.account().name, stream.name());
  });
}

}  // namespace millrace
