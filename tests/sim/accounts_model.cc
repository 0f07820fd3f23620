// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/accounts_model.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "broker/account/import_graph.h"
#include "tests/sim/sim_io.h"  // Fail

namespace millrace::sim {
namespace {

constexpr size_t kHopsMax = 16;
constexpr const char* kNames[] = {"A", "B", "C", "D", "E"};
constexpr const char* kStreams[] = {"s.a", "s.b", "s.*", "s.*.*", "s.x.>", "p.*.x"};
constexpr const char* kServices[] = {"q.a", "q.b", "q.*", "w.*.*", "z.>", "p.*.q"};
constexpr uint32_t kUsers = 8;

// "$2"
size_t PlaceHolder(std::string_view token) {
  return token.size() == 2 && token[0] == '$' ? static_cast<size_t>(token[1] - '0') : 0;
}

// Whether everything that `narrow` takes is taken by `wide`.
bool IsCovered(std::string_view narrow, std::string_view wide) {
  const std::vector<std::string> a = Tokens(narrow);
  const std::vector<std::string> b = Tokens(wide);
  for (size_t i = 0; i < b.size(); ++i) {
    if (b[i] == ">") return a.size() > i;
    if (i >= a.size() || a[i] == ">") return false;
    if (b[i] != "*" && b[i] != a[i]) return false;
  }
  return a.size() == b.size();
}

struct Captured {
  std::vector<std::string> stars;  // what stands for each `*`
  std::vector<std::string> rest;   // what stands for `>`
};

Captured Capture(std::string_view subject, std::string_view filter) {
  Captured captured;
  const std::vector<std::string> have = Tokens(subject);
  const std::vector<std::string> want = Tokens(filter);
  for (size_t i = 0; i < want.size(); ++i) {
    if (want[i] == "*") captured.stars.push_back(have[i]);
    if (want[i] == ">") captured.rest.assign(have.begin() + static_cast<ptrdiff_t>(i), have.end());
  }
  return captured;
}

// `to` with what was captured in place of its place holders, or of its `*` in their order.
std::string Fill(std::string_view to, const Captured& captured) {
  std::vector<std::string> out;
  size_t star = 0;
  for (const std::string& token : Tokens(to)) {
    if (const size_t at = PlaceHolder(token); at > 0) {
      out.push_back(captured.stars[at - 1]);
    } else if (token == "*") {
      out.push_back(captured.stars[star++]);
    } else if (token == ">") {
      out.insert(out.end(), captured.rest.begin(), captured.rest.end());
    } else {
      out.push_back(token);
    }
  }
  return absl::StrJoin(out, ".");
}

std::string FilterOf(std::string_view to) {
  std::vector<std::string> tokens = Tokens(to);
  for (std::string& token : tokens) {
    if (PlaceHolder(token) > 0) token = "*";
  }
  return absl::StrJoin(tokens, ".");
}

std::string LocalFilter(const StreamImport& import) {
  if (!import.to.empty()) return FilterOf(import.to);
  return import.prefix.empty() ? import.subject : import.prefix + "." + import.subject;
}
std::string LocalName(const StreamImport& import, const std::string& subject) {
  if (!import.to.empty()) return Fill(import.to, Capture(subject, import.subject));
  return import.prefix.empty() ? subject : import.prefix + "." + subject;
}

std::string LocalFilter(const ServiceImport& import) {
  return import.to.empty() ? import.subject : FilterOf(import.to);
}
// What the exporter calls a subject of the importer.
std::string NameThere(const ServiceImport& import, const std::string& subject) {
  if (import.to.empty()) return subject;
  const Captured here = Capture(subject, FilterOf(import.to));
  Captured there;
  there.rest = here.rest;
  there.stars.resize(here.stars.size());
  size_t star = 0;
  for (const std::string& token : Tokens(import.to)) {
    if (const size_t at = PlaceHolder(token); at > 0) there.stars[at - 1] = here.stars[star++];
    if (token == "*") {
      there.stars[star] = here.stars[star];
      ++star;
    }
  }
  return Fill(import.subject, there);
}

template <class Export>
const Export* FindExport(const std::vector<Export>& exports, std::string_view subject) {
  for (const Export& e : exports) {
    if (e.subject == subject) return &e;
  }
  for (const Export& e : exports) {
    if (IsCovered(subject, e.subject)) return &e;
  }
  return nullptr;
}

template <class Export>
bool IsFor(const Export& e, const std::string& importer, std::string_view subject) {
  if (e.scope.token_position > 0) {
    const std::vector<std::string> tokens = Tokens(subject);
    return subject != e.subject && tokens.size() >= e.scope.token_position &&
           tokens[e.scope.token_position - 1] == importer;
  }
  const std::vector<std::string>& listed = e.scope.accounts;
  return listed.empty() || std::find(listed.begin(), listed.end(), importer) != listed.end();
}

}  // namespace

std::vector<std::string> Tokens(std::string_view subject) {
  std::vector<std::string> tokens;
  while (true) {
    const size_t dot = subject.find('.');
    tokens.emplace_back(subject.substr(0, dot));
    if (dot == std::string_view::npos) return tokens;
    subject.remove_prefix(dot + 1);
  }
}

bool SubjectMatches(std::string_view subject, std::string_view filter) {
  const std::vector<std::string> have = Tokens(subject);
  const std::vector<std::string> want = Tokens(filter);
  for (size_t i = 0; i < want.size(); ++i) {
    if (i >= have.size()) return false;
    if (want[i] == ">") return true;
    if (want[i] != "*" && want[i] != have[i]) return false;
  }
  return have.size() == want.size();
}

std::string SomeSubject(Random& random, std::string_view filter) {
  std::vector<std::string> tokens = Tokens(filter);
  const bool names_account = tokens[0] == "p";
  for (std::string& token : tokens) {
    if (token == ">") token = random.Chance(50) ? "a" : "a.b";
    if (token == "*") token = names_account ? random.Pick(kNames) : random.Pick({"a", "b", "a", "b", "x"});
  }
  return absl::StrJoin(tokens, ".");
}

// ---- what a configuration says -------------------------------------------------------------------------------------

const AccountSpec* AccountsModel::Find(std::string_view account) const {
  const auto at = std::find_if(specs.begin(), specs.end(), [&](const AccountSpec& s) { return s.name == account; });
  return at == specs.end() ? nullptr : &*at;
}

std::string AccountsModel::AccountOf(std::string_view user) const {
  const auto at = std::find_if(users.begin(), users.end(), [&](const AccountsUser& u) { return u.name == user; });
  return at == users.end() ? "" : at->account;
}

int64_t AccountsModel::ConnectionsOf(std::string_view account) const {
  const AccountSpec* const spec = Find(account);
  return spec == nullptr ? -1 : spec->limits.connections;
}

bool AccountsModel::MayImport(const AccountSpec& importer, const StreamImport& import) const {
  const AccountSpec* const exporter = Find(import.account);
  if (exporter == nullptr) return false;
  const StreamExport* const e = FindExport(exporter->stream_exports, import.subject);
  return e != nullptr && IsFor(*e, importer.name, import.subject);
}

const ServiceExport* AccountsModel::MayImport(const AccountSpec& importer, const ServiceImport& import) const {
  const AccountSpec* const exporter = Find(import.account);
  if (exporter == nullptr) return nullptr;
  const ServiceExport* const e = FindExport(exporter->service_exports, import.subject);
  return e != nullptr && IsFor(*e, importer.name, import.subject) ? e : nullptr;
}

std::string AccountsModel::Forbidden() const {
  for (const AccountSpec& spec : specs) {
    for (const StreamImport& import : spec.stream_imports) {
      if (!MayImport(spec, import))
        return absl::StrFormat("%s: stream %s %s", spec.name, import.account, import.subject);
    }
    for (const ServiceImport& import : spec.service_imports) {
      if (MayImport(spec, import) == nullptr)
        return absl::StrFormat("%s: service %s %s", spec.name, import.account, import.subject);
    }
  }
  return {};
}

std::vector<std::string> AccountsModel::Mapped(std::string_view account, const std::string& subject) const {
  const AccountSpec* const spec = Find(account);
  if (spec == nullptr) return {subject};
  for (const Mapping& mapping : spec->mappings) {
    if (!SubjectMatches(subject, mapping.source)) continue;
    std::vector<std::string> out;
    uint32_t sum = 0;
    bool keeps = false;
    const Captured captured = Capture(subject, mapping.source);
    for (const MappingTarget& target : mapping.targets) {
      if (target.weight == 0) continue;
      sum += target.weight;
      keeps |= target.subject == mapping.source;
      out.push_back(Fill(target.subject, captured));
    }
    if (sum < 100) out.push_back(keeps ? "" : subject);
    return out;
  }
  return {subject};
}

// ---- ways ----------------------------------------------------------------------------------------------------------

namespace {

class Walk {
 public:
  Walk(std::span<const AccountsModel* const> versions, Ways* ways) : versions_(versions), ways_(ways) {}

  void From(const std::string& subject, const std::vector<std::string>& path, bool singleton) {
    const uint32_t place = ways_->places++;
    const std::string& account = path.front();
    ways_->all.push_back({account, subject, place, path, singleton});
    // Where two versions say the same it is one and the same way.
    std::set<std::string> done;
    for (const AccountsModel* model : versions_) {
      if (path.size() > 1) break;  // what a service has brought here is not streamed on
      for (const AccountSpec& importer : model->specs) {
        for (const StreamImport& import : importer.stream_imports) {
          if (import.account != account || !SubjectMatches(subject, import.subject)) continue;
          if (!model->MayImport(importer, import)) continue;
          if (!done.insert(absl::StrJoin({importer.name, import.subject, import.prefix, import.to}, "\n")).second)
            continue;
          ways_->all.push_back({importer.name, LocalName(import, subject), place, path, singleton});
        }
      }
    }
    done.clear();
    for (const AccountsModel* model : versions_) {
      const AccountSpec* const here = model->Find(account);
      if (here == nullptr) continue;
      for (const ServiceImport& import : here->service_imports) {
        if (SubjectMatches(subject, LocalFilter(import)))
          Forward(*model, *here, import, subject, path, singleton, &done);
      }
    }
  }

 private:
  void Forward(const AccountsModel& model, const AccountSpec& here, const ServiceImport& import,
               const std::string& subject, const std::vector<std::string>& path, bool singleton,
               std::set<std::string>* done) {
    const ServiceExport* const through = model.MayImport(here, import);
    if (through == nullptr) return;
    const std::string step = import.account + " " + through->subject;
    if (chain_.size() == kHopsMax || std::find(chain_.begin(), chain_.end(), step) != chain_.end()) return;
    std::vector<std::string> onward = path;
    onward.insert(onward.begin(), import.account);
    const std::vector<std::string> names = model.Mapped(import.account, NameThere(import, subject));
    ways_->certain &= names.size() == 1;
    for (const std::string& name : names) {
      if (name.empty()) continue;
      if (!done->insert(absl::StrJoin({import.account, import.subject, import.to, name}, "\n")).second) continue;
      chain_.push_back(step);
      From(name, onward, singleton || HasOneReply(here.name, import));
      chain_.pop_back();
    }
  }

  // In all versions that have it.
  bool HasOneReply(const std::string& importer, const ServiceImport& import) const {
    return std::all_of(versions_.begin(), versions_.end(), [&](const AccountsModel* model) {
      const AccountSpec* const spec = model->Find(importer);
      const ServiceExport* const through = spec == nullptr ? nullptr : model->MayImport(*spec, import);
      return through == nullptr || through->response == ServiceResponse::kSingleton;
    });
  }

  std::span<const AccountsModel* const> versions_;
  Ways* ways_;
  std::vector<std::string> chain_;
};

}  // namespace

Ways FindWays(std::span<const AccountsModel* const> versions, const std::string& subject,
              std::vector<std::string> path, bool is_published) {
  Ways ways;
  std::set<std::string> names = {subject};
  if (is_published) {
    names.clear();
    for (const AccountsModel* model : versions) {
      const std::vector<std::string> mapped = model->Mapped(path.front(), subject);
      names.insert(mapped.begin(), mapped.end());
    }
  }
  ways.certain = names.size() == 1;
  for (const std::string& name : names) {
    if (!name.empty()) Walk(versions, &ways).From(name, path, false);
  }
  return ways;
}

// ---- drawing one ---------------------------------------------------------------------------------------------------

namespace {

ExportScope DrawScope(Random& random, std::string_view subject, const std::vector<std::string>& names) {
  ExportScope scope;
  if (subject.starts_with("p.")) {
    scope.token_position = 2;
  } else if (random.Chance(30)) {
    scope.accounts.push_back(names[random.Below(names.size())]);
  }
  return scope;
}

// An import of some of what is exported as `subject`; sometimes of what is not.
std::string DrawImported(Random& random, const std::string& subject, const std::string& importer) {
  if (random.Chance(5)) return random.Pick({"s.a", "q.b", "s.x.>", "secret"});
  std::vector<std::string> tokens = Tokens(subject);
  for (std::string& token : tokens) {
    if (token == "*" && tokens[0] == "p") token = random.Chance(90) ? importer : "A";
    if (token == "*" && random.Chance(30)) token = random.Pick({"a", "b", "x"});
  }
  return absl::StrJoin(tokens, ".");
}

// Another name for it, with as many wildcards.
std::string DrawName(Random& random, const char* word, std::string_view subject) {
  std::vector<std::string> out = {word};
  std::vector<std::string> wildcards;
  for (const std::string& token : Tokens(subject)) {
    if (token == "*") wildcards.push_back("$" + std::to_string(wildcards.size() + 1));
  }
  if (random.Chance(40)) std::reverse(wildcards.begin(), wildcards.end());
  if (random.Chance(30)) std::fill(wildcards.begin(), wildcards.end(), "*");
  out.insert(out.end(), wildcards.begin(), wildcards.end());
  if (subject.ends_with(">")) out.push_back(">");
  return absl::StrJoin(out, ".");
}

Mapping DrawMapping(Random& random) {
  switch (random.Below(7)) {
    case 0:
      return {.source = "m.*", .targets = {{.subject = "s.$1"}}};
    case 1:
      return {.source = "m.*.*", .targets = {{.subject = "s.$2.$1"}}};
    case 2:
      return {.source = "q.a", .targets = {{.subject = "q.b"}}};
    case 3:
      return {.source = "s.b", .targets = {{.subject = "s.a", .weight = 50}}};
    case 4:
      return {.source = "q.b", .targets = {{.subject = "s.a"}}};
    case 5:
      return {.source = "w.*.*", .targets = {{.subject = "q.$2"}}};
    default:
      return {.source = "s.a", .targets = {{.subject = "s.a", .weight = 50}, {.subject = "s.b", .weight = 30}}};
  }
}

}  // namespace

AccountSpec AccountsModel::DrawAccount(Random& random, const std::string& name,
                                       const std::vector<std::string>& names) {
  AccountSpec spec;
  spec.name = name;
  for (const char* subject : kStreams) {
    if (!random.Chance(30)) continue;
    spec.stream_exports.push_back({.subject = subject, .scope = DrawScope(random, subject, names)});
  }
  for (const char* subject : kServices) {
    if (!random.Chance(30)) continue;
    ServiceExport e{.subject = subject, .scope = DrawScope(random, subject, names)};
    e.response =
        random.Pick({ServiceResponse::kSingleton, ServiceResponse::kStreamed, ServiceResponse::kChunked});
    spec.service_exports.push_back(std::move(e));
  }
  if (random.Chance(40)) {
    for (uint64_t n = random.Between(1, 2); n > 0; --n) {
      Mapping mapping = DrawMapping(random);
      const auto same = [&](const Mapping& other) { return other.source == mapping.source; };
      if (std::none_of(spec.mappings.begin(), spec.mappings.end(), same)) spec.mappings.push_back(std::move(mapping));
    }
  }
  if (random.Chance(30)) spec.limits.connections = static_cast<int64_t>(random.Between(1, 3));
  return spec;
}

void AccountsModel::DrawImports(Random& random, AccountSpec* account) const {
  account->stream_imports.clear();
  account->service_imports.clear();
  for (const AccountSpec& exporter : specs) {
    if (exporter.name == account->name) continue;
    for (const StreamExport& e : exporter.stream_exports) {
      if (!random.Chance(40)) continue;
      StreamImport import{.account = exporter.name, .subject = DrawImported(random, e.subject, account->name)};
      const uint64_t dice = random.Below(3);
      if (dice == 0) import.prefix = random.Pick({"pre", "pre.x"});
      if (dice == 1) import.to = DrawName(random, "t", import.subject);
      account->stream_imports.push_back(std::move(import));
    }
    for (const ServiceExport& e : exporter.service_exports) {
      if (!random.Chance(40)) continue;
      ServiceImport import{.account = exporter.name, .subject = DrawImported(random, e.subject, account->name)};
      if (random.Chance(60)) import.to = DrawName(random, random.Pick({"r", "q", "w"}), import.subject);
      import.share = random.Chance(20);
      account->service_imports.push_back(std::move(import));
    }
  }
  // The same import twice is the same way twice, which the broker keeps apart and this model does not.
  const auto unique = [](auto* imports) {
    for (size_t i = 0; i < imports->size(); ++i) {
      imports->erase(std::remove((imports->begin() + static_cast<ptrdiff_t>(i) + 1), imports->end(), (*imports)[i]),
                     imports->end());
    }
  };
  unique(&account->stream_imports);
  unique(&account->service_imports);
}

// A server takes no configuration with an error in it: imports are left out, the nearest to the end first, until there
// is none.
void AccountsModel::DropWhatIsRefused(Random& random) {
  while (!CompileAccounts(specs, "").ok()) {
    std::vector<AccountSpec*> importers;
    for (AccountSpec& spec : specs) {
      if (!spec.stream_imports.empty() || !spec.service_imports.empty()) importers.push_back(&spec);
    }
    if (importers.empty()) {
      Fail("accounts without imports are refused: " + CompileAccounts(specs, "").errors.front());
    }
    AccountSpec& spec = *importers[random.Below(importers.size())];
    const bool stream = spec.service_imports.empty() || (!spec.stream_imports.empty() && random.Chance(50));
    if (stream) {
      spec.stream_imports.erase(spec.stream_imports.begin() +
                                static_cast<ptrdiff_t>(random.Below(spec.stream_imports.size())));
    } else {
      spec.service_imports.erase(spec.service_imports.begin() +
                                 static_cast<ptrdiff_t>(random.Below(spec.service_imports.size())));
    }
  }
}

AccountsModel AccountsModel::Draw(Random& random, const AccountsModel* before) {
  AccountsModel model;
  std::vector<std::string> names;
  for (const char* name : kNames) {
    const bool was = before != nullptr && before->Find(name) != nullptr;
    if (random.Chance(before == nullptr ? 75 : was ? 94 : 40)) names.emplace_back(name);
  }
  if (names.empty()) names.emplace_back("A");
  for (const std::string& name : names) {
    const AccountSpec* const old = before == nullptr ? nullptr : before->Find(name);
    model.specs.push_back(old != nullptr && !random.Chance(20) ? *old : DrawAccount(random, name, names));
  }
  // Who is listed has to be there.
  const auto list = [&](auto* exports) {
    for (auto& e : *exports) {
      const bool gone = std::erase_if(e.scope.accounts, [&](const auto& name) { return model.Find(name) == nullptr; });
      if (gone) e.scope.accounts.push_back(names[random.Below(names.size())]);
    }
  };
  for (AccountSpec& spec : model.specs) {
    list(&spec.stream_exports);
    list(&spec.service_exports);
  }
  for (AccountSpec& spec : model.specs) {
    const AccountSpec* const old = before == nullptr ? nullptr : before->Find(spec.name);
    if (old == nullptr || random.Chance(40)) model.DrawImports(random, &spec);
    if (old != nullptr && random.Chance(15)) spec.limits.connections = random.Pick({-1, 1, 2, 3});
  }
  model.DropWhatIsRefused(random);
  for (uint32_t i = 0; i < kUsers; ++i) {
    AccountsUser user{absl::StrFormat("u%d", i), {}};
    if (before != nullptr && !random.Chance(4)) user.account = before->AccountOf(user.name);
    if (model.Find(user.account) == nullptr) {
      user.account = random.Chance(85) ? names[random.Below(names.size())] : "";
    }
    model.users.push_back(std::move(user));
  }
  return model;
}

std::vector<std::string> AccountsModel::Published(std::string_view account) const {
  std::vector<std::string> out = {"s.a", "x.y", "q.a"};
  const auto add = [&out](const std::string& subject, int often) {
    for (; often > 0; --often) out.push_back(subject);
  };
  for (const AccountSpec& spec : specs) {
    for (const StreamImport& import : spec.stream_imports) {
      if (import.account == account) add(import.subject, 4);
    }
    if (spec.name != account) continue;
    for (const StreamExport& e : spec.stream_exports) add(e.subject, 1);
    for (const ServiceImport& import : spec.service_imports) add(LocalFilter(import), 6);
    for (const Mapping& mapping : spec.mappings) add(mapping.source, 2);
  }
  return out;
}

std::vector<std::string> AccountsModel::Heard(std::string_view account) const {
  std::vector<std::string> out = {">", "*.*", "_INBOX.>"};
  const auto add = [&out](const std::string& subject, int often) {
    for (; often > 0; --often) out.push_back(subject);
  };
  for (const AccountSpec& spec : specs) {
    for (const ServiceImport& import : spec.service_imports) {
      if (import.account == account) add(import.subject, 4);
    }
    if (spec.name != account) continue;
    for (const StreamImport& import : spec.stream_imports) {
      add(LocalFilter(import), 3);
      add(import.prefix.empty() ? "t.>" : "pre.>", 1);
    }
    for (const ServiceExport& e : spec.service_exports) add(e.subject, 1);
    for (const ServiceImport& import : spec.service_imports) add(LocalFilter(import), 1);
  }
  return out;
}

}  // namespace millrace::sim
