// SPDX-License-Identifier: Apache-2.0
// Goal: what a feature to come needs of the tables works without it: blocks within blocks, blocks that may be absent,
// lists of blocks, keys that are not built, and errors where they belong.
// Method: a made-up block with a table of its own, read from texts.
#include <gtest/gtest.h>

#include "broker/config/language/parser.h"
#include "broker/config/language/text.h"
#include "broker/config/table/reading.h"

namespace millrace::config {
namespace {

struct Tls {
  std::string cert_file;
  bool verify = false;
  bool operator==(const Tls&) const = default;
};

struct Remote {
  std::vector<std::string> urls;
  std::string account;
  std::optional<Tls> tls;
  bool operator==(const Remote&) const = default;
};

struct Leafnodes {
  int port = 0;
  Tls tls;
  std::vector<Remote> remotes;
  enum class Mode : uint8_t { kOff, kFast, kBest } mode = Mode::kOff;
};

struct LeafBlock {
  Leafnodes leafnodes;
};

void ReadUrls(Remote& remote, Reading& reading, const Value& value) {
  if (const std::string* url = reading.String(value)) remote.urls.push_back(*url);
}

bool FinishRemote(Remote& remote, Reading& reading, const BlockEnd& end) {
  if (!remote.urls.empty()) return true;
  reading.Error(*end.last, end.Got<&Remote::account>() ? "account without url" : "no url");
  return false;
}

constexpr Lacking kLacksHub = {"hubs", Lacking::Policy::kRefuse};

constexpr Row kTlsKeys[] = {
    {.key = "cert_file", .member = &kMember<&Tls::cert_file>},
    {.key = "verify", .member = &kMember<&Tls::verify>, .wrong_ends_block = true},
};
constexpr Block kTls = {.rows = kTlsKeys, .inside = &kWithin<&Leafnodes::tls>, .unknown = "tls has no %s"};
constexpr Block kRemoteTls = {.rows = kTlsKeys, .inside = &kWithinOptional<&Remote::tls>, .unknown = "tls has no %s"};
constexpr Row kRemoteKeys[] = {
    {.key = "url", .read = kHook<ReadUrls>},
    {.key = "account", .aliases = "local", .member = &kMember<&Remote::account>},
    {.key = "tls", .block = &kRemoteTls},
    {.key = "hub", .lacking = &kLacksHub},
};
constexpr Block kRemotes = {
    .rows = kRemoteKeys,
    .inside = &kEach<&Leafnodes::remotes>,
    .not_a_map = "a remote is a map, not %T",
    .not_a_list = "remotes are a list, not %v",
    .finish = kHook<FinishRemote>,
};
constexpr Row kLeafKeys[] = {
    {.key = "port", .member = &kMember<&Leafnodes::port>},
    {.key = "tls", .block = &kTls},
    {.key = "remotes", .member = &kMember<&Leafnodes::remotes>, .block = &kRemotes},
    {.key = "mode", .member = &kMember<&Leafnodes::mode>, .words = "off|fast|best"},
};
constexpr Block kLeaf = {.rows = kLeafKeys, .inside = &kWithin<&LeafBlock::leafnodes>};
constexpr Row kRows[] = {{.key = "leafnodes", .aliases = "leaf", .block = &kLeaf}};

struct Result {
  Leafnodes leafnodes;
  Diagnostics diagnostics;
  Origins origins;
};

Result Read(std::string_view text) {
  const auto document = ParseText(text);
  EXPECT_TRUE(document.ok()) << document.status();
  LeafBlock block;
  Result result;
  Reading(*document, {}, &result.diagnostics, &result.origins).ReadFile({{kRows, &block}});
  result.leafnodes = block.leafnodes;
  return result;
}

TEST(Table, BlocksHoldBlocksAndListsOfBlocks) {
  const Result result = Read(R"(leaf {
    port: 7422
    tls { cert_file: own, verify: true }
    mode: best
    remotes [
      { url: a, local: A, tls { cert_file: other } }
      { url: b }
    ]
  })");
  EXPECT_TRUE(result.diagnostics.errors.empty()) << result.diagnostics.errors[0];
  const Leafnodes& leafnodes = result.leafnodes;
  EXPECT_EQ(leafnodes.port, 7422);
  EXPECT_EQ(leafnodes.tls.cert_file, "own");
  EXPECT_TRUE(leafnodes.tls.verify);
  EXPECT_EQ(leafnodes.mode, Leafnodes::Mode::kBest);
  ASSERT_EQ(leafnodes.remotes.size(), 2u);
  EXPECT_EQ(leafnodes.remotes[0].account, "A");
  EXPECT_EQ(leafnodes.remotes[0].tls.value().cert_file, "other");
  EXPECT_FALSE(leafnodes.remotes[1].tls.has_value());
  EXPECT_TRUE(result.origins.at(&kMember<&Leafnodes::port>).ends_with(":2"));
}

TEST(Table, ErrorsAreThoseOfTheBlock) {
  const struct {
    std::string_view text;
    std::vector<std::string> errors;
  } kCases[] = {
      {"leafnodes: 5", {"interface conversion: interface {} is int64, not map[string]interface {}"}},
      {"leafnodes {prot: 5}", {"unknown field \"prot\", did you mean \"port\"?"}},
      {"leafnodes {tls {x: 1}}", {"tls has no \"x\""}},
      {"leafnodes {mode: slow}", {"mode must be 'off', 'fast' or 'best'"}},
      {"leafnodes {remotes: x}", {"remotes are a list, not x"}},
      {"leafnodes {remotes [5, {url: a}, {}, {foo: 1}]}", {"a remote is a map, not int64", "no url"}},
      {"leafnodes {remotes [{local: A}]}", {"account without url"}},
      // A value of no use ends its block, and no other.
      {"leafnodes {tls {verify: 5, x: 1}, prot: 1}",
       {"interface conversion: interface {} is int64, not bool", "unknown field \"prot\", did you mean \"port\"?"}},
  };
  for (const auto& each : kCases) {
    std::vector<std::string> errors = Read(each.text).diagnostics.errors;
    for (std::string& error : errors) error.erase(0, error.find(": ") + 2);
    EXPECT_EQ(errors, each.errors) << each.text;
  }
}

TEST(Table, WhatIsLackingIsNamedByItsPath) {
  const Diagnostics found = Read("leaf {remotes [{url: a, hub: false}, {url: b, hub: true}]}").diagnostics;
  ASSERT_EQ(found.refused.size(), 1u);
  EXPECT_TRUE(found.refused[0].starts_with("hubs is not supported yet by this build: leafnodes.remotes.hub at "));
}

}  // namespace
}  // namespace millrace::config
