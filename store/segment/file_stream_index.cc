// SPDX-License-Identifier: Apache-2.0
// FileStreamLog: its index, made from index runs on disk and from blocks where there are none.
#include <algorithm>
#include <bit>

#include "store/index/radix_sort.h"
#include "store/segment/file_stream_log.h"

namespace millrace {
namespace {

// An open run goes to disk with a checkpoint when so many bytes of messages would have to be read to make it anew.
constexpr uint64_t kOpenRunBytes = 8 << 20;

// Of a pace.
constexpr uint64_t kMessageUnits = 6;
constexpr uint32_t kStride = 256;  // messages or subjects between two pauses
constexpr uint64_t kBlockUnits = 1000;  // one is read
constexpr uint64_t kSubjectUnits = 5;   // of a run that is read

constexpr uint64_t FirstOf(uint64_t key) { return key << LiveSet::kChunkBits; }

}  // namespace

size_t FileStreamLog::memory_bytes() const {
  return BlockLog::memory_bytes() + sizeof(*this) - sizeof(BlockLog) + runs_.memory_bytes() +
         released.capacity() * sizeof(FreedExtent);
}

template <typename F>
void FileStreamLog::ForEachLive(uint64_t from, uint64_t to, F&& on_message) {
  for (size_t i = blocks_.IndexOf(from); i < blocks_.size() && blocks_[i]->first_seq <= to; ++i) {
    Block* block = blocks_[i].get();
    LoadStatus why = LoadStatus::kFound;
    const BlockBody* body = reader_.BodyOf(block, Wait::kNow, &why);
    if (body == nullptr) continue;
    const uint32_t count = body->count();
    uint32_t ordinal = from <= block->first_seq ? 0 : block->OrdinalOf(from);
    while (ordinal < count && body != nullptr) {
      const uint32_t end = std::min<uint32_t>(count, ordinal + kStride);
      for (; ordinal < end; ++ordinal) {
        StoredMessage message;
        body->MessageAt(ordinal, block->first_seq, &message);
        if (message.seq > to) return;
        if (live_.Contains(message.seq)) on_message(message);
      }
      Tick(pace_, kStride * kMessageUnits);
      if (ordinal == count) break;
      // It may have been evicted while this was paused.
      body = reader_.BodyOf(block, Wait::kNow, &why);
      MR_CHECK(body == nullptr || body->count() == count);
    }
    Tick(pace_, kBlockUnits);
  }
}

void FileStreamLog::IndexBlocks(uint64_t from, uint64_t to) {
  ForEachLive(from, to, [this](const StoredMessage& message) { index_->Append(message.seq, message.subject); });
}

// A complete run is counted only; one that was open when it was written is opened again.
bool FileStreamLog::IndexFromRun(uint64_t key) {
  const StoredRun* stored = runs_.Find(key);
  std::string bytes;
  if (stored->bad || !runs_.Read(*stored, &bytes)) return false;
  const uint32_t through = stored->through;
  const uint64_t first = FirstOf(key);
  const bool complete = stored->complete();
  bool single = false;
  SubjectFilter filter;
  std::vector<std::pair<uint16_t, std::string_view>> opened;
  // Twice: nothing may be counted of a run that turns out to be malformed.
  for (const bool count : {false, true}) {
    const auto on_head = [&](const RunHead& head) {
      single = head.single;
      if (head.uid != uid_ || head.key != key || head.through != through) return false;
      if (count && complete) {
        index_->AddCold(key, head.named);
        filter.Reserve(head.subjects);
      }
      return true;
    };
    const auto on_subject = [&](std::string_view subject, const std::vector<uint16_t>& positions) {
      Tick(pace_, kSubjectUnits + positions.size() / 8);
      if (!count) return;
      uint32_t messages = 0;
      uint64_t first_seq = 0;
      uint64_t last_seq = 0;
      const auto on_position = [&](uint32_t position) {
        if (!live_.Contains(first + position)) return;
        if (!complete) return opened.emplace_back(static_cast<uint16_t>(position), subject), void();
        if (messages++ == 0) first_seq = first + position;
        last_seq = first + position;
      };
      if (single) {
        for (uint64_t seq = live_.Next(first); seq != 0 && seq < first + through; seq = live_.Next(seq + 1)) {
          on_position(static_cast<uint16_t>(seq));
        }
      } else {
        for (const uint16_t position : positions) on_position(position);
      }
      if (messages > 0) {
        index_->NoteCold(subject, messages, first_seq, last_seq);
        filter.Add(subject);
      }
    };
    if (!DecodeRun(bytes, on_head, on_subject)) return false;
  }
  std::sort(opened.begin(), opened.end());
  for (const auto& [position, subject] : opened) {
    index_->Append(first + position, subject);
    Tick(pace_, kMessageUnits);
  }
  // Others may have come or gone while this was paused.
  if (StoredRun* now = runs_.Find(key)) now->filter = std::move(filter);
  return true;
}

void FileStreamLog::BuildIndex() {
  MR_CHECK(index_ == nullptr);
  runs_.ForgetCached();  // their numbers are of the index before
  DropDeadRuns();
  ColdRuns* const cold_runs = this;
  const LogWork working(*this);
  index_ = std::make_unique<MessageIndex>(live_, uid_, cold_runs);
  index_->set_pace(pace_);
  logs_.OnHydrated(uid_);
  for (uint64_t seq = live_.Next(1); seq != 0;) {
    const uint64_t key = seq >> LiveSet::kChunkBits;
    const uint64_t last = FirstOf(key) + LiveSet::kChunkSpan - 1;
    uint64_t from = FirstOf(key);
    if (const StoredRun* stored = runs_.Find(key)) {
      if (!stored->written) {
        runs_.Drop(key);
      } else if (const uint32_t through = stored->through; IndexFromRun(key)) {
        from += through;
      } else if (StoredRun* now = runs_.Find(key)) {
        now->bad = true;
        logs_.OnRebuiltRun();
      }
    }
    if (from <= last) IndexBlocks(from, last);
    seq = live_.Next(last + 1);
    if (seq != 0) index_->Seal();
  }
  subjects_stale_ = false;
  state_.subjects = index_->subject_count();
}

void FileStreamLog::Dehydrate() {
  MR_CHECK(MayRest());
  index_.reset();
  runs_.ForgetCached();
  runs_.ForgetFilters();
}

// What is only in memory of the index would have to be made from blocks again.
bool FileStreamLog::MayRest() const { return working_ == 0 && (blocks_.empty() || !blocks_.back()->open); }

// --- ColdRuns

void FileStreamLog::PutRun(uint64_t key, const SealedRun& form, uint32_t named, uint32_t through) {
  const RunHead head{uid_, key, named, through, 0, false};
  const std::string bytes = EncodeRun(head, form, index_->table(), pace_);
  StoredRun run;
  run.key = key;
  run.named = named;
  run.through = through;
  if (run.complete()) {
    run.filter.Reserve(form.numbers.size());
    for (size_t n = 0; n < form.numbers.size(); ++n) {
      const SubjectTable::Entry& entry = index_->table().At(form.numbers[n]);
      if (entry.messages > 0) run.filter.Add(entry.subject());
      if (n % kStride == 0) Tick(pace_, kStride);
    }
  }
  runs_.Put(std::move(run), bytes);
}

void FileStreamLog::OnSealed(IndexRun* run) { PutRun(run->key, *run->sealed, run->named, LiveSet::kChunkSpan); }

// A run that could not be written stays in memory; after a restart it is made anew.
void FileStreamLog::OnBlobWritten(uint64_t tag, bool ok) {
  const StoredRun* run = runs_.OnWritten(tag, ok);
  if (run == nullptr) return;
  dirty_ = true;
  if (!run->complete() || index_ == nullptr) return;
  if (working_ > 0) {
    resting_runs_.push_back(run->key);
  } else {
    RestRun(run->key);
  }
}

// It is on disk, and in memory only as long as there is nothing better.
void FileStreamLog::RestRun(uint64_t key) {
  IndexRun* run = index_ == nullptr ? nullptr : index_->FindRun(key);
  const StoredRun* stored = runs_.Find(key);
  if (run == nullptr || run->sealed == nullptr || stored == nullptr || !stored->written) return;
  MR_CHECK(!run->open && stored->complete());  // or a part of it would stand for the whole
  runs_.Cache(key, std::move(*run->sealed));
  run->sealed.reset();
}

const SealedRun* FileStreamLog::LoadRun(const IndexRun& run) {
  if (const SealedRun* cached = runs_.Cached(run.key)) return cached;
  SealedRun form;
  StoredRun* stored = runs_.Find(run.key);
  // One that is being moved is nowhere to be read until its write has ended, and as good as before after that.
  const bool moves = stored != nullptr && !stored->written;
  if (!DecodeStored(run.key, &form)) {
    if (StoredRun* now = runs_.Find(run.key); now != nullptr && !moves) now->bad = true;
    if (!moves) logs_.OnRebuiltRun();
    form = {};
    RebuildRun(run.key, &form);
  }
  return runs_.Cache(run.key, std::move(form));
}

// The numbers of its subjects are those of the index at hand, and ascend in a sealed form.
bool FileStreamLog::DecodeStored(uint64_t key, SealedRun* form) {
  const StoredRun* stored = runs_.Find(key);
  std::string bytes;
  if (stored == nullptr || !stored->good() || !runs_.Read(*stored, &bytes)) return false;
  std::vector<uint16_t> flat;
  struct Part {
    uint32_t number;
    uint32_t start;
    uint32_t count;
  };
  std::vector<Part> parts;
  bool single = false;
  const auto on_head = [&](const RunHead& head) {
    single = head.single;
    return head.uid == uid_ && head.key == key;
  };
  const auto on_subject = [&](std::string_view subject, const std::vector<uint16_t>& positions) {
    Tick(pace_, kSubjectUnits + positions.size() / 8);
    const uint32_t number = index_->table().Find(subject);
    if (number == 0) return;
    parts.push_back({number, static_cast<uint32_t>(flat.size()), static_cast<uint32_t>(positions.size())});
    flat.insert(flat.end(), positions.begin(), positions.end());
  };
  if (!DecodeRun(bytes, on_head, on_subject)) return false;
  std::vector<uint64_t> order;  // number << 32 | index in parts
  uint32_t highest = 0;
  for (const Part& part : parts) {
    order.push_back(uint64_t{part.number} << 32 | order.size());
    highest = std::max(highest, part.number);
  }
  RadixSort(&order, 32, 32 + static_cast<int>(std::bit_width(highest)), pace_);
  for (const uint64_t at : order) {
    const Part& part = parts[static_cast<uint32_t>(at)];
    form->numbers.push_back(part.number);
    if (single) break;
    form->starts.push_back(static_cast<uint32_t>(form->positions.size()));
    form->positions.insert(form->positions.end(), flat.begin() + part.start, flat.begin() + part.start + part.count);
    if (form->numbers.size() % kStride == 0) Tick(pace_, kStride);
  }
  if (!single) form->starts.push_back(static_cast<uint32_t>(form->positions.size()));
  return true;
}

void FileStreamLog::RebuildRun(uint64_t key, SealedRun* form) {
  IndexRun run;
  run.key = key;
  SubjectTable::Entry scratch{};  // chains are not wanted
  ForEachLive(FirstOf(key), FirstOf(key) + LiveSet::kChunkSpan - 1, [&](const StoredMessage& message) {
    const uint32_t number = index_->table().Find(message.subject);
    if (number != 0) run.Append(static_cast<uint16_t>(message.seq), number, &scratch);
  });
  uint32_t named = 0;
  *form = std::move(*run.Sorted(live_, &named, pace_));
}

bool FileStreamLog::MayName(const IndexRun& run, std::string_view subject) {
  const StoredRun* stored = runs_.Find(run.key);
  return stored == nullptr || stored->filter.MayContain(subject);
}

void FileStreamLog::OnDropped(const IndexRun& run) {
  runs_.ForgetCached(run.key);
  runs_.Drop(run.key);
}

void FileStreamLog::OnRunsCleared() {
  runs_.ForgetCached();
  runs_.DropAll();
}

// Runs of which nothing lives, as far as nobody has noticed yet: messages were removed while there was no index.
void FileStreamLog::DropDeadRuns() {
  runs_.DropIf([this](const StoredRun& run) {
    return live_.CountInChunk(run.key) == 0 && (index_ == nullptr || index_->FindRun(run.key) == nullptr);
  });
}

// So much came since it was written last that a start would read too many blocks to make it again.
bool FileStreamLog::WantsOpenRun() {
  const IndexRun* run = index_ == nullptr ? nullptr : index_->open_run();
  if (run == nullptr) return false;
  const StoredRun* stored = runs_.Find(run->key);
  if (stored != nullptr && !stored->written) return false;
  const uint64_t from = FirstOf(run->key) + (stored != nullptr ? stored->through : 0);
  uint64_t bytes = 0;
  for (size_t b = blocks_.size(); b-- > 0 && blocks_[b]->last_seq >= from;) bytes += blocks_[b]->record_bytes;
  return bytes >= kOpenRunBytes;
}

void FileStreamLog::WriteOpenRun() {
  const LogWork working(*this);
  const IndexRun* run = index_->open_run();
  const uint64_t last_key = state_.last_seq >> LiveSet::kChunkBits;
  MR_CHECK(run != nullptr && run->key <= last_key);
  uint32_t named = 0;
  const std::unique_ptr<SealedRun> form = run->Sorted(live_, &named, pace_);
  if (named == 0) return;
  // Sequences that have gone on without a message leave the run open, and nothing comes into it any more.
  const uint32_t through =
      run->key == last_key ? static_cast<uint16_t>(state_.last_seq) + 1u : LiveSet::kChunkSpan;
  PutRun(run->key, *form, named, through);
}

}  // namespace millrace
