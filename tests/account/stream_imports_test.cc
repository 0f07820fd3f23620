// SPDX-License-Identifier: Apache-2.0
// Goal: a subscription hears of another account what its imports and its filter let through, under the right name.
// Method: every subject of a small world is carried over token by token and compared with what the shadows take; and
//       what no enumeration shows: order, copies, errors and the forms of `to`. What subscriptions of nats-server heard
//       (peer_streams.jsonl, made by tests/interop/stream_imports.py) is what they would hear here.
#include "broker/account/stream_imports.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "proto/place_holders.h"
#include "proto/subject.h"
#include "tests/proto/naive_subject.h"
#include "tests/proto/seeded.h"

namespace millrace {
namespace {

CompiledStreamImport Import(std::string_view from, std::string_view to = {}) {
  absl::StatusOr<CompiledStreamImport> import = CompileStreamImport(from, to);
  EXPECT_TRUE(import.ok()) << from << " -> " << to << ": " << import.status().message();
  return import.ok() ? *std::move(import) : CompiledStreamImport{};
}

// The filter in the exporter, or "-".
std::string There(std::string_view filter, const CompiledStreamImport& import) {
  const std::vector<Shadow> shadows = ShadowsOf(filter, {&import, 1});
  return shadows.empty() ? "-" : shadows[0].filter;
}

std::string Here(const CompiledStreamImport& import, std::string_view subject) {
  std::string room;
  return std::string(LocalSubject(import, subject, &room));
}

std::string ErrorOf(std::string_view from, std::string_view to) {
  return std::string(CompileStreamImport(from, to).status().message());
}

TEST(StreamImports, FourCasesUnderTheSameName) {
  const CompiledStreamImport import = Import("a.*.>");
  EXPECT_TRUE(import.use_pub);
  EXPECT_EQ(There("a.*.>", import), "a.*.>");
  EXPECT_EQ(There("a.b.c", import), "a.b.c");
  EXPECT_EQ(There("a.*.c", import), "a.*.c");
  EXPECT_EQ(There("a.>", import), "a.*.>");
  EXPECT_EQ(There(">", import), "a.*.>");
  EXPECT_EQ(There("*.b.c", import), "a.b.c");
  EXPECT_EQ(There("*.b.>", import), "a.b.>");
  EXPECT_EQ(There("b.>", import), "-");
  EXPECT_EQ(There("a.b", import), "-");
  EXPECT_EQ(There("*.*", import), "-");
  EXPECT_EQ(Here(import, "a.b.c"), "a.b.c");
}

TEST(StreamImports, FourCasesUnderAnotherName) {
  const CompiledStreamImport import = Import("a.*.*", "x.$2.y.$1");
  EXPECT_EQ(import.to, "x.*.y.*");
  EXPECT_EQ(There("x.*.y.*", import), "a.*.*");
  EXPECT_EQ(There("x.1.y.2", import), "a.2.1");
  EXPECT_EQ(There("x.>", import), "a.*.*");
  EXPECT_EQ(There("*.1.y.>", import), "a.*.1");
  EXPECT_EQ(There("*.*.*.2", import), "a.2.*");
  EXPECT_EQ(There("x.1.z.2", import), "-");
  EXPECT_EQ(There("a.2.1", import), "-");
  EXPECT_EQ(Here(import, "a.2.1"), "x.1.y.2");
}

TEST(StreamImports, AnOverlapEndsWhereTheImportEnds) {
  EXPECT_EQ(There("*.b.>", Import("a.*.c")), "a.b.c");
  EXPECT_EQ(There("a.b.>", Import("a.*.c.>")), "a.b.c.>");
  EXPECT_EQ(There("*.b.*", Import("a.>")), "a.b.*");
  EXPECT_EQ(There("*.b.>", Import("a.*")), "-");
  EXPECT_EQ(There("a.b.>", Import("*.c.>")), "-");
  EXPECT_EQ(There("a.b.>", Import("a.c.*")), "-");
}

TEST(StreamImports, ALiteralIsCalledAsTheImportSays) {
  const CompiledStreamImport import = Import("a", "b.c");
  EXPECT_FALSE(import.use_pub);
  EXPECT_FALSE(import.transform.has_value());
  EXPECT_EQ(There("b.c", import), "a");
  EXPECT_EQ(There("b.*", import), "a");
  EXPECT_EQ(There(">", import), "a");
  EXPECT_EQ(There("a", import), "-");
  EXPECT_EQ(Here(import, "a"), "b.c");
  EXPECT_EQ(Here(Import("a"), "a"), "a");
}

// The peer lets a literal be imported as a filter, and calls its messages by that.
TEST(StreamImports, ALiteralImportedAsAFilterBringsNothingButTheLiteral) {
  const CompiledStreamImport import = Import("a", "b.*");
  EXPECT_EQ(There("b.*", import), "a");
  EXPECT_EQ(There("b.c", import), "a");
  EXPECT_EQ(There("*.c", import), "a");
  EXPECT_EQ(There("*.c.d", import), "-");
  EXPECT_EQ(Here(import, "a"), "b.*");
}

TEST(StreamImports, PlaceHoldersHaveThreeForms) {
  for (const std::string_view to : {"x.*.>", "x.$1.>", "x.{{wildcard(1)}}.>", "x.{{ Wildcard( 1 ) }}.>"}) {
    const CompiledStreamImport import = Import("a.*.>", to);
    EXPECT_EQ(import.to, "x.*.>") << to;
    EXPECT_EQ(Here(import, "a.b.c.d"), "x.b.c.d") << to;
    EXPECT_EQ(There("x.b.c.*", import), "a.b.c.*") << to;
  }
}

TEST(StreamImports, WhatStandsForAWildcard) {
  for (const std::string_view token :
       {"$1", "$1x", "{{wildcard(1)}}", "x{{y}}{{wildcard(1)}}", "{{wildcard}}{{Wildcard(1)}}"}) {
    EXPECT_EQ(PlaceHoldersToWildcards("a." + std::string(token) + ".b"), "a.*.b") << token;
  }
  for (const std::string_view token : {"$", "$0", "$x", "x$1", "{{wildcard()}}", "{{wildcard(1,2)}}", "x"}) {
    EXPECT_EQ(PlaceHoldersToWildcards("a." + std::string(token)), "a." + std::string(token));
  }
  EXPECT_EQ(WildcardsToPlaceHolders("*.a*.*.>"), "$1.a*.$2.>");
}

TEST(StreamImports, EveryImportHasItsCopy) {
  std::vector<CompiledStreamImport> imports = {Import("a.>"), Import("b.*"), Import("a.>", "x.>"), Import("a.b")};
  imports[1].exporter = 7;
  EXPECT_EQ(ShadowsOf("a.b", imports), (std::vector<Shadow>{{0, "a.b"}, {3, "a.b"}}));
  EXPECT_EQ(ShadowsOf(">", imports), (std::vector<Shadow>{{0, "a.>"}, {1, "b.*"}, {2, "a.>"}, {3, "a.b"}}));
  EXPECT_EQ(ShadowsOf("c", imports), std::vector<Shadow>{});
}

TEST(StreamImports, WhatHasNoWayBackIsHeardAsAWholeOnly) {
  for (const std::string_view to : {"x.$1.$1", "x.$0"}) {
    const CompiledStreamImport import = Import("a.*", to);
    EXPECT_FALSE(import.reverse.has_value()) << to;
    EXPECT_EQ(There("x.>", import), "a.*") << to;
    EXPECT_EQ(There(import.to, import), "a.*") << to;
  }
  EXPECT_EQ(There("x.b.b", Import("a.*", "x.$1.$1")), "-");
  EXPECT_EQ(There("*.b.*", Import("a.*", "x.$1.$1")), "-");
}

TEST(StreamImports, ErrorsAreThePeers) {
  const std::string_view begin = "failed to create mapping transform for stream import subject from ";
  EXPECT_EQ(ErrorOf("a.*", "b"), std::string(begin) +
                                     "\"a.*\" to \"b\": invalid mapping destination: not using all of the token "
                                     "wildcard(s) in b");
  EXPECT_EQ(ErrorOf("a.*", "b.*.*"), std::string(begin) +
                                         "\"a.*\" to \"b.*.*\": invalid mapping destination: wildcard index out of "
                                         "range in $2: [2]");
  EXPECT_EQ(ErrorOf("a.>", "b"), std::string(begin) + "\"a.>\" to \"b\": invalid subject");
  EXPECT_EQ(ErrorOf("a.*", "b.{{partition(3,1)}}"),
            std::string(begin) +
                "\"a.*\" to \"b.{{partition(3,1)}}\": invalid mapping destination: the only mapping function allowed "
                "for import transforms is {{Wildcard()}} in {{partition(3,1)}}");
}

// All literals of up to four tokens.
std::vector<std::string> World() {
  std::vector<std::string> all, longest = {""};
  for (int tokens = 0; tokens < 4; ++tokens) {
    std::vector<std::string> longer;
    for (const std::string& subject : longest) {
      for (const std::string_view token : {"a", "b"}) {
        longer.push_back(subject.empty() ? std::string(token) : subject + "." + std::string(token));
      }
    }
    all.insert(all.end(), longer.begin(), longer.end());
    longest = longer;
  }
  return all;
}

std::string RandomFilter(SeededRandom* random) {
  const size_t tokens = 1 + random->Below(4);
  std::string filter;
  for (size_t i = 0; i < tokens; ++i) {
    if (i > 0) filter += '.';
    const bool tail = i + 1 == tokens && random->OneIn(3);
    filter += tail ? ">" : random->OneIn(3) ? "*" : random->OneIn(2) ? "a" : "b";
  }
  return filter;
}

// A name for what `from` takes: the same, under a prefix, or its wildcards anywhere, two at most. (Of three that
// go round in a ring the peer makes a wrong way back, and so do we.)
std::string RandomTo(std::string_view from, SeededRandom* random) {
  if (random->OneIn(4)) return std::string(from);
  if (random->OneIn(3)) return "b." + std::string(from);
  std::vector<std::string> tokens;
  for (const std::string& token : NaiveTokens(from)) {
    if (token == "*") tokens.push_back("$" + std::to_string(tokens.size() + 1));
  }
  if (tokens.size() > 2) return "a." + std::string(from);
  if (tokens.size() == 2 && random->OneIn(2)) std::swap(tokens[0], tokens[1]);
  if (tokens.empty() || random->OneIn(2)) tokens.insert(tokens.begin(), random->OneIn(2) ? "a" : "b");
  if (random->OneIn(3)) tokens.insert(tokens.begin() + 1, "b");
  if (from.back() == '>') tokens.push_back(">");
  std::string to;
  for (const std::string& token : tokens) to += (to.empty() ? "" : ".") + token;
  return to;
}

// The name of a subject here, as the rules read; none when it is not imported.
std::optional<std::string> NaiveHere(std::string_view subject, std::string_view from, std::string_view to) {
  if (!NaiveMatches(subject, from)) return std::nullopt;
  const std::vector<std::string> tokens = NaiveTokens(subject);
  const std::vector<std::string> filter = NaiveTokens(from);
  std::vector<std::string> wildcards, tail;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (i + 1 >= filter.size() && filter.back() == ">") {
      tail.push_back(tokens[i]);
    } else if (filter[i] == "*") {
      wildcards.push_back(tokens[i]);
    }
  }
  std::string here;
  size_t next = 0;
  const auto add = [&](const std::string& token) { here += (here.empty() ? "" : ".") + token; };
  for (const std::string& token : NaiveTokens(to)) {
    if (token == ">") {
      for (const std::string& rest : tail) add(rest);
    } else if (token == "*") {
      add(wildcards[next++]);
    } else {
      add(token[0] == '$' ? wildcards[static_cast<size_t>(token[1] - '1')] : token);
    }
  }
  return here;
}

TEST(StreamImports, ShadowsTakeWhatTheSubscriptionWouldHear) {
  const std::vector<std::string> world = World();
  size_t heard = 0;
  for (uint64_t seed = 0; seed < Rounds(20'000); ++seed) {
    SeededRandom random(seed);
    const std::string from = RandomFilter(&random);
    const std::string to = RandomTo(from, &random);
    const std::string filter = RandomFilter(&random);
    const CompiledStreamImport import = Import(from, to);
    const std::vector<Shadow> shadows = ShadowsOf(filter, {&import, 1});
    for (const std::string& subject : world) {
      const std::optional<std::string> here = NaiveHere(subject, from, to);
      const bool hears = here && NaiveMatches(*here, filter);
      const bool takes = !shadows.empty() && SubjectMatches(subject, shadows[0].filter);
      ASSERT_EQ(takes, hears) << "seed " << seed << ": " << from << " -> " << to << ", SUB " << filter << ", PUB "
                              << subject << (shadows.empty() ? "" : ", shadow " + shadows[0].filter);
      if (!hears) continue;
      ASSERT_EQ(Here(import, subject), *here) << "seed " << seed << ": " << from << " -> " << to << ", " << subject;
      ++heard;
    }
  }
  EXPECT_GT(heard, Rounds(20'000));
}

// MR_PEER_STREAMS names another file of the same kind.
TEST(StreamImports, SubscriptionsHearWhatTheyHeardOfNatsServer) {
  const char* const path = std::getenv("MR_PEER_STREAMS");
  std::ifstream file(path != nullptr ? path : MR_TEST_SOURCE_DIR "/peer_streams.jsonl");
  std::vector<std::string> world = World();
  size_t sets = 0, heard_count = 0;
  for (std::string line; std::getline(file, line); ++sets) {
    const nlohmann::json record = nlohmann::json::parse(line);
    std::vector<CompiledStreamImport> imports;
    for (const nlohmann::json& import : record.at("imports")) {
      const std::string from = import.at(0);
      std::string prefix = import.at(1);
      if (!prefix.empty() && prefix.back() != '.') prefix += '.';
      imports.push_back(Import(from, prefix.empty() ? import.at(2).get<std::string>() : prefix + from));
    }
    nlohmann::json heard = nlohmann::json::array();
    const nlohmann::json& filters = record.at("subscriptions");
    for (size_t i = 0; i < filters.size(); ++i) {
      for (const Shadow& shadow : ShadowsOf(filters.at(i).get<std::string>(), imports)) {
        for (const std::string& subject : world) {
          // The peer's world has all of up to three tokens, and three of four.
          if (subject.size() > 5 && subject != "a.b.a.b" && subject != "b.a.a.a" && subject != "a.a.b.b") continue;
          if (!SubjectMatches(subject, shadow.filter)) continue;
          heard.push_back({i, subject, Here(imports[shadow.import], subject)});
        }
      }
    }
    std::sort(heard.begin(), heard.end());
    EXPECT_EQ(heard, record.at("heard")) << record.dump();
    heard_count += heard.size();
  }
  EXPECT_GE(sets, 300u);
  EXPECT_GE(heard_count, sets);
}

}  // namespace
}  // namespace millrace
