// SPDX-License-Identifier: Apache-2.0
// Goal: a principal outlives the config that it came from; permissions that are equal are compiled once for all who
//       have them, and are gone with the last of these.
// Method: permissions that differ in one place each; a naive count of who holds what.
#include "broker/session/principal.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "broker/account/account_table.h"
#include "broker/account/account_totals.h"

namespace millrace {
namespace {

// All different; neighbours look alike when written without care.
std::vector<Permissions> Different() {
  std::vector<Permissions> all;
  all.emplace_back();
  all.push_back({.publish = SubjectPermission{}});
  all.push_back({.subscribe = SubscribePermission{}});
  all.push_back({.publish = SubjectPermission{.allow = {{}}}});
  all.push_back({.publish = SubjectPermission{.deny = {{}}}});
  all.push_back({.publish = SubjectPermission{.allow = {{"a"}}}});
  all.push_back({.publish = SubjectPermission{.allow = {{"a", "b"}}}});
  all.push_back({.publish = SubjectPermission{.allow = {{"a"}}, .deny = {{"b"}}}});
  all.push_back({.publish = SubjectPermission{.allow = {{"a1:b"}}}});
  all.push_back({.publish = SubjectPermission{.deny = {{"a"}}}});
  all.push_back({.subscribe = SubscribePermission{.allow = {{{"a", {}}}}}});
  all.push_back({.subscribe = SubscribePermission{.allow = {{{"a", "q"}}}}});
  all.push_back({.subscribe = SubscribePermission{.allow = {{{"a", "q"}, {"b", {}}}}}});
  all.push_back({.subscribe = SubscribePermission{.allow = {{{"a", {}}, {"b", "q"}}}}});
  all.push_back({.response = ResponsePermission{}});
  all.push_back({.response = ResponsePermission{2}});
  all.push_back({.response = ResponsePermission{1, std::chrono::minutes(3)}});
  all.push_back({.publish = SubjectPermission{}, .response = ResponsePermission{}});
  return all;
}

TEST(PermissionSets, EqualPermissionsAndOnlyTheseHaveEqualFingerprints) {
  const std::vector<Permissions> all = Different();
  for (const Permissions& a : all) {
    for (const Permissions& b : all) EXPECT_EQ(FingerprintOf(a) == FingerprintOf(b), a == b) << FingerprintOf(a);
  }
}

TEST(PermissionSets, ASetLivesAsLongAsSomebodyHoldsIt) {
  const std::vector<Permissions> all = Different();
  std::mt19937_64 random(7);
  PermissionSets sets;
  std::vector<std::pair<size_t, PermissionSets::Ref>> held;
  for (int step = 0; step < 5000; ++step) {
    const size_t pick = random() % all.size();
    switch (random() % 3) {
      case 0:
        held.emplace_back(pick, sets.Get(Permissions(all[pick]), FingerprintOf(all[pick])));
        break;
      case 1:
        if (!held.empty()) held.erase(held.begin() + static_cast<std::ptrdiff_t>(random() % held.size()));
        break;
      case 2:  // as a session that becomes another one
        if (!held.empty()) held[random() % held.size()] = {pick, sets.Get(all[pick], FingerprintOf(all[pick]))};
        break;
    }
    std::map<size_t, const PermissionSet*> kinds;
    for (const auto& [kind, ref] : held) {
      const PermissionSet* const set = ref.operator->();
      ASSERT_EQ(kinds.emplace(kind, set).first->second, set);  // one for all
    }
    ASSERT_EQ(sets.size(), kinds.size());
  }
  held.clear();
  EXPECT_EQ(sets.size(), 0u);
}

TEST(Principal, KnowsWhatItMayWhenThePermissionsItCameFromAreGone) {
  PermissionSets sets;
  auto from = std::make_unique<Permissions>(
      Permissions{.publish = SubjectPermission{.allow = {{"in.>"}}},
                  .subscribe = SubscribePermission{.allow = {{{"out.>", {}}}}, .deny = {{{"out.secret", {}}}}}});
  Principal who(3, "who", sets.Get(*from, FingerprintOf(*from)));
  from.reset();
  EXPECT_EQ(who.account(), 3u);
  EXPECT_FALSE(who.unrestricted());
  for (int twice = 0; twice < 2; ++twice) {
    EXPECT_TRUE(who.MayPublish("in.a", Nanos{0}));
    EXPECT_FALSE(who.MayPublish("out.a", Nanos{0}));
  }
  EXPECT_TRUE(who.MaySubscribe("out.*", ""));
  EXPECT_FALSE(who.MaySubscribe("in.*", ""));
  EXPECT_TRUE(who.NeedsDeliveryFilter("out.*", ""));
  EXPECT_TRUE(who.DeniesDelivery("out.secret", ""));
  Principal nobody(0);
  EXPECT_TRUE(nobody.unrestricted() && nobody.MayPublish("x", Nanos{0}) && nobody.MaySubscribe("x", ""));
  EXPECT_FALSE(nobody.NeedsDeliveryFilter(">", "") || nobody.DeniesDelivery("x", "") || nobody.tracks_replies());
  who = std::move(nobody);
  EXPECT_EQ(sets.size(), 0u);
}

TEST(Principal, WhatItRemembersIsBounded) {
  PermissionSets sets;
  const Permissions permissions{.publish = SubjectPermission{.allow = {{"a"}}},
                                .response = ResponsePermission{1, std::chrono::seconds(10)}};
  Principal who(0, "", sets.Get(permissions, FingerprintOf(permissions)));
  Nanos now{std::chrono::hours(1)};
  for (size_t i = 0; i < 2 * Principal::kAllowedRepliesMax; ++i) {
    who.OnDelivered("reply." + std::to_string(i), now);
    now += std::chrono::milliseconds(10);
  }
  // The last ones may still be answered, each once; those that are too old may not.
  const size_t last = 2 * Principal::kAllowedRepliesMax - 1;
  EXPECT_TRUE(who.MayPublish("reply." + std::to_string(last), now));
  EXPECT_FALSE(who.MayPublish("reply." + std::to_string(last), now));
  EXPECT_TRUE(who.MayPublish("reply." + std::to_string(last - 900), now));
  EXPECT_FALSE(who.MayPublish("reply." + std::to_string(last - 1100), now));
  EXPECT_FALSE(who.MayPublish("reply.0", now));
}

TEST(AccountTable, NamesAndIds) {
  const AccountTable table;
  ASSERT_EQ(table.all().size(), 2u);
  EXPECT_EQ(table.global().name, "$G");
  EXPECT_EQ(table.system().name, "$SYS");
  for (const Account& account : table.all()) {
    EXPECT_EQ(table.Find(account.name), &account);
    EXPECT_EQ(&table[account.id], &account);
    EXPECT_EQ(table.is_system(account.id), &account == &table.system());
  }
  EXPECT_EQ(table.Find("$g"), nullptr);
  EXPECT_EQ(table.Find(""), nullptr);
  EXPECT_DEATH(table[2], "check failed");
  EXPECT_DEATH(table[kNoAccount], "check failed");
}

TEST(AccountTable, OthersComeBehindThoseThatEveryServerHas) {
  AccountTable table;
  const AccountId a = table.Add("A");
  const AccountId b = table.Add("B");
  EXPECT_EQ(table.all().size(), 4u);
  EXPECT_NE(a, b);
  EXPECT_EQ(table[a].name, "A");
  EXPECT_EQ(table.Find("B")->id, b);
  EXPECT_FALSE(table.is_system(a));
  EXPECT_DEATH(table.Add("A"), "check failed");
}

TEST(AccountTally, AddsAccountByAccount) {
  const auto fill = [](AccountTotals* t, uint64_t n) { *t = {n, 2 * n, 3 * n, 4 * n, 5 * n, 6 * n, 7 * n}; };
  AccountTally a, b;
  fill(&a[0], 1);
  fill(&b[0], 10);
  fill(&b[4], 100);
  a.Add(b);
  EXPECT_EQ(a[0].connections, 11u);
  EXPECT_EQ(a[0].subscriptions, 22u);
  EXPECT_EQ(a[0].in_messages, 33u);
  EXPECT_EQ(a[0].in_bytes, 44u);
  EXPECT_EQ(a[0].out_messages, 55u);
  EXPECT_EQ(a[0].out_bytes, 66u);
  EXPECT_EQ(a[0].slow_consumers, 77u);
  EXPECT_EQ(a[4].out_bytes, 600u);
  EXPECT_EQ(a[3].connections, 0u);
  EXPECT_EQ(a[9].connections, 0u);
}

}  // namespace
}  // namespace millrace
