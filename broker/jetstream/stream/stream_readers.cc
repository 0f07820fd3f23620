// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/stream/stream_readers.h"

#include <algorithm>
#include <utility>

#include "broker/jetstream/stream/stream.h"
#include "proto/base/check.h"

namespace millrace {

void StreamReaders::Add(AccountId account, Upstream* reader) {
  for (const std::string& origin : reader->Origins()) {
    std::vector<Upstream*>& readers = by_origin_[AccountName{account, origin}];
    if (std::find(readers.begin(), readers.end(), reader) == readers.end()) readers.push_back(reader);
  }
  Wake(reader);
}

std::vector<std::string> StreamReaders::Remove(Upstream* reader) {
  std::vector<std::string> origins;
  for (auto it = by_origin_.begin(); it != by_origin_.end();) {
    if (std::erase(it->second, reader) > 0) origins.push_back(it->first.name);
    if (it->second.empty()) {
      by_origin_.erase(it++);
    } else {
      ++it;
    }
  }
  reader->place_.Leave();
  reader->awake_ = false;
  return origins;
}

void StreamReaders::WakeAll(const AccountNameView& origin) {
  const auto it = by_origin_.find(origin);
  if (it == by_origin_.end()) return;
  for (Upstream* reader : it->second) Wake(reader);
}

void StreamReaders::Wake(Upstream* reader) {
  if (std::exchange(reader->awake_, true)) return;
  reader->place_.Leave();
  awake_.PushBack(&reader->place_);
}

void StreamReaders::WakeLoading() {
  loading_.ForEach([this](Upstream* reader) { Wake(reader); });
}

bool StreamReaders::Run() {
  List<Upstream> round;
  round.TakeAll(&awake_);
  while (Upstream* reader = round.PopFront()) {
    reader->awake_ = false;
    if (!reader->MayPull()) {
      Wake(reader);
      continue;
    }
    switch (reader->Pull()) {
      case PullStatus::kIdle:
        break;
      case PullStatus::kMore:
        Wake(reader);
        break;
      case PullStatus::kLoading:
        if (!reader->awake_) loading_.PushBack(&reader->place_);
        break;
    }
  }
  return !awake_.empty();
}

bool StreamReaders::Need(const Stream& origin, uint64_t seq, std::string_view subject) const {
  if (by_origin_.empty()) return false;
  const auto it = by_origin_.find(AccountNameView(origin.account(), origin.name()));
  return it != by_origin_.end() && std::any_of(it->second.begin(), it->second.end(), [&](const Upstream* reader) {
           return reader->Needs(origin, seq, subject);
         });
}

Stream* StreamReaders::DirectMirrorOf(AccountId account, std::string_view origin) const {
  const auto it = by_origin_.find(AccountNameView(account, origin));
  if (it == by_origin_.end()) return nullptr;
  for (const Upstream* reader : it->second) {
    if (Stream* mirror = reader->DirectMirror()) return mirror;
  }
  return nullptr;
}

}  // namespace millrace
