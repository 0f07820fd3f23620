// SPDX-License-Identifier: Apache-2.0
// IndexRun: see index_run.h.
#include "store/index/index_run.h"

#include <algorithm>
#include <bit>

#include "proto/base/check.h"
#include "store/index/radix_sort.h"

namespace millrace {
namespace {

// How far Next and Previous look at each message before they follow the subject's chain: a subject that is not met
// within
// so many has few messages in the run, and its chain is short.
constexpr uint32_t kScan = 256;
constexpr uint32_t kStride = 4096;  // messages between two pauses

}  // namespace

void IndexRun::Append(uint16_t position, uint32_t number, SubjectTable::Entry* entry) {
  MR_DCHECK(open && appended < LiveSet::kChunkSpan);
  MR_DCHECK(appended == 0 || PositionOf(appended - 1) < position);
  const auto ordinal = static_cast<uint16_t>(appended);
  if (appended == 0) {
    first_position = position;
  } else if (positions.empty() && position != first_position + appended) {
    positions.reserve(appended * 2);
    for (uint32_t i = 0; i < appended; ++i) positions.push_back(static_cast<uint16_t>(first_position + i));
  }
  if (!positions.empty()) positions.push_back(position);
  const auto run = static_cast<uint32_t>(key);
  const bool chained = entry->messages > 0 && entry->tail_run == run;
  numbers.push_back(number);
  before.push_back(chained ? entry->tail_ordinal : ordinal);
  entry->tail_run = run;
  entry->tail_ordinal = ordinal;
  ++appended;
  ++named;
}

uint32_t IndexRun::OrdinalAtOrAfter(uint32_t position) const {
  if (positions.empty()) {
    return position <= first_position ? 0 : std::min<uint32_t>(position - first_position, appended);
  }
  if (position >= LiveSet::kChunkSpan) return appended;
  return static_cast<uint32_t>(
      std::lower_bound(positions.begin(), positions.end(), static_cast<uint16_t>(position)) - positions.begin());
}

std::unique_ptr<SealedRun> IndexRun::Sorted(const LiveSet& live, uint32_t* count, Pace* pace) const {
  MR_CHECK(open);
  std::vector<uint64_t> keys;
  keys.reserve(appended);
  uint32_t highest = 0;
  bool one = true;
  for (uint32_t i = 0; i < appended; ++i) {
    const uint16_t position = PositionOf(i);
    if (i % kStride == 0) Tick(pace, kStride / 16);
    if (!Live(live, position)) continue;
    highest = std::max(highest, numbers[i]);
    one = one && (keys.empty() || keys.front() >> 16 == numbers[i]);
    keys.push_back(uint64_t{numbers[i]} << 16 | position);
  }
  *count = static_cast<uint32_t>(keys.size());
  auto form = std::make_unique<SealedRun>();
  if (one) {
    if (!keys.empty()) form->numbers.push_back(static_cast<uint32_t>(keys.front() >> 16));
    return form;
  }
  RadixSort(&keys, 16, 16 + static_cast<int>(std::bit_width(highest)), pace);  // they are in order of position
  size_t unique = 1;
  for (size_t i = 1; i < keys.size(); ++i) unique += keys[i] >> 16 != keys[i - 1] >> 16 ? 1 : 0;
  form->numbers.reserve(unique);
  form->starts.reserve(unique + 1);
  form->positions.reserve(keys.size());
  for (const uint64_t sorted : keys) {
    const auto number = static_cast<uint32_t>(sorted >> 16);
    if (form->numbers.empty() || form->numbers.back() != number) {
      form->numbers.push_back(number);
      form->starts.push_back(static_cast<uint32_t>(form->positions.size()));
    }
    form->positions.push_back(static_cast<uint16_t>(sorted));
    if (form->positions.size() % kStride == 0) Tick(pace, kStride / 16);
  }
  form->starts.push_back(static_cast<uint32_t>(form->positions.size()));
  return form;
}

void IndexRun::Seal(const LiveSet& live, Pace* pace) {
  sealed = Sorted(live, &named, pace);
  open = false;
  numbers = {};
  before = {};
  positions = {};
}

void IndexRun::DropRemoved(const LiveSet& live) {
  MR_CHECK(!open && sealed != nullptr);
  auto kept = std::make_unique<SealedRun>();
  if (sealed->single()) {
    named = live.CountInChunk(key);
    return;
  }
  for (size_t i = 0; i < sealed->numbers.size(); ++i) {
    const size_t start = kept->positions.size();
    for (uint32_t p = sealed->starts[i]; p < sealed->starts[i + 1]; ++p) {
      if (Live(live, sealed->positions[p])) kept->positions.push_back(sealed->positions[p]);
    }
    if (kept->positions.size() == start) continue;
    kept->numbers.push_back(sealed->numbers[i]);
    kept->starts.push_back(static_cast<uint32_t>(start));
  }
  kept->starts.push_back(static_cast<uint32_t>(kept->positions.size()));
  kept->numbers.shrink_to_fit();
  kept->starts.shrink_to_fit();
  kept->positions.shrink_to_fit();
  named = static_cast<uint32_t>(kept->positions.size());
  sealed = std::move(kept);
}

int IndexRun::Next(const SealedRun* form, const LiveSet& live, uint32_t number, const SubjectTable::Entry& entry,
              uint32_t position) const {
  if (!open) {
    if (form == nullptr) return kNone;
    const auto found = std::lower_bound(form->numbers.begin(), form->numbers.end(), number);
    if (found == form->numbers.end() || *found != number) return kNone;
    if (form->single()) {
      const uint64_t seq = live.Next((key << LiveSet::kChunkBits) + position);
      return seq != 0 && seq >> LiveSet::kChunkBits == key ? static_cast<uint16_t>(seq) : kNone;
    }
    const auto i = static_cast<size_t>(found - form->numbers.begin());
    const uint16_t* end = form->positions.data() + form->starts[i + 1];
    const uint16_t* at = std::lower_bound(form->positions.data() + form->starts[i], end, position);
    while (at != end && !Live(live, *at)) ++at;
    return at == end ? kNone : *at;
  }
  uint32_t ordinal = OrdinalAtOrAfter(position);
  const uint32_t scan_end = std::min(appended, ordinal + kScan);
  const uint32_t* at = numbers.data();
  for (; ordinal + 8 <= scan_end; ordinal += 8) {
    uint32_t any = 0;
    for (uint32_t k = 0; k < 8; ++k) any |= at[ordinal + k] == number ? 1u << k : 0u;
    for (; any != 0; any &= any - 1) {
      const uint16_t where = PositionOf(ordinal + static_cast<uint32_t>(std::countr_zero(any)));
      if (Live(live, where)) return where;
    }
  }
  for (; ordinal < scan_end; ++ordinal) {
    if (at[ordinal] == number && Live(live, PositionOf(ordinal))) return PositionOf(ordinal);
  }
  if (ordinal == appended || entry.tail_run != static_cast<uint32_t>(key)) return kNone;
  int best = kNone;
  for (uint32_t i = entry.tail_ordinal; i >= ordinal;) {
    if (Live(live, PositionOf(i))) best = PositionOf(i);
    if (before[i] == i) break;
    i = before[i];
  }
  return best;
}

int IndexRun::Previous(const SealedRun* form, const LiveSet& live, uint32_t number, const SubjectTable::Entry& entry,
                  uint32_t position) const {
  if (!open) {
    if (form == nullptr) return kNone;
    const auto found = std::lower_bound(form->numbers.begin(), form->numbers.end(), number);
    if (found == form->numbers.end() || *found != number) return kNone;
    if (form->single()) {
      const uint64_t seq = live.Previous((key << LiveSet::kChunkBits) + position);
      return seq != 0 && seq >> LiveSet::kChunkBits == key ? static_cast<uint16_t>(seq) : kNone;
    }
    const auto i = static_cast<size_t>(found - form->numbers.begin());
    const uint16_t* begin = form->positions.data() + form->starts[i];
    const uint16_t* at = std::upper_bound(begin, form->positions.data() + form->starts[i + 1], position);
    while (at != begin && !Live(live, at[-1])) --at;
    return at == begin ? kNone : at[-1];
  }
  uint32_t end = OrdinalAtOrAfter(position + 1);
  for (uint32_t n = 0; n < kScan && end > 0; ++n, --end) {
    if (numbers[end - 1] == number && Live(live, PositionOf(end - 1))) return PositionOf(end - 1);
  }
  if (end == 0 || entry.tail_run != static_cast<uint32_t>(key)) return kNone;
  for (uint32_t i = entry.tail_ordinal;; i = before[i]) {
    if (i < end && Live(live, PositionOf(i))) return PositionOf(i);
    if (before[i] == i) return kNone;
  }
}

uint32_t IndexRun::Count(const SealedRun* form, const LiveSet& live, uint32_t number, uint32_t position) const {
  uint32_t count = 0;
  if (!open) {
    if (form == nullptr) return 0;
    const auto found = std::lower_bound(form->numbers.begin(), form->numbers.end(), number);
    if (found == form->numbers.end() || *found != number) return 0;
    if (form->single()) {
      const uint64_t begin = (key << LiveSet::kChunkBits);
      return static_cast<uint32_t>(live.CountFrom(begin + position) - live.CountFrom(begin + LiveSet::kChunkSpan));
    }
    const auto i = static_cast<size_t>(found - form->numbers.begin());
    const uint16_t* end = form->positions.data() + form->starts[i + 1];
    const uint16_t* at = std::lower_bound(form->positions.data() + form->starts[i], end, position);
    if (live.CountInChunk(key) == named) return static_cast<uint32_t>(end - at);
    for (; at != end; ++at) count += Live(live, *at) ? 1 : 0;
    return count;
  }
  const bool all_live = live.CountInChunk(key) == named;
  for (uint32_t i = OrdinalAtOrAfter(position); i < appended; ++i) {
    if (numbers[i] == number && (all_live || Live(live, PositionOf(i)))) ++count;
  }
  return count;
}

uint32_t IndexRun::NumberAt(const SealedRun* form, uint16_t position) const {
  if (open) {
    const uint32_t ordinal = OrdinalAtOrAfter(position);
    return ordinal < appended && PositionOf(ordinal) == position ? numbers[ordinal] : 0;
  }
  if (form == nullptr || form->numbers.empty()) return 0;
  if (form->single()) return form->numbers.front();
  for (size_t i = 0; i < form->numbers.size(); ++i) {
    const uint16_t* end = form->positions.data() + form->starts[i + 1];
    const uint16_t* at = std::lower_bound(form->positions.data() + form->starts[i], end, position);
    if (at != end && *at == position) return form->numbers[i];
  }
  return 0;
}

size_t IndexRun::memory_bytes() const {
  return 4 * numbers.capacity() + 2 * (before.capacity() + positions.capacity()) +
         (sealed == nullptr ? 0 : sealed->memory_bytes());
}

}  // namespace millrace
