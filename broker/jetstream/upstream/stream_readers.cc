// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/upstream/stream_readers.h"

#include <algorithm>
#include <utility>

#include "broker/jetstream/engine/jetstream.h"
#include "broker/jetstream/upstream/upstream.h"
#include "proto/base/check.h"

namespace millrace {

void StreamReaders::Add(Stream* reader) {
  MR_CHECK(reader->upstream() != nullptr);
  for (const std::string& origin : reader->upstream()->Origins()) {
    std::vector<Stream*>& readers = by_origin_[origin];
    if (std::find(readers.begin(), readers.end(), reader) == readers.end()) readers.push_back(reader);
  }
  Wake(reader);
}

std::vector<std::string> StreamReaders::Remove(Stream* reader) {
  std::vector<std::string> origins;
  for (auto it = by_origin_.begin(); it != by_origin_.end();) {
    if (std::erase(it->second, reader) > 0) origins.push_back(it->first);
    if (it->second.empty()) {
      by_origin_.erase(it++);
    } else {
      ++it;
    }
  }
  std::erase(awake_, reader);
  awake_set_.erase(reader);
  std::erase(loading_, reader);
  MR_CHECK_OP(awake_.size(), ==, awake_set_.size());
  return origins;
}

void StreamReaders::Release(const std::vector<std::string>& origins) {
  for (const std::string& name : origins) {
    if (Stream* origin = engine_.FindStream(name)) engine_.RunOn(*origin, &Stream::OnReaderGone);
  }
}

void StreamReaders::WakeReadersOf(std::string_view origin) {
  if (by_origin_.empty()) return;
  const auto it = by_origin_.find(origin);
  if (it == by_origin_.end()) return;
  for (Stream* reader : it->second) Wake(reader);
}

void StreamReaders::Wake(Stream* reader) {
  if (awake_set_.insert(reader).second) awake_.push_back(reader);
}

void StreamReaders::WakeLoading() {
  for (Stream* reader : std::exchange(loading_, {})) Wake(reader);
}

// Both ends are free, and what comes can be stored.
bool StreamReaders::MayPull(Stream* reader) const {
  if (!reader->Prepare()) return false;
  if (!engine_.AnyHeld()) return true;
  const std::vector<std::string> origins = reader->upstream()->Origins();
  return std::none_of(origins.begin(), origins.end(), [this](const std::string& name) {
    const Stream* origin = engine_.streams().FindAwake(name);
    return origin != nullptr && engine_.MustWait(*origin);
  });
}

bool StreamReaders::Run() {
  if (awake_.empty()) return false;
  if (engine_.Congested()) return false;  // what relieves the disk causes a turn
  std::vector<Stream*> round = std::exchange(awake_, {});
  awake_set_.clear();
  for (Stream* reader : round) {
    if (!MayPull(reader)) {
      Wake(reader);
      continue;
    }
    MR_DCHECK(reader->upstream() != nullptr);
    switch (reader->upstream()->Pull()) {
      case PullStatus::kIdle:
        break;
      case PullStatus::kMore:
        Wake(reader);
        break;
      case PullStatus::kLoading:
        loading_.push_back(reader);
        break;
    }
  }
  return !awake_.empty();
}

bool StreamReaders::Need(const Stream& origin, uint64_t seq, std::string_view subject) const {
  if (by_origin_.empty()) return false;
  const auto it = by_origin_.find(origin.name());
  return it != by_origin_.end() && std::any_of(it->second.begin(), it->second.end(), [&](const Stream* reader) {
           return reader->upstream()->Needs(origin, seq, subject);
         });
}

Stream* StreamReaders::DirectMirrorOf(std::string_view origin) const {
  const auto it = by_origin_.find(origin);
  if (it == by_origin_.end()) return nullptr;
  for (Stream* reader : it->second) {
    if (reader->config().mirror && reader->config().mirror_direct && reader->upstream()->caught_up()) return reader;
  }
  return nullptr;
}

}  // namespace millrace
