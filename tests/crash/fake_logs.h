// SPDX-License-Identifier: Apache-2.0
// FakeLogs: StoredLogs whose streams live in maps and go into the catalog whole: the store around them is under test.
// Owner:  caller (a test).
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "store/disk.h"
#include "store/stored_log.h"

namespace millrace {

class FakeLog final : public StoredLog, public StreamLog {
 public:
  FakeLog(uint64_t uid, const StreamLogOptions& options, Journal& journal)
      : uid_(uid), options_(options), journal_(journal) {}

  // --- StoredLog
  StreamLog* log() override { return this; }
  absl::Status Restore(std::string_view blob) override {
    uint64_t count;
    Take(&blob, &state_.last_seq);
    Take(&blob, &count);
    for (; count > 0; --count) {
      uint64_t seq;
      uint64_t bytes;
      Take(&blob, &seq);
      Take(&blob, &bytes);
      messages_[seq] = blob.substr(0, bytes);
      blob.remove_prefix(bytes);
    }
    Count();
    return absl::OkStatus();
  }
  void Replay(RecordKind kind, std::string_view body) override {
    uint64_t seq = 0;
    if (!body.empty()) Take(&body, &seq);
    dirty_ = true;
    switch (kind) {
      case RecordKind::kAppend:
        if (seq <= state_.last_seq) return;
        messages_[seq] = body;
        state_.last_seq = seq;
        break;
      case RecordKind::kRemove:
        messages_.erase(seq);
        break;
      case RecordKind::kTrim:
        messages_.erase(messages_.begin(), messages_.lower_bound(seq));
        break;
      case RecordKind::kPurge:
        messages_.erase(messages_.begin(), messages_.upper_bound(seq));
        break;
      default:
        MR_CHECK(false);
    }
    Count();
  }
  bool dirty() const override { return dirty_; }
  void Flush() override { flushing_ = 1 + (uid_ & 1); }
  bool flushed() const override { return flushing_ == 0; }
  void EncodeCheckpoint(std::string* out) override {
    MR_CHECK(flushed());
    dirty_ = false;
    Give(out, state_.last_seq);
    Give(out, messages_.size());
    for (const auto& [seq, payload] : messages_) {
      Give(out, seq);
      Give(out, payload.size());
      out->append(payload);
    }
  }
  bool hollow() const override { return flushed(); }  // messages go into the checkpoint
  void EndTurn() { flushing_ -= flushing_ > 0 ? 1 : 0; }

  // --- StreamLog, as far as a test of the store needs it
  uint64_t uid() const override { return uid_; }
  const StreamLogState& state() const override { return state_; }
  const StreamLogOptions& options() const override { return options_; }
  void set_options(const StreamLogOptions& options) override { options_ = options; }
  void set_listener(StreamLogListener*) override {}
  void set_bytes_sum(BytesSum*) override {}
  Lsn Append(const StoredMessage& message) override {
    MR_CHECK(message.seq > state_.last_seq);
    return Change(RecordKind::kAppend, message.seq, message.payload);
  }
  Lsn SkipTo(uint64_t) override { return 0; }
  Lsn Remove(uint64_t seq, Erase) override { return Change(RecordKind::kRemove, seq, {}); }
  Lsn RemoveMany(const std::vector<uint64_t>&) override { return 0; }
  Lsn TrimBelow(uint64_t seq) override { return Change(RecordKind::kTrim, seq, {}); }
  Lsn Purge() override { return Change(RecordKind::kPurge, state_.last_seq, {}); }
  LoadStatus Load(uint64_t seq, StoredMessage* message) override {
    const auto at = messages_.find(seq);
    if (at == messages_.end()) return LoadStatus::kAbsent;
    message->seq = seq;
    message->payload = at->second;
    return LoadStatus::kFound;
  }
  uint64_t Next(const Filters&, uint64_t from) override {
    const auto at = messages_.lower_bound(from);
    return at == messages_.end() ? 0 : at->first;
  }
  uint64_t Previous(const Filters&, uint64_t) override { return 0; }
  uint64_t Count(const Filters&, uint64_t, bool) override { return 0; }
  std::optional<SubjectState> FindSubject(std::string_view) override { return std::nullopt; }
  void ForEachSubject(const Filters&, const std::function<bool(std::string_view, const SubjectState&)>&) override {}
  std::vector<uint64_t> LastPerSubject(const Filters&, uint64_t, size_t) override { return {}; }
  uint64_t FirstAtOrAfter(int64_t) override { return 0; }
  std::vector<uint64_t> OlderThanLast(uint64_t) override { return {}; }
  uint64_t FirstWithin(uint64_t, uint64_t) override { return 0; }
  std::vector<uint64_t> Deleted(size_t) override { return {}; }

 private:
  static void Take(std::string_view* from, uint64_t* value) {
    MR_CHECK(from->size() >= 8);
    std::memcpy(value, from->data(), 8);
    from->remove_prefix(8);
  }
  static void Give(std::string* to, uint64_t value) { to->append(reinterpret_cast<const char*>(&value), 8); }
  Lsn Change(RecordKind kind, uint64_t seq, std::string_view payload) {
    const std::string_view head(reinterpret_cast<const char*>(&seq), 8);
    const Lsn lsn = options_.memory ? 0 : journal_.Append(kind, uid_, {head, payload});
    std::string body(head);
    body.append(payload);
    Replay(kind, body);
    return lsn;
  }
  void Count() {
    state_.messages = messages_.size();
    state_.first_seq = messages_.empty() ? state_.last_seq + 1 : messages_.begin()->first;
  }

  const uint64_t uid_;
  StreamLogOptions options_;
  Journal& journal_;
  StreamLogState state_;
  std::map<uint64_t, std::string> messages_;
  bool dirty_ = false;
  uint64_t flushing_ = 0;  // turns until flushed
};

class FakeLogs final : public StoredLogs {
 public:
  explicit FakeLogs(Disk& disk) : disk_(disk) {
    MR_CHECK(disk.MakeDirectory("segments").ok());
    const absl::StatusOr<Disk::File> file = disk.Open("segments/one", FileUse::kWrite, true);
    if (file.ok()) file_ = *file;
  }
  ~FakeLogs() override {
    if (file_ >= 0) disk_.Close(file_);
  }

  std::unique_ptr<StoredLog> Create(uint64_t uid, const StreamLogOptions& options, Journal& journal) override {
    auto log = std::make_unique<Tracked>(*this, uid, options, journal);
    live_[uid] = &log->log_;
    return log;
  }
  void Discard(uint64_t uid) override { discarded.insert(uid); }
  void OnRecovered() override {}
  void KeepUnknown() override { kept = true; }
  void OnCheckpointed(bool) override {}
  void SyncAll(Completion* completion) override { disk_.Sync(file_, completion); }
  void EndTurn() override {
    for (const auto& [uid, log] : live_) log->EndTurn();
  }
  bool idle() const override { return true; }

  size_t live() const { return live_.size(); }

  std::set<uint64_t> discarded;
  bool kept = false;

 private:
  struct Tracked final : StoredLog {
    Tracked(FakeLogs& owner, uint64_t uid, const StreamLogOptions& options, Journal& journal)
        : owner_(owner), log_(uid, options, journal) {}
    ~Tracked() override { owner_.live_.erase(log_.uid()); }
    StreamLog* log() override { return &log_; }
    absl::Status Restore(std::string_view blob) override { return log_.Restore(blob); }
    void Replay(RecordKind kind, std::string_view body) override { log_.Replay(kind, body); }
    bool dirty() const override { return log_.dirty(); }
    void Flush() override { log_.Flush(); }
    bool flushed() const override { return log_.flushed(); }
    bool at_work() const override { return log_.at_work(); }
    bool flush_waits() const override { return log_.flush_waits(); }
    void EncodeCheckpoint(std::string* out) override { log_.EncodeCheckpoint(out); }
    bool hollow() const override { return log_.hollow(); }
    FakeLogs& owner_;
    FakeLog log_;
  };
  Disk& disk_;
  Disk::File file_ = -1;
  std::map<uint64_t, FakeLog*> live_;
};

}  // namespace millrace
