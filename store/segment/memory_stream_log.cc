// SPDX-License-Identifier: Apache-2.0
// MemoryStreamLog: see memory_stream_log.h.
#include "store/segment/memory_stream_log.h"

#include "store/segment/block_log.h"

namespace millrace {
namespace {

class MemoryStreamLog final : public BlockLog {
 public:
  MemoryStreamLog(uint64_t uid, const StreamLogOptions& options) : BlockLog(uid, options, nullptr) { BuildIndex(); }
  ~MemoryStreamLog() override {
    for (const auto& block : blocks_) {
      delete block->body;
      block->body = nullptr;
    }
  }

 private:
  BlockBody* Fetch(Block*, Wait, LoadStatus* why) override {
    MR_DCHECK(false);  // blocks of memory streams never leave it
    *why = LoadStatus::kDamaged;
    return nullptr;
  }
  void OnUsed(size_t) override {}
  void OnSealed(Block*) override {}
  void OnDropped(Block*) override {}
  void BuildIndex() override {
    index_ = std::make_unique<MessageIndex>(live_, uid_);
    index_->set_pace(pace_);
  }

  // Half of the block is gone: writes what lives anew, together with neighbours that are small as well. Each byte that
  // is removed pays for the copying of at most one.
  void OnThinned(Block* block) override {
    MR_CHECK(!block->open && block->live > 0);
    size_t first = blocks_.IndexOf(block->first_seq);
    size_t last = first;
    uint64_t bytes = block->live_bytes;
    const uint64_t span_end = block->last_seq;
    const auto joins = [&](const Block& other) {
      return !other.open && other.live > 0 && bytes + other.live_bytes <= options_.block_bytes / 2;
    };
    if (first > 0 && joins(*blocks_[first - 1]) && span_end - blocks_[first - 1]->first_seq < UINT32_MAX) {
      bytes += blocks_[--first]->live_bytes;
    }
    if (last + 1 < blocks_.size() && joins(*blocks_[last + 1]) &&
        blocks_[last + 1]->last_seq - blocks_[first]->first_seq < UINT32_MAX) {
      ++last;
    }
    MR_CHECK(Rewrite(first, last));
  }
};

}  // namespace

std::unique_ptr<StreamLog> NewMemoryStreamLog(uint64_t uid, const StreamLogOptions& options) {
  StreamLogOptions memory = options;
  memory.memory = true;
  return std::make_unique<MemoryStreamLog>(uid, memory);
}

}  // namespace millrace
