// SPDX-License-Identifier: Apache-2.0
// Naive stream log: the twin of StreamLog, on a map of messages, as the interface reads.
// Owner:  caller (pure).
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "proto/subject.h"
#include "store/stream_log.h"

namespace millrace {

class NaiveStreamLog {
 public:
  struct Message {
    int64_t time_ns = 0;
    std::string subject;
    std::string payload;
    uint32_t header_bytes = 0;
  };

  explicit NaiveStreamLog(bool memory) : memory_(memory) {}

  void Append(const StoredMessage& m) {
    messages_[m.seq] = {m.time_ns, std::string(m.subject), std::string(m.payload), m.header_bytes};
    last_seq_ = m.seq;
    last_time_ns_ = m.time_ns;
  }
  void SkipTo(uint64_t seq) { last_seq_ = std::max(last_seq_, seq); }
  void Remove(uint64_t seq) { messages_.erase(seq); }
  void TrimBelow(uint64_t seq) {
    messages_.erase(messages_.begin(), messages_.lower_bound(seq));
    if (seq > 0) SkipTo(seq - 1);
  }
  void Purge() { messages_.clear(); }

  StreamLogState State() const {
    StreamLogState s;
    s.messages = messages_.size();
    std::set<std::string_view> subjects;
    for (const auto& [seq, m] : messages_) {
      s.bytes += MessageBytes(memory_, m.subject.size(), m.header_bytes, m.payload.size());
      subjects.insert(m.subject);
    }
    s.subjects = subjects.size();
    s.last_seq = last_seq_;
    s.last_time_ns = last_time_ns_;
    s.first_seq = messages_.empty() ? (last_seq_ == 0 ? 0 : last_seq_ + 1) : messages_.begin()->first;
    s.first_time_ns = messages_.empty() ? 0 : messages_.begin()->second.time_ns;
    return s;
  }
  const Message* Load(uint64_t seq) const {
    const auto at = messages_.find(seq);
    return at == messages_.end() ? nullptr : &at->second;
  }
  static bool Takes(const Filters& filters, std::string_view subject) {
    if (filters.empty()) return true;
    for (const std::string& filter : filters) {
      if (SubjectMatches(subject, filter)) return true;
    }
    return false;
  }
  uint64_t Next(const Filters& filters, uint64_t from) const {
    for (auto at = messages_.lower_bound(from); at != messages_.end(); ++at) {
      if (Takes(filters, at->second.subject)) return at->first;
    }
    return 0;
  }
  uint64_t Previous(const Filters& filters, uint64_t from) const {
    for (auto at = messages_.upper_bound(from); at != messages_.begin();) {
      --at;
      if (Takes(filters, at->second.subject)) return at->first;
    }
    return 0;
  }
  uint64_t Count(const Filters& filters, uint64_t from, bool last_per_subject) const {
    if (last_per_subject) {
      uint64_t count = 0;
      for (const uint64_t seq : LastPerSubject(filters, 0, SIZE_MAX)) count += seq >= from ? 1 : 0;
      return count;
    }
    uint64_t count = 0;
    for (auto at = messages_.lower_bound(from); at != messages_.end(); ++at) {
      count += Takes(filters, at->second.subject) ? 1 : 0;
    }
    return count;
  }
  std::map<std::string, SubjectState> Subjects(const Filters& filters) const {
    std::map<std::string, SubjectState> states;
    for (const auto& [seq, m] : messages_) {
      if (!Takes(filters, m.subject)) continue;
      SubjectState& s = states[m.subject];
      if (s.messages++ == 0) s.first_seq = seq;
      s.last_seq = seq;
    }
    return states;
  }
  std::vector<uint64_t> LastPerSubject(const Filters& filters, uint64_t up_to, size_t max) const {
    std::map<std::string_view, uint64_t> last;
    for (const auto& [seq, m] : messages_) {
      if (up_to != 0 && seq > up_to) break;
      if (Takes(filters, m.subject)) last[m.subject] = seq;
    }
    std::vector<uint64_t> seqs;
    for (const auto& [subject, seq] : last) seqs.push_back(seq);
    std::sort(seqs.begin(), seqs.end());
    if (max < SIZE_MAX && seqs.size() > max + 1) seqs.resize(max + 1);
    return seqs;
  }
  std::vector<uint64_t> OlderThanLast(uint64_t keep) const {
    std::map<std::string_view, uint64_t> seen;
    std::vector<uint64_t> seqs;
    for (auto at = messages_.rbegin(); at != messages_.rend(); ++at) {
      if (++seen[at->second.subject] > keep) seqs.push_back(at->first);
    }
    std::reverse(seqs.begin(), seqs.end());
    return seqs;
  }
  uint64_t FirstWithin(uint64_t messages, uint64_t bytes) const {
    const StreamLogState s = State();
    uint64_t count = s.messages;
    uint64_t size = s.bytes;
    for (const auto& [seq, m] : messages_) {
      if (count <= messages && size <= bytes) return seq;
      --count;
      size -= MessageBytes(memory_, m.subject.size(), m.header_bytes, m.payload.size());
    }
    return last_seq_ + 1;
  }
  uint64_t FirstAtOrAfter(int64_t time_ns) const {
    for (const auto& [seq, m] : messages_) {
      if (m.time_ns >= time_ns) return seq;
    }
    return last_seq_ + 1;
  }
  std::vector<uint64_t> Deleted(size_t max) const {
    std::vector<uint64_t> gone;
    if (messages_.empty()) return gone;
    for (uint64_t seq = messages_.begin()->first; seq <= last_seq_ && gone.size() < max; ++seq) {
      if (!messages_.contains(seq)) gone.push_back(seq);
    }
    return gone;
  }
  uint64_t last_seq() const { return last_seq_; }
  const std::map<uint64_t, Message>& messages() const { return messages_; }

 private:
  bool memory_;
  std::map<uint64_t, Message> messages_;
  uint64_t last_seq_ = 0;
  int64_t last_time_ns_ = 0;
};

}  // namespace millrace
