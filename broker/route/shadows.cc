// SPDX-License-Identifier: Apache-2.0
#include "broker/route/shadows.h"

#include <utility>

namespace millrace {

std::vector<Subscription*> Shadows::Make(const Subscription& sub, const AccountView& view, Sink* sink) {
  MR_DCHECK((sub.receiver == nullptr) != (sink == nullptr) && sub.import == 0);
  std::vector<Subscription*> made;
  for (const Shadow& shadow : ShadowsOf(sub.subject(), view.stream_imports)) {
    const AccountId exporter = view.stream_imports[shadow.import].exporter;
    made.push_back(Subscription::Create(exporter, sub.receiver, sink, shadow.filter, sub.queue(), sub.sid(),
                                        view.first_import + shadow.import + 1));
    interest_.Insert(made.back());
  }
  return made;
}

void Shadows::Unlink(const std::vector<Subscription*>& shadows) {
  for (Subscription* shadow : shadows) interest_.Remove(shadow);
}

void Shadows::Add(const Subscription& sub, const AccountView& view, Sink* sink) {
  std::vector<Subscription*> made = Make(sub, view, sink);
  if (made.empty()) return;
  const bool is_first = of_.emplace(&sub, std::move(made)).second;
  MR_CHECK(is_first);
}

void Shadows::Remove(const Subscription& sub) {
  const auto at = of_.find(&sub);
  if (at == of_.end()) return;
  Unlink(at->second);
  of_.erase(at);
}

void Shadows::Replace(const Subscription& sub, const AccountView& view, Sink* sink) {
  std::vector<Subscription*> made = Make(sub, view, sink);
  Remove(sub);
  if (!made.empty()) of_.emplace(&sub, std::move(made));
}

void Shadows::RemoveAll() {
  for (const auto& [sub, shadows] : of_) Unlink(shadows);
  of_.clear();
}

size_t Shadows::size() const {
  size_t count = 0;
  for (const auto& [sub, shadows] : of_) count += shadows.size();
  return count;
}

}  // namespace millrace
