// SPDX-License-Identifier: Apache-2.0
#include "broker/control/check_queue.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "proto/base/check.h"

namespace millrace {

std::string SourceOf(std::string_view address) {
  const std::string text(address);
  in6_addr parsed;
  if (inet_pton(AF_INET6, text.c_str(), &parsed) != 1 || IN6_IS_ADDR_V4MAPPED(&parsed)) return text;
  std::memset(parsed.s6_addr + 8, 0, 8);
  char prefix[INET6_ADDRSTRLEN];
  MR_CHECK(inet_ntop(AF_INET6, &parsed, prefix, sizeof prefix) != nullptr);
  return prefix;
}

std::optional<CheckQueue::Entry> CheckQueue::Add(Entry entry) {
  std::string name = SourceOf(entry.question.source);
  auto own = std::find_if(sources_.begin(), sources_.end(), [&](const Source& source) { return source.name == name; });
  if (size_ >= waiting_max_) {
    const auto fullest =
        std::max_element(sources_.begin(), sources_.end(),
                         [](const Source& a, const Source& b) { return a.waiting.size() < b.waiting.size(); });
    const size_t own_after = own == sources_.end() ? 1 : own->waiting.size() + 1;
    if (fullest == sources_.end()) return entry;
    const bool is_own = own_after >= fullest->waiting.size();
    if (is_own && (own == sources_.end() || !own->waiting.back().postponed)) return entry;
    Source& from = is_own ? *own : *fullest;
    Entry displaced = std::move(from.waiting.back());
    from.waiting.pop_back();
    if (own == sources_.end()) own = sources_.insert(own, Source{std::move(name), {}});
    Insert(&*own, std::move(entry));
    MR_CHECK(!from.waiting.empty());  // it keeps its turn
    return displaced;
  }
  if (own == sources_.end()) own = sources_.insert(own, Source{std::move(name), {}});
  Insert(&*own, std::move(entry));
  ++size_;
  return std::nullopt;
}

void CheckQueue::Insert(Source* source, Entry entry) {
  const auto behind = std::find_if(source->waiting.begin(), source->waiting.end(),
                                   [](const Entry& waiting) { return waiting.postponed; });
  source->waiting.insert(behind, std::move(entry));
}

bool CheckQueue::Postpone(const ConnectionId& id) {
  for (Source& source : sources_) {
    const auto at = std::find_if(source.waiting.begin(), source.waiting.end(),
                                 [&id](const Entry& entry) { return entry.id == id; });
    if (at == source.waiting.end()) continue;
    at->postponed = true;
    std::rotate(at, at + 1, source.waiting.end());
    return true;
  }
  return false;
}

std::optional<CheckQueue::Entry> CheckQueue::Take() {
  if (sources_.empty()) return std::nullopt;
  const auto first = sources_.begin();
  Entry entry = std::move(first->waiting.front());
  first->waiting.pop_front();
  --size_;
  if (first->waiting.empty()) {
    sources_.erase(first);
  } else {
    sources_.splice(sources_.end(), sources_, first);
  }
  return entry;
}

bool CheckQueue::Remove(const ConnectionId& id) {
  for (auto source = sources_.begin(); source != sources_.end(); ++source) {
    if (std::erase_if(source->waiting, [&id](const Entry& entry) { return entry.id == id; }) == 0) continue;
    --size_;
    if (source->waiting.empty()) sources_.erase(source);
    return true;
  }
  return false;
}

void CheckQueue::Clear() {
  sources_.clear();
  size_ = 0;
}

void CheckQueue::Invariant() const {
  size_t waiting = 0;
  for (const Source& source : sources_) {
    MR_CHECK(!source.waiting.empty());
    MR_CHECK(std::is_partitioned(source.waiting.begin(), source.waiting.end(),
                                 [](const Entry& entry) { return !entry.postponed; }));
    waiting += source.waiting.size();
  }
  MR_CHECK_OP(waiting, ==, size_);
  MR_CHECK_OP(size_, <=, waiting_max_);
}

}  // namespace millrace
