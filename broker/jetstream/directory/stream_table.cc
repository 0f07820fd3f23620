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

Stream* StreamTable::FindAwake(std::string_view name) const {
  const auto at = awake_.find(name);
  return at == awake_.end() ? nullptr : at->second.get();
}

Stream* StreamTable::FindAwake(uint64_t uid) const {
  const auto at = awake_by_uid_.find(uid);
  return at == awake_by_uid_.end() ? nullptr : at->second;
}

Stream* StreamTable::Find(std::string_view name) {
  if (Stream* stream = FindAwake(name)) {
    stream->OnUsed();
    return stream;
  }
  const auto at = resting_.find(name);
  return at == resting_.end() ? nullptr : Wake(at->get());
}

Stream* StreamTable::FindFree(std::string_view name, LongTasks* tasks) {
  Stream* stream = nullptr;
  tasks->WaitUntil([&] { return (stream = Find(name)) == nullptr || !stream->MustWait(); });
  return stream;
}

Stream* StreamTable::Add(std::unique_ptr<Stream> stream) {
  Stream* const added = stream.get();
  MR_CHECK(!awake_.contains(added->name()) && !resting_.contains(added->name()));
  added->OnUsed();
  awake_by_uid_[added->uid()] = added;
  added->place_ = clock_.size();
  clock_.push_back(added);
  std::string name = added->name();
  awake_[std::move(name)] = std::move(stream);
  ArmRound();
  return added;
}

std::unique_ptr<Stream> StreamTable::Remove(Stream* stream) {
  MR_CHECK(stream->place_ < clock_.size() && clock_[stream->place_] == stream);
  TellWalks(*stream);
  MR_CHECK(awake_by_uid_.erase(stream->uid()) == 1);
  clock_[stream->place_] = clock_.back();
  clock_[stream->place_]->place_ = stream->place_;
  clock_.pop_back();
  const auto at = awake_.find(stream->name());
  MR_CHECK(at != awake_.end());
  std::unique_ptr<Stream> removed = std::move(at->second);
  awake_.erase(at);
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
void StreamTable::TellWalks(const Object& leaving) {
  for (Walk* walk : walks_) {
    if (walk->gone.insert(&leaving).second) NameTo(walk, leaving);
  }
}

std::vector<std::string> StreamTable::Names(std::string_view filter, Pace* pace) {
  const uint64_t units = filter.empty() ? 2 : 8;  // each
  Walk walk{filter, {}, {}};
  walk.names.reserve(size());
  const std::vector<const Stream*> awake(clock_.begin(), clock_.end());
  std::vector<const Resting*> resting;
  resting.reserve(resting_.size());
  for (const auto& each : resting_) resting.push_back(each.get());
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

void StreamTable::ForEach(LongTasks* tasks, const std::function<void(Stream&)>& visit) {
  for (const std::string& name : Names({}, tasks)) {
    const bool rests = FindAwake(name) == nullptr;
    Stream* stream = FindFree(name, tasks);
    if (stream == nullptr) continue;  // deleted meanwhile
    visit(*stream);
    if (rests && (stream = FindAwake(name)) != nullptr) TryRest(stream);
  }
}

StreamTable::Totals StreamTable::totals() const {
  Totals totals;
  for (const Storage storage : {Storage::kFile, Storage::kMemory})
    totals.of(storage) = Content{messages_at_rest_[PlaceOf(storage)], *host_.storage().at_rest(storage)};
  for (const Stream* stream : clock_) {
    Content& content = totals.of(stream->config().storage);
    content.messages += stream->log().state().messages;
    content.bytes += stream->log().state().bytes;
    totals.consumers += stream->public_consumers();
  }
  return totals;
}

void StreamTable::Stop(StopReason reason) {
  for (auto& [name, stream] : awake_) stream->Stop(reason);
  for (const auto& resting : resting_) {
    for (Subscription* subscription : resting->remains.subscriptions) host_.port().Unsubscribe(subscription);
    resting->remains.subscriptions.clear();
    if (resting->remains.ids != nullptr) resting->remains.ids->Stop();
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
  tired.reset();
  host_.store().LetRest(resting->uid);
  resting_.insert(std::move(resting));
}

void StreamTable::CountAtRest(const Stream& stream, int sign) {
  uint64_t& messages = messages_at_rest_[PlaceOf(stream.config().storage)];
  uint64_t& bytes = *host_.storage().at_rest(stream.config().storage);
  const StreamLogState& state = stream.log().state();
  MR_CHECK(sign > 0 || (messages >= state.messages && bytes >= state.bytes));
  messages = sign > 0 ? messages + state.messages : messages - state.messages;
  bytes = sign > 0 ? bytes + state.bytes : bytes - state.bytes;
}

Stream* StreamTable::Wake(Resting* resting) {
  MR_DCHECK(resting_.contains(resting->name) && !awake_.contains(resting->name));
  TellWalks(*resting);
  const std::unique_ptr<Resting> rested = std::move(resting_.extract(resting_.find(resting->name)).value());
  StreamConfig config = rested->shape->config;
  shapes_.Release(rested->shape);
  config.name = rested->name;
  for (const Subscription* subscription : rested->remains.subscriptions)
    config.subjects.emplace_back(subscription->subject());
  auto stream =
      std::make_unique<Stream>(host_, std::move(config), rested->created_ns, host_.store().FindStream(rested->uid));
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
  MR_CHECK_OP(awake_.size(), ==, clock_.size());
  MR_CHECK_OP(awake_by_uid_.size(), ==, clock_.size());
  for (size_t place = 0; place < clock_.size(); ++place) {
    const Stream* stream = clock_[place];
    MR_CHECK_OP(stream->place_, ==, place);
    MR_CHECK(FindAwake(stream->name()) == stream && FindAwake(stream->uid()) == stream);
  }
  size_t at_rest = 0;
  shapes_.ForEach([&](const StreamShapes::Shape& shape) { at_rest += shape.streams; });
  MR_CHECK_OP(at_rest, ==, resting_.size());
  // Content of streams at rest is the store's; without any there is none.
  for (const Storage storage : {Storage::kFile, Storage::kMemory})
    MR_CHECK(!resting_.empty() || (messages_at_rest_[PlaceOf(storage)] == 0 && *host_.storage().at_rest(storage) == 0));
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
  if (to_visit_ == 0 && awake_.capacity() > 8 * awake_.size()) {  // tables do not shrink by themselves
    awake_.rehash(0);
    awake_by_uid_.rehash(0);
  }
  ArmRound();
  return to_visit_ > 0;
}

}  // namespace millrace
