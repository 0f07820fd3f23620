// SPDX-License-Identifier: Apache-2.0
#include "store/segment/stream_checkpoint.h"

#include <cstddef>
#include <initializer_list>

#include "proto/base/check.h"
#include "store/varint.h"

namespace millrace {
namespace {

constexpr uint64_t kCheckpointVersion = 1;

void AppendAll(std::string* out, std::initializer_list<uint64_t> numbers) {
  for (const uint64_t number : numbers) AppendVarint(out, number);
}

void AppendBlocks(const StreamCheckpointView& checkpoint, std::string* out) {
  AppendVarint(out, checkpoint.block_count);
  uint64_t before = 0;
  int64_t time = 0;
  for (size_t i = 0; i < checkpoint.block_count; ++i) {
    const Block& block = *checkpoint.blocks[i];
    MR_CHECK(block.first_seq > before && block.last_seq <= checkpoint.state.last_seq);  // or a restart refuses it
    AppendAll(out, {block.first_seq - before, block.last_seq - block.first_seq, block.messages, block.live,
                    block.live_headed, block.record_bytes, block.live_bytes, ZigZag(block.max_time_ns - time),
                    ZigZag(block.last_time_ns - block.max_time_ns), block.file, block.offset, block.stored_bytes});
    before = block.last_seq;
    time = block.max_time_ns;
  }
}

class Decoder {
 public:
  explicit Decoder(std::string_view bytes) : rest_(bytes) {}

  bool Head(StreamLogState* state) {
    if (!Take(7) || n_[0] != kCheckpointVersion) return false;
    state->messages = n_[1];
    state->bytes = n_[2];
    state->last_seq = n_[3];
    state->subjects = n_[4];
    state->last_time_ns = UnZigZag(n_[5]);
    state->first_time_ns = UnZigZag(n_[6]);
    return true;
  }

  bool Live(LiveSet* live, StreamLogState* state) {
    if (!live->Decode(&rest_) || live->size() != state->messages) return false;
    state->first_seq = state->messages > 0 ? live->Next(1) : state->last_seq == 0 ? 0 : state->last_seq + 1;
    return true;
  }

  bool Files(SegmentUuids* files) {
    if (!Take(1)) return false;
    for (uint64_t i = n_[0]; i > 0; --i) {
      if (!Take(2) || n_[0] == 0 || n_[0] > UINT32_MAX) return false;
      files->emplace_back(static_cast<uint32_t>(n_[0]), n_[1]);
    }
    return true;
  }

  bool Blocks(const StreamLogState& state, std::vector<std::unique_ptr<Block>>* blocks) {
    if (!Take(1)) return false;
    uint64_t before = 0;
    uint64_t live = 0;
    int64_t time = 0;
    for (uint64_t i = n_[0]; i > 0; --i) {
      if (!Take(12) || !BlockIsSound()) return false;
      auto block = std::make_unique<Block>();
      block->first_seq = before + n_[0];
      block->last_seq = block->first_seq + n_[1];
      if (block->last_seq > state.last_seq) return false;
      block->messages = static_cast<uint32_t>(n_[2]);
      block->live = static_cast<uint32_t>(n_[3]);
      block->live_headed = static_cast<uint32_t>(n_[4]);
      block->record_bytes = n_[5];
      block->live_bytes = n_[6];
      block->max_time_ns = time + UnZigZag(n_[7]);
      block->last_time_ns = block->max_time_ns + UnZigZag(n_[8]);
      block->file = static_cast<uint32_t>(n_[9]);
      block->offset = n_[10];
      block->stored_bytes = static_cast<uint32_t>(n_[11]);
      block->open = false;
      block->place = Block::Place::kDisk;
      live += block->live;
      before = block->last_seq;
      time = block->max_time_ns;
      blocks->push_back(std::move(block));
    }
    blocks->shrink_to_fit();
    return live == state.messages;
  }

  bool Runs(std::vector<StoredRun>* runs) {
    if (!Take(1)) return false;
    for (uint64_t i = n_[0]; i > 0; --i) {
      if (!Take(6) || n_[1] > LiveSet::kChunkSpan || n_[2] > LiveSet::kChunkSpan || n_[3] == 0 ||
          n_[3] > UINT32_MAX || n_[4] >> 40 != 0 || n_[5] > UINT32_MAX ||
          (!runs->empty() && n_[0] <= runs->back().key)) {
        return false;
      }
      runs->emplace_back();
      StoredRun& run = runs->back();
      run.key = n_[0];
      run.named = static_cast<uint32_t>(n_[1]);
      run.through = static_cast<uint32_t>(n_[2]);
      run.extent = {static_cast<uint32_t>(n_[3]), static_cast<uint32_t>(n_[5]), n_[4]};
      run.written = true;
    }
    runs->shrink_to_fit();
    return true;
  }

  bool AtEnd() const { return rest_.empty(); }

 private:
  bool Take(size_t count) {
    for (size_t i = 0; i < count; ++i) {
      if (!TakeVarint(&rest_, &n_[i])) return false;
    }
    return true;
  }
  // Of the twelve numbers of a block: no count is more than what it is a part of, and its place can be one.
  bool BlockIsSound() const {
    const bool counts = n_[0] != 0 && n_[1] <= UINT32_MAX && n_[2] != 0 && n_[2] <= n_[1] + 1 && n_[3] <= n_[2];
    const bool bytes = n_[6] <= n_[5] && n_[5] <= UINT32_MAX;
    const bool place = n_[9] != 0 && n_[9] <= UINT32_MAX && n_[10] >> 40 == 0 && n_[11] <= UINT32_MAX &&
                       n_[11] >= sizeof(BlockHeader);
    return counts && bytes && place;
  }

  std::string_view rest_;
  uint64_t n_[12] = {};
};

}  // namespace

void EncodeStreamCheckpoint(const StreamCheckpointView& checkpoint, std::string* out) {
  const StreamLogState& state = checkpoint.state;
  AppendAll(out, {kCheckpointVersion, state.messages, state.bytes, state.last_seq, state.subjects,
                  ZigZag(state.last_time_ns), ZigZag(state.messages == 0 ? 0 : state.first_time_ns)});
  checkpoint.live.Encode(out, checkpoint.live_through);
  AppendVarint(out, checkpoint.files.size());
  for (const auto& [number, uuid] : checkpoint.files) AppendAll(out, {number, uuid});
  AppendBlocks(checkpoint, out);
  AppendVarint(out, checkpoint.runs.size());
  for (const StoredRun* run : checkpoint.runs) {
    AppendAll(out, {run->key, run->named, run->through, run->extent.file, run->extent.offset, run->extent.bytes});
  }
}

absl::Status DecodeStreamCheckpoint(std::string_view bytes, LiveSet* live, StreamCheckpoint* checkpoint) {
  Decoder decoder(bytes);
  const auto bad = [live](std::string_view what) {
    live->Clear();
    return absl::DataLossError("bad " + std::string(what));
  };
  if (!decoder.Head(&checkpoint->state)) return bad("head");
  if (!decoder.Live(live, &checkpoint->state)) return bad("live sequences");
  if (!decoder.Files(&checkpoint->files)) return bad("files");
  if (!decoder.Blocks(checkpoint->state, &checkpoint->blocks)) return bad("blocks");
  if (!decoder.Runs(&checkpoint->runs)) return bad("index runs");
  if (!decoder.AtEnd()) return bad("end");
  return absl::OkStatus();
}

}  // namespace millrace
