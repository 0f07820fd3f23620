// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/jetstream_oracle.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_format.h"
#include "tests/sim/sim_io.h"

namespace millrace::sim {
namespace {

constexpr std::string_view kWords[] = {"a", "b", "c"};
constexpr uint64_t kDuplicateWindowNs = 3'600'000'000'000;  // longer than all lives of a run together
constexpr uint64_t kAckWaitNs = 5'000'000'000;
constexpr std::string_view kFiller = "the quick brown fox jumps over the lazy dog; ";

}  // namespace

JetStreamOracle::JetStreamOracle(Random& random) : publishes_(1) {
  const uint64_t count = random.Between(2, 4);
  for (uint64_t i = 0; i < count; ++i) {
    Stream stream;
    stream.name = absl::StrFormat("S%d", i);
    stream.subjects = absl::StrFormat("s%d.*", i);
    stream.promise = i == 0 ? Promise::kDurable
                            : random.Pick({Promise::kDurable, Promise::kDurable, Promise::kAsync, Promise::kMemory});
    stream.max_messages = i > 0 && random.Chance(20) ? random.Between(5, 40) : 0;
    streams_.push_back(std::move(stream));
    if (streams_[i].promise != Promise::kDurable) continue;
    for (uint64_t n = random.Below(3) + (i == 0 ? 1 : 0); n > 0; --n) {
      Consumer consumer;
      consumer.stream = i;
      consumer.name = absl::StrFormat("C%d", consumers_.size());
      if (random.Chance(30)) consumer.filter = absl::StrFormat("s%d.%s", i, kWords[random.Below(3)]);
      if (random.Chance(40)) consumer.deliver = "push." + consumer.name;
      consumers_.push_back(std::move(consumer));
    }
  }
}

size_t JetStreamOracle::StreamNumber(std::string_view name) const {
  for (size_t i = 0; i < streams_.size(); ++i) {
    if (streams_[i].name == name) return i;
  }
  Fail("a stream that nobody has made: " + std::string(name));
}

size_t JetStreamOracle::ConsumerNumber(std::string_view stream, std::string_view name) const {
  for (size_t i = 0; i < consumers_.size(); ++i) {
    if (consumers_[i].name == name && streams_[consumers_[i].stream].name == stream) return i;
  }
  Fail(absl::StrFormat("a consumer that nobody has made: %s of %s", name, stream));
}

std::string JetStreamOracle::StreamConfig(const Stream& stream, uint64_t version) const {
  return absl::StrFormat(
      "{\"name\":\"%s\",\"description\":\"v%d\",\"subjects\":[\"%s\"],\"storage\":\"%s\",\"allow_direct\":true,"
      "\"max_msgs\":%d,\"duplicate_window\":%d%s}",
      stream.name, version, stream.subjects, stream.promise == Promise::kMemory ? "memory" : "file",
      stream.max_messages == 0 ? -1 : static_cast<int64_t>(stream.max_messages), kDuplicateWindowNs,
      stream.promise == Promise::kAsync ? ",\"persist_mode\":\"async\"" : "");
}

std::string JetStreamOracle::ConsumerConfig(const Consumer& consumer, uint64_t version) const {
  std::string config = absl::StrFormat(
      "{\"name\":\"%s\",\"durable_name\":\"%s\",\"description\":\"v%d\",\"ack_policy\":\"explicit\",\"ack_wait\":%d,"
      "\"deliver_policy\":\"all\"",
      consumer.name, consumer.name, version, kAckWaitNs);
  if (!consumer.filter.empty()) config += ",\"filter_subject\":\"" + consumer.filter + "\"";
  if (!consumer.deliver.empty()) config += ",\"deliver_subject\":\"" + consumer.deliver + "\"";
  return absl::StrFormat("{\"stream_name\":\"%s\",\"config\":%s}}", streams_[consumer.stream].name, config);
}

// ---- lives ---------------------------------------------------------------------------------------------------------

void JetStreamOracle::OnStart() {
  ++life_;
  ++statistics_.lives;
  for (Stream& stream : streams_) {
    stream.unseen = true;
    stream.busy = false;
  }
  for (Consumer& consumer : consumers_) {
    consumer.busy = false;
    consumer.unseen = true;
    consumer.reader = 0;
    consumer.delivered_first.clear();
  }
}

void JetStreamOracle::OnEnd(bool crash) {
  ++(crash ? statistics_.crashes : statistics_.stops);
  for (size_t i = 0; i < streams_.size(); ++i) {
    Stream& stream = streams_[i];
    const bool keeps = stream.promise == Promise::kDurable || (stream.promise == Promise::kAsync && !crash);
    if (keeps) continue;
    // What is there at the next start is looked at then; here it only ends to be promised.
    stream.floor = stream.promise == Promise::kMemory ? 0 : stream.floor;
    stream.ids.clear();
    stream.purged = 0;
    if (stream.promise == Promise::kMemory) {
      stream.purge_asked = 0;
      stream.slots.clear();
      for (PublishRecord& record : publishes_) record.refused |= record.stream == i && record.id != 0;
      continue;
    }
    // Its changes are a prefix of what they were: a removal may not have happened yet.
    for (auto& [seq, slot] : stream.slots) {
      slot.removal_asked |= slot.gone;
      slot.gone = false;
    }
  }
}

// ---- writing -------------------------------------------------------------------------------------------------------

PublishRecord& JetStreamOracle::OnPublish(size_t stream, std::string subject, std::string msg_id, uint64_t connection,
                                          size_t filler) {
  ++statistics_.publishes;
  PublishRecord record;
  record.id = publishes_.size();
  record.stream = stream;
  record.subject = std::move(subject);
  record.msg_id = std::move(msg_id);
  record.filler = filler;
  record.connection = connection;
  record.life = life_;
  publishes_.push_back(std::move(record));
  return publishes_.back();
}

std::string JetStreamOracle::Body(const PublishRecord& record) const {
  std::string body = absl::StrFormat("publish %d ", record.id);
  const size_t bytes = body.size() + record.filler;
  while (body.size() < bytes) body += kFiller.substr(0, std::min(kFiller.size(), bytes - body.size()));
  return body;
}

std::string JetStreamOracle::Header(const PublishRecord& record) const {
  return record.msg_id.empty() ? "" : absl::StrFormat("NATS/1.0\r\nNats-Msg-Id: %s\r\n\r\n", record.msg_id);
}

void JetStreamOracle::OnRemovalAsked(size_t stream, uint64_t seq) { streams_[stream].slots[seq].removal_asked = true; }

void JetStreamOracle::OnPurgeAsked(size_t stream, uint64_t below) {
  streams_[stream].purge_asked = std::max(streams_[stream].purge_asked, below);
}

void JetStreamOracle::OnAckAsked(size_t consumer, uint64_t seq) {
  ++statistics_.acks;
  consumers_[consumer].acked.insert(seq);
}

// ---- reading -------------------------------------------------------------------------------------------------------

void JetStreamOracle::Place(size_t number, uint64_t seq, uint64_t publish) {
  Stream& stream = streams_[number];
  PublishRecord& record = publishes_[publish];
  Slot& slot = stream.slots[seq];
  if (record.refused)
    Fail(absl::StrFormat("%s has publish %d at %d, which cannot be there", stream.name, publish, seq));
  if (slot.publish != 0 && slot.publish != publish) {
    Fail(absl::StrFormat("%s %d is publish %d, and was publish %d", stream.name, seq, publish, slot.publish));
  }
  if (record.seq != 0 && record.seq != seq)
    Fail(absl::StrFormat("publish %d is at %d and at %d of %s", publish, record.seq, seq, stream.name));
  slot.publish = publish;
  record.seq = seq;
  if (record.msg_id.empty()) return;
  const auto [at, fresh] = stream.ids.try_emplace(record.msg_id, seq);
  if (!fresh && at->second != seq)
    Fail(absl::StrFormat("%s has message id %s at %d and at %d", stream.name, record.msg_id, at->second, seq));
}

void JetStreamOracle::OnPubAck(uint64_t publish, std::string_view name, uint64_t seq, bool duplicate) {
  PublishRecord& record = publishes_[publish];
  Stream& stream = streams_[record.stream];
  if (name != stream.name || seq == 0) Fail(absl::StrFormat("publish %d is confirmed by %s %d", publish, name, seq));
  if (!duplicate) {
    ++statistics_.confirmed;
    const auto before = stream.present.find(seq);
    if (before != stream.present.end() && before->second != publish && before->second != 0)
      Fail(absl::StrFormat("publish %d is confirmed as %s %d, which was another one", publish, name, seq));
    return Place(record.stream, seq, publish);
  }
  ++statistics_.duplicates;
  if (record.msg_id.empty() || record.seq != 0)
    Fail(absl::StrFormat("publish %d to %s is taken for a duplicate", publish, name));
  record.refused = true;
  const auto [at, fresh] = stream.ids.try_emplace(record.msg_id, seq);
  if (!fresh && at->second != seq)
    Fail(absl::StrFormat("%s %s is a duplicate of %d, and was stored as %d", name, record.msg_id, seq, at->second));
  Slot& original = stream.slots[seq];
  if (original.publish != 0 && publishes_[original.publish].msg_id != record.msg_id)
    Fail(absl::StrFormat("%s %s is a duplicate of %d, which has another id", name, record.msg_id, seq));
}

void JetStreamOracle::OnPublishRefused(uint64_t publish) {
  ++statistics_.refused;
  if (publishes_[publish].seq != 0) Fail(absl::StrFormat("publish %d is refused, and was stored", publish));
  publishes_[publish].refused = true;
}

void JetStreamOracle::OnRemoved(size_t stream, uint64_t seq) {
  ++statistics_.removals;
  streams_[stream].slots[seq].gone = true;
}

void JetStreamOracle::OnPurged(size_t stream, uint64_t below) {
  ++statistics_.removals;
  streams_[stream].purged = std::max(streams_[stream].purged, below);
}

void JetStreamOracle::OnAckAnswered(size_t consumer, uint64_t seq, uint64_t connection) {
  ++statistics_.answered_acks;
  consumers_[consumer].answered.try_emplace(seq, Consumer::Answered{life_, connection});
}

const PublishRecord& JetStreamOracle::Recognise(size_t stream, std::string_view subject, std::string_view header,
                                                std::string_view body) const {
  constexpr std::string_view kHead = "publish ";
  const uint64_t id =
      body.starts_with(kHead) ? std::strtoull(std::string(body.substr(kHead.size(), 20)).c_str(), nullptr, 10) : 0;
  if (id == 0 || id >= publishes_.size())
    Fail(absl::StrFormat("%s has a message that nobody published: %s", streams_[stream].name, body.substr(0, 60)));
  const PublishRecord& record = publishes_[id];
  if (record.stream != stream || record.subject != subject || body != Body(record))
    Fail(absl::StrFormat("publish %d is in %s with other bytes or another subject", id, streams_[stream].name));
  const bool has_id = header.find("Nats-Msg-Id:") != std::string_view::npos;
  if (has_id == record.msg_id.empty() ||
      (has_id && header.find("Nats-Msg-Id: " + record.msg_id + "\r\n") == std::string_view::npos)) {
    Fail(absl::StrFormat("publish %d is in %s with another header", id, streams_[stream].name));
  }
  return record;
}

void JetStreamOracle::OnDelivery(size_t number, uint64_t seq, uint64_t deliveries, std::string_view subject,
                                 std::string_view header, std::string_view body, uint64_t connection) {
  ++statistics_.deliveries;
  if (deliveries > 1) ++statistics_.redeliveries;
  Consumer& consumer = consumers_[number];
  const PublishRecord& record = Recognise(consumer.stream, subject, header, body);
  if (!Matches(consumer, record)) Fail(absl::StrFormat("%s gets %s", consumer.name, subject));
  Place(consumer.stream, seq, record.id);
  const auto answered = consumer.answered.find(seq);
  // On other connections of this life it may have been on its way already.
  if (answered != consumer.answered.end() &&
      (answered->second.life < life_ || answered->second.connection == connection)) {
    Fail(absl::StrFormat("%s gets %d of %s (delivery %d), whose acknowledgement was confirmed in life %d",
                         consumer.name, seq, streams_[consumer.stream].name, deliveries, answered->second.life));
  }
  if (deliveries == 1 && !consumer.delivered_first.insert(seq).second)
    Fail(absl::StrFormat("%s gets %d for the first time twice", consumer.name, seq));
}

bool JetStreamOracle::MayBeGone(const Stream& stream, uint64_t seq, uint64_t last_seq) {
  if (seq < stream.purge_asked) return true;
  if (stream.max_messages != 0 && seq + stream.max_messages <= last_seq) return true;
  const auto at = stream.slots.find(seq);
  return at != stream.slots.end() && (at->second.removal_asked || at->second.gone);
}

void JetStreamOracle::OnGot(size_t number, uint64_t seq, bool was_gone, std::string_view subject,
                            std::string_view header, std::string_view body) {
  ++statistics_.gets;
  const Stream& stream = streams_[number];
  const PublishRecord& record = Recognise(number, subject, header, body);
  if (was_gone) Fail(absl::StrFormat("%s %d was removed, and is there", stream.name, seq));
  Place(number, seq, record.id);
}

void JetStreamOracle::OnNotGot(size_t number, uint64_t seq) {
  const Stream& stream = streams_[number];
  if (stream.max_messages != 0 || MayBeGone(stream, seq, 0)) return;
  Fail(absl::StrFormat("%s %d was stored and not removed, and is not there", stream.name, seq));
}

// ---- looks at all of it --------------------------------------------------------------------------------------------

// One publisher's messages are in the order in which it wrote them.
void JetStreamOracle::CheckOrder(const Stream& stream, const std::vector<PublishRecord>& publishes) {
  std::map<uint64_t, uint64_t> last;  // connection: publish
  for (const auto& [seq, publish] : stream.present) {
    uint64_t& before = last[publishes[publish].connection];
    if (before > publish)
      Fail(absl::StrFormat("%s has publish %d before %d of the same client", stream.name, before, publish));
    before = publish;
  }
}

void JetStreamOracle::CheckSlots(const Stream& stream, const StreamLook& look) const {
  if (look.messages != look.found.size())
    Fail(absl::StrFormat("%s says %d messages and has %d", stream.name, look.messages, look.found.size()));
  if (stream.max_messages != 0 && look.messages > stream.max_messages) Fail(stream.name + " has more than it may");
  if (!look.found.empty() && look.found.begin()->first != look.first_seq)
    Fail(absl::StrFormat("%s says that it begins at %d, and has %d", stream.name, look.first_seq,
                         look.found.begin()->first));
  for (uint64_t seq = 1; seq <= look.last_seq; ++seq) {
    const auto slot = stream.slots.find(seq);
    const bool known = slot != stream.slots.end();
    if (!look.found.contains(seq)) {
      if (!MayBeGone(stream, seq, look.last_seq))
        Fail(absl::StrFormat("%s %d is missing (%s)", stream.name, seq, known ? "confirmed" : "never seen"));
    } else if (seq < stream.purged || (known && slot->second.gone)) {
      Fail(absl::StrFormat("%s %d was removed, and is back", stream.name, seq));
    }
  }
}

// What is found after a start is what there is: nothing that was under way at its end comes later.
void JetStreamOracle::Adopt(size_t number, const StreamLook& look) {
  Stream& stream = streams_[number];
  stream.unseen = false;
  stream.floor = look.last_seq;
  for (uint64_t seq = 1; seq <= look.last_seq; ++seq) {
    Slot& slot = stream.slots[seq];
    slot.gone = slot.removal_asked = !look.found.contains(seq);
  }
  stream.purge_asked = stream.purged = look.found.empty() ? look.last_seq + 1 : look.first_seq;
  for (PublishRecord& record : publishes_) {
    if (record.id == 0 || record.stream != number || record.life == life_) continue;
    if (record.seq != 0 || record.refused) continue;
    record.refused = true;
    ++statistics_.unanswered;
  }
}

void JetStreamOracle::OnStreamLook(size_t number, const StreamLook& look) {
  ++statistics_.looks;
  Stream& stream = streams_[number];
  if (!look.exists) {
    if (stream.confirmed) Fail(stream.name + " has vanished");
    if (stream.unseen) {
      stream.asked = false;
      stream.unseen = false;
      for (PublishRecord& record : publishes_) record.refused |= record.stream == number && record.id != 0;
    }
    return;
  }
  if (!stream.asked) Fail(stream.name + " is there, and nobody has made it");
  if (look.version < stream.version_confirmed || look.version > stream.version_asked)
    Fail(absl::StrFormat("%s has configuration %d, which may be %d to %d", stream.name, look.version,
                         stream.version_confirmed, stream.version_asked));
  stream.confirmed = true;
  const bool may_lose = stream.unseen && stream.promise != Promise::kDurable;
  if (may_lose) {
    if (look.last_seq < stream.floor) Fail(stream.name + " has lost what was there at the last start");
    if (stream.promise == Promise::kMemory && look.messages > 0) Fail(stream.name + " is in memory, and not empty");
    for (auto at = stream.slots.upper_bound(look.last_seq); at != stream.slots.end(); at = stream.slots.erase(at)) {
      if (at->second.publish == 0) continue;
      publishes_[at->second.publish].refused = true;
      ++statistics_.lost_async;
    }
  }
  if (!stream.slots.empty() && stream.slots.rbegin()->first > look.last_seq)
    Fail(absl::StrFormat("%s ends at %d, and %d was confirmed", stream.name, look.last_seq,
                         stream.slots.rbegin()->first));
  if (!(stream.unseen && stream.promise == Promise::kMemory)) CheckSlots(stream, look);
  for (const auto& [seq, publish] : look.found) {
    if (publishes_[publish].seq == 0) ++statistics_.found_late;
    Place(number, seq, publish);
  }
  stream.present = look.found;
  CheckOrder(stream, publishes_);
  if (!stream.unseen) return;
  stream.version_confirmed = stream.version_asked = look.version;
  Adopt(number, look);
}

void JetStreamOracle::OnConsumerLook(size_t number, const ConsumerLook& look) {
  Consumer& consumer = consumers_[number];
  if (!look.exists) {
    if (consumer.confirmed) Fail(consumer.name + " has vanished");
    if (std::exchange(consumer.unseen, false)) consumer.asked = false;
    return;
  }
  if (!consumer.asked) Fail(consumer.name + " is there, and nobody has made it");
  if (look.version < consumer.version_confirmed || look.version > consumer.version_asked)
    Fail(absl::StrFormat("%s has configuration %d, which may be %d to %d", consumer.name, look.version,
                         consumer.version_confirmed, consumer.version_asked));
  consumer.confirmed = true;
  if (std::exchange(consumer.unseen, false)) consumer.version_confirmed = consumer.version_asked = look.version;
  uint64_t beyond = 0;
  uint64_t unanswered = 0;
  uint64_t unacked = 0;
  for (const auto& [seq, publish] : streams_[consumer.stream].present) {
    if (!Matches(consumer, publishes_[publish])) continue;
    const bool acked = consumer.acked.contains(seq);
    if (seq <= look.ack_floor && !acked)
      Fail(absl::StrFormat("%s counts everything up to %d as acknowledged, but nobody has acknowledged %d",
                           consumer.name, look.ack_floor, seq));
    if (seq > look.delivered) {
      ++beyond;
      if (consumer.answered.contains(seq))
        Fail(absl::StrFormat("%s has forgotten %d, whose acknowledgement was confirmed", consumer.name, seq));
    } else if (seq > look.ack_floor) {
      unanswered += consumer.answered.contains(seq) ? 0 : 1;
      unacked += acked ? 0 : 1;
    }
  }
  if (look.pending != beyond)
    Fail(absl::StrFormat("%s says that %d messages are to come, and %d are", consumer.name, look.pending, beyond));
  if (look.ack_pending < unacked || look.ack_pending > unanswered)
    Fail(absl::StrFormat("%s waits for %d acknowledgements between %d and %d; it may be %d to %d", consumer.name,
                         look.ack_pending, look.ack_floor, look.delivered, unacked, unanswered));
}

void JetStreamOracle::CheckDrained(size_t number) const {
  const Consumer& consumer = consumers_[number];
  for (const auto& [seq, publish] : streams_[consumer.stream].present) {
    if (Matches(consumer, publishes_[publish]) && !consumer.acked.contains(seq))
      Fail(absl::StrFormat("%s is at its end, and never got %d of %s", consumer.name, seq,
                           streams_[consumer.stream].name));
  }
}

}  // namespace millrace::sim
