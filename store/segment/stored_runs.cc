// SPDX-License-Identifier: Apache-2.0
#include "store/segment/stored_runs.h"

#include <utility>

#include "proto/base/check.h"

namespace millrace {
namespace {

constexpr size_t kCachedRunsMax = 4;

}  // namespace

size_t StoredRuns::AtOrAfter(uint64_t key) const {
  const auto at = std::lower_bound(runs_.begin(), runs_.end(), key,
                                   [](const StoredRun& run, uint64_t wanted) { return run.key < wanted; });
  return static_cast<size_t>(at - runs_.begin());
}

StoredRun* StoredRuns::Find(uint64_t key) {
  const size_t i = AtOrAfter(key);
  return i < runs_.size() && runs_[i].key == key ? &runs_[i] : nullptr;
}

bool StoredRuns::Read(const StoredRun& run, std::string* bytes) { return store_.ReadBlob(run.extent, bytes); }

void StoredRuns::Adopt(std::vector<StoredRun> runs) {
  MR_CHECK(runs_.empty());
  runs_ = std::move(runs);
  for (const StoredRun& run : runs_) {
    store_.files().AdoptPlace(owner_.stream_uid, run.extent, run.extent.bytes);
  }
}

void StoredRuns::Write(StoredRun* run, std::string_view bytes) {
  run->written = false;
  run->bad = false;
  run->tag = next_tag_++;
  const uint64_t key = run->key;
  const Extent extent = store_.WriteBlob(&owner_, run->tag, bytes);
  // During recovery the write is over by now, and told with an extent that was not known here yet.
  const size_t i = AtOrAfter(key);
  if (i == runs_.size() || runs_[i].key != key) return;
  runs_[i].extent = extent;
  if (extent.file == 0) runs_.erase(runs_.begin() + static_cast<ptrdiff_t>(i));
}

void StoredRuns::Put(StoredRun run, std::string_view bytes) {
  MR_CHECK(run.through > 0 && run.through <= LiveSet::kChunkSpan);
  Drop(run.key);
  const size_t i = AtOrAfter(run.key);
  runs_.insert(runs_.begin() + static_cast<ptrdiff_t>(i), std::move(run));
  Write(&runs_[i], bytes);
}

StoredRun* StoredRuns::OnWritten(uint64_t tag, bool ok) {
  for (size_t i = runs_.size(); i-- > 0;) {
    if (runs_[i].tag != tag || runs_[i].written) continue;
    runs_[i].written = ok;
    if (ok) return &runs_[i];
    runs_.erase(runs_.begin() + static_cast<ptrdiff_t>(i));
    return nullptr;
  }
  return nullptr;
}

void StoredRuns::DropAt(size_t index) {
  MR_CHECK_OP(index, <, runs_.size());
  if (runs_[index].extent.file != 0) store_.ReleaseBlob(&owner_, runs_[index].extent);
  runs_.erase(runs_.begin() + static_cast<ptrdiff_t>(index));
}

void StoredRuns::Drop(uint64_t key) {
  const size_t i = AtOrAfter(key);
  if (i < runs_.size() && runs_[i].key == key) DropAt(i);
}

void StoredRuns::DropAll() {
  while (!runs_.empty()) DropAt(runs_.size() - 1);
}

uint64_t StoredRuns::MoveOut(uint32_t from, bool* moved) {
  *moved = false;
  for (StoredRun& run : runs_) {
    if (run.extent.file != from || !run.good()) continue;
    std::string bytes;
    if (!Read(run, &bytes)) {
      run.bad = true;
      return run.extent.bytes;
    }
    store_.ReleaseBlob(&owner_, run.extent);
    Write(&run, bytes);
    *moved = true;
    return bytes.size();
  }
  return 0;
}

void StoredRuns::ForgetFilters() {
  for (StoredRun& run : runs_) run.filter.Clear();
}

// --- the scrub

bool StoredRuns::NextGood(uint64_t* key, Extent* extent) const {
  for (size_t i = AtOrAfter(*key); i < runs_.size(); ++i) {
    if (!runs_[i].good()) continue;
    *extent = runs_[i].extent;
    *key = runs_[i].key + 1;
    return true;
  }
  return false;
}

bool StoredRuns::HasGoodAt(const Extent& extent) const {
  return std::any_of(runs_.begin(), runs_.end(),
                     [&extent](const StoredRun& run) { return run.good() && run.IsAt(extent); });
}

void StoredRuns::OnDamaged(const Extent& extent) {
  for (StoredRun& run : runs_) {
    if (run.IsAt(extent)) run.bad = true;
  }
}

// --- sealed forms in memory

SealedRun* StoredRuns::Cached(uint64_t key) {
  for (size_t i = 0; i < cached_.size(); ++i) {
    if (cached_[i]->key != key) continue;
    const auto at = cached_.begin() + static_cast<ptrdiff_t>(i);
    std::rotate(cached_.begin(), at, at + 1);
    return &cached_.front()->form;
  }
  return nullptr;
}

SealedRun* StoredRuns::Cache(uint64_t key, SealedRun form) {
  if (cached_.size() >= kCachedRunsMax) cached_.pop_back();
  cached_.insert(cached_.begin(), std::make_unique<CachedRun>(CachedRun{key, std::move(form)}));
  return &cached_.front()->form;
}

void StoredRuns::ForgetCached(uint64_t key) {
  std::erase_if(cached_, [key](const auto& cached) { return cached->key == key; });
}

size_t StoredRuns::memory_bytes() const {
  size_t bytes = 0;
  for (const StoredRun& run : runs_) bytes += sizeof run + run.filter.memory_bytes();
  for (const auto& cached : cached_) bytes += cached->form.memory_bytes();
  return bytes;
}

void StoredRuns::Invariant() const {
  for (size_t i = 0; i < runs_.size(); ++i) {
    const StoredRun& run = runs_[i];
    MR_CHECK(i == 0 || runs_[i - 1].key < run.key);
    MR_CHECK(run.extent.file != 0 && run.through > 0 && run.through <= LiveSet::kChunkSpan);
    MR_CHECK(run.written || (run.tag > 0 && run.tag < next_tag_));
  }
  MR_CHECK_OP(cached_.size(), <=, kCachedRunsMax);
}

}  // namespace millrace
