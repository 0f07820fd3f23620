// SPDX-License-Identifier: Apache-2.0
#include "broker/route/interest.h"

#include <algorithm>

#include "proto/base/check.h"

namespace millrace {
namespace {

constexpr uint32_t kFirstBuckets = 64;
constexpr uint32_t kDoorkeeperBits = 4096;

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
    : counters_(counters), announce_(std::move(announce)), cache_entries_max_(std::max(cache_entries, kWays)) {}

Interest::~Interest() { FreeRemoved(); }

Interest::Account& Interest::account(AccountId id) {
  while (accounts_.size() <= id) accounts_.push_back(std::make_unique<Account>());
  return *accounts_[id];
}

void Interest::Changed(AccountId account, std::string_view filter) {
  ++generations_[PartitionOfFilter(AccountKey(account), filter)];
  ++epoch_;
}

void Interest::DropIfEmpty(AccountId id, std::string_view filter, InterestNode* node) {
  if (node->empty()) account(id).trie.Erase(filter);
}

void Interest::Insert(Subscription* sub) {
  const std::string_view filter = sub->subject();
  InterestNode* node = account(sub->account).trie.Insert(filter);
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
  counters_.subscriptions.Set(subscriptions_);
  counters_.interest_inserts.Add(1);
  Changed(sub->account, filter);
}

void Interest::Remove(Subscription* sub) {
  MR_CHECK(sub->node != nullptr && !sub->removed);
  const std::string_view filter = sub->subject();
  InterestNode* node = sub->node;
  QueueGroup* group = sub->queue_bytes == 0 ? nullptr : FindGroup(node->groups, sub->queue());
  std::vector<Subscription*>& list = group == nullptr ? node->plain : group->members;
  MR_CHECK(sub->index < list.size() && list[sub->index] == sub);
  list[sub->index] = list.back();
  list[sub->index]->index = sub->index;
  list.pop_back();
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
  sub->node = nullptr;
  sub->removed = true;
  removed_.push_back(sub);
  --subscriptions_;
  counters_.subscriptions.Set(subscriptions_);
  counters_.interest_removes.Add(1);
}

void Interest::FreeRemoved() {
  for (Subscription* sub : removed_) Subscription::Free(sub);
  removed_.clear();
}

void Interest::ApplyRemote(uint32_t from, const InterestMail& mail, std::string_view filter, std::string_view queue) {
  SubjectTrie<InterestNode>& trie = account(mail.account).trie;
  InterestNode* node = trie.Insert(filter);
  if (queue.empty()) {
    const ShardSet bit = ShardSet{1} << from;
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
}

void Interest::Fill(AccountId id, std::string_view subject, MatchResult* result) {
  result->plain.clear();
  result->groups.clear();
  result->remote_plain = 0;
  if (id >= accounts_.size()) return;
  accounts_[id]->trie.Match(subject, [result](InterestNode& node) {
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
}

bool Interest::Fresh(const Cached& cached) const {
  for (uint8_t i = 0; i < cached.partition_count; ++i) {
    if (generations_[cached.partitions[i]] != cached.generations[i]) return false;
  }
  return true;
}

void Interest::GrowCache() {
  const uint32_t buckets = cache_.empty() ? kFirstBuckets : (cache_mask_ + 1) * 2;
  std::vector<std::unique_ptr<Cached>> old = std::move(cache_);
  cache_.clear();
  cache_.resize(size_t{buckets} * kWays);
  cache_mask_ = buckets - 1;
  cached_ = 0;
  for (std::unique_ptr<Cached>& entry : old) {
    if (entry == nullptr) continue;
    const size_t first = size_t{static_cast<uint32_t>(entry->hash) & cache_mask_} * kWays;
    for (uint32_t way = 0; way < kWays; ++way) {
      if (cache_[first + way] == nullptr) {
        cache_[first + way] = std::move(entry);
        ++cached_;
        break;
      }
    }
  }
}

const MatchResult* Interest::Match(AccountId id, std::string_view subject) {
  const uint64_t hash = HashBytes(subject, AccountKey(id));
  if (cache_.empty()) GrowCache();
  size_t first = size_t{static_cast<uint32_t>(hash) & cache_mask_} * kWays;
  Cached* stale = nullptr;
  for (uint32_t way = 0; way < kWays; ++way) {
    Cached* cached = cache_[first + way].get();
    if (cached == nullptr || cached->hash != hash || cached->account != id || cached->subject != subject) continue;
    if (Fresh(*cached)) {
      counters_.cache_hits.Add(1);
      return &cached->result;
    }
    stale = cached;
    break;
  }
  counters_.cache_misses.Add(1);
  if (stale == nullptr) {
    // A subject seen once (a reply to a unique inbox) does not displace others: it enters on second sight.
    if (doorkeeper_.empty()) doorkeeper_.resize(kDoorkeeperBits / 64);
    const uint32_t bit = static_cast<uint32_t>(hash >> 40) % kDoorkeeperBits;
    uint64_t& word = doorkeeper_[bit / 64];
    if ((word >> (bit % 64) & 1) == 0) {
      word |= uint64_t{1} << (bit % 64);
      if (++doorkeeper_marks_ > kDoorkeeperBits / 2) {
        std::fill(doorkeeper_.begin(), doorkeeper_.end(), 0);
        doorkeeper_marks_ = 0;
      }
      ++epoch_;  // scratch_ may be remembered by someone
      Fill(id, subject, &scratch_);
      return &scratch_;
    }
    if (cached_ >= cache_.size() / 2 && cache_.size() < cache_entries_max_) {
      GrowCache();
      first = size_t{static_cast<uint32_t>(hash) & cache_mask_} * kWays;
    }
    uint32_t way = 0;
    while (way < kWays && cache_[first + way] != nullptr) ++way;
    if (way == kWays) {
      way = evict_++ % kWays;
    } else {
      cache_[first + way] = std::make_unique<Cached>();
      ++cached_;
    }
    stale = cache_[first + way].get();
    stale->hash = hash;
    stale->account = id;
    stale->subject.assign(subject);
    const PartitionSet partitions = PartitionsOfSubject(AccountKey(id), subject);
    stale->partition_count = partitions.count;
    std::copy(partitions.ids.begin(), partitions.ids.end(), stale->partitions);
  }
  ++epoch_;
  Fill(id, subject, &stale->result);
  for (uint8_t i = 0; i < stale->partition_count; ++i) stale->generations[i] = generations_[stale->partitions[i]];
  return &stale->result;
}

void Interest::AddFanout(uint32_t* max, uint64_t* total, uint64_t* results) const {
  for (const std::unique_ptr<Cached>& cached : cache_) {
    if (cached == nullptr) continue;
    const size_t fanout = cached->result.fanout();
    *max = std::max(*max, static_cast<uint32_t>(fanout));
    *total += fanout;
    ++*results;
  }
}

void Interest::ForEach(const std::function<void(AccountId, const InterestNode&)>& visit) const {
  for (AccountId id = 0; id < accounts_.size(); ++id) {
    accounts_[id]->trie.ForEach([&](std::string_view, const InterestNode& node) { visit(id, node); });
  }
}

}  // namespace millrace
