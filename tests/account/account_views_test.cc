// SPDX-License-Identifier: Apache-2.0
// Goal:   what a reload leaves as it is keeps its version and numbers; the index of services finds what a list finds.
// Method: accounts by hand; random imports beside a walk of all of them.
#include "broker/account/account_views.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "proto/subject.h"
#include "tests/proto/seeded.h"

namespace millrace {
namespace {

// One configuration after the other, as a server loads them.
struct Config {
  Config(std::vector<AccountSpec> all, const Config* before)
      : specs(std::move(all)),
        table(specs, {}, before == nullptr ? nullptr : &before->table),
        views(specs, table, before == nullptr ? nullptr : &before->views) {}

  const AccountView& of(std::string_view name) const { return views[table.Find(name)->id]; }

  std::vector<AccountSpec> specs;
  AccountTable table;
  AccountViews views;
};

AccountSpec Exporter() {
  return {.name = "E", .stream_exports = {{.subject = ">"}}, .service_exports = {{.subject = ">"}}};
}

AccountSpec Importer(std::string name, std::vector<std::string> services) {
  AccountSpec spec{.name = std::move(name)};
  for (std::string& service : services) spec.service_imports.push_back({.account = "E", .subject = std::move(service)});
  return spec;
}

std::vector<uint32_t> Found(const ServiceIndex* index, std::string_view subject) {
  std::vector<uint32_t> found;
  if (index != nullptr) index->Match(subject, [&found](uint32_t import) { found.push_back(import); });
  std::sort(found.begin(), found.end());
  return found;
}

TEST(AccountViews, OnlyWhatChangesHasAnotherVersion) {
  AccountSpec streams{.name = "S", .stream_imports = {{.account = "E", .subject = "s.>"}}};
  const Config first({Exporter(), Importer("A", {"a"}), Importer("B", {"b"}), streams}, nullptr);
  const uint32_t number = first.of("S").first_import;
  EXPECT_EQ(first.views.stream_imports()[number]->from, "s.>");

  const Config second({Exporter(), Importer("A", {"a"}), Importer("B", {"b", "c"}), streams}, &first);
  EXPECT_EQ(second.of("A").services_version, first.of("A").services_version);
  EXPECT_NE(second.of("B").services_version, first.of("B").services_version);
  EXPECT_EQ(second.of("S").streams_version, first.of("S").streams_version);
  EXPECT_EQ(second.of("S").first_import, number);
  EXPECT_EQ(second.views.stream_imports()[number], &second.of("S").stream_imports[0]);

  // Who is gone has another version, too: what was made of it has to go.
  const AccountId gone = first.table.Find("B")->id;
  const Config third({Exporter(), Importer("A", {"a"})}, &second);
  EXPECT_NE(third.views[gone].services_version, second.views[gone].services_version);
  EXPECT_TRUE(third.views[gone].service_imports.empty());
  EXPECT_EQ(third.views.stream_imports()[number], nullptr);
}

TEST(AccountViews, ServicesAreFoundByAccount) {
  const Config config({Exporter(), Importer("A", {"a.*", "b"}), {.name = "N"}}, nullptr);
  const std::span<const ServiceIndex* const> indexes = config.views.service_indexes();
  const AccountId a = config.table.Find("A")->id;
  ASSERT_EQ(indexes.size(), a + 1u) << "up to the last that has any";
  for (AccountId id = 0; id < a; ++id) EXPECT_EQ(indexes[id], nullptr);
  EXPECT_EQ(Found(indexes[a], "a.x"), std::vector<uint32_t>{0});
  EXPECT_EQ(Found(indexes[a], "b"), std::vector<uint32_t>{1});
  EXPECT_TRUE(Found(indexes[a], "c").empty());
  EXPECT_TRUE(Config({Exporter()}, nullptr).views.service_indexes().empty());
}

TEST(ServiceIndex, FindsWhatAListFinds) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    SeededRandom random(seed);
    const auto draw = [&random](bool filter) {
      std::string subject;
      const size_t tokens = 1 + random.Below(3);
      for (size_t i = 0; i < tokens; ++i) {
        const bool last = i + 1 == tokens;
        const uint64_t kind = filter ? random.Below(6) : 9;
        if (i > 0) subject += '.';
        subject += kind == 0 ? '*' : kind == 1 && last ? '>' : "abc"[random.Below(3)];
      }
      return subject;
    };
    std::vector<CompiledServiceImport> imports(1 + random.Below(20));
    for (CompiledServiceImport& import : imports) import.local_filter = draw(true);
    const ServiceIndex index(imports);
    for (int i = 0; i < 100; ++i) {
      const std::string subject = draw(false);
      std::vector<uint32_t> wanted;
      for (uint32_t import = 0; import < imports.size(); ++import) {
        if (SubjectMatches(subject, imports[import].local_filter)) wanted.push_back(import);
      }
      ASSERT_EQ(Found(&index, subject), wanted) << "seed " << seed << ", " << subject;
    }
  }
}

}  // namespace
}  // namespace millrace
