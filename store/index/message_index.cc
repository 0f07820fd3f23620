// SPDX-License-Identifier: Apache-2.0
// MessageIndex: see message_index.h.
#include "store/index/message_index.h"

#include <algorithm>
#include <bit>

#include "proto/subject.h"
#include "store/index/radix_sort.h"

namespace millrace {
namespace {

// Of a pace. Numbers are looked at so many between two pauses; a run that has to be asked costs about this.
constexpr uint32_t kStride = 256;
constexpr uint64_t kRunUnits = 20;
constexpr uint64_t kRunOfViewUnits = 200;

constexpr uint64_t KeyOf(uint64_t seq) { return seq >> LiveSet::kChunkBits; }
constexpr uint32_t PositionOf(uint64_t seq) { return static_cast<uint16_t>(seq); }
constexpr uint64_t SeqOf(uint64_t key, int position) {
  return (key << LiveSet::kChunkBits) + static_cast<uint64_t>(position);
}

}  // namespace

bool MessageIndex::TakesAll(const Filters& filters) {
  if (filters.empty()) return true;
  for (const std::string& filter : filters) {
    if (filter.size() == 1 && filter[0] == kTailWildcard) return true;
  }
  return false;
}

size_t MessageIndex::RunAtOrAfter(uint64_t key) const {
  if (!runs_.empty() && runs_.back().key <= key) return runs_.back().key == key ? runs_.size() - 1 : runs_.size();
  const auto at = std::lower_bound(runs_.begin(), runs_.end(), key,
                                   [](const IndexRun& run, uint64_t wanted) { return run.key < wanted; });
  return static_cast<size_t>(at - runs_.begin());
}

void MessageIndex::Invariant() const {
  for (size_t i = 0; i < runs_.size(); ++i) {
    const IndexRun& run = runs_[i];
    MR_CHECK(i == 0 || runs_[i - 1].key < run.key);
    MR_CHECK(!run.open || (i + 1 == runs_.size() && run.sealed == nullptr));
    MR_CHECK(run.open || run.sealed != nullptr || cold_ != nullptr);
    MR_CHECK_OP(run.named, <=, run.appended);
    MR_CHECK_OP(run.appended, <=, LiveSet::kChunkSpan);
    if (run.open) MR_CHECK(run.numbers.size() == run.appended && run.before.size() == run.appended);
  }
  MR_CHECK_OP(views_.size(), <=, kViewsMax);
}

void MessageIndex::Append(uint64_t seq, std::string_view subject) {
  bool created = false;
  const uint32_t number = table_.FindOrAdd(subject, &created);
  if (created && !views_.empty()) {
    if (created_.size() > table_.count() + size_t{65536}) {
      // Views that have not been asked for so long are made anew when they are.
      created_.clear();
      views_.clear();
    } else {
      created_.push_back(number);
    }
  }
  const uint64_t key = KeyOf(seq);
  if (runs_.empty() || runs_.back().key != key) {
    SealLast();
    runs_.emplace_back();
    runs_.back().key = key;
  }
  MR_CHECK(runs_.back().open);
  MR_DCHECK(runs_.size() < 2 || runs_[runs_.size() - 2].key < key);
  SubjectTable::Entry& entry = table_.At(number);
  runs_.back().Append(static_cast<uint16_t>(seq), number, &entry);
  if (created) entry.first_seq = seq;
  entry.last_seq = seq;
  entry.last_stale = false;
  ++entry.messages;
}

void MessageIndex::SealLast() {
  if (runs_.empty() || !runs_.back().open) return;
  IndexRun& last = runs_.back();
  last.Seal(live_, pace_);
  if (last.named == 0) {
    runs_.pop_back();
  } else if (cold_ != nullptr) {
    cold_->OnSealed(&last);
  }
}

void MessageIndex::AddCold(uint64_t key, uint32_t named) {
  SealLast();
  MR_CHECK(cold_ != nullptr && (runs_.empty() || runs_.back().key < key));
  runs_.emplace_back();
  IndexRun& run = runs_.back();
  run.key = key;
  run.named = run.appended = named;
  run.open = false;
}

void MessageIndex::NoteCold(std::string_view subject, uint32_t messages, uint64_t first_seq, uint64_t last_seq) {
  MR_CHECK(messages > 0 && first_seq <= last_seq && KeyOf(last_seq) == runs_.back().key);
  bool created = false;
  SubjectTable::Entry& entry = table_.At(table_.FindOrAdd(subject, &created));
  if (created) entry.first_seq = first_seq;
  entry.last_seq = last_seq;
  entry.messages += messages;
}

IndexRun* MessageIndex::FindRun(uint64_t key) {
  const size_t index = RunAtOrAfter(key);
  return index < runs_.size() && runs_[index].key == key ? &runs_[index] : nullptr;
}

// A message that could not be read when the index was made is not in it.
void MessageIndex::Remove(uint64_t seq, std::string_view subject) {
  const uint32_t number = table_.Find(subject);
  if (number != 0) RemoveNumber(seq, number);
}

void MessageIndex::RemoveUnread(uint64_t seq) {
  const size_t index = RunAtOrAfter(KeyOf(seq));
  if (index == runs_.size() || runs_[index].key != KeyOf(seq)) return;
  const IndexRun& run = runs_[index];
  const uint32_t number = run.NumberAt(FormOf(run), static_cast<uint16_t>(seq));
  if (number != 0) RemoveNumber(seq, number);
}

void MessageIndex::RemoveNumber(uint64_t seq, uint32_t number) {
  SubjectTable::Entry& entry = table_.At(number);
  MR_CHECK(entry.messages > 0);
  if (--entry.messages == 0) {
    table_.Erase(number);
  } else {
    if (seq == entry.first_seq) {
      ++entry.first_seq;
      entry.first_stale = true;
    }
    if (seq == entry.last_seq) {
      --entry.last_seq;
      entry.last_stale = true;
    }
    if (entry.messages == 1) {
      if (!entry.first_stale) {
        entry.last_seq = entry.first_seq;
        entry.last_stale = false;
      } else if (!entry.last_stale) {
        entry.first_seq = entry.last_seq;
        entry.first_stale = false;
      }
    }
  }
  Shrink(KeyOf(seq));
}

// The open run stays even when nothing in it lives: entries of the table may say that their tail is there.
void MessageIndex::Shrink(uint64_t key) {
  const uint32_t live = live_.CountInChunk(key);
  if (live > 0 && (live & 255) != 0) return;  // looking now and then is enough
  const size_t index = RunAtOrAfter(key);
  if (index == runs_.size() || runs_[index].key != key || runs_[index].open) return;
  IndexRun& run = runs_[index];
  if (live == 0) {
    if (cold_ != nullptr) cold_->OnDropped(run);
    runs_.erase(runs_.begin() + static_cast<ptrdiff_t>(index));
  } else if (run.sealed != nullptr && live * 4 < run.named) {
    run.DropRemoved(live_);
  }
}

void MessageIndex::Clear(Runs runs) {
  if (cold_ != nullptr && runs == Runs::kGo) {
    for (const IndexRun& run : runs_) cold_->OnDropped(run);
  }
  table_.Clear(pace_);
  runs_.clear();
  runs_.shrink_to_fit();
  created_ = {};
  views_.clear();
}

size_t MessageIndex::memory_bytes() const {
  size_t bytes = sizeof(*this) + table_.memory_bytes() + runs_.capacity() * sizeof(IndexRun) + 4 * created_.capacity();
  for (const IndexRun& run : runs_) bytes += run.memory_bytes();
  for (const auto& view : views_) bytes += view->memory_bytes();
  return bytes;
}

FilterView& MessageIndex::ViewOf(const Filters& filters) {
  size_t bytes = 0;
  for (size_t i = 0; i < views_.size(); ++i) {
    if (views_[i]->filters() == filters) {
      const auto at = views_.begin() + static_cast<ptrdiff_t>(i);
      std::rotate(views_.begin(), at, at + 1);
      views_.front()->Follow(table_, created_);
      return *views_.front();
    }
    bytes += views_[i]->memory_bytes();
  }
  while (!views_.empty() && (views_.size() >= kViewsMax || bytes > kViewBytesMax)) {
    bytes -= std::min(bytes, views_.back()->memory_bytes());
    views_.pop_back();
  }
  if (views_.empty()) created_.clear();
  views_.insert(views_.begin(), std::make_unique<FilterView>(filters, table_, created_.size(), pace_));
  return *views_.front();
}

uint64_t MessageIndex::NextOf(uint32_t number, uint64_t from) {
  SubjectTable::Entry& entry = table_.At(number);
  if (from <= entry.first_seq) {
    if (!entry.first_stale) return entry.first_seq;
    return ExactFirst(number);
  }
  if (from == entry.last_seq && !entry.last_stale) return from;
  if (from > entry.last_seq) return 0;
  for (size_t i = RunAtOrAfter(KeyOf(from)); i < runs_.size(); ++i) {
    const IndexRun& run = runs_[i];
    if (SeqOf(run.key, 0) > entry.last_seq) return 0;
    if (run.sealed == nullptr && !run.open && !cold_->MayName(run, entry.subject())) continue;
    Tick(pace_, kRunUnits);
    const SealedRun* form = FormOf(run);
    const uint32_t position = run.key == KeyOf(from) ? PositionOf(from) : 0;
    const int found = run.Next(form, live_, number, entry, position);
    if (found >= 0) return SeqOf(run.key, found);
  }
  return 0;
}

uint64_t MessageIndex::PreviousOf(uint32_t number, uint64_t from) {
  SubjectTable::Entry& entry = table_.At(number);
  if (from >= entry.last_seq) {
    if (!entry.last_stale) return entry.last_seq;
    return ExactLast(number);
  }
  if (from == entry.first_seq && !entry.first_stale) return from;
  if (from < entry.first_seq) return 0;
  for (size_t i = RunAtOrAfter(KeyOf(from) + 1); i-- > 0;) {
    const IndexRun& run = runs_[i];
    if (SeqOf(run.key, LiveSet::kChunkSpan - 1) < entry.first_seq) return 0;
    if (run.sealed == nullptr && !run.open && !cold_->MayName(run, entry.subject())) continue;
    Tick(pace_, kRunUnits);
    const SealedRun* form = FormOf(run);
    const uint32_t position = run.key == KeyOf(from) ? PositionOf(from) : LiveSet::kChunkSpan - 1;
    const int found = run.Previous(form, live_, number, entry, position);
    if (found >= 0) return SeqOf(run.key, found);
  }
  return 0;
}

uint64_t MessageIndex::ExactFirst(uint32_t number) {
  SubjectTable::Entry& entry = table_.At(number);
  if (!entry.first_stale) return entry.first_seq;
  // The bound itself may be the message; NextOf asks here when it meets a stale bound, so ask from below it.
  const uint64_t bound = entry.first_seq;
  entry.first_seq = bound - 1;
  const uint64_t found = NextOf(number, bound);
  entry.first_seq = found != 0 ? found : bound;  // none: its messages are damaged
  entry.first_stale = found == 0;
  return entry.first_seq;
}

uint64_t MessageIndex::ExactLast(uint32_t number) {
  SubjectTable::Entry& entry = table_.At(number);
  if (!entry.last_stale) return entry.last_seq;
  const uint64_t bound = entry.last_seq;
  entry.last_seq = bound + 1;
  const uint64_t found = PreviousOf(number, bound);
  entry.last_seq = found != 0 ? found : bound;
  entry.last_stale = found == 0;
  return entry.last_seq;
}

uint64_t MessageIndex::Next(const Filters& filters, uint64_t from) {
  if (TakesAll(filters)) return live_.Next(from);
  if (filters.size() == 1 && IsLiteral(filters.front())) {
    const uint32_t number = table_.Find(filters.front());
    return number == 0 ? 0 : NextOf(number, from);
  }
  FilterView& view = ViewOf(filters);
  if (view.numbers().size() <= kFewSubjects) {
    uint64_t best = 0;
    for (const uint32_t number : view.numbers()) {
      if (!view.Matches(number) || table_.At(number).messages == 0) continue;
      const uint64_t seq = NextOf(number, from);
      if (seq != 0 && (best == 0 || seq < best)) best = seq;
    }
    return best;
  }
  for (size_t i = RunAtOrAfter(KeyOf(from)); i < runs_.size(); ++i) {
    const IndexRun& run = runs_[i];
    const SealedRun* form = view.Ready(run) ? nullptr : FormOf(run);
    const int found = view.Next(run, form, live_, run.key == KeyOf(from) ? PositionOf(from) : 0);
    if (found >= 0) return SeqOf(run.key, found);
    Tick(pace_, kRunOfViewUnits);
  }
  return 0;
}

uint64_t MessageIndex::Previous(const Filters& filters, uint64_t from) {
  if (TakesAll(filters)) return live_.Previous(from);
  if (filters.size() == 1 && IsLiteral(filters.front())) {
    const uint32_t number = table_.Find(filters.front());
    return number == 0 ? 0 : PreviousOf(number, from);
  }
  FilterView& view = ViewOf(filters);
  if (view.numbers().size() <= kFewSubjects) {
    uint64_t best = 0;
    for (const uint32_t number : view.numbers()) {
      if (!view.Matches(number) || table_.At(number).messages == 0) continue;
      best = std::max(best, PreviousOf(number, from));
    }
    return best;
  }
  for (size_t i = RunAtOrAfter(KeyOf(from) + 1); i-- > 0;) {
    const IndexRun& run = runs_[i];
    const SealedRun* form = view.Ready(run) ? nullptr : FormOf(run);
    const int found =
        view.Previous(run, form, live_, run.key == KeyOf(from) ? PositionOf(from) : LiveSet::kChunkSpan - 1);
    if (found >= 0) return SeqOf(run.key, found);
    Tick(pace_, kRunOfViewUnits);
  }
  return 0;
}

template <typename F>
void MessageIndex::ForEachMatch(const Filters& filters, F&& on_number) {
  if (TakesAll(filters)) {
    for (uint32_t number = 1; number < table_.end(); ++number) {
      if (number % kStride == 0) Tick(pace_, kStride);
      if (table_.At(number).messages > 0 && !on_number(number)) return;
    }
    return;
  }
  if (filters.size() == 1 && IsLiteral(filters.front())) {
    const uint32_t number = table_.Find(filters.front());
    if (number != 0) on_number(number);
    return;
  }
  FilterView& view = ViewOf(filters);
  for (size_t i = 0; i < view.numbers().size(); ++i) {
    const uint32_t number = view.numbers()[i];
    if (i % kStride == 0) Tick(pace_, kStride);
    if (view.Matches(number) && table_.At(number).messages > 0 && !on_number(number)) return;
  }
}

uint64_t MessageIndex::CountOf(uint32_t number, uint64_t from) {
  const SubjectTable::Entry& entry = table_.At(number);
  if (from <= entry.first_seq) return entry.messages;
  if (from > entry.last_seq) return 0;
  uint64_t count = 0;
  for (size_t i = RunAtOrAfter(KeyOf(from)); i < runs_.size(); ++i) {
    const IndexRun& run = runs_[i];
    if (SeqOf(run.key, 0) > entry.last_seq) break;
    if (run.sealed == nullptr && !run.open && !cold_->MayName(run, entry.subject())) continue;
    const SealedRun* form = FormOf(run);
    Tick(pace_, kRunUnits);
    count += run.Count(form, live_, number, run.key == KeyOf(from) ? PositionOf(from) : 0);
  }
  return count;
}

uint64_t MessageIndex::Count(const Filters& filters, uint64_t from, bool last_per_subject) {
  uint64_t count = 0;
  if (last_per_subject) {
    ForEachMatch(filters, [&](uint32_t number) {
      if (table_.At(number).last_seq >= from && ExactLast(number) >= from) ++count;
      return true;
    });
    return count;
  }
  if (TakesAll(filters)) return live_.CountFrom(from);
  const uint64_t first = live_.Next(1);
  if (from <= first) {
    ForEachMatch(filters, [&](uint32_t number) {
      count += table_.At(number).messages;
      return true;
    });
    return count;
  }
  if (filters.size() > 1 || !IsLiteral(filters.front())) {
    FilterView& view = ViewOf(filters);
    if (view.numbers().size() > kFewSubjects) {
      for (size_t i = RunAtOrAfter(KeyOf(from)); i < runs_.size(); ++i) {
        const IndexRun& run = runs_[i];
        const SealedRun* form = view.Ready(run) ? nullptr : FormOf(run);
        count += view.Count(run, form, live_, run.key == KeyOf(from) ? PositionOf(from) : 0);
        Tick(pace_, kRunOfViewUnits * 10);
      }
      return count;
    }
  }
  ForEachMatch(filters, [&](uint32_t number) {
    count += CountOf(number, from);
    return true;
  });
  return count;
}

std::optional<SubjectState> MessageIndex::FindSubject(std::string_view subject) {
  const uint32_t number = table_.Find(subject);
  if (number == 0) return std::nullopt;
  return SubjectState{table_.At(number).messages, ExactFirst(number), ExactLast(number)};
}

void MessageIndex::ForEachSubject(const Filters& filters,
                                  const std::function<bool(std::string_view subject, const SubjectState&)>& visit) {
  ForEachMatch(filters, [&](uint32_t number) {
    const SubjectState state{table_.At(number).messages, ExactFirst(number), ExactLast(number)};
    return visit(table_.At(number).subject(), state);
  });
}

// Run by run, so that each of them is read once.
std::vector<uint64_t> MessageIndex::OlderThanLast(uint64_t keep) {
  std::vector<uint64_t> seqs;
  std::vector<uint32_t> seen(table_.end(), 0);
  const auto look = [&](uint32_t number, uint64_t seq) {
    if (!live_.Contains(seq)) return;
    if (uint64_t{table_.At(number).messages} > keep + seen[number]++) seqs.push_back(seq);
  };
  for (const IndexRun& run : runs_) {
    const SealedRun* form = FormOf(run);
    uint64_t looked = 0;
    const auto pause = [&] {
      if (++looked % kStride != 0) return;
      Tick(pace_, kStride);
      if (!run.open) form = FormOf(run);
    };
    if (run.open) {
      for (uint32_t i = 0; i < run.appended; ++i, pause()) look(run.numbers[i], SeqOf(run.key, run.PositionOf(i)));
    } else if (form != nullptr && form->single() && !form->numbers.empty()) {
      const uint64_t end = SeqOf(run.key + 1, 0);
      for (uint64_t seq = live_.Next(SeqOf(run.key, 0)); seq != 0 && seq < end; seq = live_.Next(seq + 1), pause()) {
        look(form->numbers.front(), seq);
      }
    } else if (form != nullptr) {
      for (size_t i = 0; i < form->numbers.size(); ++i) {
        const uint32_t number = form->numbers[i];
        const uint32_t end = form->starts[i + 1];
        for (uint32_t p = form->starts[i]; p < end; ++p, pause()) look(number, SeqOf(run.key, form->positions[p]));
      }
    }
  }
  SortSequences(&seqs);
  return seqs;
}

void MessageIndex::SortSequences(std::vector<uint64_t>* seqs) const {
  RadixSort(seqs, 0, static_cast<int>(std::bit_width(live_.Previous(UINT64_MAX >> 1))), pace_);
}

std::vector<uint64_t> MessageIndex::LastPerSubject(const Filters& filters, uint64_t up_to, size_t max) {
  std::vector<uint64_t> seqs;
  seqs.reserve(std::min<size_t>(table_.count(), max));
  const uint64_t bound = up_to == 0 ? UINT64_MAX >> 1 : up_to;
  ForEachMatch(filters, [&](uint32_t number) {
    const uint64_t seq = PreviousOf(number, bound);
    if (seq != 0) seqs.push_back(seq);
    return true;
  });
  SortSequences(&seqs);
  if (max < SIZE_MAX && seqs.size() > max + 1) seqs.resize(max + 1);
  return seqs;
}

}  // namespace millrace
