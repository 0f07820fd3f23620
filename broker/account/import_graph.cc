// SPDX-License-Identifier: Apache-2.0
#include "broker/account/import_graph.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "broker/account/name_index.h"
#include "proto/base/check.h"
#include "proto/place_holders.h"
#include "proto/quoted.h"
#include "proto/subject.h"

namespace millrace {
namespace {

constexpr size_t kSearchDepthMax = 1024;  // the peer's

using Accounts = absl::flat_hash_set<uint32_t>;

absl::Status Refuse(const char* text) { return absl::InvalidArgumentError(text); }

// Adds to what an account exports and imports, and says what is wrong with it.
class Compiler {
 public:
  Compiler(std::span<const AccountSpec> specs, std::string_view cluster) : specs_(specs) {
    compiled_.accounts.resize(specs.size());
    stream_exports_.resize(specs.size());
    service_exports_.resize(specs.size());
    for (uint32_t a = 0; a < specs.size(); ++a) by_name_[specs[a].name] = a;
    for (uint32_t a = 0; a < specs.size(); ++a) CompileAlone(a, cluster);
  }

  CompiledAccounts Run() && {
    if (compiled_.ok()) {
      for (uint32_t a = 0; a < specs_.size(); ++a) AddStreamExports(a);
      for (uint32_t a = 0; a < specs_.size(); ++a) AddServiceExports(a);
      for (uint32_t a = 0; a < specs_.size(); ++a) AddStreamImports(a);
      for (uint32_t a = 0; a < specs_.size(); ++a) AddServiceImports(a);
    }
    return std::move(compiled_);
  }

 private:
  void AddError(std::string text) { compiled_.errors.push_back(std::move(text)); }
  void AddError(std::string_view what, std::string_view subject, const absl::Status& status) {
    AddError(absl::StrFormat("Error %s %s: %s", what, Quoted(subject), status.message()));
  }

  void CompileAlone(uint32_t account, std::string_view cluster);
  void AddStreamExports(uint32_t account);
  void AddServiceExports(uint32_t account);
  void AddStreamImports(uint32_t account);
  void AddServiceImports(uint32_t account);

  std::optional<uint32_t> FindAccount(std::string_view name, std::string_view what);
  std::vector<uint32_t> FindAccounts(const std::vector<std::string>& names, std::string_view what);
  absl::Status AddStreamImport(uint32_t account, uint32_t exporter, const StreamImport& import);
  absl::Status AddServiceImport(uint32_t account, uint32_t exporter, const ServiceImport& import);
  absl::Status ShareServiceImport(uint32_t account, uint32_t exporter, const ServiceImport& import);
  absl::Status CheckStreamCircle(uint32_t account, std::string_view subject, Accounts* seen) const;
  absl::Status CheckServiceCircle(uint32_t account, std::string_view subject, Accounts* seen) const;

  std::span<const AccountSpec> specs_;
  NameIndex by_name_;
  std::vector<Exports> stream_exports_;  // by account
  std::vector<Exports> service_exports_;
  CompiledAccounts compiled_;
};

// What concerns one account only.
void Compiler::CompileAlone(uint32_t account, std::string_view cluster) {
  absl::StatusOr<Mappings> mappings = Mappings::Compile(specs_[account].mappings, cluster);
  if (mappings.ok()) {
    compiled_.accounts[account].mappings = *std::move(mappings);
  } else {
    for (const Mapping& mapping : specs_[account].mappings) {
      const absl::Status status = Mappings::Compile({&mapping, 1}, cluster).status();
      if (!status.ok()) AddError(std::string(status.message()));
    }
  }
  absl::flat_hash_map<std::pair<std::string, std::string>, const ServiceImport*> imports;  // by exporter and subject
  for (const ServiceImport& import : specs_[account].service_imports) {
    const std::string& local = import.to.empty() ? import.subject : import.to;
    const auto [place, fresh] = imports.try_emplace({import.account, local}, &import);
    if (fresh) continue;
    AddError(absl::StrFormat(
        "Duplicate service import subject %s, previously used in import for account %s, subject %s", Quoted(local),
        Quoted(import.account), Quoted(place->second->subject)));
  }
}

std::optional<uint32_t> Compiler::FindAccount(std::string_view name, std::string_view what) {
  const auto account = by_name_.find(name);
  if (account != by_name_.end()) return account->second;
  AddError(absl::StrFormat("%s account not defined for %s", Quoted(name), what));
  return std::nullopt;
}

std::vector<uint32_t> Compiler::FindAccounts(const std::vector<std::string>& names, std::string_view what) {
  std::vector<uint32_t> accounts;
  for (const std::string& name : names) {
    if (const std::optional<uint32_t> account = FindAccount(name, what)) accounts.push_back(*account);
  }
  return accounts;
}

void Compiler::AddStreamExports(uint32_t account) {
  const std::vector<StreamExport>& streams = specs_[account].stream_exports;
  for (uint32_t i = 0; i < streams.size(); ++i) {
    const StreamExport& stream = streams[i];
    const std::vector<uint32_t> accounts = FindAccounts(stream.scope.accounts, "stream export");
    const auto entry = stream_exports_[account].Add(stream.subject, i, stream.scope.token_position, accounts);
    if (!entry.ok()) AddError("adding stream export", stream.subject, entry.status());
  }
}

void Compiler::AddServiceExports(uint32_t account) {
  const std::vector<ServiceExport>& services = specs_[account].service_exports;
  for (uint32_t i = 0; i < services.size(); ++i) {
    const ServiceExport& service = services[i];
    const std::vector<uint32_t> accounts = FindAccounts(service.scope.accounts, "service export");
    Exports& exports = service_exports_[account];
    const auto entry = exports.Add(service.subject, i, service.scope.token_position, accounts);
    if (!entry.ok()) {
      AddError("adding service export", service.subject, entry.status());
    } else if (absl::Status status = exports.SetTerms(service, *entry); !status.ok()) {
      MR_CHECK(service.latency.has_value());
      AddError(absl::StrFormat("Error adding service latency sampling for %s on subject %s: %s",
                               Quoted(service.subject), Quoted(service.latency->subject), status.message()));
    }
  }
}

void Compiler::AddStreamImports(uint32_t account) {
  for (const StreamImport& import : specs_[account].stream_imports) {
    const std::optional<uint32_t> exporter = FindAccount(import.account, "stream import");
    if (!exporter) continue;
    absl::Status status = AddStreamImport(account, *exporter, import);
    if (!status.ok()) AddError("adding stream import", import.subject, status);
  }
}

absl::Status Compiler::AddStreamImport(uint32_t account, uint32_t exporter, const StreamImport& import) {
  if (!stream_exports_[exporter].Authorizes(import.subject, account, specs_[account].name)) {
    return Refuse("stream import not authorized");
  }
  std::string to = import.to.empty() ? import.subject : import.to;
  if (!import.prefix.empty()) {
    if (!IsLiteral(import.prefix)) return Refuse("stream import prefix can not contain wildcard tokens");
    const bool ends_with_separator = import.prefix.back() == kTokenSeparator;
    to = import.prefix + (ends_with_separator ? "" : ".") + import.subject;
  }
  for (const std::string_view subject : {std::string_view(to), std::string_view(import.subject)}) {
    Accounts seen = {account};
    if (absl::Status status = CheckStreamCircle(exporter, subject, &seen); !status.ok()) return status;
  }
  absl::StatusOr<CompiledStreamImport> compiled = CompileStreamImport(import.subject, to);
  if (!compiled.ok()) return compiled.status();
  std::vector<CompiledStreamImport>& imports = compiled_.accounts[account].stream_imports;
  const bool is_there = std::any_of(imports.begin(), imports.end(), [&](const CompiledStreamImport& other) {
    return other.exporter == exporter && other.from == import.subject;
  });
  if (is_there) return Refuse("stream import already exists");
  compiled->exporter = exporter;
  compiled->allow_trace = import.allow_trace;
  imports.push_back(*std::move(compiled));
  return absl::OkStatus();
}

void Compiler::AddServiceImports(uint32_t account) {
  for (const ServiceImport& import : specs_[account].service_imports) {
    const std::optional<uint32_t> exporter = FindAccount(import.account, "service import");
    if (!exporter) continue;
    absl::Status status = AddServiceImport(account, *exporter, import);
    if (!status.ok()) {
      AddError("adding service import", import.subject, status);
    } else if (status = ShareServiceImport(account, *exporter, import); !status.ok()) {
      AddError("setting service import sharing", import.subject, status);
    }
  }
}

absl::Status Compiler::AddServiceImport(uint32_t account, uint32_t exporter, const ServiceImport& import) {
  const std::string& subject = import.subject;
  const std::string& local = import.to.empty() ? subject : import.to;
  if (!IsValidSubject(local) || !IsValidSubject(subject)) return Refuse("sublist: invalid subject");
  if (!service_exports_[exporter].Authorizes(subject, account, specs_[account].name)) {
    return Refuse("service import not authorized");
  }
  Accounts seen = {account};
  const bool is_literal = IsLiteral(subject);
  const std::string filter = is_literal ? local : PlaceHoldersToWildcards(local);
  if (absl::Status status = CheckServiceCircle(exporter, filter, &seen); !status.ok()) return status;

  const Exports::Entry* const entry = service_exports_[exporter].Find(subject);
  MR_CHECK(entry != nullptr);
  CompiledServiceImport compiled = {.exporter = exporter, .export_index = entry->index, .terms = entry->terms};
  compiled.local_filter = local;
  compiled.exporter_filter = subject;
  std::vector<CompiledServiceImport>& imports = compiled_.accounts[account].service_imports;
  for (const CompiledServiceImport& other : imports) {
    if (other.exporter != exporter || other.local_filter != local) continue;
    return absl::InvalidArgumentError(absl::StrFormat(
        "duplicate service import subject %s, previously used in import for account %s, subject %s", Quoted(local),
        Quoted(import.account), Quoted(other.exporter_filter)));
  }
  if (!is_literal && local == subject) {
    compiled.use_pub = true;
  } else if (!is_literal) {
    compiled.exporter_filter = PlaceHoldersToWildcards(subject);
    // Place holders are those of the local name, and so the transform is made the other way round first.
    absl::StatusOr<SubjectTransform> back =
        SubjectTransform::Compile(compiled.exporter_filter, WildcardsToPlaceHolders(local), TransformKind::kReversible);
    if (!back.ok()) {
      return absl::InvalidArgumentError(
          absl::StrFormat("failed to create mapping transform for service import subject from %s to %s: %s",
                          Quoted(local), Quoted(compiled.exporter_filter), back.status().message()));
    }
    compiled.local_filter = filter;
    if (absl::StatusOr<SubjectTransform> transform = back->Reverse(); transform.ok()) {
      compiled.transform = *std::move(transform);
    }
  }
  imports.push_back(std::move(compiled));
  return absl::OkStatus();
}

// The peer looks for the import by the exporter's subject. Where one subject is imported under two names it may take
// the other one; here it is the one that says so.
absl::Status Compiler::ShareServiceImport(uint32_t account, uint32_t exporter, const ServiceImport& import) {
  std::vector<CompiledServiceImport>& imports = compiled_.accounts[account].service_imports;
  const auto is_meant = [&](const CompiledServiceImport& other) {
    return other.exporter == exporter && other.exporter_filter == import.subject;
  };
  const auto found = std::find_if(imports.rbegin(), imports.rend(), is_meant);
  if (found == imports.rend()) return Refuse("service import not found");
  found->share = import.share;
  return absl::OkStatus();
}

absl::Status Compiler::CheckStreamCircle(uint32_t account, std::string_view subject, Accounts* seen) const {
  if (seen->size() >= kSearchDepthMax) return Refuse("search cycle depth exhausted");
  if (!stream_exports_[account].Covers(subject)) return absl::OkStatus();
  for (const CompiledStreamImport& import : compiled_.accounts[account].stream_imports) {
    if (!SubjectsCollide(subject, import.to)) continue;
    if (seen->contains(import.exporter)) return Refuse("import forms a cycle");
    seen->insert(account);
    const std::string_view narrower = IsSubset(import.to, subject) ? std::string_view(import.to) : subject;
    if (absl::Status status = CheckStreamCircle(import.exporter, narrower, seen); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Compiler::CheckServiceCircle(uint32_t account, std::string_view subject, Accounts* seen) const {
  if (seen->size() >= kSearchDepthMax) return Refuse("search cycle depth exhausted");
  for (const CompiledServiceImport& import : compiled_.accounts[account].service_imports) {
    if (!SubjectsCollide(subject, import.exporter_filter)) continue;
    if (seen->contains(import.exporter)) return Refuse("import forms a cycle");
    seen->insert(account);
    const bool is_narrower = IsSubset(import.local_filter, subject);
    const std::string_view next = is_narrower ? std::string_view(import.local_filter) : subject;
    if (absl::Status status = CheckServiceCircle(import.exporter, next, seen); !status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace

std::string_view ExporterSubject(const CompiledServiceImport& import, std::string_view subject, std::string* room) {
  MR_DCHECK(room != nullptr);
  if (import.transform) {
    *room = import.transform->Apply(subject);
    return *room;
  }
  return import.use_pub ? subject : std::string_view(import.exporter_filter);
}

CompiledAccounts CompileAccounts(std::span<const AccountSpec> specs, std::string_view cluster) {
  return Compiler(specs, cluster).Run();
}

}  // namespace millrace
