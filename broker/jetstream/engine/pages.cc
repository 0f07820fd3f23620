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

JszStream DescribeStream(const Stream& stream, const JszOptions& options, const std::string& leader) {
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
  const AccountId account = stream.account();
  for (const std::string& name : ConsumerNames(stream, &engine->tasks())) {
    const Stream* at = engine->streams().FindFree(account, page->name, &engine->tasks());
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

std::vector<const JetStreamAccount*> JetStreamPages::Accounts() const {
  std::vector<const JetStreamAccount*> accounts;
  engine_.accounts().ForEach([&](const JetStreamAccount& account) {
    if (account.enabled()) accounts.push_back(&account);
  });
  return accounts;
}

void JetStreamPages::FillVarz(JetStreamVarz* varz) const {
  JetStreamStats& stats = varz->stats;
  stats.memory = engine_.storage().used(Storage::kMemory);
  stats.storage = engine_.storage().used(Storage::kFile);
  stats.reserved_memory = static_cast<uint64_t>(engine_.directory().reserved(Storage::kMemory));
  stats.reserved_storage = static_cast<uint64_t>(engine_.directory().reserved(Storage::kFile));
  stats.accounts = static_cast<int>(Accounts().size());
  stats.api_total = engine_.api_counts().requests;
  stats.api_errors = engine_.api_counts().errors;
  varz->config.max_storage = engine_.options().storage_max;
}

void JetStreamPages::FillJsz(const JszOptions& options, JszSnapshot* jsz) const {
  FillVarz(&jsz->server);
  const std::vector<const JetStreamAccount*> accounts = Accounts();
  jsz->total = static_cast<int>(accounts.size());
  jsz->streams = static_cast<int>(engine_.streams().size());
  const StreamTable::Totals totals = engine_.streams().totals();
  jsz->messages = totals.file.messages + totals.memory.messages;
  jsz->bytes = totals.file.bytes + totals.memory.bytes;
  jsz->consumers = static_cast<int>(totals.consumers);
  std::vector<std::string> names;
  for (const JetStreamAccount* account : accounts) names.push_back(account->name());
  for (const size_t i : SelectJszAccounts(options, names)) jsz->accounts.push_back(Describe(*accounts[i], options));
}

JszAccount JetStreamPages::Describe(const JetStreamAccount& account, const JszOptions& options) const {
  JszAccount page;
  page.name = page.id = account.name();
  page.memory = account.use().used(Storage::kMemory);
  page.storage = account.use().used(Storage::kFile);
  // What is said to be reserved here is what the account may use.
  const JetStreamAccountLimits* flat = account.has_tiers() ? nullptr : account.LimitsFor(1);
  page.reserved_memory = flat == nullptr ? 0 : static_cast<uint64_t>(flat->max_memory);
  page.reserved_storage = flat == nullptr ? 0 : static_cast<uint64_t>(flat->max_storage);
  page.api_total = account.api.requests;
  page.api_errors = account.api.errors;
  if (!options.streams) return page;
  page.streams.reserve(engine_.streams().size(account.id()));
  engine_.streams().ForEach(account.id(), &engine_.tasks(), [&](const Stream& stream) {
    JszStream& at = page.streams.emplace_back(DescribeStream(stream, options, engine_.options().server_name));
    if (options.consumers) DescribeConsumers(&engine_, stream, options, &at);
    engine_.tasks().Tick(options.config ? 2 * kPrintUnits : kPrintUnits);
  });
  return page;
}

void JetStreamPages::FillHealth(const HealthzOptions& options, JetStreamHealth* health) const {
  // The account's directory comes with its first stream, for the peer and so for probes.
  const JetStreamAccount* account = engine_.accounts().Find(std::string_view(options.account));
  health->account_found = account != nullptr && account->enabled() && engine_.streams().size(account->id()) > 0;
  const Stream* named = health->account_found ? engine_.FindStream(account->id(), options.stream) : nullptr;
  health->stream_found = named != nullptr;
  health->consumer_found = health->stream_found && named->FindConsumer(options.consumer) != nullptr;
  if (engine_.store().state() != StorageState::kFailed) return;
  // Nothing can be stored any more, in no stream of the disk.
  for (const JetStreamAccount* each : Accounts()) {
    if (!options.account.empty() && each != account) continue;
    engine_.streams().ForEach(each->id(), &engine_.tasks(), [&](const Stream& stream) {
      engine_.tasks().Tick(kPrintUnits);
      if (stream.config().storage == Storage::kMemory) return;
      if (!options.stream.empty() && stream.name() != options.stream) return;
      HealthError& error = health->broken.emplace_back();
      error.type = HealthErrorType::kStream;
      error.account = each->name();
      error.stream = stream.name();
      error.error = absl::StrFormat("JetStream stream '%s > %s' write error: the write-ahead log failed", each->name(),
                                    stream.name());
    });
  }
}

}  // namespace millrace
