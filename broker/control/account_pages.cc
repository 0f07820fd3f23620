// SPDX-License-Identifier: Apache-2.0
#include "broker/control/account_pages.h"

#include <algorithm>
#include <utility>

#include "broker/account/system_imports.h"
#include "proto/place_holders.h"

namespace millrace {
namespace {

constexpr int kAll = 100;  // per cent
constexpr std::string_view kStream = "stream";
constexpr std::string_view kService = "service";
constexpr std::string_view kJetStreamApi = "$JS.API.>";

// The system account is asked by all others: it gives what they have without saying so.
struct SystemExport {
  std::string_view subject, response_type;
};
constexpr SystemExport kSystemExports[] = {{"$SYS.REQ.ACCOUNT.*.CONNZ", "Streamed"},
                                           {"$SYS.REQ.ACCOUNT.*.STATZ", "Streamed"},
                                           {"$SYS.REQ.USER.*.INFO", "Singleton"},
                                           {"$SYS.DEBUG.SUBSCRIBERS", "Singleton"}};

std::string_view NameOf(ServiceResponse response) {
  switch (response) {
    case ServiceResponse::kSingleton: return "Singleton";
    case ServiceResponse::kStreamed: return "Streamed";
    case ServiceResponse::kChunked: return "Chunked";
  }
  return "";
}

std::optional<LatencySampling> SamplingOf(const std::optional<ServiceLatency>& latency) {
  if (!latency) return std::nullopt;
  return LatencySampling{latency->subject, latency->sampling};
}

// A subject that is exported twice: what is said of it last.
void Put(AccountExport each, std::vector<AccountExport>* exports) {
  const auto same = [&](const AccountExport& other) {
    return other.type == each.type && other.subject == each.subject;
  };
  const auto known = std::find_if(exports->begin(), exports->end(), same);
  known == exports->end() ? exports->push_back(std::move(each)) : void(*known = std::move(each));
}

void AddExports(const AccountSpec& spec, std::vector<AccountExport>* exports) {
  for (const ServiceExport& service : spec.service_exports) {
    Put({.subject = service.subject,
         .type = std::string(kService),
         .response_type = std::string(NameOf(service.response)),
         .latency = SamplingOf(service.latency),
         .approved_accounts = service.scope.accounts},
        exports);
  }
  for (const StreamExport& stream : spec.stream_exports) {
    Put({.subject = stream.subject,
         .type = std::string(kStream),
         .response_type = {},
         .latency = {},
         .approved_accounts = stream.scope.accounts},
        exports);
  }
}

AccountImport ServiceImportOf(std::string subject, std::string account, std::string local, bool share) {
  AccountImport import;
  import.subject = std::move(subject);
  import.account = std::move(account);
  import.to = import.local_subject = std::move(local);
  import.type = std::string(kService);
  import.share = share;
  return import;
}

void AddImports(const AccountSpec& spec, const AccountView& compiled, std::vector<AccountImport>* imports) {
  for (const StreamImport& stream : spec.stream_imports) {
    AccountImport& import = imports->emplace_back();
    import.subject = stream.subject;
    import.account = stream.account;
    import.local_subject = stream.to.empty() ? stream.subject : PlaceHoldersToWildcards(stream.to);
    if (!stream.prefix.empty()) {
      import.local_subject = stream.prefix + (stream.prefix.ends_with('.') ? "" : ".") + stream.subject;
    }
    import.type = std::string(kStream);
  }
  for (const ServiceImport& service : spec.service_imports) {
    const std::string local = service.to.empty() ? service.subject : PlaceHoldersToWildcards(service.to);
    AccountImport import = ServiceImportOf(service.subject, service.account, local, service.share);
    for (const CompiledServiceImport& each : compiled.service_imports) {
      if (each.local_filter == local) import.latency = SamplingOf(each.terms.latency);
    }
    imports->push_back(std::move(import));
  }
}

// With the shares as they are drawn: the smallest first, and what is left for the source itself.
std::vector<AccountMappingDest> DestinationsOf(const Mapping& mapping, std::string_view cluster) {
  std::vector<AccountMappingDest> dests;
  int total = 0;
  bool has_source = false;
  for (const MappingTarget& target : mapping.targets) {
    has_source = has_source || target.subject == mapping.source;
    if (target.cluster != cluster) continue;
    dests.push_back({target.subject, target.weight, target.cluster});
    total += target.weight;
  }
  if (total < kAll && !has_source) {
    dests.push_back({WildcardsToPlaceHolders(mapping.source), kAll - total, std::string(cluster)});
  }
  std::stable_sort(dests.begin(), dests.end(), [](const auto& a, const auto& b) { return a.weight < b.weight; });
  int sum = 0;
  for (AccountMappingDest& dest : dests) sum = dest.weight += sum;
  return dests;
}

void AddMappings(const AccountSpec& spec, AccountSnapshot* snapshot) {
  for (const Mapping& mapping : spec.mappings) {
    std::vector<AccountMappingDest> dests = DestinationsOf(mapping, {});
    std::vector<std::string_view> clusters = {""};
    for (const MappingTarget& target : mapping.targets) {
      if (std::find(clusters.begin(), clusters.end(), target.cluster) != clusters.end()) continue;
      clusters.push_back(target.cluster);
      for (AccountMappingDest& dest : DestinationsOf(mapping, target.cluster)) dests.push_back(std::move(dest));
    }
    snapshot->mappings[mapping.source] = std::move(dests);
  }
}

// What this account and the system account are to each other without a word in the configuration.
void AddSystemPart(const ServerView& view, const Account& account, AccountSnapshot* snapshot) {
  const std::string& system = view.accounts.system().name;
  const bool is_system = view.accounts.is_system(account.id);
  for (const SystemImport& import : kSystemImports) {
    if (is_system && !import.of_system) continue;
    snapshot->imports.push_back(
        ServiceImportOf(import.SubjectFor(account.name), system, std::string(import.local), import.share));
  }
  if (view.jetstream != nullptr && !is_system) {
    const std::string api(kJetStreamApi);
    snapshot->imports.push_back(ServiceImportOf(api, system, api, true));
  }
  if (!is_system) return;
  const auto add = [&](std::string_view subject, std::string_view response_type) {
    AccountExport& each = snapshot->exports.emplace_back();
    each.subject = std::string(subject);
    each.type = std::string(kService);
    each.response_type = std::string(response_type);
  };
  for (const SystemExport& each : kSystemExports) add(each.subject, each.response_type);
  if (view.jetstream != nullptr) add(kJetStreamApi, "Singleton");
}

uint32_t ServiceImportsOf(const ServerView& view, AccountId id) {
  auto count = static_cast<uint32_t>(view.views[id].service_imports.size());
  const bool is_system = view.accounts.is_system(id);
  for (const SystemImport& import : kSystemImports) count += !is_system || import.of_system ? 1 : 0;
  return count;  // and one for $JS.API, which the engine has made
}

}  // namespace

AccountSnapshot SnapshotOf(const ServerView& view, const Account& account, const AccountTotals& totals) {
  AccountSnapshot snapshot;
  snapshot.name = snapshot.name_tag = account.name;
  snapshot.update_time_ns = view.config_load_ns;
  snapshot.is_system = view.accounts.is_system(account.id);
  snapshot.jetstream_enabled = !snapshot.is_system && view.jetstream != nullptr && account.jetstream.enabled;
  snapshot.clients = static_cast<int>(totals.connections);
  snapshot.subscriptions = static_cast<uint32_t>(totals.subscriptions) + ServiceImportsOf(view, account.id);
  snapshot.sent.msgs = static_cast<int64_t>(totals.out_messages);
  snapshot.sent.bytes = static_cast<int64_t>(totals.out_bytes);
  snapshot.received.msgs = static_cast<int64_t>(totals.in_messages);
  snapshot.received.bytes = static_cast<int64_t>(totals.in_bytes);
  snapshot.slow_consumers = static_cast<int64_t>(totals.slow_consumers);
  return snapshot;
}

void AddDetail(const ServerView& view, const Account& account, AccountSnapshot* snapshot) {
  for (const AccountSpec& spec : view.options.accounts) {
    if (spec.name != account.name) continue;
    AddExports(spec, &snapshot->exports);
    AddImports(spec, view.views[account.id], &snapshot->imports);
    AddMappings(spec, snapshot);
  }
  AddSystemPart(view, account, snapshot);
}

void AddServiceImports(const ServerView& view, std::string_view account, SublistStats* stats) {
  for (const Account& each : view.accounts.all()) {
    if (!each.exists || (!account.empty() && each.name != account)) continue;
    const uint32_t count = ServiceImportsOf(view, each.id);
    stats->num_subscriptions += count;
    stats->num_inserts += count;
  }
}

}  // namespace millrace
