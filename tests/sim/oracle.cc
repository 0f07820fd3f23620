// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/oracle.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <set>

#include "absl/strings/str_format.h"

namespace millrace::sim {
namespace {

constexpr size_t kPatternBytes = 1 << 18;
constexpr size_t kPatternStart = 1 << 16;  // messages begin somewhere in these first bytes
constexpr std::string_view kServerPrefix = "$SYS.";  // of what no client publishes
constexpr size_t kPrefixBytes = 8;         // the message's index

size_t PatternAt(uint32_t index) { return index * size_t{7919} % kPatternStart; }

}  // namespace

// The obvious matcher, on purpose not the broker's.
bool Oracle::Matches(std::string_view subject, std::string_view filter) {
  if (subject.empty() || subject.front() == '.' || subject.back() == '.' ||
      subject.find("..") != std::string_view::npos) {
    return false;
  }
  while (true) {
    const size_t have = subject.find('.');
    const size_t want = filter.find('.');
    const std::string_view token = filter.substr(0, want);
    if (token == ">") return true;
    if (token != "*" && token != subject.substr(0, have)) return false;
    if (have == std::string_view::npos || want == std::string_view::npos) return have == want;
    subject.remove_prefix(have + 1);
    filter.remove_prefix(want + 1);
  }
}

Oracle::Oracle(SimKernel& kernel) : kernel_(kernel) {
  Random random(4711);
  pattern_.resize(kPatternBytes);
  for (char& c : pattern_) c = static_cast<char>(random.Next());
}

std::string Oracle::Name(const MessageRecord& m) const {
  return absl::StrFormat("message %d (client %d, number %d, subject %s, reply '%s', %d bytes, sent %d, confirmed %d)",
                         m.index, m.publisher, m.seq, m.subject, m.reply, m.body_bytes, m.sent, m.confirmed);
}

std::string Oracle::Name(const SubscriptionRecord& s) const {
  return absl::StrFormat(
      "subscription %s of client %d (filter %s, queue '%s', max %d, got %d, sent %d, confirmed %d, ends %d/%d)", s.sid,
      s.client, s.filter, s.queue, s.max, s.count, s.sent, s.confirmed, s.end_sent, s.end_confirmed);
}

ClientRecord* Oracle::AddClient(Socket* socket, bool echo, bool headers, bool no_responders) {
  auto record = std::make_unique<ClientRecord>();
  record->index = static_cast<uint32_t>(clients_.size());
  record->echo = echo;
  record->headers = headers;
  record->no_responders = no_responders;
  record->socket = socket;
  clients_.push_back(std::move(record));
  return clients_.back().get();
}

// ---- what clients write --------------------------------------------------------------------------------------------

bool Oracle::EchoExcluded(const SubscriptionRecord& sub, const MessageRecord& message) const {
  return sub.client == message.publisher && !clients_[sub.client]->echo;
}

bool Oracle::Must(const SubscriptionRecord& sub, const MessageRecord& message) const {
  if (!Matches(message.subject, sub.filter) || EchoExcluded(sub, message)) return false;
  const bool own = sub.client == message.publisher;
  const bool began = own ? sub.order < message.order : sub.confirmed != 0 && sub.confirmed < message.sent;
  if (!began || sub.max != 0) return false;
  if (sub.end_sent == 0) return true;
  return message.confirmed != 0 && message.confirmed < sub.end_sent;
}

bool Oracle::May(const SubscriptionRecord& sub, const MessageRecord& message) const {
  if (!Matches(message.subject, sub.filter) || EchoExcluded(sub, message)) return false;
  if (message.confirmed != 0 && message.confirmed < sub.sent) return false;
  return sub.end_confirmed == 0 || sub.end_confirmed > message.sent;
}

MessageRecord& Oracle::OnPublish(ClientRecord& client, std::string subject, std::string reply, uint32_t body_bytes,
                                 bool header, bool request) {
  auto record = std::make_unique<MessageRecord>();
  MessageRecord& m = *record;
  m.index = static_cast<uint32_t>(messages_.size());
  m.publisher = client.index;
  m.seq = ++client.seq;
  m.order = ++client.order;
  m.subject = std::move(subject);
  m.reply = std::move(reply);
  m.body_bytes = std::max<uint32_t>(body_bytes, kPrefixBytes);
  if (header)
    m.header = absl::StrFormat("NATS/1.0\r\nNumber: %d\r\nFiller: %s\r\n\r\n", m.index, std::string(m.index % 50, 'x'));
  m.sent = kernel_.Stamp();
  m.request = request;
  messages_.push_back(std::move(record));
  client.messages.push_back(m.index);
  if (request) by_reply_[m.reply] = m.index;
  ++statistics_.messages;
  for (SubscriptionRecord* sub : live_) {
    if (!sub->queue.empty() || !Matches(m.subject, sub->filter) || EchoExcluded(*sub, m)) continue;
    const bool own = sub->client == client.index;
    if (!own && (sub->confirmed == 0 || sub->confirmed >= m.sent)) continue;
    if (sub->unsubscribed) continue;
    if (clients_[sub->client]->closing != 0) continue;
    sub->expected[client.index].push_back(m.index);
  }
  return m;
}

std::string Oracle::Payload(const MessageRecord& m) const {
  std::string out = m.header;
  out += absl::StrFormat("%08x", m.index);
  out.append(pattern_, PatternAt(m.index), m.body_bytes - kPrefixBytes);
  return out;
}

SubscriptionRecord& Oracle::OnSubscribe(ClientRecord& client, std::string sid, std::string filter, std::string queue) {
  auto record = std::make_unique<SubscriptionRecord>();
  record->client = client.index;
  record->sid = std::move(sid);
  record->filter = std::move(filter);
  record->queue = std::move(queue);
  record->order = ++client.order;
  record->sent = kernel_.Stamp();
  if (client.closing != 0) record->end_sent = record->sent;
  subs_.push_back(std::move(record));
  SubscriptionRecord* sub = subs_.back().get();
  client.subs.push_back(sub);
  live_.push_back(sub);
  return *sub;
}

void Oracle::OnUnsubscribe(ClientRecord& client, SubscriptionRecord& sub, uint64_t max) {
  ++client.order;
  if (sub.end_sent == 0) sub.end_sent = kernel_.Stamp();
  if (max > 0) {
    sub.max = max;
    sub.max_order = client.order;
    sub.max_known = false;
    if (sub.count >= max && sub.end_order == 0) sub.end_order = client.order;
    return;
  }
  sub.unsubscribed = true;
  if (sub.end_order == 0) sub.end_order = client.order;
  // What is not confirmed yet may come after the UNSUB; what the client itself published before it does not.
  for (auto& [publisher, expected] : sub.expected) {
    if (publisher == client.index) continue;
    std::erase_if(expected, [this](uint32_t index) { return messages_[index]->confirmed == 0; });
  }
}

void Oracle::OnPing(ClientRecord& client) {
  client.pings.push_back(ClientRecord::Ping{kernel_.Stamp(), ++client.order, client.seq});
}

void Oracle::OnClosing(ClientRecord& client, uint64_t since) {
  if (client.closing != 0 && client.closing <= since) return;
  client.closing = since;
  for (SubscriptionRecord* sub : client.subs) {
    if (sub->end_sent == 0 || sub->end_sent > since) sub->end_sent = since;
  }
}

// ---- what clients read ---------------------------------------------------------------------------------------------

SubscriptionRecord* Oracle::FindSub(ClientRecord& client, std::string_view sid) {
  for (SubscriptionRecord* sub : client.subs) {
    if (sub->sid == sid) return sub;
  }
  return nullptr;
}

// What had been confirmed to its publisher when this PING was written must have come by now.
void Oracle::CheckExpected(ClientRecord& client, const ClientRecord::Ping& ping) {
  for (SubscriptionRecord* sub : client.subs) {
    if (sub->max != 0 && sub->count >= sub->max) continue;
    for (auto& [publisher, expected] : sub->expected) {
      if (expected.empty()) continue;
      const MessageRecord& m = *messages_[expected.front()];
      const bool own = publisher == client.index;
      const bool due = own ? m.seq <= ping.seq : m.confirmed != 0 && m.confirmed < ping.sent;
      if (due) Fail(Name(m) + " is missing at the PONG of " + Name(*sub));
    }
  }
}

// PONG means that it has happened on every shard, whether those who get it have read it or not.
void Oracle::CheckFacts(const ClientRecord& client) const {
  if (facts_.knows == nullptr) return;
  for (const SubscriptionRecord* sub : client.subs) {
    if (sub->confirmed == 0 || sub->max != 0 || sub->end_sent != 0) continue;
    if (!facts_.knows(*sub)) Fail(Name(*sub) + " has its PONG and is not known everywhere");
  }
  for (const SubscriptionRecord* sub : live_) {
    const auto mine = sub->expected.find(client.index);
    if (mine == sub->expected.end() || sub->max != 0 || sub->end_sent != 0) continue;
    const auto confirmed = [this](uint32_t index) { return messages_[index]->confirmed != 0; };
    if (mine->second.empty() || !confirmed(mine->second.front())) continue;
    uint64_t due = sub->count;
    for (const auto& [publisher, expected] : sub->expected) {
      due += static_cast<uint64_t>(std::count_if(expected.begin(), expected.end(), confirmed));
    }
    const uint64_t delivered = facts_.delivered(*sub);
    if (delivered < due) {
      Fail(absl::StrFormat("%s has its PONG: %d of %d that are confirmed have been delivered to %s",
                           Name(*messages_[mine->second.front()]), delivered, due, Name(*sub)));
    }
  }
}

void Oracle::OnPong(ClientRecord& client) {
  if (client.pings.empty()) Fail(absl::StrFormat("client %d: a PONG without a PING", client.index));
  const ClientRecord::Ping ping = client.pings.front();
  client.pings.pop_front();
  CheckExpected(client, ping);
  if (client.hasty) return;
  const uint64_t now = kernel_.Stamp();
  client.last_ping_sent = ping.sent;
  for (; client.confirmed_seq < ping.seq; ++client.confirmed_seq) {
    MessageRecord& m = *messages_[client.messages[client.confirmed_seq]];
    m.confirmed = now;
    if (m.request) CheckRequest(m, false);
  }
  for (SubscriptionRecord* sub : client.subs) {
    if (sub->confirmed == 0 && sub->order < ping.order) sub->confirmed = now;
    if (sub->max != 0 && !sub->max_known && sub->max_order < ping.order) {
      sub->max_known = true;
      // It may have been the last delivery, after the PING was read: the next PING tells the others of the end for
      // sure.
      if (sub->count >= sub->max && sub->end_order == 0) sub->end_order = client.order;
    }
    if (sub->end_order != 0 && sub->end_order < ping.order) {
      sub->end_confirmed = now;
      sub->ended = true;
    }
  }
  const auto ended = [](const SubscriptionRecord* sub) { return sub->ended; };
  if (std::erase_if(client.subs, ended) > 0) std::erase_if(live_, ended);
  CheckFacts(client);
}

bool Oracle::SecondPickPossible(const std::string& queue, const MessageRecord& message) const {
  return std::any_of(subs_.begin(), subs_.end(), [&](const std::unique_ptr<SubscriptionRecord>& sub) {
    return sub->queue == queue && sub->end_sent != 0 &&
           (sub->end_confirmed == 0 || sub->end_confirmed > message.sent) && Matches(message.subject, sub->filter);
  });
}

void Oracle::OnMessage(ClientRecord& client, std::string_view subject, std::string_view sid, std::string_view reply,
                       std::string_view header, std::string_view payload) {
  SubscriptionRecord* sub = FindSub(client, sid);
  if (sub == nullptr) {
    Fail(absl::StrFormat("client %d got a message on %s for sid %s, which has ended or never was", client.index,
                         std::string(subject), std::string(sid)));
  }
  if (subject.starts_with(kServerPrefix)) return OnServerMessage(client, *sub, subject);
  if (payload.size() < kPrefixBytes) Fail("a payload is too short for " + Name(*sub));
  const uint32_t index =
      static_cast<uint32_t>(std::strtoul(std::string(payload.substr(0, kPrefixBytes)).c_str(), nullptr, 16));
  if (index >= messages_.size()) Fail("a payload names no message: " + Name(*sub));
  MessageRecord& m = *messages_[index];
  const std::string both = Name(m) + " at " + Name(*sub);
  if (m.subject != subject || m.reply != reply) Fail("wrong subject or reply: " + both);
  if (payload.size() != m.body_bytes ||
      payload.substr(kPrefixBytes) !=
          std::string_view(pattern_).substr(PatternAt(index), m.body_bytes - kPrefixBytes)) {
    Fail("a corrupted payload: " + both);
  }
  if (header != (client.headers ? std::string_view(m.header) : std::string_view())) Fail("a corrupted header: " + both);
  if (!Matches(subject, sub->filter)) Fail("the filter does not match: " + both);
  if (EchoExcluded(*sub, m)) Fail("an echo that was not wanted: " + both);
  ++statistics_.deliveries;

  const bool queued = !sub->queue.empty();
  const bool second_pick = queued && SecondPickPossible(sub->queue, m);
  if (m.confirmed != 0 && m.confirmed < sub->sent && !second_pick) Fail("a message from before the SUB: " + both);
  Count(client, *sub, both);

  // A message that was confirmed before our last answered PING was written should have come before that PONG.
  if (m.confirmed != 0 && m.confirmed < client.last_ping_sent) {
    if (!second_pick) Fail("a message after the PONG that covers it: " + both);
    ++statistics_.second_pick_late;
  }
  uint32_t& last = client.last_seq[m.publisher];
  uint32_t& last_here = sub->last_seq[m.publisher];
  if (m.seq < last) {
    if (!second_pick) Fail(absl::StrFormat("order of the publisher broken, %d came before: %s", last, both));
    ++statistics_.second_pick_reorders;
  } else if (m.seq == last_here) {
    Fail("delivered twice: " + both);
  }
  // A second pick may overtake as well: what is on its way may not be held against others.
  if (!second_pick) {
    last = std::max(last, m.seq);
    last_here = std::max(last_here, m.seq);
  }

  if (queued) {
    ++statistics_.queue_deliveries;
    if (std::find(m.queues_served.begin(), m.queues_served.end(), sub->queue) != m.queues_served.end()) {
      Fail("a queue group got it twice: " + both);
    }
    m.queues_served.push_back(sub->queue);
    return;
  }
  std::deque<uint32_t>& expected = sub->expected[m.publisher];
  if (expected.empty()) return;
  const MessageRecord& next = *messages_[expected.front()];
  if (next.seq < m.seq) Fail(Name(next) + " was lost before " + both);
  if (next.seq == m.seq) expected.pop_front();
}

// What the server says of itself, to whoever listens: of a client that it has refused.
void Oracle::OnServerMessage(ClientRecord& client, SubscriptionRecord& sub, std::string_view subject) {
  const std::string both = std::string(subject) + " at " + Name(sub);
  if (!Matches(subject, sub.filter)) Fail("the filter does not match: " + both);
  Count(client, sub, both);
}

void Oracle::Count(ClientRecord& client, SubscriptionRecord& sub, const std::string& what) {
  if (sub.max_known && sub.count >= sub.max) Fail("more than UNSUB allowed: " + what);
  ++sub.count;
  if (sub.max != 0 && sub.max_known && sub.count >= sub.max && sub.end_order == 0) sub.end_order = client.order;
}

// ---- requests without responders -----------------------------------------------------------------------------------

void Oracle::OnNoResponders(ClientRecord& client, std::string_view sid, std::string_view reply,
                            std::string_view header) {
  const auto it = by_reply_.find(reply);
  if (it == by_reply_.end()) Fail("a 503 for no request: " + std::string(reply));
  MessageRecord& m = *messages_[it->second];
  if (m.publisher != client.index) Fail("a 503 for another client's request: " + Name(m));
  const SubscriptionRecord* sub = FindSub(client, sid);
  if (sub == nullptr || !Matches(reply, sub->filter)) {
    std::string have;
    for (const SubscriptionRecord* own : client.subs) have += "\n  " + Name(*own);
    Fail(absl::StrFormat("a 503 on the wrong subscription %s: %s%s", std::string(sid), Name(m), have));
  }
  if (header != absl::StrFormat("NATS/1.0 503\r\nNats-Subject: %s\r\n\r\n", m.subject))
    Fail("a broken 503: " + Name(m));
  if (++m.no_responders > 1) Fail("a second 503: " + Name(m));
  ++statistics_.no_responders;
}

void Oracle::CheckRequest(const MessageRecord& m, bool at_end) {
  const SubscriptionRecord* must = nullptr;
  const SubscriptionRecord* may = nullptr;
  for (const std::unique_ptr<SubscriptionRecord>& sub : subs_) {
    if (Must(*sub, m)) must = sub.get();
    if (May(*sub, m)) may = sub.get();
  }
  if (at_end && m.no_responders > 0 && must != nullptr) Fail("a 503 although there is " + Name(*must) + ": " + Name(m));
  if (may == nullptr && m.confirmed != 0 && m.no_responders == 0)
    Fail("no 503 although nobody is interested: " + Name(m));
}

void Oracle::CheckRequests() {
  for (const std::unique_ptr<MessageRecord>& m : messages_) {
    if (m->request && clients_[m->publisher]->closing == 0) CheckRequest(*m, true);
  }
}

// ---- the whole -----------------------------------------------------------------------------------------------------

void Oracle::OnQuiet() {
  for (const std::unique_ptr<ClientRecord>& client : clients_) {
    if (client->closed_known != 0 || !client->socket->broker_closed) continue;
    OnClosing(*client, client->socket->shutdown_stamp);  // it may not have read that far itself
    client->closed_known = kernel_.Stamp();
    // A reset takes along what was not read; an end in good order does not.
    for (; client->all_must_count && !client->socket->reset && client->confirmed_seq < client->seq;
         ++client->confirmed_seq) {
      messages_[client->messages[client->confirmed_seq]]->confirmed = client->closed_known;
    }
    for (SubscriptionRecord* sub : client->subs) {
      if (sub->end_confirmed == 0) sub->end_confirmed = client->closed_known;
    }
    // What had been sent to it may still be read: the subscriptions stay with the client.
    std::erase_if(live_, [&](const SubscriptionRecord* sub) { return sub->client == client->index; });
  }
}

// Each message went to exactly one member of every group that had a member all the time.
void Oracle::CheckQueues() {
  for (const std::unique_ptr<MessageRecord>& m : messages_) {
    if (m->confirmed == 0) continue;
    std::set<std::string_view> wanted;
    for (const std::unique_ptr<SubscriptionRecord>& sub : subs_) {
      if (!sub->queue.empty() && Must(*sub, *m)) wanted.insert(sub->queue);
    }
    for (const std::string& served : m->queues_served) wanted.erase(served);
    for (const std::string_view queue : wanted) {
      // It may lie on the way to a member whose connection has ended.
      const bool excused = std::any_of(subs_.begin(), subs_.end(), [&](const std::unique_ptr<SubscriptionRecord>& sub) {
        const ClientRecord& client = *clients_[sub->client];
        return sub->queue == queue && client.closing != 0 && May(*sub, *m) &&
               (!client.socket->broker_closed || client.socket->closed_stamp > m->sent);
      });
      if (!excused) Fail("queue group " + std::string(queue) + " did not get " + Name(*m));
    }
  }
}

}  // namespace millrace::sim
