// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/directory/stream_table.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "broker/jetstream/api/print.h"
#include "broker/jetstream/base/sort_in_slices.h"
#include "proto/subject.h"

namespace millrace {
namespace {

constexpr size_t kVisitsPerTurn = 256;

size_t PlaceOf(Storage storage) { return storage == Storage::kMemory ? 1 : 0; }

template <class Subjects, class SubjectOf = std::identity>
bool TakesSome(const Subjects& subjects, std::string_view filter, SubjectOf subject_of = {}) {
  return filter.empty() || std::any_of(subjects.begin(), subjects.end(), [&](const auto& subject) {
           return SubjectsCollide(filter, subject_of(subject));
         });
}

}  // namespace

const StreamShapes::Shape* StreamShapes::Hold(StreamConfig config) {
  config.name.clear();
  config.subjects.clear();
  if (newest_ != nullptr && newest_->config == config) {  // as a rule they are all alike
    ++newest_->streams;
    return newest_;
  }
  const uint64_t hash = NameHash()(PrintJson(config));
  const auto [first, last] = shapes_.equal_range(hash);
  auto at = std::find_if(first, last, [&config](const auto& item) { return item.second.config == config; });
  if (at == last) at = shapes_.emplace(hash, Shape{std::move(config), hash, 0});
  newest_ = &at->second;
  ++newest_->streams;
  return newest_;
}

void StreamShapes::Release(const Shape* shape) {
  const auto [first, last] = shapes_.equal_range(shape->hash);
  const auto at = std::find_if(first, last, [shape](const auto& item) { return &item.second == shape; });
  MR_CHECK(at != last && at->second.streams > 0);
  if (--at->second.streams > 0) return;
  if (newest_ == shape) newest_ = nullptr;
  shapes_.erase(at);
}

StreamTable::StreamTable(StreamHost& host) : host_(host), options_(host.options().streams) {
  round_timer_.Bind<&StreamTable::StartRound>(this);
}

StreamTable::~StreamTable() {
  MR_CHECK(walks_.empty());
  host_.port().timers().Cancel(&round_timer_);
}

// ---- finding -------------------------------------------------------------------------------------------------------

StreamTable::OfAccount& StreamTable::Make(AccountId account) {
  MR_CHECK(account != kNoAccount);
  if (account >= accounts_.size()) accounts_.resize(size_t{account} + 1);
  if (accounts_[account] == nullptr) accounts_[account] = std::make_unique<OfAccount>();
  return *accounts_[account];
}

Stream* StreamTable::FindAwake(AccountId account, std::string_view name) const {
  const OfAccount* of = Look(account);
  if (of == nullptr) return nullptr;
  const auto at = of->awake.find(name);
  return at == of->awake.end() ? nullptr : at->second.get();
}

Stream* StreamTable::FindAwake(uint64_t uid) const {
  const auto at = awake_by_uid_.find(uid);
  return at == awake_by_uid_.end() ? nullptr : at->second;
}

Stream* StreamTable::Find(AccountId account, std::string_view name) {
  if (Stream* stream = FindAwake(account, name)) {
    stream->OnUsed();
    return stream;
  }
  const OfAccount* of = Look(account);
  if (of == nullptr) return nullptr;
  const auto at = of->resting.find(name);
  return at == of->resting.end() ? nullptr : Wake(at->get());
}

Stream* StreamTable::FindFree(AccountId account, std::string_view name, LongTasks* tasks) {
  Stream* stream = nullptr;
  tasks->WaitUntil([&] { return (stream = Find(account, name)) == nullptr || !stream->MustWait(); });
  return stream;
}

Stream* StreamTable::Add(std::unique_ptr<Stream> stream) {
  Stream* const added = stream.get();
  OfAccount& of = Make(added->account());
  MR_CHECK(!of.awake.contains(added->name()) && !of.resting.contains(added->name()));
  added->OnUsed();
  awake_by_uid_[added->uid()] = added;
  added->place_ = clock_.size();
  clock_.push_back(added);
  std::string name = added->name();
  of.awake[std::move(name)] = std::move(stream);
  ArmRound();
  return added;
}

std::unique_ptr<Stream> StreamTable::Remove(Stream* stream) {
  MR_CHECK(stream->place_ < clock_.size() && clock_[stream->place_] == stream);
  TellWalks(stream->account(), *stream);
  MR_CHECK(awake_by_uid_.erase(stream->uid()) == 1);
  clock_[stream->place_] = clock_.back();
  clock_[stream->place_]->place_ = stream->place_;
  clock_.pop_back();
  OfAccount& of = Make(stream->account());
  const auto at = of.awake.find(stream->name());
  MR_CHECK(at != of.awake.end());
  std::unique_ptr<Stream> removed = std::move(at->second);
  of.awake.erase(at);
  return removed;
}

void StreamTable::NameTo(Walk* walk, const Stream& stream) {
  if (TakesSome(stream.config().subjects, walk->filter)) walk->names.push_back(stream.name());
}

void StreamTable::NameTo(Walk* walk, const Resting& resting) {
  const auto subject_of = [](const Subscription* subscription) { return subscription->subject(); };
  if (TakesSome(resting.remains.subscriptions, walk->filter, subject_of)) walk->names.push_back(resting.name);
}

template <class Object>
void StreamTable::TellWalks(AccountId account, const Object& leaving) {
  for (Walk* walk : walks_) {
    if (walk->account == account && walk->gone.insert(&leaving).second) NameTo(walk, leaving);
  }
}

std::vector<std::string> StreamTable::Names(AccountId account, std::string_view filter, Pace* pace) {
  const uint64_t units = filter.empty() ? 2 : 8;  // each
  const OfAccount* of = Look(account);
  if (of == nullptr) return {};
  Walk walk{account, filter, {}, {}};
  walk.names.reserve(size(account));
  std::vector<const Stream*> awake;
  awake.reserve(of->awake.size());
  for (const auto& [name, stream] : of->awake) awake.push_back(stream.get());
  std::vector<const Resting*> resting;
  resting.reserve(of->resting.size());
  for (const auto& each : of->resting) resting.push_back(each.get());
  walks_.push_back(&walk);
  const auto name_all = [&](const auto& objects) {
    for (const auto* object : objects) {
      if (!walk.gone.contains(object)) NameTo(&walk, *object);
      Tick(pace, units);
    }
  };
  name_all(awake);
  name_all(resting);
  walks_.erase(std::find(walks_.begin(), walks_.end(), &walk));
  SortInSlices(&walk.names, std::less<>(), pace);
  if (!walk.gone.empty()) walk.names.erase(std::unique(walk.names.begin(), walk.names.end()), walk.names.end());
  return std::move(walk.names);
}

void StreamTable::ForEachAwake(const std::function<void(Stream&)>& visit) const {
  for (size_t i = 0; i < clock_.size(); ++i) visit(*clock_[i]);
}

void StreamTable::ForEach(AccountId account, LongTasks* tasks, const std::function<void(Stream&)>& visit) {
  for (const std::string& name : Names(account, {}, tasks)) {
    const bool rests = FindAwake(account, name) == nullptr;
    Stream* stream = FindFree(account, name, tasks);
    if (stream == nullptr) continue;  // deleted meanwhile
    visit(*stream);
    if (rests && (stream = FindAwake(account, name)) != nullptr) TryRest(stream);
  }
}

StreamTable::Totals StreamTable::totals() const {
  Totals totals;
  for (const Storage storage : {Storage::kFile, Storage::kMemory})
    totals.of(storage) = Content{messages_at_rest_[PlaceOf(storage)], host_.storage().sums().at_rest(storage)->bytes};
  for (const Stream* stream : clock_) {
    Content& content = totals.of(stream->config().storage);
    content.messages += stream->log().state().messages;
    content.bytes += stream->log().state().bytes;
    totals.consumers += stream->public_consumers();
  }
  return totals;
}

size_t StreamTable::Consumers(AccountId account) const {
  size_t consumers = 0;
  if (const OfAccount* of = Look(account)) {
    for (const auto& [name, stream] : of->awake) consumers += stream->public_consumers();
  }
  return consumers;
}

void StreamTable::Stop(StopReason reason) {
  for (Stream* stream : clock_) stream->Stop(reason);
  for (const auto& of : accounts_) {
    if (of == nullptr) continue;
    for (const auto& resting : of->resting) {
      for (Subscription* subscription : resting->remains.subscriptions) host_.port().Unsubscribe(subscription);
      resting->remains.subscriptions.clear();
      if (resting->remains.ids != nullptr) resting->remains.ids->Stop();
    }
  }
}

// ---- rest ----------------------------------------------------------------------------------------------------------

void StreamTable::TryRest(Stream* stream) {
  if (stream->MayRest()) Rest(stream);
}

void StreamTable::Rest(Stream* stream) {
  MR_CHECK(stream->MayRest());
  std::unique_ptr<Stream> tired = Remove(stream);
  auto resting = std::make_unique<Resting>(*this, *tired, shapes_.Hold(tired->config()));
  resting->remains = tired->Leave();
  for (Subscription* subscription : resting->remains.subscriptions) subscription->sink = resting.get();
  CountAtRest(*tired, 1);
  OfAccount& of = Make(tired->account());
  tired.reset();
  host_.store().LetRest(resting->uid);
  of.resting.insert(std::move(resting));
  ++resting_;
}

void StreamTable::CountAtRest(const Stream& stream, int sign) {
  uint64_t& messages = messages_at_rest_[PlaceOf(stream.config().storage)];
  BytesSum& bytes = *stream.owner().use().at_rest(stream.config().storage);
  const StreamLogState& state = stream.log().state();
  MR_CHECK(sign > 0 || (messages >= state.messages && bytes.bytes >= state.bytes));
  messages = sign > 0 ? messages + state.messages : messages - state.messages;
  sign > 0 ? bytes.Add(state.bytes) : bytes.Take(state.bytes);
}

Stream* StreamTable::Wake(Resting* resting) {
  OfAccount& of = Make(resting->owner.id());
  MR_DCHECK(of.resting.contains(resting->name) && !of.awake.contains(resting->name));
  TellWalks(resting->owner.id(), *resting);
  const std::unique_ptr<Resting> rested = std::move(of.resting.extract(of.resting.find(resting->name)).value());
  --resting_;
  StreamConfig config = rested->shape->config;
  shapes_.Release(rested->shape);
  config.name = rested->name;
  for (const Subscription* subscription : rested->remains.subscriptions)
    config.subjects.emplace_back(subscription->subject());
  auto stream = std::make_unique<Stream>(host_, rested->owner, std::move(config), rested->created_ns,
                                         host_.store().FindStream(rested->uid));
  CountAtRest(*stream, -1);
  stream->Return(std::move(rested->remains));
  return Add(std::move(stream));
}

int64_t StreamTable::Reserved(Storage storage) const {
  int64_t reserved = 0;
  for (const Stream* stream : clock_) {
    if (stream->config().storage == storage) reserved += std::max<int64_t>(stream->config().max_bytes, 0);
  }
  shapes_.ForEach([&](const StreamShapes::Shape& shape) {
    if (shape.config.storage == storage)
      reserved += static_cast<int64_t>(shape.streams) * std::max<int64_t>(shape.config.max_bytes, 0);
  });
  return reserved;
}

void StreamTable::Invariant() const {
  size_t awake = 0;
  size_t resting = 0;
  for (const auto& of : accounts_) {
    if (of == nullptr) continue;
    awake += of->awake.size();
    resting += of->resting.size();
  }
  MR_CHECK_OP(awake, ==, clock_.size());
  MR_CHECK_OP(resting, ==, resting_);
  MR_CHECK_OP(awake_by_uid_.size(), ==, clock_.size());
  for (size_t place = 0; place < clock_.size(); ++place) {
    const Stream* stream = clock_[place];
    MR_CHECK_OP(stream->place_, ==, place);
    MR_CHECK(FindAwake(stream->account(), stream->name()) == stream && FindAwake(stream->uid()) == stream);
  }
  size_t at_rest = 0;
  shapes_.ForEach([&](const StreamShapes::Shape& shape) { at_rest += shape.streams; });
  MR_CHECK_OP(at_rest, ==, resting_);
  // Content of streams at rest is the store's; without any there is none.
  for (const Storage storage : {Storage::kFile, Storage::kMemory})
    MR_CHECK(resting_ > 0 || (messages_at_rest_[PlaceOf(storage)] == 0 &&
                              host_.storage().sums().at_rest(storage)->bytes == 0));
}

void StreamTable::ArmRound() {
  if (!crowded() || to_visit_ > 0 || round_timer_.armed() || options_.rest_after == Nanos{0}) return;
  host_.port().timers().Arm(&round_timer_, host_.port().Now() + options_.rest_after);
}

bool StreamTable::LetRest() {
  if (options_.rest_after == Nanos{0}) StartRound();
  if (to_visit_ == 0) return false;
  const Nanos used_since = host_.port().Now() - options_.rest_after;
  for (size_t i = 0; i < kVisitsPerTurn && to_visit_ > 0 && crowded(); ++i, --to_visit_) {
    if (hand_ >= clock_.size()) hand_ = 0;
    Stream* stream = clock_[hand_];
    if (stream->used_at() > used_since || !stream->MayRest()) {
      ++hand_;
    } else {
      Rest(stream);  // the last one has its place now
    }
  }
  if (!crowded()) to_visit_ = 0;
  if (to_visit_ == 0 && awake_by_uid_.capacity() > 8 * awake_by_uid_.size()) {  // tables do not shrink by themselves
    awake_by_uid_.rehash(0);
    for (const auto& of : accounts_) {
      if (of != nullptr) of->awake.rehash(0);
    }
  }
  ArmRound();
  return to_visit_ > 0;
}

}  // namespace millrace
