// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/stream/message_ids.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "proto/base/check.h"
#include "store/varint.h"

namespace millrace {
namespace {

constexpr size_t kExpiredAtOnce = 1024;
constexpr Nanos kLookEvery = std::chrono::seconds(1);
constexpr char kVersion = 1;
constexpr char kComplete = 1;

using Ids = std::deque<SeenHeader>::const_iterator;

void AppendIds(Ids from, Ids end, std::string* out) {
  uint64_t seq = 0;
  int64_t time_ns = 0;
  for (; from != end; ++from) {
    out->append(reinterpret_cast<const char*>(&from->value.high), 8);
    out->append(reinterpret_cast<const char*>(&from->value.low), 8);
    AppendVarint(out, from->seq - seq);
    AppendVarint(out, ZigZag(from->time_ns - time_ns));
    seq = from->seq;
    time_ns = from->time_ns;
  }
}

// *complete becomes true if it says so. What cannot be read is left out: the store has looked for damage.
void ReadIds(std::string_view text, bool* complete, std::vector<SeenHeader>* ids) {
  if (text.size() < 2 || text[0] != kVersion) return;
  *complete = *complete || (text[1] & kComplete) != 0;
  text.remove_prefix(2);
  SeenHeader seen;
  uint64_t seq = 0;
  uint64_t time = 0;
  while (text.size() > 16) {
    std::memcpy(&seen.value.high, text.data(), 8);
    std::memcpy(&seen.value.low, text.data() + 8, 8);
    text.remove_prefix(16);
    if (!TakeVarint(&text, &seq) || !TakeVarint(&text, &time)) return;
    seen.seq += seq;
    seen.time_ns += UnZigZag(time);
    ids->push_back(seen);
  }
}

}  // namespace

MessageIds::MessageIds(JetStreamPort& port, ShardStore& store, StoreRecords& records, uint64_t stream_uid, bool kept)
    : port_(port), store_(store), records_(records), stream_uid_(stream_uid), kept_(kept) {
  timer_.Bind<&MessageIds::OnTimer>(this);
}

MessageIds::~MessageIds() {
  port_.timers().Cancel(&timer_);
  for (const Kept& kept : kept_in_) records_.Remove(kept.uid);
}

uint64_t MessageIds::Find(std::string_view id) {
  if (order_.empty()) return 0;
  Expire();
  const auto it = seqs_.find(HashHeader(id));
  if (it == seqs_.end()) return 0;
  // Expire does not always come as far.
  const auto at = FindSeq(it->second);
  const bool over = at != order_.end() && at->seq == it->second && port_.WallNs() - at->time_ns >= window_ns_;
  return over ? 0 : it->second;
}

void MessageIds::Add(std::string_view id, uint64_t seq, int64_t time_ns, InLog in_log) {
  if (window_ns_ <= 0) return;
  Append({HashHeader(id), seq, time_ns});
  if (in_log == InLog::kNo) KeepOutOfLog(seq);
}

void MessageIds::KeepOutOfLog(uint64_t seq) {
  const auto at = FindSeq(seq);
  MR_DCHECK(at == order_.end() || at->seq >= seq);
  if (!kept_ || at == order_.end() || at->seq != seq) return;
  MR_CHECK(!kept_in_.empty());
  std::string text{kVersion, 0};
  AppendIds(at, at + 1, &text);
  store_.PutConsumerState(kept_in_.back().uid, text);
}

std::deque<SeenHeader>::const_iterator MessageIds::FindSeq(uint64_t seq) const {
  return std::lower_bound(order_.begin(), order_.end(), seq,
                          [](const SeenHeader& seen, uint64_t wanted) { return seen.seq < wanted; });
}

void MessageIds::Append(const SeenHeader& seen) {
  MR_DCHECK(order_.empty() || order_.back().seq < seen.seq);
  seqs_[seen.value] = seen.seq;
  order_.push_back(seen);
  if (!timer_.armed()) Arm(Nanos{window_ns_});
  if (!kept_) return;
  Kept& kept = OpenRecord();
  MR_DCHECK(!kept.closed && kept.taken < kIdsPerRecord);
  ++kept.ids;
  kept.closed = ++kept.taken >= kIdsPerRecord;
  if (!kept.changed) Touch(&kept);
}

MessageIds::Kept& MessageIds::OpenRecord() {
  if (kept_in_.empty() || kept_in_.back().closed) [[unlikely]]
    kept_in_.push_back(NewRecord());
  return kept_in_.back();
}

MessageIds::Kept MessageIds::NewRecord() {
  Kept kept;
  Lsn lsn = 0;
  kept.uid = store_.CreateConsumer(stream_uid_, kIdsRecord, &lsn);
  records_.Add(kept.uid, this);
  return kept;
}

// The next checkpoint writes it.
void MessageIds::Touch(Kept* kept) {
  kept->changed = true;
  store_.TouchConsumer(kept->uid);
}

// False: more is over than it took.
bool MessageIds::Expire() {
  const int64_t now_ns = port_.WallNs();
  for (size_t i = 0; !order_.empty() && now_ns - order_.front().time_ns >= window_ns_; ++i) {
    if (i == kExpiredAtOnce) return false;
    const SeenHeader& oldest = order_.front();
    const auto it = seqs_.find(oldest.value);
    if (it != seqs_.end() && it->second == oldest.seq) seqs_.erase(it);
    order_.pop_front();
    if (!kept_) continue;
    const auto has_ids = [](const Kept& kept) { return kept.ids > 0; };
    const auto holder = std::find_if(kept_in_.begin(), kept_in_.end(), has_ids);
    MR_CHECK(holder != kept_in_.end());
    if (--holder->ids == 0) DeleteRecords();
  }
  return true;
}

void MessageIds::DeleteRecords() {
  const uint64_t oldest = order_.empty() ? UINT64_MAX : order_.front().seq;
  while (!kept_in_.empty() && kept_in_.front().ids == 0 && kept_in_.front().hold_seq < oldest) {
    if (kept_in_.front().found) {
      MR_CHECK(found_unwritten_ > 0);
      --found_unwritten_;
    }
    records_.Remove(kept_in_.front().uid);
    store_.DeleteConsumer(kept_in_.front().uid);
    kept_in_.pop_front();
  }
}

void MessageIds::OnTimer() {
  if (!Expire()) return Arm(Nanos{0});
  if (order_.empty()) return;
  const int64_t left_ns = order_.front().time_ns + window_ns_ - port_.WallNs();
  Arm(std::max({Nanos{left_ns}, Nanos{window_ns_ / 8}, kLookEvery}));
}

void MessageIds::Arm(Nanos in) { port_.timers().Arm(&timer_, port_.Now() + in); }

// ---- after a start -------------------------------------------------------------------------------------------------

void MessageIds::Restore(const std::vector<Record>& records, std::vector<SeenHeader> logged) {
  MR_CHECK(order_.empty() && kept_in_.empty() && !complete_);
  struct Part {
    Kept kept;
    std::vector<SeenHeader> ids;
    uint64_t first_seq() const { return ids.empty() ? 0 : ids.front().seq; }
  };
  std::vector<Part> parts;
  for (const Record& record : records) {
    Part& part = parts.emplace_back();
    part.kept.uid = record.uid;
    part.kept.closed = true;
    ReadIds(record.state, &complete_, &part.ids);
    bool ignored = false;
    for (const std::string& delta : record.deltas) ReadIds(delta, &ignored, &logged);
    // What it was to have stands in the log, in the deltas maybe: until the records below are written.
    part.kept.hold_seq = part.ids.empty() || !record.deltas.empty() ? 1 : 0;
  }
  std::sort(parts.begin(), parts.end(), [](const Part& a, const Part& b) { return a.first_seq() < b.first_seq(); });
  for (Part& part : parts) {
    for (const SeenHeader& seen : part.ids) {
      if (!order_.empty() && seen.seq <= order_.back().seq) continue;
      seqs_[seen.value] = seen.seq;
      order_.push_back(seen);
      ++part.kept.ids;
    }
    records_.Add(part.kept.uid, this);
    kept_in_.push_back(part.kept);
  }
  // What no record has stands in new ones from now on.
  std::sort(logged.begin(), logged.end(), [](const SeenHeader& a, const SeenHeader& b) { return a.seq < b.seq; });
  const int64_t over_ns = port_.WallNs() - window_ns_;
  for (const SeenHeader& seen : logged) {
    if (seen.time_ns > over_ns && (order_.empty() || seen.seq > order_.back().seq)) Append(seen);
  }
  for (Kept& kept : kept_in_) {
    if (kept.hold_seq > 0) kept.hold_seq = order_.empty() ? 0 : order_.back().seq;
  }
  if (order_.empty()) return DeleteRecords();
  if (!timer_.armed()) Arm(kLookEvery);
}

void MessageIds::EncodeRecord(uint64_t uid, std::string* out) {
  auto from = order_.cbegin();
  for (Kept& kept : kept_in_) {
    MR_CHECK_OP(kept.ids, <=, order_.cend() - from);
    const auto end = from + kept.ids;
    if (kept.uid == uid) {
      kept.changed = false;
      if (std::exchange(kept.found, false)) --found_unwritten_;
      *out = {kVersion, complete_ && found_unwritten_ == 0 ? kComplete : char{0}};
      return AppendIds(from, end, out);
    }
    from = end;
  }
}

// They are older than what is known, or known. The newest first: each record goes in front of the others.
void MessageIds::AddFound(const std::vector<SeenHeader>& found) {
  MR_CHECK(!complete_);
  complete_ = true;
  size_t end = found.size();
  while (end > 0 && !order_.empty() && found[end - 1].seq >= order_.front().seq) --end;
  while (end > 0) {
    const size_t begin = kept_ && end > kIdsPerRecord ? end - kIdsPerRecord : 0;
    for (size_t i = end; i-- > begin;) {
      seqs_.try_emplace(found[i].value, found[i].seq);
      order_.push_front(found[i]);
    }
    if (kept_) {
      Kept kept = NewRecord();
      MR_CHECK_OP(end - begin, <=, kIdsPerRecord);
      kept.ids = static_cast<uint32_t>(end - begin);
      kept.closed = true;
      kept.found = true;
      ++found_unwritten_;
      Touch(&kept);
      kept_in_.push_front(kept);
    }
    end = begin;
  }
  if (!order_.empty() && !timer_.armed()) Arm(kLookEvery);
}

}  // namespace millrace
