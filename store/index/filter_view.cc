// SPDX-License-Identifier: Apache-2.0
// FilterView: see filter_view.h.
#include "store/index/filter_view.h"

#include <bit>

#include "proto/subject.h"

namespace millrace {
namespace {

constexpr uint32_t kStride = 128;  // subjects between two pauses

}  // namespace

FilterView::FilterView(const Filters& filters, const SubjectTable& table, size_t created_count, Pace* pace)
    : filters_(filters), followed_(created_count) {
  marks_.resize(table.end(), Mark::kNo);
  for (uint32_t number = 1; number < table.end(); ++number) {
    if (number % kStride == 0) Tick(pace, kStride * 2);
    if (table.At(number).messages > 0) Judge(table, number);
  }
}

bool FilterView::MatchesText(std::string_view subject) const {
  for (const std::string& filter : filters_) {
    if (SubjectMatches(subject, filter)) return true;
  }
  return false;
}

void FilterView::Judge(const SubjectTable& table, uint32_t number) {
  MR_DCHECK(number < marks_.size());
  Mark& mark = marks_[number];
  const bool listed = mark != Mark::kNo;
  if (MatchesText(table.At(number).subject())) {
    if (!listed) numbers_.push_back(number);
    mark = Mark::kYes;
  } else if (listed) {
    mark = Mark::kWasYes;
  }
}

void FilterView::Follow(const SubjectTable& table, const std::vector<uint32_t>& created) {
  MR_CHECK_OP(followed_, <=, created.size());
  if (followed_ == created.size()) return;
  if (marks_.size() < table.end()) marks_.resize(table.end(), Mark::kNo);
  for (; followed_ < created.size(); ++followed_) {
    const uint32_t number = created[followed_];
    if (table.At(number).messages > 0) Judge(table, number);
  }
}

bool FilterView::Ready(const IndexRun& run) const {
  if (run.open) return true;
  for (const auto& slot : slots_) {
    if (slot != nullptr && slot->key == run.key) return slot->sealed || slot->built == run.appended;
  }
  return false;
}

const FilterView::Bits& FilterView::BitsOf(const IndexRun& run, const SealedRun* form, const LiveSet& live) {
  Bits* bits = nullptr;
  for (const auto& slot : slots_) {
    if (slot != nullptr && slot->key == run.key) bits = slot.get();
  }
  if (bits == nullptr) {
    std::unique_ptr<Bits>& slot = slots_[next_slot_];
    next_slot_ = (next_slot_ + 1) % kSlots;
    if (slot == nullptr) slot = std::make_unique<Bits>();
    bits = slot.get();
    bits->key = run.key;
    bits->built = 0;
    bits->sealed = false;
    bits->words.fill(0);
  }
  const auto set = [bits](uint32_t position) { bits->words[position >> 6] |= uint64_t{1} << (position & 63); };
  MR_DCHECK(bits->built <= run.appended);
  if (run.open) {
    for (; bits->built < run.appended; ++bits->built) {
      if (Matches(run.numbers[bits->built])) set(run.PositionOf(bits->built));
    }
  } else if (!bits->sealed) {
    bits->sealed = true;
    if (bits->built == run.appended && run.appended > 0) return *bits;  // it was complete when the run was sealed
    if (form == nullptr || form->numbers.empty()) return *bits;
    if (form->single()) {
      if (Matches(form->numbers.front())) {
        uint64_t seq = live.Next(run.key << LiveSet::kChunkBits);
        for (; seq != 0 && seq >> LiveSet::kChunkBits == run.key; seq = live.Next(seq + 1)) {
          set(static_cast<uint16_t>(seq));
        }
      }
      return *bits;
    }
    for (size_t i = 0; i < form->numbers.size(); ++i) {
      if (!Matches(form->numbers[i])) continue;
      for (uint32_t p = form->starts[i]; p < form->starts[i + 1]; ++p) set(form->positions[p]);
    }
  }
  return *bits;
}

int FilterView::Next(const IndexRun& run, const SealedRun* form, const LiveSet& live, uint32_t position) {
  const Bits& bits = BitsOf(run, form, live);
  const uint64_t base = run.key << LiveSet::kChunkBits;
  uint32_t index = position >> 6;
  if (index >= kWords) return IndexRun::kNone;
  uint64_t word = bits.words[index] & ~uint64_t{0} << (position & 63);
  while (true) {
    for (; word != 0; word &= word - 1) {
      const uint32_t at = index * 64 + static_cast<uint32_t>(std::countr_zero(word));
      if (live.Contains(base + at)) return static_cast<int>(at);
    }
    if (++index == kWords) return IndexRun::kNone;
    word = bits.words[index];
  }
}

int FilterView::Previous(const IndexRun& run, const SealedRun* form, const LiveSet& live, uint32_t position) {
  const Bits& bits = BitsOf(run, form, live);
  const uint64_t base = run.key << LiveSet::kChunkBits;
  MR_DCHECK(position < LiveSet::kChunkSpan);
  uint32_t index = position >> 6;
  uint64_t word = bits.words[index] & ~uint64_t{0} >> (63 - (position & 63));
  while (true) {
    while (word != 0) {
      const uint32_t bit = 63 - static_cast<uint32_t>(std::countl_zero(word));
      if (live.Contains(base + index * 64 + bit)) return static_cast<int>(index * 64 + bit);
      word &= ~(uint64_t{1} << bit);
    }
    if (index-- == 0) return IndexRun::kNone;
    word = bits.words[index];
  }
}

uint32_t FilterView::Count(const IndexRun& run, const SealedRun* form, const LiveSet& live, uint32_t position) {
  uint32_t count = 0;
  for (int at = Next(run, form, live, position); at >= 0; at = Next(run, form, live, static_cast<uint32_t>(at) + 1)) {
    ++count;
  }
  return count;
}

}  // namespace millrace
