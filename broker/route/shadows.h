// SPDX-License-Identifier: Apache-2.0
// Shadows: what the subscriptions of one client, or of all sinks of a shard, hear of other accounts: for each stream
// import that a subscription shares subjects with, a subscription in the exporter, with the same receiver, queue and
// sid.
// Owner:  shard (a member of who has the subscriptions). Those that are linked are unlinked (RemoveAll) before it ends.
// UNSUB with a number counts what a subscription gets in its own account, as the peer does: shadows have no end of
// their own.
#pragma once

#include <vector>

#include "absl/container/flat_hash_map.h"
#include "broker/account/account_views.h"
#include "broker/route/interest.h"

namespace millrace {

class Shadows {
 public:
  explicit Shadows(Interest& interest) : interest_(interest) {}
  ~Shadows() { MR_CHECK(of_.empty()); }
  Shadows(const Shadows&) = delete;
  Shadows& operator=(const Shadows&) = delete;

  // Makes those of `sub`, which has none, by the imports of its account. `sink`: takes what comes, of one without a
  // receiver.
  void Add(const Subscription& sub, const AccountView& view, Sink* sink = nullptr);
  void Remove(const Subscription& sub);
  // Other imports: those of `sub` are made anew, before the old ones go, so that nobody sees a gap.
  void Replace(const Subscription& sub, const AccountView& view, Sink* sink = nullptr);
  void RemoveAll();

  bool empty() const { return of_.empty(); }
  bool has(const Subscription& sub) const { return of_.contains(&sub); }
  size_t size() const;

 private:
  std::vector<Subscription*> Make(const Subscription& sub, const AccountView& view, Sink* sink);
  void Unlink(const std::vector<Subscription*>& shadows);

  Interest& interest_;
  absl::flat_hash_map<const Subscription*, std::vector<Subscription*>> of_;  // none is empty
};

}  // namespace millrace
