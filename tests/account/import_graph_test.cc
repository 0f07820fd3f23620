// SPDX-License-Identifier: Apache-2.0
// Goal: accounts that are compiled together import what they may, under the right names, and nothing in circles.
// Method: what each rule does by itself; random graphs of accounts against a walk along every way; what nats-server
//       said of random sets of accounts (peer_accounts.jsonl, made by tests/interop/account_rules.py), and how it
//       called requests and mapped subjects (peer_services.jsonl, by tests/interop/service_imports.py).
#include "broker/account/import_graph.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "proto/subject.h"
#include "tests/proto/seeded.h"

namespace millrace {
namespace {

using Errors = std::vector<std::string>;

Errors ErrorsOf(const std::vector<AccountSpec>& specs) { return CompileAccounts(specs, "").errors; }

// A exports what it is given, B imports what it is given.
Errors StreamErrors(const StreamExport& of_a, const StreamImport& of_b) {
  return ErrorsOf({{.name = "A", .stream_exports = {of_a}}, {.name = "B", .stream_imports = {of_b}}});
}
Errors ServiceErrors(const ServiceExport& of_a, const ServiceImport& of_b) {
  return ErrorsOf({{.name = "A", .service_exports = {of_a}}, {.name = "B", .service_imports = {of_b}}});
}

std::string There(const CompiledServiceImport& import, std::string_view subject) {
  std::string room;
  return std::string(ExporterSubject(import, subject, &room));
}

// The service import of B of this subject of A, under this name.
CompiledServiceImport Service(const std::string& subject, const std::string& to) {
  const std::vector<AccountSpec> specs = {{.name = "A", .service_exports = {{.subject = ">"}}},
                                          {.name = "B", .service_imports = {{"A", subject, to}}}};
  CompiledAccounts compiled = CompileAccounts(specs, "");
  EXPECT_EQ(compiled.errors, Errors()) << subject << " as " << to;
  return compiled.ok() ? compiled.accounts[1].service_imports[0] : CompiledServiceImport();
}

TEST(ImportGraph, NamesBecomeIndexes) {
  const std::vector<AccountSpec> specs = {
      {.name = "B", .stream_imports = {{"A", "s.>", "p", "", true}, {"C", "s.>"}}, .service_imports = {{"C", "q"}}},
      {.name = "A", .stream_exports = {{"s.>"}}},
      {.name = "C", .stream_exports = {{"s.*"}, {"s.>"}}, .service_exports = {{"o"}, {"*"}}}};
  const CompiledAccounts compiled = CompileAccounts(specs, "");
  ASSERT_EQ(compiled.errors, Errors());
  ASSERT_EQ(compiled.accounts.size(), 3u);
  const CompiledAccount& b = compiled.accounts[0];
  ASSERT_EQ(b.stream_imports.size(), 2u);
  EXPECT_EQ(b.stream_imports[0].exporter, 1u);
  EXPECT_EQ(b.stream_imports[0].from, "s.>");
  EXPECT_EQ(b.stream_imports[0].to, "p.s.>");
  EXPECT_TRUE(b.stream_imports[0].allow_trace);
  EXPECT_EQ(b.stream_imports[1].exporter, 2u);
  EXPECT_TRUE(b.stream_imports[1].use_pub);
  EXPECT_FALSE(b.stream_imports[1].allow_trace);
  ASSERT_EQ(b.service_imports.size(), 1u);
  EXPECT_EQ(b.service_imports[0].exporter, 2u);
  EXPECT_EQ(b.service_imports[0].export_index, 1u);
  EXPECT_TRUE(compiled.accounts[1].stream_imports.empty());
}

TEST(ImportGraph, APrefixIsATokenOrMore) {
  for (const std::string_view prefix : {"p.q", "p.q."}) {
    const std::vector<AccountSpec> specs = {{.name = "A", .stream_exports = {{"s"}, {"t.*"}}},
                                            {.name = "B",
                                             .stream_imports = {{"A", "s", std::string(prefix)},
                                                                {"A", "t.*", std::string(prefix)}}}};
    const CompiledAccounts compiled = CompileAccounts(specs, "");
    ASSERT_EQ(compiled.errors, Errors());
    EXPECT_EQ(compiled.accounts[1].stream_imports[0].to, "p.q.s");
    EXPECT_EQ(compiled.accounts[1].stream_imports[1].to, "p.q.t.*");
  }
  EXPECT_EQ(StreamErrors({"s"}, {"A", "s", "p.*"}),
            Errors{"Error adding stream import \"s\": stream import prefix can not contain wildcard tokens"});
}

TEST(ImportGraph, AccountsHaveToBeThere) {
  EXPECT_EQ(StreamErrors({"s", {{"X", "B", "Y"}}}, {"A", "s"}),
            (Errors{"\"X\" account not defined for stream export", "\"Y\" account not defined for stream export"}));
  EXPECT_EQ(ServiceErrors({.subject = "s", .scope = {{"X"}}}, {"A", "s"}),
            Errors{"\"X\" account not defined for service export"});
  EXPECT_EQ(StreamErrors({"s"}, {"X", "s"}), Errors{"\"X\" account not defined for stream import"});
  EXPECT_EQ(ServiceErrors({"s"}, {"X", "s"}), Errors{"\"X\" account not defined for service import"});
  // All errors are told, in the order of what is done.
  const std::vector<AccountSpec> specs = {
      {.name = "A", .stream_imports = {{"1", "s"}}, .service_imports = {{"2", "s"}}},
      {.name = "B", .stream_exports = {{"s", {{"3"}}}}, .service_exports = {{"s", {{"4"}}}}},
      {.name = "C", .stream_exports = {{"s", {{"5"}}}}, .stream_imports = {{"6", "s"}}}};
  EXPECT_EQ(ErrorsOf(specs),
            (Errors{"\"3\" account not defined for stream export", "\"5\" account not defined for stream export",
                    "\"4\" account not defined for service export", "\"1\" account not defined for stream import",
                    "\"6\" account not defined for stream import", "\"2\" account not defined for service import"}));
}

TEST(ImportGraph, OnlyWhatIsExportedIsImported) {
  const Errors refused = {"Error adding stream import \"s.a\": stream import not authorized"};
  EXPECT_EQ(StreamErrors({"s.a"}, {"A", "s.a"}), Errors());
  EXPECT_EQ(StreamErrors({"s.*"}, {"A", "s.a"}), Errors());
  EXPECT_EQ(StreamErrors({"s.>"}, {"A", "s.a"}), Errors());
  EXPECT_EQ(StreamErrors({"s.b"}, {"A", "s.a"}), refused);
  EXPECT_EQ(StreamErrors({"s.*"}, {"A", "s.>"}),
            Errors{"Error adding stream import \"s.>\": stream import not authorized"});
  EXPECT_EQ(StreamErrors({"s..a"}, {"A", "s..a"}),
            Errors{"Error adding stream import \"s..a\": stream import not authorized"});
  EXPECT_EQ(ErrorsOf({{.name = "A", .service_exports = {{"s.a"}}}, {.name = "B", .stream_imports = {{"A", "s.a"}}}}),
            refused);
  EXPECT_EQ(ServiceErrors({"s.b"}, {"A", "s.a"}),
            Errors{"Error adding service import \"s.a\": service import not authorized"});
  EXPECT_EQ(ServiceErrors({"s..a"}, {"A", "s..a"}),
            Errors{"Error adding service import \"s..a\": sublist: invalid subject"});
  EXPECT_EQ(ServiceErrors({"s"}, {"A", "s", "a b"}),
            Errors{"Error adding service import \"s\": sublist: invalid subject"});
}

TEST(ImportGraph, ListedAccountsMayImport) {
  EXPECT_EQ(StreamErrors({"s", {{"B"}}}, {"A", "s"}), Errors());
  EXPECT_EQ(StreamErrors({"s.>", {{"A", "B"}}}, {"A", "s.a"}), Errors());
  EXPECT_EQ(StreamErrors({"s", {{"A"}}}, {"A", "s"}),
            Errors{"Error adding stream import \"s\": stream import not authorized"});
  EXPECT_EQ(ServiceErrors({.subject = "s", .scope = {{"B"}}}, {"A", "s"}), Errors());
  EXPECT_EQ(ServiceErrors({.subject = "s", .scope = {{"A"}}}, {"A", "s"}),
            Errors{"Error adding service import \"s\": service import not authorized"});
}

TEST(ImportGraph, ATokenMayHaveToBeTheImportersName) {
  EXPECT_EQ(StreamErrors({"s.*.>", {{}, 2}}, {"A", "s.B.x"}), Errors());
  EXPECT_EQ(StreamErrors({"s.*.>", {{}, 2}}, {"A", "s.B.>"}), Errors());
  EXPECT_EQ(StreamErrors({"s.*.>", {{}, 2}}, {"A", "s.C.x"}),
            Errors{"Error adding stream import \"s.C.x\": stream import not authorized"});
  // Neither all of it, nor by being listed.
  EXPECT_EQ(StreamErrors({"s.*", {{"B"}, 2}}, {"A", "s.*"}),
            Errors{"Error adding stream import \"s.*\": stream import not authorized"});
  EXPECT_EQ(StreamErrors({"s.*", {{"B"}, 2}}, {"A", "s.C"}),
            Errors{"Error adding stream import \"s.C\": stream import not authorized"});
  const std::vector<AccountSpec> star = {{.name = "A", .stream_exports = {{"s.*", {{}, 2}}}},
                                         {.name = "*", .stream_imports = {{"A", "s.*"}}}};
  EXPECT_EQ(ErrorsOf(star), Errors{"Error adding stream import \"s.*\": stream import not authorized"});
  EXPECT_EQ(ServiceErrors({.subject = "*.s", .scope = {{}, 1}}, {"A", "B.s"}), Errors());
  EXPECT_EQ(ServiceErrors({.subject = "*.s", .scope = {{}, 1}}, {"A", "A.s"}),
            Errors{"Error adding service import \"A.s\": service import not authorized"});
  for (const uint32_t position : {1u, 3u, 4u}) {
    EXPECT_EQ(ErrorsOf({{.name = "A", .stream_exports = {{"s.*.>", {{}, position}}}}}),
              Errors{"Error adding stream export \"s.*.>\": sublist: invalid subject"});
    EXPECT_EQ(ErrorsOf({{.name = "A", .service_exports = {{"s.*.>", {{}, position}}}}}),
              Errors{"Error adding service export \"s.*.>\": sublist: invalid subject"});
  }
}

TEST(ImportGraph, ExportsOfOneSubjectAddUp) {
  const auto errors = [](const std::vector<StreamExport>& exports, const std::string& subject) {
    return ErrorsOf({{.name = "A", .stream_exports = exports},
                     {.name = "B", .stream_imports = {{"A", subject}}},
                     {.name = "C"}}).size();
  };
  EXPECT_EQ(errors({{"s", {{"C"}}}, {"s", {{"B"}}}}, "s"), 0u);
  EXPECT_EQ(errors({{"s", {{"C"}}}, {"s"}}, "s"), 1u);          // nothing makes it public again
  EXPECT_EQ(errors({{"s"}, {"s", {{"C"}}}}, "s"), 1u);
  EXPECT_EQ(errors({{"s.*", {{}, 2}}, {"s.*"}}, "s.x"), 1u);
  EXPECT_EQ(errors({{"s.*", {{}, 2}}, {"s.*", {{"B"}}}}, "s.x"), 0u);  // accounts took the place of the position
  EXPECT_EQ(errors({{"s.*", {{"B"}}}, {"s.*", {{}, 2}}}, "s.x"), 1u);
  // The export of exactly this subject comes first, then the first one in order.
  EXPECT_EQ(errors({{"s.>"}, {"s.x", {{"C"}}}}, "s.x"), 1u);
  EXPECT_EQ(errors({{"s.>"}, {"s.*", {{"C"}}}}, "s.x"), 0u);
  EXPECT_EQ(errors({{"s.*", {{"C"}}}, {"s.>"}}, "s.x"), 1u);
}

TEST(ImportGraph, TermsOfAServiceAreItsExports) {
  using std::chrono::seconds;
  const std::vector<AccountSpec> specs = {
      {.name = "A",
       .service_exports = {{.subject = "a"},
                           {.subject = "b.*", .response = ServiceResponse::kStreamed, .threshold = seconds(5)},
                           {.subject = "c", .latency = ServiceLatency{"m", 30}, .allow_trace = true},
                           {.subject = "b.*", .response = ServiceResponse::kSingleton, .threshold = seconds(0)},
                           {.subject = "d", .threshold = seconds(-1), .latency = ServiceLatency{"m", 0}}}},
      {.name = "B",
       .service_imports = {{"A", "a", "x"}, {"A", "b.1", "", true}, {"A", "c"}, {"A", "d"}}}};
  const CompiledAccounts compiled = CompileAccounts(specs, "");
  ASSERT_EQ(compiled.errors, Errors());
  const std::vector<CompiledServiceImport>& imports = compiled.accounts[1].service_imports;
  EXPECT_EQ(imports[0].terms, ServiceTerms{});
  EXPECT_EQ(imports[0].terms.threshold, std::chrono::minutes(2));
  EXPECT_EQ(imports[0].export_index, 0u);
  EXPECT_FALSE(imports[0].share);
  EXPECT_EQ(imports[1].terms, (ServiceTerms{.response = ServiceResponse::kStreamed}));
  EXPECT_EQ(imports[1].export_index, 1u);
  EXPECT_TRUE(imports[1].share);
  EXPECT_EQ(imports[2].terms, (ServiceTerms{.latency = ServiceLatency{"m", 30}, .allow_trace = true}));
  EXPECT_EQ(imports[3].terms, (ServiceTerms{.threshold = seconds(-1), .latency = ServiceLatency{"m", 0}}));
  EXPECT_EQ(imports[3].export_index, 4u);
}

TEST(ImportGraph, LatencyIsToldToASubjectThatIsNoService) {
  const auto error = [](const ServiceLatency& latency, ServiceResponse response, const std::string& what) {
    const Errors errors = ErrorsOf({{.name = "A",
                                     .service_exports = {{.subject = "m.*"},
                                                         {.subject = "s", .response = response, .latency = latency}}}});
    if (what.empty()) return errors == Errors();
    return errors == Errors{"Error adding service latency sampling for \"s\" on subject \"" + latency.subject +
                            "\": " + what};
  };
  EXPECT_TRUE(error({"l", 100}, ServiceResponse::kSingleton, ""));
  EXPECT_TRUE(error({"l", 1}, ServiceResponse::kSingleton, ""));
  EXPECT_TRUE(error({"l", ServiceLatency::kByHeader}, ServiceResponse::kSingleton, ""));
  EXPECT_TRUE(error({"l", 101}, ServiceResponse::kSingleton, "bad sampling percentage, should be 1-100"));
  EXPECT_TRUE(error({"l", -1}, ServiceResponse::kSingleton, "bad sampling percentage, should be 1-100"));
  EXPECT_TRUE(error({"l.*", 100}, ServiceResponse::kSingleton, "invalid publish subject"));
  EXPECT_TRUE(error({"l m", 100}, ServiceResponse::kSingleton, "invalid publish subject"));
  EXPECT_TRUE(error({"m.l", 100}, ServiceResponse::kSingleton, "invalid publish subject"));
  EXPECT_TRUE(error({"s", 100}, ServiceResponse::kSingleton, "invalid publish subject"));
  EXPECT_TRUE(error({"l", 100}, ServiceResponse::kChunked, "bad service response type"));
}

TEST(ImportGraph, RequestsGetTheExportersName) {
  EXPECT_EQ(There(Service("q", ""), "q"), "q");
  EXPECT_EQ(There(Service("q", "r"), "r"), "q");
  EXPECT_EQ(There(Service("q", "r.*"), "r.x"), "q");
  EXPECT_EQ(Service("q", "r.*").local_filter, "r.*");
  const CompiledServiceImport same = Service("q.*.>", "");
  EXPECT_TRUE(same.use_pub);
  EXPECT_EQ(There(same, "q.1.2.3"), "q.1.2.3");
  for (const std::string_view to : {"r.*.x.*", "r.$1.x.$2"}) {
    const CompiledServiceImport import = Service("q.*.*", std::string(to));
    EXPECT_EQ(import.local_filter, "r.*.x.*");
    EXPECT_EQ(There(import, "r.1.x.2"), "q.1.2");
  }
  EXPECT_EQ(There(Service("q.*.*", "r.$2.$1"), "r.1.2"), "q.2.1");
  EXPECT_EQ(There(Service("q.*.>", "r.$1.>"), "r.1.2.3"), "q.1.2.3");
  // No way back: requests go to the filter, as the peer sends them.
  const CompiledServiceImport twice = Service("q.*", "r.$1.$1");
  EXPECT_FALSE(twice.transform.has_value());
  EXPECT_EQ(There(twice, "r.1.1"), "q.*");
}

TEST(ImportGraph, ServiceImportsAreRefusedWithThePeersTexts) {
  EXPECT_EQ(ServiceErrors({">"}, {"A", "q.*", "r"}),
            Errors{"Error adding service import \"q.*\": failed to create mapping transform for service import subject "
                   "from \"r\" to \"q.*\": invalid mapping destination: not using all of the token wildcard(s) in r"});
  EXPECT_EQ(ServiceErrors({">"}, {"A", "q.>", "r.*"}),
            Errors{"Error adding service import \"q.>\": failed to create mapping transform for service import subject "
                   "from \"r.*\" to \"q.>\": invalid subject"});
  // The import is looked for by a name that it no longer has.
  EXPECT_EQ(ServiceErrors({">"}, {"A", "q.*.$1", "r.$1.$2"}),
            Errors{"Error setting service import sharing \"q.*.$1\": service import not found"});
}

TEST(ImportGraph, WhatIsImportedTwiceIsRefused) {
  const AccountSpec a = {.name = "A", .stream_exports = {{">"}}, .service_exports = {{">"}}};
  const AccountSpec c = {.name = "C", .stream_exports = {{">"}}, .service_exports = {{">"}}};
  EXPECT_EQ(ErrorsOf({a, c, {.name = "B", .stream_imports = {{"A", "s"}, {"C", "s"}, {"A", "s", "p"}}}}),
            Errors{"Error adding stream import \"s\": stream import already exists"});
  EXPECT_EQ(ErrorsOf({a, c, {.name = "B", .service_imports = {{"A", "s", "x"}, {"A", "s", "y"}, {"C", "s", "x"}}}}),
            Errors());
  EXPECT_EQ(ErrorsOf({a, c, {.name = "B", .service_imports = {{"A", "s", "x"}, {"A", "t", "x"}, {"A", "x"}}}}),
            Errors(2, "Duplicate service import subject \"x\", previously used in import for account \"A\", subject "
                      "\"s\""));
  // One that is written otherwise is seen when it is added.
  EXPECT_EQ(ErrorsOf({a, {.name = "B", .service_imports = {{"A", "s.*", "x.$1"}, {"A", "t.*", "x.*"}}}}),
            Errors{"Error adding service import \"t.*\": duplicate service import subject \"x.*\", previously used in "
                   "import for account \"A\", subject \"s.*\""});
}

TEST(ImportGraph, EveryNameOfAServiceIsSharedByItself) {
  const std::vector<AccountSpec> specs = {
      {.name = "A", .service_exports = {{">"}}},
      {.name = "B", .service_imports = {{"A", "s", "x", true}, {"A", "s", "y", false}, {"A", "s", "z", true}}}};
  const CompiledAccounts compiled = CompileAccounts(specs, "");
  const std::vector<CompiledServiceImport>& imports = compiled.accounts[1].service_imports;
  EXPECT_TRUE(imports[0].share);
  EXPECT_FALSE(imports[1].share);
  EXPECT_TRUE(imports[2].share);
}

TEST(ImportGraph, MappingsAreCompiledForThisCluster) {
  const std::vector<AccountSpec> specs = {{.name = "A", .mappings = {{"a", {{"b"}, {"c", 100, "east"}}}}},
                                          {.name = "B"}};
  const CompiledAccounts compiled = CompileAccounts(specs, "east");
  EXPECT_EQ(compiled.accounts[0].mappings.Map("a", 0)->subject, "c");
  EXPECT_TRUE(compiled.accounts[1].mappings.empty());
  // Errors of one account alone come first, and by themselves.
  EXPECT_EQ(ErrorsOf({{.name = "A", .stream_imports = {{"X", "s"}}, .mappings = {{"a", {{"b.*"}}}, {"b", {{"c"}}}}},
                      {.name = "B", .mappings = {{"a..", {{"b"}}}, {"..b", {{"c"}}}}}}),
            (Errors{"Error adding mapping for \"a\" : invalid subject",
                    "Error adding mapping for \"a..\" : invalid subject",
                    "Error adding mapping for \"..b\" : invalid subject"}));
}

AccountSpec Open(std::string name) {
  return {.name = std::move(name), .stream_exports = {{">"}}, .service_exports = {{">"}}};
}

TEST(ImportGraph, CirclesAreRefused) {
  AccountSpec a = Open("A"), b = Open("B"), c = Open("C");
  a.stream_imports = {{"B", "s.>"}};
  b.stream_imports = {{"C", "s.x"}};
  c.stream_imports = {{"A", "s.*"}};
  EXPECT_EQ(ErrorsOf({a, b, c}), Errors{"Error adding stream import \"s.*\": import forms a cycle"});
  c.stream_imports = {{"A", "t.*"}};
  EXPECT_EQ(ErrorsOf({a, b, c}), Errors());
  c.stream_imports = {{"A", "t.*", "", "s.$1"}};  // its new name is looked for as well
  EXPECT_EQ(ErrorsOf({a, b, c}), Errors());
  c.stream_imports = {{"A", "t.*", "", "s.*"}};
  EXPECT_EQ(ErrorsOf({a, b, c}), Errors{"Error adding stream import \"t.*\": import forms a cycle"});
  // Where the way ends at an account that exports nothing of the kind, nothing goes on.
  c.stream_imports = {{"A", "s.*"}};
  b.stream_exports = {{"t"}, {"s.>"}};
  EXPECT_EQ(ErrorsOf({a, b, c}), Errors{"Error adding stream import \"s.*\": import forms a cycle"});

  // All imports of an account are ways.
  a = Open("A"), b = Open("B");
  a.stream_imports = {{"B", "t"}, {"B", "s"}, {"B", "u"}};
  b.stream_imports = {{"A", "s"}};
  EXPECT_EQ(ErrorsOf({a, b}), Errors{"Error adding stream import \"s\": import forms a cycle"});

  a = Open("A"), b = Open("B"), c = Open("C");
  a.service_imports = {{"B", "t"}, {"B", "s"}, {"B", "u"}};
  b.service_imports = {{"A", "s"}};
  EXPECT_EQ(ErrorsOf({a, b}), Errors{"Error adding service import \"s\": import forms a cycle"});
  a.service_imports = {{"B", "s.*"}};
  b.service_imports = {{"C", "s.x"}};
  c.service_imports = {{"A", "s.>"}};
  EXPECT_EQ(ErrorsOf({a, b, c}), Errors{"Error adding service import \"s.>\": import forms a cycle"});
  c.service_imports = {{"A", "s.>", "t.>"}};
  EXPECT_EQ(ErrorsOf({a, b, c}), Errors());
  c.service_imports = {{"A", "t.*", "s.$1"}};
  EXPECT_EQ(ErrorsOf({a, b, c}), Errors{"Error adding service import \"t.*\": import forms a cycle"});
  // Oneself: the second import finds the first one.
  a.service_imports = {{"A", "s"}, {"A", "s", "t"}};
  EXPECT_EQ(ErrorsOf({a}), Errors());
  a.service_imports = {{"A", "t", "s"}, {"A", "s", "t"}};
  EXPECT_EQ(ErrorsOf({a}), Errors{"Error adding service import \"s\": import forms a cycle"});
}

TEST(ImportGraph, AWayOf1023AccountsIsTheLongest) {
  for (const bool services : {false, true}) {
    for (const size_t length : {1024u, 1025u}) {
      // Each imports from the one behind it, which comes later and so is no way yet; the last one, from the first.
      std::vector<AccountSpec> specs;
      for (size_t i = 0; i < length; ++i) {
        specs.push_back(Open("A" + std::to_string(i)));
        const std::string exporter = "A" + std::to_string(i + 1 == length ? 0 : i + 1);
        if (i + 2 == length) continue;
        if (services) {
          specs[i].service_imports = {{exporter, "s"}};
        } else {
          specs[i].stream_imports = {{exporter, "s"}};
        }
      }
      const Errors errors = ErrorsOf(specs);
      if (length == 1024) {
        EXPECT_EQ(errors, Errors());
      } else {
        EXPECT_EQ(errors, Errors{std::string("Error adding ") + (services ? "service" : "stream") +
                                 " import \"s\": search cycle depth exhausted"});
      }
    }
  }
}

// How often a walk from `at` comes to each account, by every way; false when it comes to `end`.
bool Walk(const std::vector<std::vector<size_t>>& imports, size_t at, size_t end, std::vector<int>* visits) {
  ++(*visits)[at];
  for (const size_t next : imports[at]) {
    if (next == end || !Walk(imports, next, end, visits)) return false;
  }
  return true;
}

// One subject that all export: an import is refused where a way leads back to who imports, or two ways to an account
// that imports itself.
TEST(ImportGraph, RandomGraphsAreRefusedWhereAWalkReturns) {
  size_t circles = 0, accepted = 0;
  for (uint64_t seed = 0; seed < Rounds(20'000); ++seed) {
    SeededRandom random(seed);
    const bool services = random.OneIn(2);
    const size_t count = 2 + random.Below(5);
    std::vector<AccountSpec> specs;
    for (size_t i = 0; i < count; ++i) specs.push_back(Open(std::string(1, static_cast<char>('A' + i))));
    std::vector<std::vector<size_t>> imports(count);
    size_t expected = 0;
    for (size_t i = 0; i < count; ++i) {
      std::vector<bool> tried(count);
      for (uint64_t n = random.Below(3); n > 0; --n) {
        const size_t exporter = random.Below(count);
        const std::string& name = specs[exporter].name;
        if (exporter == i || tried[exporter]) continue;
        tried[exporter] = true;
        if (services) {
          specs[i].service_imports.push_back({name, "s"});
        } else {
          specs[i].stream_imports.push_back({name, "s"});
        }
        std::vector<int> visits(count);
        bool fine = Walk(imports, exporter, i, &visits);
        for (size_t a = 0; a < count; ++a) fine &= visits[a] < 2 || imports[a].empty();
        if (fine) {
          imports[i].push_back(exporter);
        } else {
          ++expected;
        }
      }
    }
    const Errors errors = ErrorsOf(specs);
    ASSERT_EQ(errors.size(), expected) << "seed " << seed;
    for (const std::string& error : errors) EXPECT_NE(error.find("import forms a cycle"), std::string::npos) << error;
    circles += expected;
    accepted += errors.empty();
  }
  EXPECT_GT(circles, Rounds(20'000) / 10);
  EXPECT_GT(accepted, Rounds(20'000) / 10);
}

using nlohmann::json;

ExportScope ReadScope(const json& entry) {
  return {entry.at(1).get<std::vector<std::string>>(), entry.at(2).get<uint32_t>()};
}

AccountSpec ReadSpec(const json& account) {
  AccountSpec spec = {.name = account.at("name").get<std::string>()};
  for (const json& entry : account.at("stream_exports")) spec.stream_exports.push_back({entry.at(0), ReadScope(entry)});
  for (const json& entry : account.at("service_exports")) {
    ServiceExport service = {.subject = entry.at(0), .scope = ReadScope(entry)};
    if (entry.at(3) == "stream") service.response = ServiceResponse::kStreamed;
    if (entry.at(3) == "chunk") service.response = ServiceResponse::kChunked;
    if (!entry.at(4).is_null()) service.latency = ServiceLatency{entry.at(4).at(0), entry.at(4).at(1)};
    spec.service_exports.push_back(service);
  }
  for (const json& entry : account.at("stream_imports")) {
    spec.stream_imports.push_back({entry.at(0), entry.at(1), entry.at(2), entry.at(3)});
  }
  for (const json& entry : account.at("service_imports")) {
    spec.service_imports.push_back({entry.at(0), entry.at(1), entry.at(2), entry.at(3)});
  }
  for (const json& entry : account.at("mappings")) {
    Mapping mapping = {.source = entry.at(0)};
    for (const json& target : entry.at(1)) mapping.targets.push_back({target.at(0), target.at(1), target.at(2)});
    spec.mappings.push_back(mapping);
  }
  return spec;
}

// MR_PEER_ACCOUNTS names another file of the same kind.
TEST(ImportGraph, ErrorsAreOnesThatNatsServerGave) {
  const char* const path = std::getenv("MR_PEER_ACCOUNTS");
  std::ifstream file(path != nullptr ? path : MR_TEST_SOURCE_DIR "/peer_accounts.jsonl");
  size_t cases = 0, accepted = 0;
  for (std::string line; std::getline(file, line); ++cases) {
    const json record = json::parse(line);
    std::vector<AccountSpec> specs;
    for (const json& account : record.at("accounts")) specs.push_back(ReadSpec(account));
    Errors errors = ErrorsOf(specs);
    std::sort(errors.begin(), errors.end());
    accepted += errors.empty();
    const json& answers = record.at("answers");
    EXPECT_NE(std::find(answers.begin(), answers.end(), json(errors)), answers.end())
        << "case " << record.at("case") << "\nours: " << json(errors).dump(1) << "\npeer: " << answers.dump(1)
        << "\nof: " << record.at("accounts").dump();
  }
  EXPECT_GE(cases, 300u);
  EXPECT_GE(accepted, cases / 50);
}

// MR_PEER_SERVICES names another file of the same kind.
TEST(ImportGraph, RequestsAndMappedSubjectsAreCalledAsByNatsServer) {
  const char* const path = std::getenv("MR_PEER_SERVICES");
  std::ifstream file(path != nullptr ? path : MR_TEST_SOURCE_DIR "/peer_services.jsonl");
  std::vector<std::string> world = {"a.b.a.b", "b.a.a.a", "a.a.b.b"};  // and all of up to three tokens
  for (const std::string first : {"a", "b"}) {
    world.push_back(first);
    for (const std::string second : {".a", ".b"}) {
      world.push_back(first + second);
      for (const std::string third : {".a", ".b"}) world.push_back(first + second + third);
    }
  }
  size_t sets = 0;
  for (std::string line; std::getline(file, line); ++sets) {
    const json record = json::parse(line);
    std::vector<AccountSpec> specs = {{.name = "A", .service_exports = {{">"}}}, {.name = "B"}};
    for (const json& import : record.at("imports")) {
      specs[1].service_imports.push_back({"A", import.at(0), import.at(1)});
    }
    const json& mapping = record.at("mapping");
    if (!mapping.is_null()) specs[0].mappings = {{.source = mapping.at(0), .targets = {{mapping.at(1)}}}};
    const CompiledAccounts compiled = CompileAccounts(specs, "");
    ASSERT_EQ(compiled.errors, Errors()) << line;
    const auto mapped = [&](const std::string& subject) {
      const std::optional<Mappings::Mapped> answer = compiled.accounts[0].mappings.Map(subject, 0);
      return answer ? answer->subject : subject;
    };
    json heard = json::array();
    for (const std::string& subject : world) {
      if (const std::string there = mapped(subject); there != subject) heard.push_back({"A", subject, there});
      for (const CompiledServiceImport& import : compiled.accounts[1].service_imports) {
        if (!SubjectMatches(subject, import.local_filter)) continue;
        heard.push_back({"B", subject, mapped(There(import, subject))});
      }
    }
    std::sort(heard.begin(), heard.end());
    EXPECT_EQ(heard, record.at("heard")) << line;
  }
  EXPECT_GE(sets, 300u);
}

}  // namespace
}  // namespace millrace
