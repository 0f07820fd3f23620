// SPDX-License-Identifier: Apache-2.0
#include "broker/route/interest.h"

#include <algorithm>
#include <bit>
#include <iterator>

#include "proto/base/check.h"

namespace millrace {
namespace {

constexpr uint32_t kFirstBuckets = 64;
constexpr uint32_t kDoorkeeperBits = 4096;
// A walk of up to these steps and targets is repeated rather than remembered: `orders.*` costs 6 steps, `a.b.c` 13.
constexpr uint32_t kCheapSteps = 8;
constexpr size_t kCheapTargets = 16;
constexpr uint32_t kWholeSubject = SubjectTrie<InterestNode>::kWhole;

template <class Groups>
auto* FindGroup(Groups& groups, std::string_view name) {
  for (auto& group : groups) {
    if (group.name == name) return &group;
  }
  return static_cast<decltype(groups.data())>(nullptr);
}

uint64_t AccountKey(AccountId account) { return (uint64_t{account} + 1) * 0x9E3779B97F4A7C15ull; }

}  // namespace

Interest::Interest(uint32_t cache_entries, ShardCounters& counters, Announce announce)
    : counters_(counters), announce_(std::move(announce)), cache_entries_max_(std::max(cache_entries, kWays)) {
  MR_CHECK(announce_ != nullptr);
}

Interest::~Interest() { FreeRemoved(); }

Interest::Trie& Interest::TrieOf(AccountId id) {
  if (tries_.size() <= id) tries_.resize(size_t{id} + 1), counts_.resize(size_t{id} + 1);
  if (tries_[id] == nullptr) tries_[id] = std::make_unique<Trie>();
  return *tries_[id];
}

void Interest::Changed(AccountId account, std::string_view filter) {
  ++generations_[PartitionOfFilter(AccountKey(account), filter)];
  ++changes_;
  ++epoch_;
}

void Interest::DropIfEmpty(AccountId id, std::string_view filter, InterestNode* node) {
  if (!node->empty()) return;
  const bool erased = TrieOf(id).Erase(filter);
  MR_CHECK(erased);
}

void Interest::Insert(Subscription* sub) {
  MR_DCHECK(shard_checker_.Here());
  MR_CHECK(sub->node == nullptr && !sub->removed);
  const std::string_view filter = sub->subject();
  InterestNode* node = TrieOf(sub->account).Insert(filter);
  MR_CHECK(node != nullptr);  // callers have looked whether it is a filter
  sub->node = node;
  if (sub->queue_bytes == 0) {
    sub->index = static_cast<uint32_t>(node->plain.size());
    node->plain.push_back(sub);
    if (node->plain.size() == 1) announce_(InterestMail{sub->account, 1, 0, 0, 0}, filter, {});
  } else {
    QueueGroup* group = FindGroup(node->groups, sub->queue());
    if (group == nullptr) {
      node->groups.push_back(QueueGroup{std::string(sub->queue()), {}, {}});
      group = &node->groups.back();
    }
    sub->index = static_cast<uint32_t>(group->members.size());
    group->members.push_back(sub);
    announce_(InterestMail{sub->account, 0, static_cast<uint32_t>(group->members.size()), 0, 0}, filter, sub->queue());
  }
  ++subscriptions_;
  ++counts_[sub->account].inserts;
  counters_.subscriptions.Set(subscriptions_);
  counters_.interest_inserts.Add(1);
  Changed(sub->account, filter);
}

void Interest::Remove(Subscription* sub) {
  MR_DCHECK(shard_checker_.Here());
  MR_CHECK(sub->node != nullptr && !sub->removed);
  const std::string_view filter = sub->subject();
  InterestNode* node = sub->node;
  QueueGroup* group = sub->queue_bytes == 0 ? nullptr : FindGroup(node->groups, sub->queue());
  MR_CHECK(group != nullptr || sub->queue_bytes == 0);
  std::vector<Subscription*>& list = group == nullptr ? node->plain : group->members;
  MR_CHECK(sub->index < list.size() && list[sub->index] == sub);
  list[sub->index] = list.back();
  list[sub->index]->index = sub->index;
  list.pop_back();
  const bool lost = list.empty();
  if (group != nullptr) {
    announce_(InterestMail{sub->account, 0, static_cast<uint32_t>(list.size()), 0, 0}, filter, sub->queue());
    if (list.empty() && group->remotes.empty()) {
      if (group != &node->groups.back()) *group = std::move(node->groups.back());
      node->groups.pop_back();
    }
  } else if (list.empty()) {
    announce_(InterestMail{sub->account, -1, 0, 0, 0}, filter, {});
  }
  Changed(sub->account, filter);
  DropIfEmpty(sub->account, filter, node);
  if (lost && on_lost_) on_lost_(sub->account, filter);
  sub->node = nullptr;
  sub->removed = true;
  removed_.push_back(sub);
  MR_CHECK_OP(subscriptions_, >, 0u);
  --subscriptions_;
  ++counts_[sub->account].removes;
  counters_.subscriptions.Set(subscriptions_);
  counters_.interest_removes.Add(1);
}

void Interest::FreeRemoved() {
  MR_DCHECK(shard_checker_.Here());
  for (Subscription* sub : removed_) {
    MR_DCHECK(sub->removed && sub->node == nullptr);
    Subscription::Free(sub);
  }
  removed_.clear();
}

void Interest::SetServiceImports(std::span<const ServiceIndex* const> by_account, bool changed) {
  MR_DCHECK(shard_checker_.Here());
  services_ = by_account;
  if (!changed) return;
  for (uint32_t& generation : generations_) ++generation;
  changes_ += kPartitionCount;
  epoch_ += kPartitionCount;
}

void Interest::ApplyRemote(uint32_t from, const InterestMail& mail, std::string_view filter, std::string_view queue) {
  MR_DCHECK(shard_checker_.Here());
  MR_CHECK_OP(from, <, 64u);  // bits of a ShardSet
  Trie& trie = TrieOf(mail.account);
  InterestNode* node = trie.Insert(filter);
  MR_CHECK(node != nullptr);
  if (queue.empty()) {
    const ShardSet bit = ShardSet{1} << from;
    // Only the first and the last are announced: a bit that would not change means that one announcement is lost.
    MR_CHECK(mail.plain_delta == ((node->remote_plain & bit) != 0 ? -1 : 1));
    node->remote_plain = mail.plain_delta > 0 ? node->remote_plain | bit : node->remote_plain & ~bit;
  } else {
    QueueGroup* group = FindGroup(node->groups, queue);
    if (group == nullptr) {
      node->groups.push_back(QueueGroup{std::string(queue), {}, {}});
      group = &node->groups.back();
    }
    const auto remote = std::find_if(group->remotes.begin(), group->remotes.end(),
                                     [from](const RemoteMembers& r) { return r.shard == from; });
    if (remote != group->remotes.end()) {
      remote->weight = mail.queue_weight;
      if (mail.queue_weight == 0) group->remotes.erase(remote);
    } else if (mail.queue_weight > 0) {
      group->remotes.push_back(RemoteMembers{from, mail.queue_weight});
    }
    if (group->members.empty() && group->remotes.empty()) {
      if (group != &node->groups.back()) *group = std::move(node->groups.back());
      node->groups.pop_back();
    }
  }
  Changed(mail.account, filter);
  DropIfEmpty(mail.account, filter, node);
  const bool lost = queue.empty() ? mail.plain_delta < 0 : mail.queue_weight == 0;
  if (lost && on_lost_) on_lost_(mail.account, filter);
}

bool Interest::HasSubscription(AccountId id, std::string_view filter, std::string_view name) const {
  MR_DCHECK(shard_checker_.Here());
  const Trie* const trie = FindTrie(id);
  if (trie == nullptr) return false;
  const InterestNode* node = trie->Find(filter);
  if (node == nullptr) return false;
  if (name.empty()) return !node->plain.empty() || node->remote_plain != 0;
  return std::any_of(node->groups.begin(), node->groups.end(), [name](const QueueGroup& group) {
    return group.name == name && !(group.members.empty() && group.remotes.empty());
  });
}

bool Interest::HasInterest(AccountId id, std::string_view subject) const {
  MR_DCHECK(shard_checker_.Here());
  const auto is_meant = [&](const CommonForward& common) { return id != common.not_of && common.subject == subject; };
  if (std::any_of(common_forwards_.begin(), common_forwards_.end(), is_meant)) return true;
  bool found = false;
  if (const Trie* const trie = FindTrie(id)) {
    trie->Match(subject, [&found](const InterestNode& node) { found |= !node.empty(); });
  }
  if (const ServiceIndex* services = FindServices(id)) services->Match(subject, [&found](uint32_t) { found = true; });
  return found;
}

// One that nobody has in use.
MatchResult* Interest::Scratch() {
  for (MatchResult& scratch : scratch_) {
    if (scratch.pins == 0) [[likely]] return &scratch;
  }
  MR_CHECK(false);  // deliveries within deliveries: Router bounds them
}

uint32_t Interest::Fill(AccountId id, std::string_view subject, MatchResult* result) const {
  const uint32_t steps = FillOwn(id, subject, result);
  if (common_forwards_.empty()) return steps;
  result->decisive_bytes = std::max(result->decisive_bytes, 1u);  // whether it begins so
  if (!subject.starts_with(kCommonFirst)) [[likely]] return steps;
  for (uint32_t i = 0; i < common_forwards_.size(); ++i) {
    const std::string& common = common_forwards_[i].subject;
    const auto differ = std::mismatch(subject.begin(), subject.end(), common.begin(), common.end());
    const auto same_bytes = static_cast<size_t>(differ.first - subject.begin());
    const auto decisive = static_cast<uint32_t>(FindTokenEnd(subject, same_bytes));
    result->decisive_bytes = std::max(result->decisive_bytes, decisive);
    if (subject == common && id != common_forwards_[i].not_of) result->forwards.push_back(kCommonForwards + i);
  }
  return steps;
}

void Interest::set_common_forwards(std::vector<CommonForward> forwards) {
  MR_CHECK(cached_ == 0);
  for (const CommonForward& common : forwards) MR_CHECK(common.subject.starts_with(kCommonFirst));
  common_forwards_ = std::move(forwards);
}

uint32_t Interest::FillOwn(AccountId id, std::string_view subject, MatchResult* result) const {
  MR_CHECK(result->pins == 0);
  result->plain.clear();
  result->groups.clear();
  result->forwards.clear();
  result->remote_plain = 0;
  result->runs = MatchResult::Runs::kUnknown;
  result->decisive_bytes = 0;
  uint32_t steps = 0;
  if (const Trie* const trie = FindTrie(id)) {
    const auto walk = trie->Match(subject, [result](InterestNode& node) {
      MR_DCHECK(!node.empty());
      result->plain.insert(result->plain.end(), node.plain.begin(), node.plain.end());
      result->remote_plain |= node.remote_plain;
      for (const QueueGroup& group : node.groups) {
        MatchResult::Group* merged = FindGroup(result->groups, group.name);
        if (merged == nullptr) {
          result->groups.push_back(MatchResult::Group{group.name, {}, {}, 0});
          merged = &result->groups.back();
        }
        merged->members.insert(merged->members.end(), group.members.begin(), group.members.end());
        for (const RemoteMembers& remote : group.remotes) {
          const auto same = std::find_if(merged->remotes.begin(), merged->remotes.end(),
                                         [&](const RemoteMembers& r) { return r.shard == remote.shard; });
          if (same == merged->remotes.end()) {
            merged->remotes.push_back(remote);
          } else {
            same->weight += remote.weight;
          }
          merged->remote_weight += remote.weight;
        }
      }
    });
    result->decisive_bytes = walk.decisive_bytes;
    steps = walk.steps;
  }
  const ServiceIndex* const services = FindServices(id);
  if (services == nullptr) [[likely]] return steps;
  const auto more = services->Match(subject, [result](uint32_t import) { result->forwards.push_back(import); });
  std::sort(result->forwards.begin(), result->forwards.end());
  result->decisive_bytes = std::max(result->decisive_bytes, more.decisive_bytes);
  return steps + more.steps;
}

bool Interest::Fresh(const Cached& cached) const {
  for (uint8_t i = 0; i < cached.partition_count; ++i) {
    if (generations_[cached.partitions[i]] != cached.generations[i]) return false;
  }
  return true;
}

void Interest::GrowCache() {
  const uint32_t first = std::min(kFirstBuckets, std::bit_floor(cache_entries_max_ / kWays));
  const uint32_t buckets = cache_.empty() ? first : (cache_mask_ + 1) * 2;
  std::vector<Bucket> old = std::move(cache_);
  cache_ = std::vector<Bucket>(buckets);
  cache_mask_ = buckets - 1;
  // A bucket's entries part between two new ones: each has room.
  for (Bucket& from : old) {
    for (std::unique_ptr<Cached>& entry : from.ways) {
      if (entry == nullptr) continue;
      Bucket& to = BucketOf(entry->hash);
      uint32_t way = 0;
      while (way < kWays && to.ways[way] != nullptr) ++way;
      MR_CHECK_OP(way, <, kWays);
      to.tags[way] = TagOf(entry->hash);
      to.ways[way] = std::move(entry);
    }
  }
}

Interest::Cached* Interest::FindCached(uint64_t hash, AccountId id, std::string_view subject) {
  const Bucket& bucket = BucketOf(hash);
  for (uint32_t way = 0; way < kWays; ++way) {
    if (bucket.tags[way] != TagOf(hash)) continue;
    Cached* cached = bucket.ways[way].get();
    if (cached != nullptr && cached->hash == hash && cached->account == id && cached->subject == subject) return cached;
  }
  return nullptr;
}

// A subject seen once (a reply to a unique inbox) does not displace others: it enters on second sight.
bool Interest::FirstSight(uint64_t hash) {
  if (doorkeeper_.empty()) doorkeeper_.resize(kDoorkeeperBits / 64);
  const uint32_t bit = static_cast<uint32_t>(hash >> 40) % kDoorkeeperBits;
  uint64_t& word = doorkeeper_[bit / 64];
  if ((word >> (bit % 64) & 1) != 0) return false;
  word |= uint64_t{1} << (bit % 64);
  if (++doorkeeper_marks_ > kDoorkeeperBits / 2) {
    std::fill(doorkeeper_.begin(), doorkeeper_.end(), 0);
    doorkeeper_marks_ = 0;
  }
  return true;
}

Interest::Cached* Interest::Admit(uint64_t hash, AccountId id, std::string_view subject) {
  const size_t room = cache_.size() * kWays;
  if (cached_ >= room / 2 && (room == 0 || room * 2 <= cache_entries_max_)) GrowCache();
  Bucket& bucket = BucketOf(hash);
  uint32_t way = 0;
  while (way < kWays && bucket.ways[way] != nullptr) ++way;
  if (way == kWays) {
    uint32_t tries = 0;
    do {
      if (tries++ == kWays) return nullptr;
      way = evict_++ % kWays;
    } while (bucket.ways[way]->result.pins > 0);
  } else {
    bucket.ways[way] = std::make_unique<Cached>();
    ++cached_;
    MR_CHECK_OP(cached_, <=, cache_entries_max_);
  }
  bucket.tags[way] = TagOf(hash);
  Cached* cached = bucket.ways[way].get();
  MR_DCHECK(cached->result.pins == 0);
  cached->hash = hash;
  cached->account = id;
  cached->subject.assign(subject);
  const PartitionSet partitions = PartitionsOfSubject(AccountKey(id), subject);
  cached->partition_count = partitions.count;
  MR_DCHECK(partitions.count >= 1 && partitions.count <= std::size(cached->partitions));
  std::copy(partitions.ids.begin(), partitions.ids.end(), cached->partitions);
  return cached;
}

Interest::Matched Interest::Match(AccountId id, std::string_view subject, bool repeated) {
  MR_DCHECK(shard_checker_.Here() && id != kNoAccount);
  const uint64_t hash = HashBytes(subject, AccountKey(id));
  Cached* cached = cached_ == 0 ? nullptr : FindCached(hash, id, subject);
  if (cached != nullptr && Fresh(*cached) && (!repeated || cached->changes == changes_)) {
    counters_.cache_hits.Add(1);
    return {&cached->result, true, cached->changes == changes_ ? cached->result.decisive_bytes : kWholeSubject};
  }
  counters_.cache_misses.Add(1);
  if (cached == nullptr || cached->result.pins > 0) [[likely]] {
    MatchResult* const scratch = Scratch();
    const uint32_t steps = Fill(id, subject, scratch);
    const Matched passing{scratch, false, scratch->decisive_bytes};
    if (cached != nullptr) return passing;  // what is known of it is out of date, and in use
    const bool cheap = steps <= kCheapSteps && scratch->plain.size() <= kCheapTargets && scratch->groups.empty();
    if (!repeated && (cheap || FirstSight(hash))) return passing;
    cached = Admit(hash, id, subject);
    if (cached == nullptr) return passing;
    std::swap(cached->result, *scratch);
    MR_DCHECK(cached->result.pins == 0 && scratch->pins == 0);
  } else {
    Fill(id, subject, &cached->result);
  }
  ++epoch_;
  for (uint8_t i = 0; i < cached->partition_count; ++i) cached->generations[i] = generations_[cached->partitions[i]];
  cached->changes = changes_;
  return {&cached->result, true, cached->result.decisive_bytes};
}

Interest::Counts Interest::CountsOf(AccountId id) const {
  return id < counts_.size() ? counts_[id] : Counts{};
}

void Interest::AddFanout(AccountId account, uint32_t* max, uint64_t* total, uint64_t* results) const {
  for (const Bucket& bucket : cache_) {
    for (const std::unique_ptr<Cached>& cached : bucket.ways) {
      if (cached == nullptr || (account != kNoAccount && cached->account != account)) continue;
      const size_t fanout = cached->result.fanout();
      *max = std::max(*max, static_cast<uint32_t>(fanout));
      *total += fanout;
      ++*results;
    }
  }
}

void Interest::ForEach(const std::function<void(AccountId, const InterestNode&)>& visit) const {
  for (AccountId id = 0; id < tries_.size(); ++id) {
    if (tries_[id] == nullptr) continue;
    tries_[id]->ForEach([&](std::string_view, const InterestNode& node) { visit(id, node); });
  }
}

// ---- invariant -----------------------------------------------------------------------------------------------------

size_t Interest::CheckNode(AccountId id, std::string_view filter, const InterestNode& node) const {
  MR_CHECK(!node.empty());  // one that nobody needs any more would be walked for ever
  const auto check_list = [&](const std::vector<Subscription*>& list, std::string_view queue) {
    for (uint32_t i = 0; i < list.size(); ++i) {
      const Subscription& sub = *list[i];
      MR_CHECK(sub.node == &node && !sub.removed);
      MR_CHECK_OP(sub.index, ==, i);
      MR_CHECK_OP(sub.account, ==, id);
      MR_CHECK(sub.subject() == filter && sub.queue() == queue);
    }
    return list.size();
  };
  size_t linked = check_list(node.plain, {});
  for (size_t i = 0; i < node.groups.size(); ++i) {
    const QueueGroup& group = node.groups[i];
    MR_CHECK(!group.name.empty() && FindGroup(node.groups, group.name) == &group);
    MR_CHECK(!group.members.empty() || !group.remotes.empty());
    ShardSet shards = 0;
    for (const RemoteMembers& remote : group.remotes) {
      MR_CHECK_OP(remote.weight, >, 0u);
      MR_CHECK((shards >> remote.shard & 1) == 0);
      shards |= ShardSet{1} << remote.shard;
    }
    linked += check_list(group.members, group.name);
  }
  return linked;
}

void Interest::CheckCache() const {
  size_t cached = 0;
  for (size_t index = 0; index < cache_.size(); ++index) {
    for (uint32_t way = 0; way < kWays; ++way) {
      const Cached* entry = cache_[index].ways[way].get();
      if (entry == nullptr) continue;
      ++cached;
      MR_CHECK_OP(BucketIndexOf(entry->hash), ==, index);
      MR_CHECK_OP(cache_[index].tags[way], ==, TagOf(entry->hash));
      MR_CHECK_OP(entry->changes, <=, changes_);
      MR_CHECK_OP(entry->result.pins, ==, 0u);
      if (!Fresh(*entry)) continue;
      MatchResult found;
      Fill(entry->account, entry->subject, &found);
      std::vector<Subscription*> plain = entry->result.plain;
      std::sort(plain.begin(), plain.end());
      std::sort(found.plain.begin(), found.plain.end());
      MR_CHECK(plain == found.plain);
      MR_CHECK(entry->result.remote_plain == found.remote_plain);
      MR_CHECK(entry->result.forwards == found.forwards);
      MR_CHECK_OP(entry->result.groups.size(), ==, found.groups.size());
      for (const MatchResult::Group& group : found.groups) {
        const MatchResult::Group* known = FindGroup(entry->result.groups, group.name);
        MR_CHECK(known != nullptr && known->members.size() == group.members.size());
        MR_CHECK_OP(known->remote_weight, ==, group.remote_weight);
      }
    }
  }
  MR_CHECK_OP(cached, ==, cached_);
  MR_CHECK_OP(cached_, <=, cache_entries_max_);
}

void Interest::Invariant() const {
  size_t linked = 0;
  for (AccountId id = 0; id < tries_.size(); ++id) {
    if (tries_[id] == nullptr) continue;
    const Trie& trie = *tries_[id];
    const size_t before = linked;
    trie.ForEach([&](std::string_view filter, const InterestNode& node) { linked += CheckNode(id, filter, node); });
    MR_CHECK_OP(linked - before, ==, counts_[id].subscriptions());
    MR_CHECK(trie.filter_count() > 0 || trie.node_count() == 1);  // the root
  }
  MR_CHECK_OP(linked, ==, subscriptions_);
  MR_CHECK_OP(counters_.subscriptions.Get(), ==, subscriptions_);
  for (const Subscription* sub : removed_) MR_CHECK(sub->removed && sub->node == nullptr);
  // Every change moves one generation, and the epoch, which moves with the cache besides.
  uint32_t generations = 0;
  for (const uint32_t generation : generations_) generations += generation;
  MR_CHECK_OP(generations, ==, static_cast<uint32_t>(changes_));
  MR_CHECK_OP(epoch_, >, changes_);
  for (const MatchResult& scratch : scratch_) MR_CHECK_OP(scratch.pins, ==, 0u);
  CheckCache();
}

}  // namespace millrace
