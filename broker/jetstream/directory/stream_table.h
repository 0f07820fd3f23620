// SPDX-License-Identifier: Apache-2.0
// StreamTable: the streams of a shard by account and name. Those in use are objects. When there are many, one that
//         nobody has used for a while and that waits for nothing (no consumer, no timer, no mirror of it) is at rest:
//         its name, its subscriptions and a few numbers stay, and the first message or request makes the object again,
//         as a start does.
// Owner:  shard; part of the engine.
// Memory: about 100 bytes for a stream at rest, besides its interest and the store's entry. Of configurations that
//         differ in nothing but name and subjects one is kept.
// Views:  a Stream* is valid for the turn in which it was found; streams go to rest at the end of a turn.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "broker/io/timer_wheel.h"
#include "broker/jetstream/base/name_map.h"
#include "broker/jetstream/stream/stream.h"
#include "store/pace.h"

namespace millrace {

// What streams at rest are besides name and subjects.
class StreamShapes {
 public:
  struct Shape {
    StreamConfig config;
    uint64_t hash = 0;
    size_t streams = 0;
  };
  const Shape* Hold(StreamConfig config);
  void Release(const Shape* shape);
  size_t size() const { return shapes_.size(); }
  void ForEach(const std::function<void(const Shape&)>& visit) const {
    for (const auto& [hash, shape] : shapes_) visit(shape);
  }

 private:
  std::unordered_multimap<uint64_t, Shape> shapes_;
  Shape* newest_ = nullptr;  // asked for last
};

class StreamTable {
 public:
  explicit StreamTable(StreamHost& host);
  ~StreamTable();
  StreamTable(const StreamTable&) = delete;
  StreamTable& operator=(const StreamTable&) = delete;

  size_t size() const { return clock_.size() + resting_; }
  size_t size(AccountId account) const {
    const OfAccount* of = Look(account);
    return of == nullptr ? 0 : of->awake.size() + of->resting.size();
  }
  bool empty() const { return size() == 0; }
  size_t resting() const { return resting_; }
  size_t shapes() const { return shapes_.size(); }
  // More are objects than need be.
  bool crowded() const { return clock_.size() > options_.awake_max; }

  Stream* Find(AccountId account, std::string_view name);  // nullptr: there is none
  // The same, when no task holds it: the task that asks is paused until then.
  Stream* FindFree(AccountId account, std::string_view name, LongTasks* tasks);
  // nullptr: there is none, or it is at rest: it has no consumers then, and nothing under way.
  Stream* FindAwake(AccountId account, std::string_view name) const;
  Stream* FindAwake(uint64_t uid) const;
  Stream* Add(std::unique_ptr<Stream> stream);
  std::unique_ptr<Stream> Remove(Stream* stream);

  // Of one account, in order; with a filter those only that take some subject of it. A task that asks may be paused
  // (`pace`), and streams come and go meanwhile: what is there all the time is named once, the rest perhaps.
  std::vector<std::string> Names(AccountId account, std::string_view filter = {}, Pace* pace = nullptr);
  // Those that it wakes come last.
  void ForEachAwake(const std::function<void(Stream&)>& visit) const;
  // Of one account, in the order of names, each when no task holds it. What is at rest is an object for the time of its
  // call. A task that asks may be paused between two of them, and inside of `visit`: the stream may be gone then.
  void ForEach(AccountId account, LongTasks* tasks, const std::function<void(Stream&)>& visit);
  struct Content {
    uint64_t messages = 0;
    uint64_t bytes = 0;
  };
  // Of all streams.
  struct Totals {
    Content file;
    Content memory;
    size_t consumers = 0;  // without hidden ones
    Content& of(Storage storage) { return storage == Storage::kMemory ? memory : file; }
    const Content& of(Storage storage) const { return storage == Storage::kMemory ? memory : file; }
  };
  Totals totals() const;
  size_t Consumers(AccountId account) const;  // without hidden ones
  // Of all configurations, in use and at rest. Walks them.
  int64_t Reserved(Storage storage) const;
  // Aborts unless the tables, the places and the sums agree. Walks the streams that are awake.
  void Invariant() const;

  // The last thing in a turn. True: there is more to do.
  bool LetRest();
  // At once, if it may.
  void TryRest(Stream* stream);
  // Nobody gets messages any more.
  void Stop(StopReason reason);

 private:
  struct Resting final : public Sink {
    Resting(StreamTable& table, const Stream& stream, const StreamShapes::Shape* shape)
        : table(table),
          owner(stream.owner()),
          uid(stream.uid()),
          created_ns(stream.created_ns()),
          shape(shape),
          name(stream.name()) {}
    bool Deliver(const Subscription& subscription, const Message& message) override {
      return table.Wake(this)->Deliver(subscription, message);  // which destroys this
    }
    bool DeliverTraced(const Subscription& subscription, const Message& message) override {
      return table.Wake(this)->DeliverTraced(subscription, message);
    }
    void DeliverRun(const Subscription& subscription, const MessageRun& run) override {
      table.Wake(this)->DeliverRun(subscription, run);  // the same; each message by itself would come back to it
    }
    StreamTable& table;
    JetStreamAccount& owner;
    const uint64_t uid;
    const int64_t created_ns;
    const StreamShapes::Shape* const shape;
    const std::string name;
    Stream::Remains remains;
  };
  struct ByName {
    using is_transparent = void;
    static std::string_view NameOf(std::string_view name) { return name; }
    static std::string_view NameOf(const std::unique_ptr<Resting>& resting) { return resting->name; }
    template <class Key>
    size_t operator()(const Key& key) const {
      return NameHash()(NameOf(key));
    }
    template <class Key, class Other>
    bool operator()(const Key& key, const Other& other) const {
      return NameOf(key) == NameOf(other);
    }
  };

  struct OfAccount {
    NameMap<std::unique_ptr<Stream>> awake;
    absl::flat_hash_set<std::unique_ptr<Resting>, ByName, ByName> resting;
  };
  OfAccount* Look(AccountId account) const {
    return account < accounts_.size() ? accounts_[account].get() : nullptr;
  }
  OfAccount& Make(AccountId account);

  // Names() under way. What it has still to look at may change from awake to resting and back, and then is another
  // object: it is told, and takes the name at once.
  struct Walk {
    AccountId account;
    std::string_view filter;
    std::vector<std::string> names;
    absl::flat_hash_set<const void*> gone;  // objects; another one may have the address by now, and was told of as well
  };
  static void NameTo(Walk* walk, const Stream& stream);
  static void NameTo(Walk* walk, const Resting& resting);
  template <class Object>
  void TellWalks(AccountId account, const Object& leaving);

  void Rest(Stream* stream);
  // What streams at rest hold: `sign` 1, one more; -1, one less.
  void CountAtRest(const Stream& stream, int sign);
  Stream* Wake(Resting* resting);
  void StartRound() { to_visit_ = clock_.size(); }
  void ArmRound();

  StreamHost& host_;
  const StreamTableOptions options_;
  std::vector<std::unique_ptr<OfAccount>> accounts_;  // by id; nullptr: it has never had one
  absl::flat_hash_map<uint64_t, Stream*> awake_by_uid_;
  size_t resting_ = 0;  // of all accounts
  StreamShapes shapes_;
  uint64_t messages_at_rest_[2] = {0, 0};  // of files, in memory; their bytes are in StorageSums
  std::vector<Walk*> walks_;

  // Rounds over the awake ones, while they are too many.
  std::vector<Stream*> clock_;  // all of them; each knows its place
  size_t hand_ = 0;
  size_t to_visit_ = 0;
  TimerNode round_timer_;
};

}  // namespace millrace
