// SPDX-License-Identifier: Apache-2.0
// Goal: a compiled PermissionSet says what its lists say: deny wins, no allow list means
//       everything, queue entries narrow.
// Method: a naive reading of the lists beside it over random lists and subjects; tables for the
//       rules that the peer documents.
#include "broker/session/permissions.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "proto/subject.h"
#include "tests/proto/seeded.h"

namespace millrace {
namespace {

// ---- the naive twin: walks the lists --------------------------------------------------------------------------------

bool AnyTakes(const std::vector<std::string>& list, std::string_view subject) {
  return std::any_of(list.begin(), list.end(),
                     [&](const std::string& filter) { return SubjectMatches(subject, filter); });
}

bool NaiveMayPublish(const Permissions& permissions, std::string_view subject) {
  if (!permissions.publish.has_value()) return true;
  const auto& [allow, deny] = *permissions.publish;
  if (allow.has_value() && !AnyTakes(*allow, subject)) return false;
  return !deny.has_value() || !AnyTakes(*deny, subject);
}

bool QueueFits(std::string_view queue, const std::string& pattern) {
  return queue == pattern || (!IsLiteral(pattern) && IsSubset(queue, pattern));
}

bool NaiveMaySubscribe(const Permissions& permissions, std::string_view filter, std::string_view queue) {
  if (!permissions.subscribe.has_value()) return true;
  const auto& [allow, deny] = *permissions.subscribe;
  if (allow.has_value() && !allow->empty()) {
    bool plain = false, for_queues = false, for_this_queue = false;
    for (const SubscribeEntry& entry : *allow) {
      if (!SubjectMatches(filter, entry.subject)) continue;
      plain |= !entry.queue.has_value();
      for_queues |= entry.queue.has_value();
      for_this_queue |= entry.queue.has_value() && QueueFits(queue, *entry.queue);
    }
    if (queue.empty() || !for_queues ? !plain : !for_this_queue) return false;
  }
  for (const SubscribeEntry& entry : deny.value_or(std::vector<SubscribeEntry>())) {
    if (!SubjectMatches(filter, entry.subject)) continue;
    if (!entry.queue.has_value() || (!queue.empty() && QueueFits(queue, *entry.queue))) return false;
  }
  return true;
}

bool NaiveDenies(const Permissions& permissions, std::string_view subject, std::string_view queue) {
  if (!permissions.subscribe.has_value()) return false;
  for (const SubscribeEntry& entry : permissions.subscribe->deny.value_or(std::vector<SubscribeEntry>())) {
    if (!SubjectMatches(subject, entry.subject)) continue;
    if (!entry.queue.has_value() || (!queue.empty() && QueueFits(queue, *entry.queue))) return true;
  }
  return false;
}

std::string Draw(SeededRandom* random, bool filter) {
  static constexpr std::string_view kTokens[] = {"a", "b", "c"};
  std::string subject;
  const size_t tokens = 1 + random->Below(3);
  for (size_t i = 0; i < tokens; ++i) {
    if (i > 0) subject += '.';
    if (filter && random->OneIn(4)) {
      subject += '*';
    } else if (filter && i + 1 == tokens && random->OneIn(4)) {
      subject += '>';
    } else {
      subject += kTokens[random->Below(std::size(kTokens))];
    }
  }
  return subject;
}

std::optional<std::vector<std::string>> DrawList(SeededRandom* random) {
  if (random->OneIn(3)) return std::nullopt;
  std::vector<std::string> list;
  for (uint64_t i = random->Below(5); i > 0; --i) list.push_back(Draw(random, true));
  return list;
}

std::optional<std::vector<SubscribeEntry>> DrawEntries(SeededRandom* random) {
  if (random->OneIn(3)) return std::nullopt;
  std::vector<SubscribeEntry> list;
  for (uint64_t i = random->Below(6); i > 0; --i) {
    list.push_back({Draw(random, true), std::nullopt});
    if (random->OneIn(2)) list.back().queue = Draw(random, random->OneIn(2));
  }
  return list;
}

TEST(PermissionSet, SaysWhatItsListsSay) {
  SeededRandom random(11);
  size_t denied_deliveries = 0;
  for (size_t round = 0; round < Rounds(10'000); ++round) {
    Permissions permissions;
    if (!random.OneIn(4)) permissions.publish = SubjectPermission{DrawList(&random), DrawList(&random)};
    if (!random.OneIn(4)) permissions.subscribe = SubscribePermission{DrawEntries(&random), DrawEntries(&random)};
    const PermissionSet set(permissions);
    for (int i = 0; i < 50; ++i) {
      const std::string subject = Draw(&random, false);
      const std::string filter = Draw(&random, true);
      const std::string queue = random.OneIn(2) ? "" : Draw(&random, random.OneIn(3));
      ASSERT_EQ(set.MayPublish(subject), NaiveMayPublish(permissions, subject)) << subject;
      ASSERT_EQ(set.MaySubscribe(filter, queue), NaiveMaySubscribe(permissions, filter, queue))
          << filter << " " << queue;
      ASSERT_EQ(set.DeniesDelivery(subject, queue), NaiveDenies(permissions, subject, queue))
          << subject << " " << queue;
      // Whoever may subscribe and would yet be refused a delivery has to be filtered.
      if (SubjectMatches(subject, filter) && set.MaySubscribe(filter, queue) && set.DeniesDelivery(subject, queue)) {
        ASSERT_TRUE(set.NeedsDeliveryFilter(filter, queue)) << subject << " for " << filter << " " << queue;
        ++denied_deliveries;
      }
    }
  }
  EXPECT_GT(denied_deliveries, 100u);
}

TEST(PermissionSet, WithoutListsAllIsAllowed) {
  const PermissionSet set{Permissions{}};
  EXPECT_FALSE(set.restricts_publish());
  EXPECT_TRUE(set.MayPublish("a"));
  EXPECT_TRUE(set.MaySubscribe(">", "q"));
  EXPECT_FALSE(set.NeedsDeliveryFilter(">", "q"));
  EXPECT_FALSE(set.response().has_value());
}

TEST(PermissionSet, AnEmptyAllowListForPublishPermitsNothing) {
  Permissions permissions;
  permissions.publish = SubjectPermission{std::vector<std::string>{}, {}};
  const PermissionSet set(permissions);
  EXPECT_TRUE(set.restricts_publish());
  EXPECT_FALSE(set.MayPublish("a"));
}

TEST(PermissionSet, AWildcardIsAskedForByItsTokens) {
  Permissions permissions;
  permissions.subscribe = SubscribePermission{std::vector<SubscribeEntry>{{"a.*", {}}}, {}};
  const PermissionSet set(permissions);
  EXPECT_TRUE(set.MaySubscribe("a.*", ""));
  EXPECT_TRUE(set.MaySubscribe("a.>", "")) << "as in the peer: `>` is a token that `*` takes";
  EXPECT_FALSE(set.MaySubscribe("a.*.b", ""));
  EXPECT_FALSE(set.MaySubscribe("*.b", ""));
}

}  // namespace
}  // namespace millrace
