// SPDX-License-Identifier: Apache-2.0
// Goal: published subjects become what the account's mappings say, with the peer's shares and errors.
// Method: what each rule does by itself; draws counted against weights; and random sets of mappings against a reading
//       of the rules as a list of a hundred outcomes.
#include "broker/account/mappings.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "tests/proto/naive_subject.h"
#include "tests/proto/seeded.h"

namespace millrace {
namespace {

Mappings Compile(const std::vector<Mapping>& mappings, std::string_view cluster = {}) {
  absl::StatusOr<Mappings> compiled = Mappings::Compile(mappings, cluster);
  EXPECT_TRUE(compiled.ok()) << compiled.status().message();
  return compiled.ok() ? *std::move(compiled) : Mappings();
}

std::string ErrorOf(const Mapping& mapping) { return std::string(Mappings::Check(mapping).message()); }

// What becomes of the subject: "=" when it stays, "!" when it is dropped.
std::string Map(const Mappings& mappings, std::string_view subject, uint64_t random = 0) {
  const std::optional<Mappings::Mapped> mapped = mappings.Map(subject, random);
  if (!mapped) return "=";
  return mapped->subject.empty() ? "!" : mapped->subject;
}

bool IsPure(const Mappings& mappings, std::string_view subject) {
  const std::optional<Mappings::Mapped> mapped = mappings.Map(subject, 0);
  return !mapped || mapped->is_pure;
}

// Random bits that draw this number out of a hundred.
uint64_t Draw(uint64_t number) { return ((number << 32) / 100 + 1) << 32; }

TEST(Mappings, OneDestinationIsAPureFunctionOfTheSubject) {
  const Mappings mappings = Compile({{"a", {{"b"}}},
                                     {"c.*", {{"d.$1.{{partition(3,1)}}"}}},
                                     {"e.*.>", {{"f.{{wildcard(1)}}.>"}}},
                                     {"g.*", {{"g.$1.{{random(1000000)}}"}}}});
  EXPECT_EQ(Map(mappings, "a"), "b");
  EXPECT_EQ(Map(mappings, "c.x"), Map(Compile({{"c.*", {{"d.$1.{{partition(3,1)}}"}}}}), "c.x"));
  EXPECT_EQ(Map(mappings, "c.x").substr(0, 4), "d.x.");
  EXPECT_EQ(Map(mappings, "e.x.y.z"), "f.x.y.z");
  EXPECT_EQ(Map(mappings, "e.x"), "=");
  EXPECT_EQ(Map(mappings, "b"), "=");
  EXPECT_EQ(Map(mappings, "g.x", 2'000), "g.x.1000");
  for (const std::string_view subject : {"a", "c.x", "e.x.y", "b"}) EXPECT_TRUE(IsPure(mappings, subject)) << subject;
  EXPECT_FALSE(IsPure(mappings, "g.x"));
  EXPECT_TRUE(Mappings().empty());
  EXPECT_EQ(Map(Mappings(), "a"), "=");
  EXPECT_FALSE(mappings.empty());
}

TEST(Mappings, TheFirstSourceInOrderDecides) {
  const Mappings mappings =
      Compile({{"a.b", {{"1"}}}, {"a.*", {{"2.$1"}}}, {"a.c", {{"3"}}}, {"*.*", {{"4.$1.$2"}}}, {"d", {{"5"}}}});
  EXPECT_EQ(Map(mappings, "a.b"), "1");
  EXPECT_EQ(Map(mappings, "a.c"), "2.c");
  EXPECT_EQ(Map(mappings, "x.y"), "4.x.y");
  EXPECT_EQ(Map(mappings, "d"), "5");
  EXPECT_EQ(Map(mappings, "x"), "=");
}

TEST(Mappings, ASourceThatStandsTwiceKeepsItsPlace) {
  const Mappings mappings = Compile({{"a.*", {{"1.$1"}}}, {"*.b", {{"2.$1"}}}, {"a.*", {{"3.$1"}}}});
  EXPECT_EQ(Map(mappings, "a.b"), "3.b");
  const Mappings literals = Compile({{"a", {{"1"}}}, {"b", {{"2"}}}, {"a", {{"3"}}}});
  EXPECT_EQ(Map(literals, "a"), "3");
  EXPECT_EQ(Map(literals, "b"), "2");
}

TEST(Mappings, WhatIsPublishedAsAWildcardIsTakenByWildcardsOnly) {
  const Mappings mappings = Compile({{"a.*", {{"x.$1"}}}, {"b.>", {{"y.>"}}}, {"c.d", {{"z"}}}});
  EXPECT_EQ(Map(mappings, "a.*"), "x.*");
  EXPECT_EQ(Map(mappings, "a.>"), "=");
  EXPECT_EQ(Map(mappings, "b.*"), "y.*");
  EXPECT_EQ(Map(mappings, "c.*"), "=");
}

TEST(Mappings, WhatIsLeftOfAHundredStaysOnTheSource) {
  const Mappings mappings = Compile({{"a.*", {{"b.$1", 30}, {"c.$1", 10}}}, {"d", {}}, {"e", {{"f", 0}}}});
  std::map<std::string, int> counts;
  for (uint64_t i = 0; i < 100; ++i) ++counts[Map(mappings, "a.x", Draw(i))];
  EXPECT_EQ(counts, (std::map<std::string, int>{{"b.x", 30}, {"c.x", 10}, {"a.x", 60}}));
  EXPECT_FALSE(IsPure(mappings, "a.x"));
  EXPECT_EQ(Map(mappings, "d"), "d");
  EXPECT_TRUE(IsPure(mappings, "d"));
  EXPECT_EQ(Map(mappings, "e"), "e");
  EXPECT_TRUE(IsPure(mappings, "e"));
}

TEST(Mappings, WhatIsLeftIsDroppedWhereTheSourceIsADestination) {
  const Mappings mappings =
      Compile({{"a", {{"a", 20}, {"b", 30}}}, {"c.>", {{"c.>", 50}}}, {"d", {{"d", 0}}}, {"e", {{"e", 40, "x"}}}});
  std::map<std::string, int> counts;
  for (uint64_t i = 0; i < 100; ++i) ++counts[Map(mappings, "a", Draw(i))];
  EXPECT_EQ(counts, (std::map<std::string, int>{{"a", 20}, {"b", 30}, {"!", 50}}));
  counts.clear();
  for (uint64_t i = 0; i < 100; ++i) ++counts[Map(mappings, "c.x", Draw(i))];
  EXPECT_EQ(counts, (std::map<std::string, int>{{"c.x", 50}, {"!", 50}}));
  EXPECT_FALSE(IsPure(mappings, "c.x"));
  EXPECT_EQ(Map(mappings, "d"), "!");
  EXPECT_TRUE(IsPure(mappings, "d"));
  // The source of another cluster counts as well.
  EXPECT_EQ(Map(mappings, "e"), "!");
}

TEST(Mappings, DestinationsOfThisClusterReplaceTheOthers) {
  const std::vector<Mapping> values = {{"a", {{"b", 100}, {"c", 50, "east"}, {"d", 50, "east"}, {"e", 30, "west"}}},
                                       {"f", {{"g", 100, "east"}}}};
  const Mappings none = Compile(values), east = Compile(values, "east"), west = Compile(values, "west");
  EXPECT_EQ(Map(none, "a"), "b");
  EXPECT_EQ(Map(Compile(values, "north"), "a"), "b");
  EXPECT_EQ(Map(east, "a", Draw(0)), "c");
  EXPECT_EQ(Map(east, "a", Draw(99)), "d");
  EXPECT_EQ(Map(west, "a", Draw(29)), "e");
  EXPECT_EQ(Map(west, "a", Draw(30)), "a");
  EXPECT_EQ(Map(none, "f"), "f");
  EXPECT_EQ(Map(east, "f"), "g");
}

// nats-server 2.15.2 sends "a" to b.1, which is the partition of nothing, when it has this mapping only.
TEST(Mappings, APartitionOfALiteralIsThePeers) {
  EXPECT_EQ(Map(Compile({{"a", {{"b.{{partition(10)}}"}}}}), "a"), "b.1");
  EXPECT_EQ(Map(Compile({{"z", {{"y"}}}, {"a", {{"b.{{partition(10)}}"}}}}), "a"), "b.0");
  EXPECT_EQ(Map(Compile({{"*", {{"b.{{partition(10)}}"}}}}), "a"), "b.0");
}

TEST(Mappings, AnEmptyDestinationChangesNothing) {
  EXPECT_EQ(Map(Compile({{"a", {{""}}}}), "a"), "a");
  EXPECT_EQ(Map(Compile({{"a.*.>", {{""}}}}), "a.b.c.d"), "a.b.c.d");
}

TEST(Mappings, ErrorsAreThePeers) {
  EXPECT_EQ(ErrorOf({"a..b", {{"c"}}}), "invalid subject");
  EXPECT_EQ(ErrorOf({"a b", {{"c"}}}), "invalid subject");
  EXPECT_EQ(ErrorOf({"a", {{"b", 10}, {"c", 10}, {"b", 10}}}), "duplicate entry for \"b\"");
  EXPECT_EQ(ErrorOf({"a", {{"b", 10}, {"b", 10, "x"}}}), "duplicate entry for \"b\"");
  EXPECT_EQ(ErrorOf({"a", {{"b", 101}}}), "individual weights need to be <= 100");
  EXPECT_EQ(ErrorOf({"a", {{"b", 60}, {"c", 41}}}), "total weight needs to be <= 100");
  EXPECT_EQ(ErrorOf({"a", {{"b", 60}, {"c", 60, "x"}}}), "");
  EXPECT_EQ(ErrorOf({"a", {{"b", 10}, {"c", 60, "x"}, {"d", 41, "x"}}}), "total weight needs to be <= 100");
  EXPECT_EQ(ErrorOf({"a", {{"b.*"}}}), "invalid subject");
  EXPECT_EQ(ErrorOf({"a.>", {{"b"}}}), "invalid subject");
  EXPECT_EQ(ErrorOf({"a", {{"b.>"}}}), "invalid subject");
  EXPECT_EQ(ErrorOf({"a", {{"b..c"}}}), "invalid mapping destination: invalid transform");
  EXPECT_EQ(ErrorOf({"a", {{"b c"}}}), "invalid mapping destination: invalid transform");
  EXPECT_EQ(ErrorOf({"a.*", {{"b.$2"}}}), "invalid mapping destination: wildcard index out of range in $2: [2]");
  EXPECT_EQ(ErrorOf({"a.*", {{"b.{{nothing(1)}}"}}}),
            "invalid mapping destination: unknown function in {{nothing(1)}}");
  // A source that can not be its own destination matters where something of it is left.
  EXPECT_EQ(ErrorOf({"a.$1", {{"b", 100}}}), "");
  EXPECT_EQ(ErrorOf({"a.$1", {{"b", 99}}}), "invalid mapping destination: wildcard index out of range in $1");
  EXPECT_EQ(ErrorOf({"a.$1", {{"b", 100}, {"c", 99, "x"}}}),
            "invalid mapping destination: wildcard index out of range in $1");
  EXPECT_EQ(Mappings::Compile({{Mapping{"z", {{"y"}}}, Mapping{"a\"", {{"b", 60}, {"c", 41}}}}}, "").status().message(),
            "Error adding mapping for \"a\\\"\" : total weight needs to be <= 100");
}

TEST(Mappings, DrawsFollowTheWeights) {
  const Mappings mappings =
      Compile({{"a.*", {{"b.$1", 50}, {"c.$1", 7}, {"d.$1.{{random(4)}}", 33}, {"a.$1", 0}}}});
  SeededRandom random(1);
  constexpr size_t kDraws = 100'000;  // never fewer: one per cent is to be seen
  std::map<std::string, size_t> counts;
  for (size_t i = 0; i < kDraws; ++i) ++counts[Map(mappings, "a.x", random.Next())];
  const std::map<std::string, double> shares = {{"b.x", .5},     {"c.x", .07},    {"d.x.0", .0825}, {"d.x.1", .0825},
                                                {"d.x.2", .0825}, {"d.x.3", .0825}, {"a.x", .1}};
  EXPECT_EQ(counts.size(), shares.size());
  for (const auto& [subject, share] : shares) {
    const double got = static_cast<double>(counts[subject]) / static_cast<double>(kDraws);
    EXPECT_LT(std::abs(got - share), .01) << subject << ": " << got;
  }
}

// The naive twin: a hundred outcomes for a subject, sorted. "=": stays, "!": dropped.
std::vector<std::string> Outcomes(const std::vector<Mapping>& mappings, std::string_view cluster,
                                  const std::string& subject) {
  const Mapping* taken = nullptr;
  for (const Mapping& mapping : mappings) {
    if (taken == nullptr && NaiveMatches(subject, mapping.source)) taken = &mapping;
  }
  if (taken == nullptr) return std::vector<std::string>(100, "=");
  bool scoped = false, lists_source = false;
  for (const MappingTarget& target : taken->targets) {
    scoped |= !cluster.empty() && target.cluster == cluster;
    lists_source |= target.subject == taken->source;
  }
  const std::vector<std::string> tokens = NaiveTokens(subject);
  std::vector<std::string> outcomes;
  for (const MappingTarget& target : taken->targets) {
    if (target.cluster != (scoped ? cluster : "")) continue;
    std::string name = target.subject;
    if (const size_t dollar = name.find("$1"); dollar != std::string::npos) name.replace(dollar, 2, tokens[1]);
    outcomes.insert(outcomes.end(), target.weight, name);
  }
  outcomes.resize(100, lists_source ? "!" : subject);
  std::sort(outcomes.begin(), outcomes.end());
  return outcomes;
}

TEST(Mappings, RandomSetsDoAsTheRulesRead) {
  const std::array<std::string, 5> subjects = {"a.b", "a.c", "b.b", "b.c", "a"};
  for (uint64_t seed = 0; seed < Rounds(3'000); ++seed) {
    SeededRandom random(seed);
    std::vector<Mapping> mappings;
    for (uint64_t n = random.Below(4); n > 0; --n) {
      const std::array<std::string, 5> sources = {"a.*", "*.b", "a.b", "b.c", "a"};
      Mapping mapping{sources[random.Below(sources.size())], {}};
      const bool again = std::any_of(mappings.begin(), mappings.end(),
                                     [&](const Mapping& other) { return other.source == mapping.source; });
      if (again) continue;
      const bool wild = mapping.source.find('*') != std::string::npos;
      uint64_t left[3] = {100, 100, 100};
      for (uint64_t t = random.Below(4); t > 0; --t) {
        const uint64_t cluster = random.Below(3);
        const uint64_t weight = random.OneIn(3) ? left[cluster] : random.Below(left[cluster] + 1);
        left[cluster] -= weight;
        std::string name = "x" + std::to_string(t) + (wild ? ".$1" : "");
        if (mapping.source == "*.b") name = "y" + std::to_string(t);
        if (t == 1 && !wild && random.OneIn(2)) name = mapping.source;
        mapping.targets.push_back({name, static_cast<uint8_t>(weight), cluster == 0 ? "" : cluster == 1 ? "e" : "w"});
      }
      mappings.push_back(mapping);
    }
    // The place holder of a.* is the second token, and so the twin finds it there.
    const std::string cluster = random.OneIn(2) ? "" : random.OneIn(2) ? "e" : "north";
    const Mappings compiled = Compile(mappings, cluster);
    for (const std::string& subject : subjects) {
      std::vector<std::string> outcomes;
      for (uint64_t i = 0; i < 100; ++i) outcomes.push_back(Map(compiled, subject, Draw(i)));
      std::sort(outcomes.begin(), outcomes.end());
      const std::vector<std::string> expected = Outcomes(mappings, cluster, subject);
      ASSERT_EQ(outcomes, expected) << "seed " << seed << ", " << subject;
      EXPECT_EQ(IsPure(compiled, subject), expected.front() == expected.back()) << "seed " << seed << ", " << subject;
    }
  }
}

}  // namespace
}  // namespace millrace
