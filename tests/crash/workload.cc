// SPDX-License-Identifier: Apache-2.0
#include "tests/crash/workload.h"

#include <cerrno>
#include <cstring>
#include <tuple>
#include <utility>

#include "absl/strings/str_format.h"
#include "store/hash.h"
#include "store/segment/segment_store.h"
#include "store/shard/store_lock.h"

namespace millrace {
namespace {

// A consumer's value is a number that only grows; a delta is the new one.
std::string Number(uint64_t value) { return std::string(reinterpret_cast<const char*>(&value), 8); }
uint64_t Number(std::string_view bytes) {
  uint64_t value = 0;
  if (bytes.size() == 8) std::memcpy(&value, bytes.data(), 8);
  return value;
}

uint64_t ConfigNumber(std::string_view config) {
  return std::strtoull(std::string(config.substr(7)).c_str(), nullptr, 10);
}

constexpr uint64_t kTurnsPerRecount = 4;

}  // namespace

ShardStoreOptions SmallStore() {
  ShardStoreOptions options;
  options.random = 4711;
  options.wal_file_bytes = 32 << 10;
  options.checkpoint_bytes = 96 << 10;
  options.congested_bytes = 64 << 10;
  options.reserve_bytes = 0;
  options.checkpoint_group_bytes = 4 << 10;
  options.checkpoint_slice = 3;
  return options;
}

// Small groups take a page of the catalog each: more than the last bytes of so small a disk.
static void FitToFullDisk(ShardStoreOptions* options) {
  options->reserve_bytes = 32 << 10;
  options->checkpoint_group_bytes = 1 << 20;
  options->checkpoint_slice = 256;
}

KeyOptions Workload::Keys() {
  KeyOptions options;
  options.kdf_passes = 1;
  options.kdf_memory_kib = 8;
  options.random = [this](uint8_t* to, size_t bytes) {
    while (bytes-- > 0) *to++ = static_cast<uint8_t>(random_.Next());
  };
  if (!encrypt_ || lives_ < 2) return options;
  options.key = absl::StrFormat("key %d", lives_ / 2);
  options.prev_key = absl::StrFormat("key %d", lives_ / 2 - 1);
  options.cipher = lives_ % 4 < 2 ? Cipher::kAes : Cipher::kChaCha;
  return options;
}

bool Workload::OpenKeys(Disk& disk, std::unique_ptr<StoreKeys>* keys) {
  absl::StatusOr<std::unique_ptr<StoreKeys>> opened = OpenStoreKeys(disk, Keys());
  if (!opened.ok()) return Fail(opened.status().ToString());
  *keys = *std::move(opened);
  return true;
}

// Payloads have runs of x, configurations a word; what was damaged and put aside keeps what it had.
void Workload::LookForPlainBytes() {
  if (keys_ == nullptr || keys_->converting()) return;
  ++finished_;
  for (const std::string& path : disk_->Paths()) {
    if (path.rfind("quarantine/", 0) == 0) continue;
    const std::string content = disk_->Content(path);
    for (const char* plain : {"xxxxxxxxxxxxxxx", "config "}) {
      if (content.find(plain) != std::string::npos) Fail(absl::StrFormat("%s has plain bytes: %s", path, plain));
    }
  }
}

std::unique_ptr<StoredLogs> Workload::OpenLogs(Disk& disk, StoreKeys* keys) {
  if (!real_) return std::make_unique<FakeLogs>(disk);
  SegmentStoreOptions options;
  options.random = 815;
  options.file_bytes = 64 << 10;
  options.pack_bytes = 48 << 10;
  options.busy_bytes = 16 << 10;
  options.slack_bytes = 8 << 10;
  options.cache_bytes = 32 << 10;
  options.keys = keys;
  options.scrub_after = Nanos{0};
  options.scrub_every = std::chrono::seconds(1);
  options.on_scrubbed = [this](uint64_t bytes, bool) { scrubbed_bytes_ += bytes; };
  options.on_damage = [this](std::string_view what) { Fail(std::string(what)); };
  absl::StatusOr<std::unique_ptr<SegmentStore>> store = SegmentStore::Open(disk, options);
  if (!store.ok()) {
    Fail(store.status().ToString());
    return nullptr;
  }
  return *std::move(store);
}

uint64_t Workload::DigestOf(StreamLog* log) {
  uint64_t digest = log->state().last_seq * 0x9e3779b97f4a7c15u;
  uint64_t count = 0;
  for (uint64_t seq = log->Next({}, 1); seq != 0; seq = log->Next({}, seq + 1)) {
    StoredMessage message;
    const LoadStatus status = log->Load(seq, &message);
    if (status != LoadStatus::kFound) return 0xbad;
    digest ^= Hash64(message.payload, seq);
    ++count;
  }
  return count == log->state().messages ? digest : 0xbad;
}

bool Workload::Fail(std::string what) {
  if (failure_.empty()) failure_ = absl::StrFormat("boundary %d: %s", boundaries_, what);
  return false;
}

void Workload::OnStorage(StorageState state, std::string_view why) {
  // Without faults nothing fails but the plug.
  ++failed_;
  if (disk_->on_boundary && !faults_ && !full_) {
    Fail(absl::StrFormat("storage state %d: %s", static_cast<int>(state), why));
  }
}

void Workload::EncodeConsumer(uint64_t uid, std::string* out) { *out = Number(values_.at(uid)); }

void Workload::Record(uint64_t uid, Lsn lsn, uint64_t digest, bool deleted) {
  Object& object = objects_[uid];
  object.history.push_back({lsn, digest, deleted, configs_});
  if (object.history.size() > 1) {
    const Version& before = object.history[object.history.size() - 2];
    object.history.back().config = before.config;
  }
}

uint64_t Workload::Pick(bool stream) {
  std::vector<uint64_t> live;
  for (const auto& [uid, object] : objects_) {
    if (object.stream == stream && !object.history.back().deleted) live.push_back(uid);
  }
  return live.empty() ? 0 : live[random_.Below(live.size())];
}

// What makes room, and no message; not always enough.
void Workload::OperateOnFullDisk() {
  ++met_full_;
  const uint64_t uid = Pick(true);
  if (uid == 0) return;
  StreamLog* log = store_->FindStream(uid);
  const StreamLogState& state = log->state();
  Lsn lsn = 0;
  const uint64_t dice = random_.Below(20);
  if (dice == 0) {
    lsn = log->Purge();
  } else if (dice == 1 && state.messages > 0) {
    lsn = log->TrimBelow(state.last_seq);
  } else if (dice < 12 && state.messages > 0) {
    lsn = log->Remove(state.first_seq + random_.Below(state.last_seq - state.first_seq + 1), StreamLog::Erase::kNo);
  } else if (dice == 12) {
    lsn = store_->DeleteStream(uid);
    Record(uid, lsn, 0, true);
    for (auto& [other, object] : objects_) {
      if (!object.stream && object.stream_uid == uid && !object.history.back().deleted) Record(other, lsn, 0, true);
    }
    return;
  }
  if (lsn != 0) Record(uid, lsn, DigestOf(log), false);
}

void Workload::PurgeEverything() {
  for (auto& [uid, object] : objects_) {
    if (!object.stream || object.history.back().deleted) continue;
    StreamLog* log = store_->FindStream(uid);
    if (const Lsn lsn = log->Purge(); lsn != 0) Record(uid, lsn, DigestOf(log), false);
  }
  // With a disk that goes on failing tries are lost, each of them a second.
  const Nanos end = now_ + std::chrono::seconds(faults_ ? 30 : 2);
  do {
    Turn();
  } while (now_ < end && !store_->accepting() && failure_.empty());
  const bool ended = store_->state() == StorageState::kFailed;
  if (store_->accepting() || ended) return;
  std::string text;
  for (const std::string& path : disk_->Paths()) text += absl::StrFormat(", %s %d", path, disk_->Content(path).size());
  const DiskUse use = logs_->disk_use();
  Fail(absl::StrFormat("everything was purged, and messages are refused; held %d, live %d, free %d%s",
                       use.held_bytes, use.live_bytes, disk_->FreeBytes().value_or(0), text));
}

void Workload::Operate() {
  if (full_ && !store_->accepting()) return OperateOnFullDisk();
  const uint64_t dice = random_.Below(100);
  const uint64_t stream = Pick(true);
  if (stream == 0 || dice < 2) {
    ++configs_;
    StreamLogOptions options;
    options.memory = random_.OneIn(6);
    Lsn lsn = 0;
    StreamLog* log = store_->CreateStream(Config(configs_), options, &lsn);
    objects_[log->uid()].memory = options.memory;
    Record(log->uid(), lsn, DigestOf(log), false);
    return;
  }
  StreamLog* log = store_->FindStream(stream);
  if (dice < 4) {
    ++configs_;
    const Lsn lsn = store_->UpdateStream(stream, Config(configs_), log->options());
    Record(stream, lsn, DigestOf(log), false);
    objects_[stream].history.back().config = configs_;
  } else if (dice < 5) {
    const Lsn lsn = store_->DeleteStream(stream);
    Record(stream, lsn, 0, true);
    for (auto& [uid, object] : objects_) {
      if (!object.stream && object.stream_uid == stream && !object.history.back().deleted) Record(uid, lsn, 0, true);
    }
  } else if (dice < 8) {
    ++configs_;
    Lsn lsn = 0;
    const uint64_t uid = store_->CreateConsumer(stream, Config(configs_), &lsn);
    objects_[uid].stream = false;
    objects_[uid].stream_uid = stream;
    values_[uid] = 0;
    Record(uid, lsn, 0, false);
  } else if (dice < 25) {
    const uint64_t uid = Pick(false);
    if (uid == 0) return;
    if (random_.OneIn(15)) {
      Record(uid, store_->DeleteConsumer(uid), 0, true);
    } else {
      values_[uid] += 1 + random_.Below(5);
      Record(uid, store_->PutConsumerState(uid, Number(values_[uid])), values_[uid], false);
    }
  } else {
    const StreamLogState& state = log->state();
    Lsn lsn = 0;
    if (dice < 30 && state.messages > 0) {
      const uint64_t seq = state.first_seq + random_.Below(state.last_seq - state.first_seq + 1);
      const bool erase = real_ && erase_random_.OneIn(2);
      if (erase) MaybeErase(log, seq);
      lsn = log->Remove(seq, erase ? StreamLog::Erase::kYes : StreamLog::Erase::kNo);
      if (erase && !erasing_.empty() && erasing_.back().ticket == 0) {
        erasing_.back().ticket = store_->EraseFromDisk(stream);
      }
    } else if (dice < 33 && state.messages > 0) {
      lsn = log->TrimBelow(state.first_seq + 1);
    } else if (dice < 34) {
      lsn = log->Purge();
    } else {
      std::string payload(random_.OneIn(40) ? random_.Below(20'000) : random_.Below(200), 'x');
      for (size_t i = 0; i < payload.size(); i += 16) payload[i] = static_cast<char>(random_.Next());
      if (real_) payload.insert(0, absl::StrFormat("text-%08d.", ++texts_));
      StoredMessage message;
      message.seq = state.last_seq + 1 + (random_.OneIn(30) ? 3 : 0);
      message.payload = payload;
      const std::string subject = "s." + std::to_string(random_.Below(7));
      message.subject = subject;
      message.time_ns = static_cast<int64_t>(state.last_seq + 1) * 1000;
      lsn = log->Append(message);
    }
    Record(stream, lsn, DigestOf(log), false);
  }
  MaybeRest(stream);
}

// What is asked for is told when the deletion is staged.
void Workload::MaybeErase(StreamLog* log, uint64_t seq) {
  StoredMessage message;
  if (log->options().memory || log->Load(seq, &message) != LoadStatus::kFound) return;
  erasing_.push_back({0, std::string(message.payload.substr(0, message.payload.find('.') + 1))});
}

// What was put aside as damaged, or as a torn end, keeps what it had.
void Workload::LookForErased(const SimDisk& disk) {
  for (const std::string& path : disk.Paths()) {
    if (path.rfind("quarantine/", 0) == 0) continue;
    const std::string content = disk.Content(path);
    for (const std::string& text : gone_) {
      if (content.find(text) == std::string::npos) continue;
      Fail(absl::StrFormat("%s still has %s, which was erased", path, text));
    }
  }
}

// Nothing here holds on to logs: any of them may go, and come again with the next operation.
void Workload::MaybeRest(uint64_t stream) {
  if (rest_random_.OneIn(2)) store_->LetRest(stream);
}

void Workload::Turn() {
  now_ += std::chrono::milliseconds(random_.Below(30));
  if (faults_ && random_.OneIn(60)) {
    if (random_.OneIn(2)) {
      disk_->FailSync(random_.Below(2), EIO);
    } else {
      disk_->FailWrite(random_.Below(2), random_.OneIn(3) ? ENOSPC : EIO);
    }
  }
  disk_->RunCompletions();
  if (now_ >= store_->NextTick()) store_->OnTick(now_);
  store_->EndTurn(now_);
  if (++turns_ % kTurnsPerRecount == 0) store_->Recount();
  while (!erasing_.empty() && erasing_.front().ticket <= store_->erased()) {
    gone_.push_back(erasing_.front().text);
    if (gone_.size() > 4) gone_.erase(gone_.begin());
    erasing_.erase(erasing_.begin());
    ++erased_;
  }
}

void Workload::OnBoundary() {
  ++boundaries_;
  if (checking_ || !failure_.empty() || boundaries_ % every_ != 0) return;
  checking_ = true;
  const Survival survival = random_.OneIn(6)   ? Survival::kNothing
                            : random_.OneIn(6) ? Survival::kEverything
                                               : Survival::kSome;
  const auto after = disk_->Survivor(random_.Next(), survival, random_.OneIn(3) ? 4096 : 512);
  LookForErased(*after);
  if (Check(*after, "first recovery")) {
    after->PlugIn();
    Check(*after, "second recovery");
  }
  checking_ = false;
}

// What a restart finds is what may be.
bool Workload::CheckFound(ShardStore* store, const char* when) {
  Recovered& found = store->recovered();
  const RecoveryReport& report = found.report;
  bool good = true;
  if (report.damaged_batches + report.uncertain_records + report.damaged_entries > 0) {
    good = Fail(absl::StrFormat("%s: damage reported after a mere crash: %s", when, report.notes[0]));
  }
  std::map<uint64_t, std::pair<uint64_t, std::string>> states;  // digest, configuration
  for (const RecoveredStream& stream : found.streams) {
    if (!stream.lost.empty() || !stream.damage.empty()) good = Fail(absl::StrFormat("%s: %s", when, stream.damage));
    states[stream.uid] = {DigestOf(store->FindStream(stream.uid)), stream.config};
  }
  for (const RecoveredConsumer& consumer : found.consumers) {
    uint64_t value = Number(consumer.state);
    for (const std::string& delta : consumer.deltas) value = std::max(value, Number(delta));
    states[consumer.uid] = {value, consumer.config};
    const auto at = objects_.find(consumer.uid);
    if (at != objects_.end() && at->second.stream_uid != consumer.stream_uid) good = Fail("consumer of another stream");
  }
  for (const auto& [uid, object] : objects_) {
    const auto state = states.find(uid);
    // The newest version that was acknowledged, and every later one, may be what is found.
    size_t first = object.history.size();
    bool none_fine = true;  // not even its creation was acknowledged
    for (size_t i = object.history.size(); i-- > 0;) {
      const Version& version = object.history[i];
      first = i;
      if (version.lsn != 0 && version.lsn <= durable_) {
        none_fine = false;
        break;
      }
    }
    bool fine = none_fine && state == states.end();
    for (size_t i = first; i < object.history.size() && !fine; ++i) {
      const Version& version = object.history[i];
      if (version.deleted) {
        fine = state == states.end();
      } else if (state != states.end()) {
        fine = object.memory || version.digest == state->second.first;
      }
    }
    if (!fine) {
      good = Fail(absl::StrFormat("%s: %s %d %s (durable %d, last operation at %d)", when,
                                  object.stream ? "stream" : "consumer", uid,
                                  state == states.end() ? "vanished" : "is not in a state that it may be in", durable_,
                                  object.history.back().lsn));
    }
    if (fine && state != states.end()) {
      // The configuration: an acknowledged one, or one asked for later.
      uint64_t least = 0;
      for (const Version& version : object.history) {
        if (version.lsn != 0 && version.lsn <= durable_) least = version.config;
      }
      if (ConfigNumber(state->second.second) < least) good = Fail(absl::StrFormat("stream %d: old configuration", uid));
    }
  }
  for (const auto& [uid, state] : states) {
    if (objects_.count(uid) == 0) good = Fail(absl::StrFormat("%s: object %d came from nowhere", when, uid));
  }
  return good;
}

// Recovers, compares with what may be, and leaves the disk as the recovery left it.
bool Workload::Check(SimDisk& disk, const char* when) {
  std::unique_ptr<StoreKeys> keys;
  if (!OpenKeys(disk, &keys)) return false;
  const std::unique_ptr<StoredLogs> logs = OpenLogs(disk, keys.get());
  if (logs == nullptr) return false;
  ShardStoreOptions options = SmallStore();
  options.keys = keys.get();
  if (full_) FitToFullDisk(&options);
  absl::StatusOr<std::unique_ptr<ShardStore>> opened = ShardStore::Open(disk, *logs, options);
  if (!opened.ok()) return Fail(absl::StrFormat("%s: %s", when, opened.status().ToString()));
  const std::unique_ptr<ShardStore> store = *std::move(opened);
  const bool good = CheckFound(store.get(), when);
  // What recovery asked for without waiting never happens.
  disk.PullThePlug();
  while (disk.busy()) disk.RunCompletions();
  return good;
}

// After a crash: what was found is what there is.
void Workload::Adopt() {
  std::map<uint64_t, Object> objects;
  values_.clear();
  Recovered& found = store_->recovered();
  for (const RecoveredStream& stream : found.streams) {
    Object& object = objects[stream.uid];
    StreamLog* log = store_->FindStream(stream.uid);
    object.memory = log->options().memory;
    object.history.push_back({1, DigestOf(log), false, ConfigNumber(stream.config)});
    MaybeRest(stream.uid);
  }
  for (const RecoveredConsumer& consumer : found.consumers) {
    uint64_t value = Number(consumer.state);
    for (const std::string& delta : consumer.deltas) value = std::max(value, Number(delta));
    values_[consumer.uid] = value;
    Object& object = objects[consumer.uid];
    object.stream = false;
    object.stream_uid = consumer.stream_uid;
    object.history.push_back({1, value, false, ConfigNumber(consumer.config)});
  }
  objects_ = std::move(objects);
  found = Recovered{};
}

bool Workload::Lock(Disk& disk) {
  const absl::Status status = LockStore(disk, StoreUser{static_cast<int64_t>(lives_), "sim"});
  return status.ok() || Fail("the store cannot be locked: " + status.ToString());
}

// A second server on this store: it is told who has it, and has changed nothing (SimDisk sees to it that it reads
// nothing either).
void Workload::Intrude() {
  if (!processes_ || !process_random_.OneIn(20)) return;
  const auto seen = [this] { return std::tuple(disk_->boundary(), disk_->writes(), disk_->syncs(), disk_->Paths()); };
  const auto before = seen();
  const std::unique_ptr<Disk> other = disk_->Join();
  const absl::Status status = LockStore(*other, StoreUser{4711, "sim"});
  const std::string holder = absl::StrFormat("process %d on sim", lives_);
  if (!absl::IsAlreadyExists(status) || status.message() != holder) Fail("a second process: " + status.ToString());
  if (seen() != before) Fail("a second process has left traces");
  ++refused_;
}

// Lame duck mode: the store is closed while its successor asks for it in every turn, and gets it when nothing of the
// old process is under way any more. The disk goes on as it is.
void Workload::HandOver() {
  std::unique_ptr<Disk> next = disk_->Join();
  const StoreUser user{static_cast<int64_t>(lives_) + 1, "sim"};
  store_->StartClose();
  for (int i = 0; i < 20'000 && !store_->closed() && failure_.empty(); ++i) {
    if (!absl::IsAlreadyExists(LockStore(*next, user))) Fail("the successor has a store that is in use");
    Turn();
  }
  if (!store_->closed()) Fail("the store does not close");
  if (failure_.empty()) LookForPlainBytes();
  checkpoints_ += store_->stats().checkpoints;
  EndProcess();
  if (!failure_.empty()) return;
  disk_->FailNothing();  // a start may fail; it is not what is looked at here
  const absl::Status status = LockStore(*next, user);
  if (!status.ok()) Fail("after a hand-over: " + status.ToString());
  next_ = std::move(next);
  ++handed_over_;
}

// kill -9, while the machine goes on: what was asked of the disk happens, nobody hears of it, and no more is asked.
void Workload::Kill() {
  if (failure_.empty()) LookForPlainBytes();
  checkpoints_ += store_->stats().checkpoints;
  store_->set_listener(nullptr);
  disk_->PullThePlug();
  while (disk_->busy()) disk_->RunCompletions();
  EndProcess();
  disk_->PlugIn();
  disk_->FailNothing();
  next_ = disk_->Join();
  const absl::Status status = LockStore(*next_, StoreUser{static_cast<int64_t>(lives_) + 1, "sim"});
  if (!status.ok()) Fail("after a kill: " + status.ToString());
  ++killed_;
}

// In the order in which a server lets go.
void Workload::EndProcess() {
  store_ = nullptr;
  logs_ = nullptr;
  keys_ = nullptr;
  while (disk_->busy()) disk_->RunCompletions();
  process_ = nullptr;
}

bool Workload::Life(uint64_t operations) {
  ++lives_;
  const bool goes_on = next_ != nullptr;  // the disk does
  process_ = goes_on ? std::move(next_) : disk_->Join();
  if (!goes_on && !Lock(*process_)) return false;
  // Recovery itself is cut at every boundary as well; what may be found is still what the last life left.
  disk_->on_boundary = [this] { OnBoundary(); };
  if (!OpenKeys(*process_, &keys_)) return false;
  logs_ = OpenLogs(*process_, keys_.get());
  if (logs_ == nullptr) return false;
  ShardStoreOptions options = SmallStore();
  options.keys = keys_.get();
  if (full_) FitToFullDisk(&options);
  options.on_keys = [this](const absl::Status& status) {
    if (!status.ok() && !faults_) Fail(status.ToString());
  };
  absl::StatusOr<std::unique_ptr<ShardStore>> opened = ShardStore::Open(*process_, *logs_, options);
  if (!opened.ok()) return Fail(opened.status().ToString());
  store_ = *std::move(opened);
  if (goes_on && !CheckFound(store_.get(), "after another process")) return false;
  Adopt();
  erasing_.clear();  // nobody was told
  durable_ = store_->durable();
  store_->set_listener(this);
  store_->set_consumers(this);
  const Lsn before = durable_;
  if (full_) disk_->set_capacity(disk_->used_bytes() + (256 << 10) + random_.Below(256 << 10));
  const auto failed = [this] { return store_->state() == StorageState::kFailed; };
  for (uint64_t i = 0; i < operations && failure_.empty() && !failed(); ++i) {
    Operate();
    Intrude();
    if (random_.OneIn(3)) Turn();
    while (store_->Congested() && failure_.empty() && !failed()) Turn();
  }
  if (erase_random_.OneIn(2)) {
    for (int i = 0; i < 2000 && !erasing_.empty() && failure_.empty() && !failed(); ++i) Turn();
    // On a full disk it waits for room.
    if (!faults_ && !full_ && !erasing_.empty()) Fail("a secure deletion comes to no end");
  }
  if (full_ && failure_.empty() && !failed()) PurgeEverything();
  const bool stops = random_.OneIn(2);
  if (processes_ && process_random_.OneIn(2) && failure_.empty()) {
    acknowledged_ += durable_ - before;
    if (kill_random_.OneIn(2)) {
      Kill();
    } else {
      HandOver();
    }
    disk_->on_boundary = nullptr;
    return failure_.empty();
  }
  if (stops) {
    store_->StartClose();
    for (int i = 0; i < 20'000 && !store_->closed() && failure_.empty(); ++i) Turn();
    if (!store_->closed()) Fail("the store does not close");
  }
  acknowledged_ += durable_ - before;
  checkpoints_ += store_->stats().checkpoints;

  if (failure_.empty()) LookForPlainBytes();
  auto after = disk_->Survivor(random_.Next(), Survival::kSome);
  disk_->on_boundary = nullptr;
  disk_->PullThePlug();
  while (disk_->busy()) disk_->RunCompletions();
  EndProcess();
  disk_ = std::move(after);
  return failure_.empty();
}

}  // namespace millrace
