// SPDX-License-Identifier: Apache-2.0
#include "store/segment/block_cache.h"

namespace millrace {

void BlockCache::Insert(BlockBody* body) {
  MR_CHECK(body->block != nullptr && body->newer == nullptr && body->older == nullptr && body != newest_);
  body->older = newest_;
  if (newest_ != nullptr) newest_->newer = body;
  newest_ = body;
  if (oldest_ == nullptr) oldest_ = body;
  bytes_ += body->memory_bytes();
  Evict();
}

void BlockCache::Remove(BlockBody* body) {
  MR_CHECK(body->newer != nullptr ? body->newer->older == body : body == newest_);
  MR_CHECK_OP(bytes_, >=, body->memory_bytes());
  (body->newer != nullptr ? body->newer->older : newest_) = body->older;
  (body->older != nullptr ? body->older->newer : oldest_) = body->newer;
  body->newer = body->older = nullptr;
  bytes_ -= body->memory_bytes();
}

void BlockCache::Evict() {
  while (bytes_ > budget_bytes_ && oldest_ != newest_ && oldest_->newer != newest_) {
    BlockBody* body = oldest_;
    MR_CHECK(body->block->place == Block::Place::kDisk);  // or nobody could read it again
    Remove(body);
    body->block->body = nullptr;
    delete body;
  }
}

void BlockCache::Invariant() const {
  MR_CHECK((newest_ == nullptr) == (oldest_ == nullptr));
  if (newest_ == nullptr) {
    MR_CHECK_OP(bytes_, ==, 0u);
  } else {
    MR_CHECK(newest_->newer == nullptr && oldest_->older == nullptr);
  }
}

void BlockCache::Recount() const {
  Invariant();
  uint64_t bytes = 0;
  for (const BlockBody* body = newest_; body != nullptr; body = body->older) {
    MR_CHECK(body->block->body == body && body->block->place == Block::Place::kDisk);
    MR_CHECK(body->older == nullptr ? body == oldest_ : body->older->newer == body);
    bytes += body->memory_bytes();
  }
  MR_CHECK_OP(bytes, ==, bytes_);
}

}  // namespace millrace
