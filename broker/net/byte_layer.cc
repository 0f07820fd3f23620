// SPDX-License-Identifier: Apache-2.0
#include "broker/net/byte_layer.h"

#include <algorithm>
#include <utility>

#include "proto/base/check.h"

namespace millrace {

ByteLayers::ByteLayers(ChunkPool& chunks, std::vector<std::unique_ptr<ByteLayer>> layers, Nanos open_timeout)
    : open_timeout_(open_timeout) {
  MR_CHECK(!layers.empty());
  for (std::unique_ptr<ByteLayer>& layer : layers) levels_.push_back(std::make_unique<Level>(std::move(layer), chunks));
}

// A layer may speak as soon as the one below it is ready.
void ByteLayers::Start() {
  for (size_t i = 0; i < levels_.size(); ++i) {
    levels_[i]->layer->Start(&levels_[i]->below);
    SinkFrom(i);
  }
}

std::optional<ClosedReason> ByteLayers::Open(std::string_view in, std::string* out) {
  std::string between[2];
  for (size_t i = 0; i < levels_.size(); ++i) {
    std::string* const above = i + 1 == levels_.size() ? out : &between[i % 2];
    above->clear();
    const std::optional<ClosedReason> over = levels_[i]->layer->Open(in, above, &levels_[i]->below);
    SinkFrom(i);
    if (over) return over;
    in = *above;
    if (in.empty()) return std::nullopt;
  }
  return std::nullopt;
}

bool ByteLayers::ready() const {
  return std::all_of(levels_.begin(), levels_.end(), [](const auto& level) { return level->layer->ready(); });
}

ClosedReason ByteLayers::late_reason() const {
  const auto late = [](const auto& level) { return !level->layer->ready(); };
  const auto first = std::find_if(levels_.begin(), levels_.end(), late);
  MR_CHECK(first != levels_.end());
  return (*first)->layer->late_reason();
}

void ByteLayers::SinkFrom(size_t level) {
  for (size_t i = level; i > 0 && levels_[i - 1]->layer->ready(); --i) {
    levels_[i - 1]->layer->Seal(&levels_[i]->below, UINT64_MAX, &levels_[i - 1]->below);
    MR_DCHECK(levels_[i]->below.empty());
  }
}

void ByteLayers::Seal(Outbox* plain, uint64_t bytes_max) {
  MR_CHECK(!ended_ || plain->empty());
  const size_t top = levels_.size() - 1;
  if (!ready()) {
    for (size_t i = 1; i <= top; ++i) SinkFrom(i);  // what waited for a layer below
    return;
  }
  const uint64_t pending = wire().pending_bytes();
  if (pending >= bytes_max) return;
  levels_[top]->layer->Seal(plain, bytes_max - pending, &levels_[top]->below);
  SinkFrom(top);
}

void ByteLayers::End(ClosedReason reason) {
  if (std::exchange(ended_, true)) return;
  for (size_t i = levels_.size(); i > 0; --i) {
    if (!levels_[i - 1]->layer->ready()) continue;
    levels_[i - 1]->layer->End(reason, &levels_[i - 1]->below);
    SinkFrom(i - 1);
  }
}

}  // namespace millrace
