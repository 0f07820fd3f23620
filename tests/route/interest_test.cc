// SPDX-License-Identifier: Apache-2.0
// Goal: Interest matches what a list of subscriptions matches, through caches that are too small,
//       and tells other shards what
// they need in order to match as it does.
// Method: naive lists beside it over seeded subscribes, unsubscribes and remote changes; a second
//       Interest that knows the first
// only by its announcements.
#include "broker/route/interest.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "proto/subject.h"
#include "tests/proto/seeded.h"

namespace millrace {
namespace {

constexpr AccountId kAccounts = 3;
constexpr uint32_t kRemoteShards = 4;  // 1 to 3 are remote

std::string DrawSubject(SeededRandom* random, bool filter) {
  static constexpr std::string_view kTokens[] = {"a", "b", "c", "longer-token"};
  std::string subject;
  const size_t tokens = 1 + random->Below(4);
  for (size_t i = 0; i < tokens; ++i) {
    if (i > 0) subject += '.';
    if (filter && random->OneIn(5)) {
      subject += '*';
    } else if (filter && i + 1 == tokens && random->OneIn(4)) {
      subject += '>';
    } else {
      subject += kTokens[random->Below(std::size(kTokens))];
    }
  }
  return subject;
}

// Plain data that both sides can be brought to.
struct Result {
  std::multiset<const Subscription*> plain;
  ShardSet remote_plain = 0;
  struct Group {
    std::multiset<const Subscription*> members;
    std::map<uint32_t, uint32_t> remotes;
    friend bool operator==(const Group&, const Group&) = default;
  };
  std::map<std::string, Group> groups;
  friend bool operator==(const Result&, const Result&) = default;
};

Result Plain(const MatchResult& match) {
  Result result;
  result.plain.insert(match.plain.begin(), match.plain.end());
  result.remote_plain = match.remote_plain;
  for (const MatchResult::Group& group : match.groups) {
    EXPECT_FALSE(result.groups.contains(group.name)) << "a group twice";
    Result::Group& to = result.groups[group.name];
    to.members.insert(group.members.begin(), group.members.end());
    uint32_t weight = 0;
    for (const RemoteMembers& remote : group.remotes) {
      EXPECT_FALSE(to.remotes.contains(remote.shard)) << "a shard twice";
      to.remotes[remote.shard] = remote.weight;
      weight += remote.weight;
    }
    EXPECT_EQ(weight, group.remote_weight);
  }
  return result;
}

class Twins {
 public:
  Twins(uint32_t cache_entries, uint64_t seed)
      : random_(seed),
        interest_(cache_entries, counters_,
                  [this](const InterestMail& mail, std::string_view filter, std::string_view queue) {
                    mirror_.ApplyRemote(7, mail, filter, queue);
                  }),
        mirror_(cache_entries, mirror_counters_, [](const InterestMail&, std::string_view, std::string_view) {}) {
    for (int i = 0; i < 12; ++i) remote_filters_.push_back(DrawSubject(&random_, true));
  }
  ~Twins() {
    for (Subscription* sub : subs_) interest_.Remove(sub);
    interest_.FreeRemoved();
    EXPECT_EQ(interest_.subscriptions(), 0u);
    interest_.Invariant();
    mirror_.Invariant();
    // Nothing is left of us at the other side either.
    for (AccountId account = 0; account < kAccounts; ++account) {
      EXPECT_TRUE(mirror_.Match(account, "a.b").result->empty());
    }
  }

  void Step() {
    const uint64_t draw = random_.Below(100);
    if (draw < 4 && subs_.size() < 60) {
      Insert();
    } else if (draw < 8 && !subs_.empty()) {
      Remove();
    } else if (draw < 10) {
      ChangeRemote();
    } else if (draw < 11) {
      interest_.FreeRemoved();
      if (random_.OneIn(4)) {
        interest_.Invariant();
        mirror_.Invariant();
      }
    } else {
      Match();
    }
  }

  uint64_t hits() const { return counters_.cache_hits.Get(); }
  uint64_t misses() const { return counters_.cache_misses.Get(); }
  size_t cached() const { return interest_.cached_results(); }

 private:
  AccountId DrawAccount() { return static_cast<AccountId>(random_.Below(kAccounts)); }
  std::string DrawQueue() { return random_.OneIn(2) ? "" : "q" + std::to_string(random_.Below(3)); }

  void Insert() {
    Subscription* sub =
        Subscription::Create(DrawAccount(), nullptr, nullptr, DrawSubject(&random_, true), DrawQueue(), "1");
    interest_.Insert(sub);
    subs_.push_back(sub);
    ASSERT_EQ(interest_.subscriptions(), subs_.size());
  }

  void Remove() {
    std::swap(subs_[random_.Below(subs_.size())], subs_.back());
    interest_.Remove(subs_.back());
    ASSERT_TRUE(subs_.back()->removed);
    subs_.pop_back();
  }

  void ChangeRemote() {
    const auto shard = static_cast<uint32_t>(1 + random_.Below(kRemoteShards - 1));
    InterestMail mail{DrawAccount(), 0, 0, 0, 0};
    const std::string filter = remote_filters_[random_.Below(remote_filters_.size())];
    const std::string queue = DrawQueue();
    if (queue.empty()) {
      bool& interested = remote_plain_[{mail.account, shard, filter}];
      interested = !interested;
      mail.plain_delta = interested ? 1 : -1;
    } else {
      mail.queue_weight = static_cast<uint32_t>(random_.Below(4));
      remote_queues_[{mail.account, shard, filter, queue}] = mail.queue_weight;
    }
    interest_.ApplyRemote(shard, mail, filter, queue);
  }

  Result Naive(AccountId account, std::string_view subject) const {
    Result result;
    for (const Subscription* sub : subs_) {
      if (sub->account != account || !SubjectMatches(subject, sub->subject())) continue;
      if (sub->queue().empty()) {
        result.plain.insert(sub);
      } else {
        result.groups[std::string(sub->queue())].members.insert(sub);
      }
    }
    for (const auto& [key, wanted] : remote_plain_) {
      const auto& [of, shard, filter] = key;
      if (wanted && of == account && SubjectMatches(subject, filter)) result.remote_plain |= ShardSet{1} << shard;
    }
    for (const auto& [key, weight] : remote_queues_) {
      const auto& [of, shard, filter, queue] = key;
      if (weight > 0 && of == account && SubjectMatches(subject, filter)) result.groups[queue].remotes[shard] += weight;
    }
    return result;
  }

  void Match() {
    // A result that is remembered with its epoch is good while the epoch stands still, as a session relies upon.
    if (remembered_ != nullptr && remembered_epoch_ == interest_.epoch()) {
      ASSERT_EQ(Plain(*remembered_), Naive(remembered_account_, remembered_subject_));
    }
    const AccountId account = DrawAccount();
    const std::string subject = DrawSubject(&random_, false);
    const bool repeated = random_.OneIn(4);
    const Interest::Matched matched = interest_.Match(account, subject, repeated);
    ASSERT_TRUE(matched.lasting || !repeated);
    if (matched.lasting) {
      remembered_ = matched.result;
      remembered_epoch_ = interest_.epoch();
      remembered_account_ = account;
      remembered_subject_ = subject;
    }
    if (matched.decisive_bytes < subject.size()) {
      std::string other = subject;
      for (size_t i = matched.decisive_bytes; i < other.size(); ++i) {
        if (other[i] != '.') other[i] = static_cast<char>('a' + random_.Below(4));
      }
      ASSERT_EQ(Naive(account, other), Naive(account, subject)) << subject << " and " << other;
    }
    const Result expected = Naive(account, subject);
    ASSERT_EQ(Plain(*matched.result), expected) << subject;
    ASSERT_EQ(matched.result->empty(),
              expected.plain.empty() && expected.groups.empty() && expected.remote_plain == 0);

    // The mirror knows that we want it, and how many members each group has here.
    const Result seen = Plain(*mirror_.Match(account, subject).result);
    ASSERT_EQ(seen.remote_plain, expected.plain.empty() ? 0 : ShardSet{1} << 7);
    std::map<std::string, size_t> weights;
    for (const auto& [name, group] : expected.groups) {
      if (!group.members.empty()) weights[name] = group.members.size();
    }
    ASSERT_EQ(seen.groups.size(), weights.size());
    for (const auto& [name, group] : seen.groups) {
      ASSERT_EQ(group.remotes, (std::map<uint32_t, uint32_t>{{7, static_cast<uint32_t>(weights[name])}}));
    }
  }

  SeededRandom random_;
  ShardCounters counters_;
  ShardCounters mirror_counters_;
  Interest interest_;
  Interest mirror_;
  std::vector<Subscription*> subs_;
  std::vector<std::string> remote_filters_;
  std::map<std::tuple<AccountId, uint32_t, std::string>, bool> remote_plain_;
  std::map<std::tuple<AccountId, uint32_t, std::string, std::string>, uint32_t> remote_queues_;
  const MatchResult* remembered_ = nullptr;
  uint64_t remembered_epoch_ = 0;
  AccountId remembered_account_ = 0;
  std::string remembered_subject_;
};

TEST(Interest, MatchesAsAListDoesWhateverTheCacheHolds) {
  for (const uint32_t cache_entries : {4u, 50u, 256u, 65'536u}) {
    Twins twins(cache_entries, cache_entries);
    const size_t steps = Rounds(100'000);
    for (size_t step = 0; step < steps && !HasFatalFailure(); ++step) twins.Step();
    EXPECT_GT(twins.hits(), 0u);
    EXPECT_LE(twins.cached(), cache_entries);
  }
}

struct Fixture : testing::Test {
  Subscription* Add(std::string_view filter, std::string_view queue = {}, AccountId account = 0) {
    Subscription* sub = Subscription::Create(account, nullptr, nullptr, filter, queue, "1");
    interest.Insert(sub);
    return sub;
  }
  ShardCounters counters;
  std::vector<std::string> announced;
  Interest interest{64, counters, [this](const InterestMail& mail, std::string_view filter, std::string_view queue) {
                      announced.push_back(std::string(filter) + " " + std::string(queue) + " " +
                                          std::to_string(queue.empty() ? mail.plain_delta
                                                                       : static_cast<int>(mail.queue_weight)));
                    }};
};
using InterestRules = Fixture;

TEST_F(InterestRules, PlainInterestIsAnnouncedAtTheFirstAndTheLast) {
  Subscription* one = Add("a.*");
  Subscription* two = Add("a.*");
  interest.Remove(one);
  interest.Remove(two);
  EXPECT_EQ(announced, (std::vector<std::string>{"a.*  1", "a.*  -1"}));
}

TEST_F(InterestRules, EveryChangeOfAGroupsSizeIsAnnounced) {
  Subscription* one = Add("a", "q");
  Subscription* two = Add("a", "q");
  interest.Remove(one);
  interest.Remove(two);
  EXPECT_EQ(announced, (std::vector<std::string>{"a q 1", "a q 2", "a q 1", "a q 0"}));
}

TEST_F(InterestRules, ASubjectSeenOnceDoesNotEnterTheCache) {
  Subscription* sub = Add("deep.down.inbox.*");
  for (int i = 0; i < 50; ++i) interest.Match(0, "deep.down.inbox." + std::to_string(i));
  EXPECT_LE(interest.cached_results(), 2u) << "but for doorkeeper collisions";
  interest.Match(0, "deep.down.inbox.x");
  interest.Match(0, "deep.down.inbox.x");
  const uint64_t hits = counters.cache_hits.Get();
  EXPECT_TRUE(interest.Match(0, "deep.down.inbox.x").lasting);
  EXPECT_EQ(counters.cache_hits.Get(), hits + 1);
  uint32_t widest = 0;
  uint64_t total = 0;
  uint64_t results = 0;
  interest.AddFanout(kNoAccount, &widest, &total, &results);
  EXPECT_EQ(widest, 1u);
  EXPECT_EQ(total, results);
  EXPECT_EQ(results, interest.cached_results());
  interest.AddFanout(7, &widest, &total, &results);  // an account of which nothing is cached
  EXPECT_EQ(results, interest.cached_results());
  interest.Remove(sub);
}

TEST_F(InterestRules, SubscriptionsAreCountedByAccount) {
  EXPECT_EQ(interest.accounts_end(), 0u);
  Subscription* one = Add("a.>");
  Subscription* two = Add("a.>", "q");
  EXPECT_EQ(interest.CountsOf(0).subscriptions(), 2u);
  EXPECT_EQ(interest.CountsOf(0).inserts, 2u);
  interest.Remove(one);
  EXPECT_EQ(interest.CountsOf(0).subscriptions(), 1u);
  EXPECT_EQ(interest.CountsOf(0).removes, 1u);
  EXPECT_EQ(interest.CountsOf(5).inserts, 0u) << "nobody has ever been interested in anything of it";
  EXPECT_EQ(interest.accounts_end(), 1u);
  interest.Invariant();
  interest.Remove(two);
}

TEST_F(InterestRules, WhatIsCheapToFindEntersTheCacheOnlyWhenItIsRepeated) {
  Subscription* sub = Add("orders.*");
  for (int i = 0; i < 50; ++i) EXPECT_FALSE(interest.Match(0, "orders." + std::to_string(i % 3)).lasting);
  EXPECT_EQ(interest.cached_results(), 0u);
  EXPECT_TRUE(interest.Match(0, "orders.2", true).lasting);
  EXPECT_EQ(interest.cached_results(), 1u);
  EXPECT_TRUE(interest.Match(0, "orders.2").lasting);
  EXPECT_EQ(interest.Match(0, "orders.1").result->plain.size(), 1u);
  std::vector<Subscription*> many;  // copying a long list is dear, however short the way to it
  for (int i = 0; i < 40; ++i) many.push_back(Add("orders.*"));
  interest.Match(0, "orders.1");
  EXPECT_TRUE(interest.Match(0, "orders.1").lasting);
  for (Subscription* one : many) interest.Remove(one);
  interest.Remove(sub);
}

TEST_F(InterestRules, ARemovedSubscriptionStaysReadableUntilTheTurnEnds) {
  Subscription* sub = Add("a", "", 2);
  const MatchResult* match = interest.Match(2, "a").result;
  ASSERT_EQ(match->plain.size(), 1u);
  interest.Remove(sub);
  EXPECT_TRUE(match->plain[0]->removed);
  EXPECT_EQ(match->plain[0]->subject(), "a");
  interest.FreeRemoved();
  EXPECT_TRUE(interest.Match(2, "a").result->empty());
}

TEST_F(InterestRules, AskingForInterestTouchesNoResult) {
  std::vector<Subscription*> subs = {Add("a.*"), Add("b", "q")};
  const MatchResult* match = interest.Match(0, "a.x").result;
  const uint64_t misses = counters.cache_misses.Get();
  EXPECT_TRUE(interest.HasInterest(0, "b"));
  EXPECT_FALSE(interest.HasInterest(0, "c"));
  EXPECT_FALSE(interest.HasInterest(7, "b"));
  EXPECT_EQ(match->plain, (std::vector<Subscription*>{subs[0]}));
  EXPECT_TRUE(match->groups.empty());
  EXPECT_EQ(counters.cache_misses.Get(), misses);
  interest.ApplyRemote(3, InterestMail{0, 0, 1, 0, 0}, "elsewhere", "q");
  EXPECT_TRUE(interest.HasInterest(0, "elsewhere"));
  interest.ApplyRemote(3, InterestMail{0, 0, 0, 0, 0}, "elsewhere", "q");
  EXPECT_FALSE(interest.HasInterest(0, "elsewhere"));
  for (Subscription* sub : subs) interest.Remove(sub);
}

TEST_F(InterestRules, AResultInUseStaysAsItIs) {
  std::vector<Subscription*> subs = {Add("a.*"), Add("b.*", "q")};
  // One that passes.
  const MatchResult& passing = *interest.Match(0, "a.x").result;
  {
    const MatchPin pin(passing);
    const MatchResult& other = *interest.Match(0, "b.x").result;
    EXPECT_NE(&other, &passing);
    EXPECT_EQ(other.groups.size(), 1u);
    EXPECT_EQ(passing.plain, (std::vector<Subscription*>{subs[0]}));
    EXPECT_TRUE(passing.groups.empty());
  }
  EXPECT_EQ(interest.Match(0, "a.z").result, &passing) << "used again when nobody has it any more";
  // One of the cache, which goes out of date and whose bucket overflows.
  const MatchResult& cached = *interest.Match(0, "a.y", true).result;
  const MatchPin pin(cached);
  subs.push_back(Add("a.y"));
  const Interest::Matched now = interest.Match(0, "a.y", true);
  EXPECT_NE(now.result, &cached);
  EXPECT_FALSE(now.lasting);
  EXPECT_EQ(now.result->plain.size(), 2u);
  for (int i = 0; i < 5000; ++i) interest.Match(0, "b." + std::to_string(i), true);
  EXPECT_EQ(cached.plain, (std::vector<Subscription*>{subs[0]}));
  EXPECT_TRUE(cached.groups.empty());
  for (Subscription* sub : subs) interest.Remove(sub);
}

TEST_F(InterestRules, MoreResultsInUseThanThereMayBeAreCaught) {
  Subscription* sub = Add("a.*");
  std::vector<std::unique_ptr<MatchPin>> pins;
  for (uint32_t i = 0; i < Interest::kInUseMax; ++i)
    pins.push_back(std::make_unique<MatchPin>(*interest.Match(0, "a." + std::to_string(i)).result));
  EXPECT_DEATH(interest.Match(0, "a.x"), "check failed");
  pins.clear();
  EXPECT_EQ(interest.Match(0, "a.x").result->plain.size(), 1u);
  interest.Remove(sub);
}

TEST_F(InterestRules, NothingStaysOfAFilterThatNobodyWants) {
  Subscription* plain = Add("a.b.c");
  Subscription* queued = Add("a.*", "q");
  interest.ApplyRemote(1, InterestMail{0, 1, 0, 0, 0}, "a.>", "");
  interest.ApplyRemote(1, InterestMail{0, 0, 2, 0, 0}, "a.*", "q");
  interest.Invariant();
  const auto filters = [this] {
    size_t count = 0;
    interest.ForEach([&count](AccountId, const InterestNode&) { ++count; });
    return count;
  };
  EXPECT_EQ(filters(), 3u);
  interest.Remove(plain);
  interest.Remove(queued);
  interest.Invariant();
  EXPECT_EQ(filters(), 2u) << "other shards want them";
  interest.ApplyRemote(1, InterestMail{0, -1, 0, 0, 0}, "a.>", "");
  interest.ApplyRemote(1, InterestMail{0, 0, 0, 0, 0}, "a.*", "q");
  EXPECT_EQ(filters(), 0u);
  interest.Invariant();
}

TEST_F(InterestRules, TheCacheHoldsNoMoreThanItMay) {
  for (const uint32_t entries : {5u, 50u, 100u}) {  // no powers of two
    ShardCounters own;
    Interest small(entries, own, [](const InterestMail&, std::string_view, std::string_view) {});
    for (int i = 0; i < 1000; ++i) small.Match(0, "s" + std::to_string(i), true);
    EXPECT_LE(small.cached_results(), entries);
    EXPECT_GE(small.cached_results(), entries / 4);
    small.Invariant();
  }
}

TEST_F(InterestRules, AnAnnouncementThatWasLostIsCaught) {
  interest.ApplyRemote(1, InterestMail{0, 1, 0, 0, 0}, "a", "");
  EXPECT_DEATH(interest.ApplyRemote(1, InterestMail{0, 1, 0, 0, 0}, "a", ""), "plain_delta");
  EXPECT_DEATH(interest.ApplyRemote(2, InterestMail{0, -1, 0, 0, 0}, "a", ""), "plain_delta");
  interest.ApplyRemote(1, InterestMail{0, -1, 0, 0, 0}, "a", "");
}

TEST_F(InterestRules, OtherServiceImportsMakeEveryCachedResultAnew) {
  std::vector<CompiledServiceImport> imports(1);
  imports[0].local_filter = "a.*";
  const ServiceIndex one(imports);
  imports[0].local_filter = "b.*";
  const ServiceIndex other(imports);
  const ServiceIndex* services[] = {&one};
  const auto forwards = [this](AccountId account, std::string_view subject) {
    interest.Invariant();
    return interest.Match(account, subject, true).result->forwards.size();
  };
  interest.SetServiceImports(services, true);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(forwards(0, "a.x") + forwards(0, "b.x"), 1u);
  EXPECT_TRUE(interest.HasInterest(0, "a.x")) << "though nobody has subscribed to anything";
  EXPECT_FALSE(interest.HasInterest(0, "b.x"));
  EXPECT_EQ(forwards(1, "a.x"), 0u) << "another account's";
  services[0] = &other;
  const uint64_t epoch = interest.epoch();
  interest.SetServiceImports(services, true);
  EXPECT_GT(interest.epoch(), epoch);
  EXPECT_EQ(forwards(0, "a.x"), 0u);
  EXPECT_EQ(forwards(0, "b.x"), 1u);
  interest.SetServiceImports({}, true);
  EXPECT_EQ(forwards(0, "b.x"), 0u);
}

TEST_F(InterestRules, ForEachVisitsEveryFilterOfEveryAccount) {
  std::vector<Subscription*> subs = {Add("a"), Add("a", "q"), Add("b.>"), Add("a", "", 1)};
  std::multiset<std::string> seen;
  interest.ForEach([&](AccountId account, const InterestNode& node) {
    for (const Subscription* sub : node.plain) seen.insert(std::to_string(account) + std::string(sub->subject()));
    for (const QueueGroup& group : node.groups) {
      for (const Subscription* sub : group.members) seen.insert(std::to_string(account) + std::string(sub->subject()));
    }
  });
  EXPECT_EQ(seen, (std::multiset<std::string>{"0a", "0a", "0b.>", "1a"}));
  for (Subscription* sub : subs) interest.Remove(sub);
}

}  // namespace
}  // namespace millrace
