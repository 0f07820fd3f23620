// SPDX-License-Identifier: Apache-2.0
#include "broker/account/account_views.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "broker/account/system_imports.h"
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

// Behind those of its own, which go before them where they have the same name.
void AddSystemImports(const Account& account, std::vector<CompiledServiceImport>* imports) {
  const size_t own = imports->size();
  for (uint32_t i = 0; i < std::size(kSystemImports); ++i) {
    const SystemImport& system = kSystemImports[i];
    if (account.id == kSystemAccount && !system.of_system) continue;
    const auto is_same = [&system](const CompiledServiceImport& import) {
      return import.exporter == kSystemAccount && import.local_filter == system.local;
    };
    if (std::any_of(imports->begin(), imports->begin() + static_cast<std::ptrdiff_t>(own), is_same)) continue;
    CompiledServiceImport& import = imports->emplace_back();
    import.exporter = kSystemAccount;
    import.export_index = UINT32_MAX - i;  // no list is as long
    import.local_filter = system.local;
    import.exporter_filter = system.SubjectFor(account.name);
    import.share = system.share;
    if (system.streamed) import.terms.response = ServiceResponse::kStreamed;
  }
}

}  // namespace

AccountViews::AccountViews(std::span<const AccountSpec> specs, const AccountTable& table, const AccountViews* before) {
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
    views_[ids[i]] = std::move(view);
  }
  service_indexes_.resize(views_.size());
  for (const Account& account : table.all()) {
    if (!account.exists) continue;
    std::unique_ptr<AccountView>& view = views_[account.id];
    if (view == nullptr) view = std::make_unique<AccountView>();
    AddSystemImports(account, &view->service_imports);
    view->service_index = std::make_unique<ServiceIndex>(view->service_imports);
    service_indexes_[account.id] = view->service_index.get();
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
