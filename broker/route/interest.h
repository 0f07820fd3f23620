// SPDX-License-Identifier: Apache-2.0
// Interest: every subscription of this shard and a mirror of what the other shards are interested in, per account.
// Owner:  shard.  Truth is a SubjectTrie per account; match results are cached in front of it.
// Cache:  holds what is expensive to find. A walk of a few nodes costs no more than a look into a cache that does not
//         fit into the processor's, so its result is not kept, unless the same subject comes twice in a row.
// Validity: a result rests on up to three partitions (account and first two tokens, first token, wildcards) and is
//         dropped when the generation of one of them has moved. A churn of unique inboxes so invalidates 1/1024 of the
//         cache.
// Bounds: the cache holds at most the configured number of results, evicting within a bucket.
// In use: who walks a result while others may ask for theirs pins it (MatchPin); a pinned result is neither filled anew
//         nor evicted, and at most kInUseMax are pinned at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/account/service_index.h"
#include "broker/mesh/counters.h"
#include "broker/mesh/mail.h"
#include "broker/route/subscription.h"
#include "proto/base/check.h"
#include "proto/base/shard_checker.h"
#include "proto/subject.h"
#include "proto/subject_trie.h"

namespace millrace {

using ShardSet = uint64_t;  // bit i: shard i

struct RemoteMembers {
  uint32_t shard;
  uint32_t weight;
};

struct QueueGroup {
  std::string name;
  std::vector<Subscription*> members;  // on this shard
  std::vector<RemoteMembers> remotes;
};

// What the trie keeps for one filter.
struct InterestNode {
  std::vector<Subscription*> plain;
  std::vector<QueueGroup> groups;
  ShardSet remote_plain = 0;

  bool empty() const { return plain.empty() && groups.empty() && remote_plain == 0; }
};

// Everything that one literal subject reaches, groups of the same name merged over all matching filters.
struct MatchResult {
  struct Group {
    std::string name;
    std::vector<Subscription*> members;
    std::vector<RemoteMembers> remotes;
    uint32_t remote_weight = 0;
  };
  std::vector<Subscription*> plain;
  std::vector<Group> groups;
  std::vector<uint32_t> forwards;  // service imports of the account (ServiceImports), in ascending order
  ShardSet remote_plain = 0;
  // Whether messages may be collected and delivered receiver by receiver: nobody is in `plain` twice, so nobody sees
  // an order other than the publisher's. Found out by the router when it matters.
  enum class Runs : uint8_t { kUnknown, kYes, kNo };
  mutable Runs runs = Runs::kUnknown;
  uint32_t decisive_bytes = 0;  // as of when it was found: ask Interest::Matched
  mutable uint32_t pins = 0;    // MatchPin

  bool empty() const { return plain.empty() && groups.empty() && forwards.empty() && remote_plain == 0; }
  size_t fanout() const { return plain.size() + groups.size(); }
};

// Keeps a result as it is while it is in use.
class MatchPin {
 public:
  explicit MatchPin(const MatchResult& result) : result_(result) { ++result_.pins; }
  ~MatchPin() {
    MR_DCHECK(result_.pins > 0);
    --result_.pins;
  }
  MatchPin(const MatchPin&) = delete;
  MatchPin& operator=(const MatchPin&) = delete;

 private:
  const MatchResult& result_;
};

class Interest {
 public:
  static constexpr uint32_t kInUseMax = 24;

  // Called when this shard's interest in a filter changes in a way that others must know.
  using Announce = std::function<void(const InterestMail&, std::string_view filter, std::string_view queue)>;

  // Called when a filter has lost its last subscriptions in a group (or without one) here or on another shard. May not
  // change interest.
  using Lost = std::function<void(AccountId account, std::string_view filter)>;

  Interest(uint32_t cache_entries, ShardCounters& counters, Announce announce);
  ~Interest();

  void set_on_lost(Lost on_lost) { on_lost_ = std::move(on_lost); }

  // Links a subscription; its subject must be a valid filter.
  void Insert(Subscription* sub);
  // Unlinks it. The object stays until FreeRemoved.
  void Remove(Subscription* sub);
  // End of the turn: frees what was removed.
  void FreeRemoved();

  // The service imports of all accounts, by AccountId, which stay until others are set. Other shards do not hear of
  // them: each has all of them, and the shard of a publisher forwards. `changed`: they are not those of before.
  void SetServiceImports(std::span<const ServiceIndex* const> by_account, bool changed);

  // Forwards that all accounts have, but one, at literal subjects that begin with kCommonFirst: they are found as
  // kCommonForwards and up. Before the first match.
  struct CommonForward {
    std::string subject;
    AccountId not_of = kNoAccount;
  };
  static constexpr uint32_t kCommonForwards = 1u << 31;
  static constexpr char kCommonFirst = '$';
  void set_common_forwards(std::vector<CommonForward> forwards);

  // Applies another shard's announcement.
  void ApplyRemote(uint32_t from, const InterestMail& mail, std::string_view filter, std::string_view queue);

  struct Matched {
    // Valid until the next Match, or for as long as it is pinned, or (lasting) as long as epoch() stands still. Never
    // nullptr.
    const MatchResult* result;
    bool lasting;               // valid as long as epoch() stands still
    // The same holds for subjects that differ behind these bytes (SubjectTrie::Walk), as long as epoch() stands still.
    uint32_t decisive_bytes;
  };
  // `repeated`: the caller saw this subject just before, and would like a lasting result.
  Matched Match(AccountId account, std::string_view subject, bool repeated = false);

  // Somebody, here or on another shard, would get this subject. Touches no result.
  bool HasInterest(AccountId account, std::string_view subject) const;
  // Somebody, here or on another shard, has subscribed to exactly this filter, in this group (empty: in none).
  bool HasSubscription(AccountId account, std::string_view filter, std::string_view group) const;
  // Moves with every change and every eviction.
  uint64_t epoch() const { return epoch_; }

  size_t cached_results() const { return cached_; }
  size_t subscriptions() const { return subscriptions_; }
  // Subscriptions of an account that were linked and unlinked so far.
  struct Counts {
    uint64_t inserts = 0;
    uint64_t removes = 0;
    uint64_t subscriptions() const { return inserts - removes; }
  };
  Counts CountsOf(AccountId account) const;
  // Accounts from here on have never had any interest.
  AccountId accounts_end() const { return static_cast<AccountId>(tries_.size()); }
  // Targets of the cached results: the widest, their sum, and how many results. kNoAccount: of all accounts.
  void AddFanout(AccountId account, uint32_t* max, uint64_t* total, uint64_t* results) const;
  // Over all filters of all accounts: visit(account, filter node).
  void ForEach(const std::function<void(AccountId, const InterestNode&)>& visit) const;

  // Aborts unless what is counted is what the tries hold, no node stays that nobody needs, and every cached result that
  // passes for valid is what a walk would find. Reads all of it: for tests and the simulation, between two deliveries.
  void Invariant() const;

 private:
  using Trie = SubjectTrie<InterestNode>;
  struct Cached {
    uint64_t hash = 0;
    AccountId account = 0;
    uint8_t partition_count = 0;
    uint16_t partitions[3] = {};
    uint32_t generations[3] = {};
    uint64_t changes = 0;  // to interest, when the result was found: since another, it may hold for fewer subjects
    std::string subject;
    MatchResult result;
  };
  static constexpr uint32_t kWays = 4;
  // One cache line: what is not here is known without touching an entry.
  struct alignas(64) Bucket {
    uint32_t tags[kWays] = {};
    std::unique_ptr<Cached> ways[kWays];
  };

  Trie& TrieOf(AccountId id);
  // nullptr: nobody has ever been interested in anything of it.
  const Trie* FindTrie(AccountId id) const { return id < tries_.size() ? tries_[id].get() : nullptr; }
  // nullptr: it imports no services.
  const ServiceIndex* FindServices(AccountId id) const { return id < services_.size() ? services_[id] : nullptr; }
  void Changed(AccountId account, std::string_view filter);
  void DropIfEmpty(AccountId account, std::string_view filter, InterestNode* node);
  // Returns what it cost, in steps of SubjectTrie::Walk. Nobody may have the result in use.
  uint32_t Fill(AccountId account, std::string_view subject, MatchResult* result) const;
  uint32_t FillOwn(AccountId account, std::string_view subject, MatchResult* result) const;
  size_t CheckNode(AccountId account, std::string_view filter, const InterestNode& node) const;
  void CheckCache() const;
  MatchResult* Scratch();
  bool Fresh(const Cached& cached) const;
  void GrowCache();
  size_t BucketIndexOf(uint64_t hash) const { return static_cast<uint32_t>(hash) & cache_mask_; }
  Bucket& BucketOf(uint64_t hash) { return cache_[BucketIndexOf(hash)]; }
  static uint32_t TagOf(uint64_t hash) { return static_cast<uint32_t>(hash >> 32); }
  Cached* FindCached(uint64_t hash, AccountId account, std::string_view subject);
  bool FirstSight(uint64_t hash);
  // nullptr: everything in its bucket is in use.
  Cached* Admit(uint64_t hash, AccountId account, std::string_view subject);

  [[no_unique_address]] ShardChecker shard_checker_;
  ShardCounters& counters_;
  const Announce announce_;
  std::vector<std::unique_ptr<Trie>> tries_;       // by AccountId
  std::vector<Counts> counts_;                     // the same
  std::span<const ServiceIndex* const> services_;  // the same; SetServiceImports
  Lost on_lost_;
  std::vector<CommonForward> common_forwards_;
  uint32_t generations_[kPartitionCount] = {};
  uint64_t epoch_ = 1;
  uint64_t changes_ = 0;  // of interest, so far
  size_t subscriptions_ = 0;
  std::vector<Subscription*> removed_;

  const uint32_t cache_entries_max_;
  uint32_t cache_mask_ = 0;  // buckets - 1
  std::vector<Bucket> cache_;
  size_t cached_ = 0;
  uint32_t evict_ = 0;
  std::vector<uint64_t> doorkeeper_;  // a bit per hash: the second sight of a subject enters the cache
  uint32_t doorkeeper_marks_ = 0;
  MatchResult scratch_[kInUseMax];
};

}  // namespace millrace
