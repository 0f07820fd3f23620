// SPDX-License-Identifier: Apache-2.0
// VolatileStore: a ShardStore without a disk: everything is in memory and at once "durable", unless the
//         test holds it back.
// Owner:  caller (the test).
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "store/segment/memory_stream_log.h"
#include "store/shard/shard_store.h"

namespace millrace {

class VolatileStore final : public ShardStore {
 public:
  // From now on nothing becomes durable until Release.
  void Hold() { held_ = true; }
  void Release() {
    held_ = false;
    ReleaseUpTo(staged_);
  }
  void ReleaseUpTo(Lsn durable) {
    durable_ = durable;
    if (listener_ != nullptr) listener_->OnDurable(durable_);
  }

  Recovered& recovered() override { return recovered_; }
  void set_listener(ShardStoreListener* listener) override { listener_ = listener; }
  uint64_t EraseFromDisk(uint64_t uid) override {
    erase_asked.push_back(uid);
    return ++tickets_;
  }
  uint64_t erased() const override { return holds_erasures ? 0 : tickets_; }
  std::vector<uint64_t> erase_asked;
  bool holds_erasures = false;
  void set_consumers(ConsumerStateSource* consumers) override {}

  StreamLog* CreateStream(std::string_view config, const StreamLogOptions& options, Lsn* lsn) override {
    const uint64_t uid = ++last_uid_;
    StreamLogOptions memory = options;
    memory.memory = true;
    logs_[uid] = NewMemoryStreamLog(uid, memory);
    configs[uid] = config;
    *lsn = Stage();
    return logs_[uid].get();
  }
  StreamLog* FindStream(uint64_t uid) override {
    const auto it = logs_.find(uid);
    resting.erase(uid);
    return it == logs_.end() ? nullptr : it->second.get();
  }
  void LetRest(uint64_t uid) override { resting.insert(uid); }
  Lsn UpdateStream(uint64_t uid, std::string_view config, const StreamLogOptions& options) override {
    configs[uid] = config;
    config_history.emplace_back(config);
    return Stage();
  }
  Lsn DeleteStream(uint64_t uid) override {
    logs_.erase(uid);
    configs.erase(uid);
    return Stage();
  }
  uint64_t CreateConsumer(uint64_t stream_uid, std::string_view config, Lsn* lsn) override {
    *lsn = Stage();
    consumers[++last_uid_] = config;
    return last_uid_;
  }
  Lsn UpdateConsumer(uint64_t uid, std::string_view config) override {
    if (uid != 0) consumers.at(uid) = config;  // tests stage with 0
    return Stage();
  }
  Lsn DeleteConsumer(uint64_t uid) override {
    consumers.erase(uid);
    return Stage();
  }
  Lsn PutConsumerState(uint64_t uid, std::string_view delta) override { return Stage(); }
  void TouchConsumer(uint64_t uid) override {}

  void EndTurn(Nanos now) override {
    if (!held_ && durable_ != staged_) Release();
  }
  void OnTick(Nanos now) override {}
  Nanos NextTick() const override { return Nanos::max(); }
  bool HasWork() const override { return false; }
  Journal& journal() override { MR_CHECK(false); }
  Lsn staged() const override { return staged_; }
  Lsn durable() const override { return durable_; }
  StorageState state() const override { return storage; }
  bool accepting() const override { return storage == StorageState::kOk; }
  bool writable() const override { return true; }
  bool Congested() const override { return false; }
  void StartCheckpoint() override {}
  void StartClose() override { closed_ = true; }
  bool closed() const override { return closed_; }
  Stats stats() const override { return {}; }

  StorageState storage = StorageState::kOk;
  std::set<uint64_t> resting;  // LetRest was told of
  std::map<uint64_t, std::string> configs;    // of streams, by uid
  std::vector<std::string> config_history;    // what UpdateStream was given
  std::map<uint64_t, std::string> consumers;  // the same of consumers

 private:
  Lsn Stage() { return ++staged_; }

  Recovered recovered_;
  ShardStoreListener* listener_ = nullptr;
  std::map<uint64_t, std::unique_ptr<StreamLog>> logs_;
  uint64_t last_uid_ = 0;
  uint64_t tickets_ = 0;
  Lsn staged_ = 0;
  Lsn durable_ = 0;
  bool held_ = false;
  bool closed_ = false;
};

}  // namespace millrace
