// SPDX-License-Identifier: Apache-2.0
// Twin: random changes to a StreamLog and to the naive one, and every question of the interface asked of both.
// Owner:  caller (pure).
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "store/segment/block_log.h"
#include "store/stream_log.h"
#include "tests/proto/seeded.h"
#include "tests/store/naive_stream_log.h"

namespace millrace {

// What the messages of a stream are like, and what happens to them.
struct TwinShape {
  const char* name = "";
  size_t subjects = 1;
  size_t live_max = 2000;       // trimmed or purged down from here
  size_t per_subject_max = 0;   // KV: older ones of the subject are removed; 0: no bound
  uint32_t remove_one_in = 0;   // removes a random message
  uint32_t gap_one_in = 0;      // skips sequences before an append
  uint64_t gap_max = 10;
  uint32_t purge_one_in = 0;
  size_t payload_max = 60;
  uint32_t large_one_in = 0;    // a payload of up to ten blocks
  uint32_t erase_one_in = 0;
};

class StreamLogTwin {
 public:
  StreamLogTwin(StreamLog* log, const TwinShape& shape, uint64_t seed)
      : log_(log), shape_(shape), naive_(log->options().memory), random_(seed) {}

  void Replace(StreamLog* log) { log_ = log; }
  // Asks again what said kPending: waits for the disk.
  void set_wait(std::function<void()> wait) { wait_ = std::move(wait); }
  const NaiveStreamLog& naive() const { return naive_; }

  void Change() {
    if (shape_.purge_one_in != 0 && random_.OneIn(shape_.purge_one_in)) {
      log_->Purge();
      naive_.Purge();
    }
    if (shape_.remove_one_in != 0 && random_.OneIn(shape_.remove_one_in)) RemoveSome();
    Append();
    const auto& messages = naive_.messages();
    if (messages.size() > shape_.live_max) Trim();
  }

  void Ask() {
    const Filters filters = RandomFilters();
    const uint64_t from = RandomSeq();
    switch (random_.Below(11)) {
      case 0:
        ASSERT_EQ(log_->Next(filters, from), naive_.Next(filters, from)) << Name(filters) << " from " << from;
        break;
      case 1:
        ASSERT_EQ(log_->Previous(filters, from), naive_.Previous(filters, from)) << Name(filters) << " from " << from;
        break;
      case 2: {
        const bool last = random_.OneIn(2);
        ASSERT_EQ(log_->Count(filters, from, last), naive_.Count(filters, from, last))
            << Name(filters) << " from " << from << (last ? " last" : "");
        break;
      }
      case 3:
        AskSubject(Subject());
        break;
      case 4: {
        const size_t max = random_.OneIn(3) ? random_.Below(20) : SIZE_MAX;
        const uint64_t up_to = random_.OneIn(2) ? 0 : from;
        ASSERT_EQ(log_->LastPerSubject(filters, up_to, max), naive_.LastPerSubject(filters, up_to, max))
            << Name(filters) << " up to " << up_to;
        break;
      }
      case 5: {
        const int64_t time = now_ - static_cast<int64_t>(random_.Below(4000)) + 50;
        ASSERT_EQ(log_->FirstAtOrAfter(time), naive_.FirstAtOrAfter(time));
        break;
      }
      case 6:
        ASSERT_EQ(log_->Deleted(50), naive_.Deleted(50));
        break;
      case 7: {
        if (!random_.OneIn(10)) break;  // it looks at everything
        const uint64_t keep = random_.Below(4);
        ASSERT_EQ(log_->OlderThanLast(keep), naive_.OlderThanLast(keep)) << keep;
        break;
      }
      case 8: {
        const StreamLogState state = naive_.State();
        const uint64_t messages = random_.OneIn(2) ? UINT64_MAX : random_.Below(state.messages + 2);
        const uint64_t bytes = random_.OneIn(2) ? UINT64_MAX : random_.Below(state.bytes + 2);
        ASSERT_EQ(log_->FirstWithin(messages, bytes), naive_.FirstWithin(messages, bytes)) << messages << " " << bytes;
        break;
      }
      default:
        AskMessage(from);
    }
  }

  void AskSubject(const std::string& subject) {
    const auto all = naive_.Subjects({subject});
    const auto found = log_->FindSubject(subject);
    ASSERT_EQ(found.has_value(), !all.empty()) << subject;
    if (all.empty()) return;
    const SubjectState& expected = all.begin()->second;
    ASSERT_EQ(found->messages, expected.messages) << subject;
    ASSERT_EQ(found->first_seq, expected.first_seq) << subject;
    ASSERT_EQ(found->last_seq, expected.last_seq) << subject;
  }

  void AskMessage(uint64_t seq) {
    const NaiveStreamLog::Message* expected = naive_.Load(seq);
    StoredMessage m;
    LoadStatus status = log_->Load(seq, &m);
    while (status == LoadStatus::kPending && wait_ != nullptr) {
      wait_();
      status = log_->Load(seq, &m);
    }
    ASSERT_EQ(status, expected == nullptr ? LoadStatus::kAbsent : LoadStatus::kFound) << seq;
    if (expected == nullptr) return;
    ASSERT_EQ(m.seq, seq);
    ASSERT_EQ(m.time_ns, expected->time_ns);
    ASSERT_EQ(m.subject, expected->subject);
    ASSERT_EQ(m.header_bytes, expected->header_bytes);
    ASSERT_TRUE(m.payload == expected->payload) << seq;
  }

  // Everything, once.
  void AskAll() {
    AskState();
    const auto expected = naive_.Subjects({});
    std::map<std::string, SubjectState> found;
    log_->ForEachSubject({}, [&](std::string_view subject, const SubjectState& s) {
      found.emplace(std::string(subject), s);
      return true;
    });
    ASSERT_EQ(found.size(), expected.size());
    for (const auto& [subject, s] : expected) {
      ASSERT_TRUE(found.contains(subject)) << subject;
      ASSERT_EQ(found[subject].messages, s.messages) << subject;
      ASSERT_EQ(found[subject].first_seq, s.first_seq) << subject;
      ASSERT_EQ(found[subject].last_seq, s.last_seq) << subject;
    }
    uint64_t seq = 1;
    for (const auto& [live, message] : naive_.messages()) {
      ASSERT_EQ(log_->Next({}, seq), live);
      AskMessage(live);
      if (testing::Test::HasFatalFailure()) return;
      seq = live + 1;
    }
    ASSERT_EQ(log_->Next({}, seq), 0u);
  }

  void AskState() {
    dynamic_cast<const BlockLog&>(*log_).Invariant();
    const StreamLogState s = log_->state();
    const StreamLogState e = naive_.State();
    ASSERT_EQ(s.messages, e.messages);
    ASSERT_EQ(s.bytes, e.bytes);
    ASSERT_EQ(s.first_seq, e.first_seq);
    ASSERT_EQ(s.first_time_ns, e.first_time_ns);
    ASSERT_EQ(s.last_seq, e.last_seq);
    ASSERT_EQ(s.last_time_ns, e.last_time_ns);
    ASSERT_EQ(s.subjects, e.subjects);
    ASSERT_EQ(s.deleted(), e.deleted());
  }

 private:
  std::string Subject() {
    const uint64_t n = random_.Below(shape_.subjects);
    std::string subject = "t" + std::to_string(n % 3) + "." + std::to_string(n / 3 % 10) + ".s" + std::to_string(n);
    if (n % 7 == 0) subject += ".a-long-tail-that-does-not-fit-in-the-entry-of-the-table";
    return subject;
  }

  Filters RandomFilters() {
    switch (random_.Below(8)) {
      case 0:
        return {};
      case 1:
        return {">"};
      case 2:
        return {Subject()};
      case 3:
        return {"t1.>"};
      case 4:
        return {"*." + std::to_string(random_.Below(10)) + ".>"};
      case 5:
        return {"t0.*.*", "t2.5.>"};
      case 6:
        return {Subject(), "none"};
      default:
        return {"t2." + std::to_string(random_.Below(10)) + ".*"};
    }
  }

  uint64_t RandomSeq() {
    const auto& messages = naive_.messages();
    const uint64_t first = messages.empty() ? naive_.last_seq() : messages.begin()->first;
    const uint64_t span = naive_.last_seq() - std::min(first, naive_.last_seq()) + 3;
    const uint64_t low = first > 1 ? first - 1 : 1;
    return low + random_.Below(span);
  }

  void Append() {
    uint64_t seq = naive_.last_seq() + 1;
    if (shape_.gap_one_in != 0 && random_.OneIn(shape_.gap_one_in)) {
      seq += random_.Below(shape_.gap_max) + 1;
      if (random_.OneIn(2)) {
        log_->SkipTo(seq - 1);
        naive_.SkipTo(seq - 1);
      }
    }
    now_ += static_cast<int64_t>(random_.Below(3));
    if (random_.OneIn(500)) now_ -= 20;  // a clock that steps back
    StoredMessage m;
    m.seq = seq;
    m.time_ns = now_;
    const std::string subject = Subject();
    m.subject = subject;
    size_t size = random_.Below(shape_.payload_max + 1);
    if (shape_.large_one_in != 0 && random_.OneIn(shape_.large_one_in)) {
      size = random_.Below(10 * log_->options().block_bytes);
    }
    std::string payload(size, static_cast<char>('a' + seq % 26));
    for (size_t i = 0; i + 8 <= size && i < 64; i += 8) {
      const uint64_t word = random_.Next();
      std::memcpy(payload.data() + i, &word, 8);
    }
    m.payload = payload;
    m.header_bytes = static_cast<uint32_t>(random_.OneIn(3) ? random_.Below(size + 1) : 0);
    log_->Append(m);
    naive_.Append(m);
    if (shape_.per_subject_max == 0) return;
    while (true) {
      const auto state = log_->FindSubject(subject);
      if (!state.has_value() || state->messages <= shape_.per_subject_max) break;
      log_->Remove(state->first_seq, StreamLog::Erase::kNo);
      naive_.Remove(state->first_seq);
    }
  }

  void RemoveSome() {
    if (random_.OneIn(10)) {
      std::vector<uint64_t> seqs;
      for (uint64_t i = random_.Below(20); i > 0; --i) seqs.push_back(RandomSeq());
      log_->RemoveMany(seqs);
      for (const uint64_t seq : seqs) naive_.Remove(seq);
      return;
    }
    const uint64_t seq = RandomSeq();
    const bool erase = shape_.erase_one_in != 0 && random_.OneIn(shape_.erase_one_in);
    log_->Remove(seq, erase ? StreamLog::Erase::kYes : StreamLog::Erase::kNo);
    naive_.Remove(seq);
  }

  void Trim() {
    const auto& messages = naive_.messages();
    switch (random_.Below(200)) {
      case 0: {
        auto at = messages.begin();
        std::advance(at, static_cast<ptrdiff_t>(random_.Below(messages.size())));
        const uint64_t seq = at->first + random_.Below(2);
        log_->TrimBelow(seq);
        naive_.TrimBelow(seq);
        break;
      }
      case 1:
        if (random_.OneIn(10)) {
          const uint64_t seq = naive_.last_seq() + random_.Below(3);
          log_->TrimBelow(seq);
          naive_.TrimBelow(seq);
          break;
        }
        [[fallthrough]];
      default: {
        const uint64_t seq = messages.begin()->first;
        log_->TrimBelow(seq + 1);
        naive_.TrimBelow(seq + 1);
      }
    }
  }

  static std::string Name(const Filters& filters) {
    std::string name = "{";
    for (const std::string& filter : filters) name += filter + " ";
    return name + "}";
  }

  StreamLog* log_;
  TwinShape shape_;
  NaiveStreamLog naive_;
  SeededRandom random_;
  std::function<void()> wait_;
  int64_t now_ = 1'700'000'000'000'000'000;
};

// Shapes that every kind of StreamLog has to pass.
inline std::vector<TwinShape> TwinShapes() {
  return {
      {.name = "OneSubject", .subjects = 1, .live_max = 3000},
      {.name = "ManySubjects", .subjects = 500, .live_max = 3000, .remove_one_in = 10},
      {.name = "KeyValue", .subjects = 300, .live_max = 100000, .per_subject_max = 1, .remove_one_in = 50},
      {.name = "History", .subjects = 100, .live_max = 100000, .per_subject_max = 5, .remove_one_in = 50},
      {.name = "Queue", .subjects = 20, .live_max = 500, .remove_one_in = 1},
      {.name = "Gaps", .subjects = 50, .live_max = 2000, .remove_one_in = 20, .gap_one_in = 10, .gap_max = 2000},
      {.name = "Purges", .subjects = 30, .live_max = 1000, .remove_one_in = 20, .gap_one_in = 100,
       .purge_one_in = 2000},
      {.name = "Large", .subjects = 5, .live_max = 100, .remove_one_in = 20, .large_one_in = 10},
      {.name = "Erasing", .subjects = 50, .live_max = 1000, .remove_one_in = 5, .erase_one_in = 3},
      {.name = "UniqueSubjects", .subjects = 1u << 30, .live_max = 2000, .remove_one_in = 3},
  };
}

}  // namespace millrace
