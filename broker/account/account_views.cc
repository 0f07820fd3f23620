// SPDX-License-Identifier: Apache-2.0
#include "broker/account/account_views.h"

#include <algorithm>
#include <utility>

#include "proto/base/check.h"

namespace millrace {
namespace {

bool SameStream(const CompiledStreamImport& a, const CompiledStreamImport& b) {
  return a.exporter == b.exporter && a.from == b.from && a.to == b.to && a.use_pub == b.use_pub &&
         a.allow_trace == b.allow_trace;
}

bool SameService(const CompiledServiceImport& a, const CompiledServiceImport& b) {
  return a.exporter == b.exporter && a.export_index == b.export_index && a.local_filter == b.local_filter &&
         a.exporter_filter == b.exporter_filter && a.use_pub == b.use_pub && a.share == b.share && a.terms == b.terms;
}

}  // namespace

AccountViews::AccountViews(std::span<const AccountSpec> specs, const AccountTable& table, const AccountViews* before)
    : table_(table) {
  CompiledAccounts compiled = CompileAccounts(specs, {});
  MR_CHECK(compiled.ok() && compiled.accounts.size() == specs.size());
  std::vector<AccountId> ids;
  for (const AccountSpec& spec : specs) {
    const Account* account = table.Find(spec.name);
    MR_CHECK(account != nullptr);
    ids.push_back(account->id);
  }
  views_.resize(table.all().size());
  if (before != nullptr) by_number_.resize(before->by_number_.size());
  for (size_t i = 0; i < specs.size(); ++i) {
    auto view = std::make_unique<AccountView>();
    view->mappings = std::move(compiled.accounts[i].mappings);
    view->stream_imports = std::move(compiled.accounts[i].stream_imports);
    view->service_imports = std::move(compiled.accounts[i].service_imports);
    for (CompiledStreamImport& import : view->stream_imports) import.exporter = ids[import.exporter];
    for (CompiledServiceImport& import : view->service_imports) import.exporter = ids[import.exporter];
    if (!view->service_imports.empty()) {
      view->service_index = std::make_unique<ServiceIndex>(view->service_imports);
      if (service_indexes_.size() <= ids[i]) service_indexes_.resize(ids[i] + 1);
      service_indexes_[ids[i]] = view->service_index.get();
    }
    views_[ids[i]] = std::move(view);
  }
  // Versions go on for accounts of which nothing is said any more, too: what was made of them has to go.
  for (AccountId id = 0; id < views_.size(); ++id) {
    const AccountView& old = before == nullptr ? empty_ : (*before)[id];
    if (views_[id] == nullptr && old.streams_version == 0 && old.services_version == 0) continue;
    if (views_[id] == nullptr) views_[id] = std::make_unique<AccountView>();
    Number(views_[id].get(), old);
  }
}

void AccountViews::Number(AccountView* view, const AccountView& before) {
  const bool same_streams = std::equal(view->stream_imports.begin(), view->stream_imports.end(),
                                       before.stream_imports.begin(), before.stream_imports.end(), SameStream);
  view->streams_version = before.streams_version + (same_streams ? 0 : 1);
  view->first_import = same_streams ? before.first_import : static_cast<uint32_t>(by_number_.size());
  if (!same_streams) by_number_.resize(by_number_.size() + view->stream_imports.size());
  for (size_t i = 0; i < view->stream_imports.size(); ++i) {
    by_number_[view->first_import + i] = &view->stream_imports[i];
  }
  const bool same_services = std::equal(view->service_imports.begin(), view->service_imports.end(),
                                        before.service_imports.begin(), before.service_imports.end(), SameService);
  view->services_version = before.services_version + (same_services ? 0 : 1);
}

}  // namespace millrace
