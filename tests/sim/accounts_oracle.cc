// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/accounts_oracle.h"

#include <algorithm>
#include <cstdlib>

#include "absl/strings/str_format.h"

namespace millrace::sim {
namespace {

constexpr size_t kPrefixBytes = 8;  // the message's index

char FillerOf(uint32_t index) { return static_cast<char>('a' + index % 26); }

}  // namespace

std::string AccountsOracle::Name(const Message& m) const {
  return absl::StrFormat("message %d (client %d of %s, number %d, subject %s, reply '%s', sent %d, confirmed %d)",
                         m.index, m.publisher, clients_[m.publisher]->account, m.seq, m.subject, m.reply, m.sent,
                         m.confirmed);
}

std::string AccountsOracle::Name(const Subscription& s) const {
  return absl::StrFormat("subscription %s of client %d of %s (filter %s, queue '%s', sent %d, confirmed %d, ends "
                         "%d/%d)", s.sid, s.client, clients_[s.client]->account, s.filter, s.queue, s.sent, s.confirmed,
                         s.end_sent, s.end_confirmed);
}

// ---- versions ------------------------------------------------------------------------------------------------------

const AccountsModel& AccountsOracle::Load(AccountsModel model) {
  if (const std::string forbidden = model.Forbidden(); !forbidden.empty())
    Fail("an import was taken that no export allows: " + forbidden);
  auto version = std::make_unique<Version>();
  version->model = std::move(model);
  version->loaded = kernel_.Stamp();
  if (versions_.empty()) version->acknowledged = version->loaded;
  versions_.push_back(std::move(version));
  return newest();
}

void AccountsOracle::OnAcknowledged() {
  if (acknowledged_ == versions_.size()) Fail("a configuration was acknowledged that nobody has loaded");
  versions_[acknowledged_++]->acknowledged = kernel_.Stamp();
  ++statistics_.reloads;
}

std::pair<size_t, size_t> AccountsOracle::InForce(uint64_t from, uint64_t to) const {
  size_t first = 0;
  while (first + 1 < acknowledged_ && versions_[first + 1]->acknowledged < from) ++first;
  size_t last = first;
  while (last + 1 < versions_.size() && versions_[last + 1]->loaded <= to) ++last;
  return {first, last};
}

std::vector<const AccountsModel*> AccountsOracle::Models(std::pair<size_t, size_t> range) const {
  std::vector<const AccountsModel*> models;
  for (size_t i = range.first; i <= range.second; ++i) models.push_back(&versions_[i]->model);
  return models;
}

// ---- ways ----------------------------------------------------------------------------------------------------------

Ways AccountsOracle::WaysOf(const Message& m, std::pair<size_t, size_t> range) const {
  const std::vector<const AccountsModel*> models = Models(range);
  const std::string& account = clients_[m.publisher]->account;
  Ways ways = FindWays(models, m.subject, {account}, true);
  if (m.through == kNone) return ways;
  // Home, through the accounts that the request has come through, and from there as if it had been published there.
  const ReplyRecord& record = replies_[m.through];
  for (const Way& way : record.ways) {
    if (way.path.front() != account || way.path.size() < 2) continue;
    std::vector<std::string> path = {account};
    for (size_t i = 1; i < way.path.size(); ++i) {
      path.insert(path.begin(), way.path[i]);
      const bool last = i + 1 == way.path.size();
      if (!last) ways.all.push_back({way.path[i], std::string(kReplySubject), ways.places++, path, way.singleton});
    }
    Ways home = FindWays(models, messages_[record.request]->reply, path, false);
    for (Way& there : home.all) {
      there.place += ways.places;
      there.singleton |= way.singleton;
      ways.all.push_back(std::move(there));
    }
    ways.places += home.places;
    ways.certain &= home.certain;
  }
  return ways;
}

const Ways& AccountsOracle::MayWays(Message& m) {
  const std::pair<size_t, size_t> range = InForce(m.sent, kernel_.stamp);
  if (m.may.of != range) m.may = {range, WaysOf(m, range)};
  return m.may.ways;
}

bool AccountsOracle::Hears(const Way& way, const std::string& account, std::string_view subject) {
  if (way.account != account) return false;
  return way.subject == kReplySubject ? subject.starts_with(kReplySubject) : way.subject == subject;
}

// ---- what clients write --------------------------------------------------------------------------------------------

AccountsOracle::Client* AccountsOracle::AddClient(Socket* socket, std::string user, bool headers, bool no_responders) {
  auto client = std::make_unique<Client>();
  client->index = static_cast<uint32_t>(clients_.size());
  client->user = std::move(user);
  client->socket = socket;
  client->headers = headers;
  client->no_responders = no_responders;
  client->connected = kernel_.Stamp();
  clients_.push_back(std::move(client));
  return clients_.back().get();
}

uint32_t AccountsOracle::OnPublish(Client& client, const std::string& subject, const std::string& reply,
                                   uint32_t body_bytes) {
  auto message = std::make_unique<Message>();
  message->index = static_cast<uint32_t>(messages_.size());
  message->publisher = client.index;
  message->seq = static_cast<uint32_t>(client.messages.size() + 1);
  message->subject = subject;
  message->reply = reply;
  message->body_bytes = std::max<uint32_t>(body_bytes, kPrefixBytes);
  message->sent = kernel_.Stamp();
  message->version = kUnsure;
  if (const auto at = by_reply_.find(subject); at != by_reply_.end()) {
    message->through = at->second;
    replies_[at->second].replies.push_back(message->index);
  }
  if (!reply.empty() && message->through == kNone) by_request_[reply] = message->index;
  client.messages.push_back(message->index);
  messages_.push_back(std::move(message));
  ++statistics_.messages;
  return messages_.back()->index;
}

std::string AccountsOracle::Payload(uint32_t index) const {
  return absl::StrFormat("%08x", index) + std::string(messages_[index]->body_bytes - kPrefixBytes, FillerOf(index));
}

void AccountsOracle::OnSubscribe(Client& client, std::string sid, std::string filter, std::string queue) {
  auto sub = std::make_unique<Subscription>();
  sub->client = client.index;
  sub->sid = std::move(sid);
  sub->filter = std::move(filter);
  sub->queue = std::move(queue);
  sub->sent = kernel_.Stamp();
  sub->looked_at = confirmed_.size();
  client.subs[sub->sid] = sub.get();
  subs_.push_back(std::move(sub));
}

void AccountsOracle::OnUnsubscribe(Client&, Subscription& sub) {
  if (sub.end_sent == 0) sub.end_sent = kernel_.Stamp();
}

void AccountsOracle::OnPing(Client& client) { client.pings.push_back({kernel_.Stamp(), client.messages.size()}); }

void AccountsOracle::OnClosing(Client& client, uint64_t since) {
  if (client.closing != 0 && client.closing <= since) return;
  client.closing = since;
  for (const auto& [sid, sub] : client.subs) {
    if (sub->end_sent == 0 || sub->end_sent > since) sub->end_sent = since;
  }
}

// ---- what clients read ---------------------------------------------------------------------------------------------

void AccountsOracle::OnAccount(Client& client, std::string account) {
  const std::pair<size_t, size_t> range = InForce(client.connected, kernel_.stamp);
  int64_t most = 0;
  bool is_its = false;
  for (const AccountsModel* model : Models(range)) {
    is_its |= !account.empty() && model->AccountOf(client.user) == account;
    const int64_t limit = model->ConnectionsOf(account);
    most = limit < 0 || most < 0 ? -1 : std::max(most, limit);
  }
  if (!is_its) Fail(absl::StrFormat("client %d is %s and came to account '%s'", client.index, client.user, account));
  client.account = std::move(account);
  const auto in_it = std::count_if(clients_.begin(), clients_.end(), [&](const std::unique_ptr<Client>& other) {
    return IsIn(*other, client.account);
  });
  if (most >= 0 && client.closing == 0 && in_it > most)
    Fail(absl::StrFormat("%d connections in account %s, which may have %d", in_it, client.account, most));
}

bool AccountsOracle::IsIn(const Client& client, const std::string& account) const {
  if (client.account != account || client.closing != 0) return false;
  const std::vector<const AccountsModel*> models = Models(InForce(client.connected, kernel_.stamp));
  return std::all_of(models.begin(), models.end(), [&](const AccountsModel* model) {
    return model->AccountOf(client.user) == account &&
           model->ConnectionsOf(account) == models.front()->ConnectionsOf(account);
  });
}

void AccountsOracle::OnTooMany(const Client& client) {
  ++statistics_.refused;
  for (const AccountsModel* model : Models(InForce(client.connected, kernel_.stamp))) {
    const std::string account = model->AccountOf(client.user);
    const int64_t limit = model->ConnectionsOf(account);
    if (account.empty() || limit < 0) continue;
    // Everybody who may be in it, or may have been when this one came.
    const auto others = std::count_if(clients_.begin(), clients_.end(), [&](const std::unique_ptr<Client>& other) {
      if (other.get() == &client || (other->gone != 0 && other->gone < client.connected)) return false;
      return other->account.empty() || other->account == account;
    });
    if (others >= limit) return;
  }
  Fail(absl::StrFormat("client %d (%s) was refused although there was room", client.index, client.user));
}

void AccountsOracle::OnSentAway(const Client& client) {
  if (stopping_) return;
  ++statistics_.moved;
  std::set<std::string> accounts;
  const std::pair<size_t, size_t> range = InForce(client.connected, kernel_.stamp);
  // A reload asks those as well who have said nothing yet.
  if (client.account.empty() && range.first != range.second) return;
  for (const AccountsModel* model : Models(range)) accounts.insert(model->AccountOf(client.user));
  if (!client.account.empty()) accounts.insert(client.account);
  if (accounts.size() == 1 && !accounts.begin()->empty())
    Fail(absl::StrFormat("client %d (%s) was sent away without cause", client.index, client.user));
}

// What had to be everywhere before `before`.
void AccountsOracle::CheckDue(Client& client, uint64_t before) {
  for (const auto& [sid, sub] : client.subs) {
    for (; sub->looked_at < confirmed_.size(); ++sub->looked_at) {
      const Message& m = *messages_[confirmed_[sub->looked_at]];
      if (m.confirmed >= before) break;
      const std::optional<uint64_t> due = Due(*sub, m);
      if (!due) continue;
      uint64_t got = 0;
      if (const auto at = sub->got.find(m.index); at != sub->got.end()) {
        for (const auto& [subject, count] : at->second) got += count;
      }
      if (got != *due)
        Fail(absl::StrFormat("%s has come %d times, not %d, to %s", Name(m), got, *due, Name(*sub)));
      statistics_.due += got;
    }
  }
}

std::optional<uint64_t> AccountsOracle::Due(const Subscription& sub, const Message& m) const {
  const Client& client = *clients_[sub.client];
  if (m.version == kUnsure || !m.must.certain || !sub.queue.empty() || client.closing != 0) return std::nullopt;
  if (sub.confirmed == 0 || sub.confirmed >= m.sent) return std::nullopt;
  if (sub.end_sent != 0 && m.confirmed >= sub.end_sent) return std::nullopt;
  // A PONG confirms imports as well: one whose PING was written when all shards had this version.
  const uint64_t since = versions_[m.version]->acknowledged;
  if (since > sub.sent) {
    const bool known = std::any_of(client.rounds.begin(), client.rounds.end(), [&](const auto& round) {
      return round.first > since && round.second < m.sent;
    });
    if (!known) return std::nullopt;
  }
  uint64_t due = 0;
  for (const Way& way : m.must.all) {
    if (way.account == client.account && SubjectMatches(way.subject, sub.filter)) ++due;
  }
  return due;
}

void AccountsOracle::OnConfirmed(Message& m) {
  m.confirmed = kernel_.Stamp();
  confirmed_.push_back(m.index);
  const std::pair<size_t, size_t> range = InForce(m.sent, m.confirmed);
  // Replies come home by way of the shard of the request, for which no PONG waits.
  if (range.first != range.second || m.through != kNone) return;
  if (versions_[range.first]->acknowledged >= m.sent) return;
  m.version = range.first;
  m.must = WaysOf(m, range);
  CheckRequest(m);
}

void AccountsOracle::OnPong(Client& client) {
  if (client.pings.empty()) Fail(absl::StrFormat("client %d: a PONG without a PING", client.index));
  const Client::Ping ping = client.pings.front();
  client.pings.pop_front();
  CheckDue(client, ping.sent);
  const uint64_t now = kernel_.Stamp();
  client.rounds.emplace_back(ping.sent, now);
  for (; client.confirmed_seq < ping.messages; ++client.confirmed_seq)
    OnConfirmed(*messages_[client.messages[client.confirmed_seq]]);
  std::erase_if(client.subs, [&](const auto& entry) {
    Subscription& sub = *entry.second;
    if (sub.confirmed == 0 && sub.sent < ping.sent) sub.confirmed = now;
    if (sub.end_sent == 0 || sub.end_sent >= ping.sent || client.closing != 0) return false;
    sub.end_confirmed = now;
    return true;
  });
}

std::vector<Way> AccountsOracle::CheckWays(Client& client, Subscription& sub, Message& m, std::string_view subject,
                                           std::string_view reply, std::string_view header) {
  const std::string both = absl::StrFormat("%s as %s with reply '%s' at %s", Name(m), std::string(subject),
                                           std::string(reply), Name(sub));
  if (!SubjectMatches(subject, sub.filter)) Fail("the filter does not match: " + both);
  std::vector<Way> ways;
  for (const Way& way : MayWays(m).all) {
    if (Hears(way, client.account, subject)) ways.push_back(way);
  }
  if (ways.empty()) Fail("a message has crossed without an import: " + both);
  if (++sub.got[m.index][std::string(subject)] > ways.size())
    Fail(absl::StrFormat("a message has come %d times on %d ways: %s", sub.got[m.index].find(subject)->second,
                         ways.size(), both));
  const bool by_service = reply.starts_with(kReplySubject);
  const std::string account = absl::StrFormat("\"acc\":\"%s\"", clients_[m.publisher]->account);
  const bool has_requestor = header.find(account) != std::string_view::npos;
  std::erase_if(ways, [&](const Way& way) {
    const bool apart = way.path.size() > 1;
    if (reply.empty() != m.reply.empty()) return true;
    if (!reply.empty() && (apart ? !by_service : reply != m.reply)) return true;
    // Of a reply on its way home nobody is told who has sent it.
    const bool wants_requestor = client.headers && apart && m.through == kNone;
    return m.through == kNone ? wants_requestor != has_requestor : false;
  });
  if (ways.empty()) Fail("a wrong reply subject, or header '" + std::string(header) + "': " + both);
  return ways;
}

void AccountsOracle::CheckOrder(Subscription& sub, const Message& m, std::string_view subject) {
  if (!sub.queue.empty()) return;
  const std::string what = m.through == kNone ? "" : absl::StrFormat("%d %s", m.through, std::string(subject));
  uint32_t& last = sub.last_seq[{m.publisher, what}];
  if (m.seq < last)
    Fail(absl::StrFormat("order of the publisher broken, %d came before: %s at %s", last, Name(m), Name(sub)));
  last = m.seq;
}

void AccountsOracle::NoteReply(const Message& m, const std::vector<Way>& ways, std::string_view reply) {
  if (!reply.starts_with(kReplySubject)) return;
  const auto [at, is_new] = by_reply_.emplace(std::string(reply), static_cast<uint32_t>(replies_.size()));
  if (is_new) {
    replies_.emplace_back();
    replies_.back().subject = reply;
    replies_.back().request = m.index;
  }
  ReplyRecord& record = replies_[at->second];
  if (record.request != m.index) Fail(record.subject + " is the reply subject of two messages: " + Name(m));
  if (!is_new) return;
  for (const Way& way : ways) {
    if (way.path.size() > 1) record.ways.push_back(way);
  }
}

// A reply that has reached the account of the requestor.
void AccountsOracle::CheckHome(Client& client, const Message& m, const std::vector<Way>& ways,
                               std::string_view subject) {
  if (m.through == kNone) return;
  ReplyRecord& record = replies_[m.through];
  const Message& request = *messages_[record.request];
  if (client.account != clients_[request.publisher]->account || subject != request.reply) return;
  const bool came_home =
      std::all_of(ways.begin(), ways.end(), [](const Way& way) { return way.path.size() > 1; });
  if (!came_home) return;
  if (record.home.insert(m.index).second) ++statistics_.replies_home;
  const bool one = std::all_of(ways.begin(), ways.end(), [](const Way& way) { return way.singleton; });
  if (one && record.home.size() > 1) Fail("a second reply has come to " + Name(request) + ": " + Name(m));
}

void AccountsOracle::OnMessage(Client& client, std::string_view subject, std::string_view sid, std::string_view reply,
                               std::string_view header, std::string_view payload) {
  const auto at = client.subs.find(sid);
  if (at == client.subs.end())
    Fail(absl::StrFormat("client %d got a message on %s for sid %s, which has ended or never was", client.index,
                         std::string(subject), std::string(sid)));
  Subscription& sub = *at->second;
  const size_t index = payload.size() < kPrefixBytes
                           ? SIZE_MAX
                           : std::strtoul(std::string(payload.substr(0, kPrefixBytes)).c_str(), nullptr, 16);
  if (index >= messages_.size()) Fail("a payload names no message: " + Name(sub));
  Message& m = *messages_[index];
  if (payload != Payload(m.index)) Fail("a corrupted payload: " + Name(m) + " at " + Name(sub));
  if (m.confirmed != 0 && m.confirmed < sub.sent && sub.queue.empty() && m.through == kNone)
    Fail("a message from before the SUB: " + Name(m) + " at " + Name(sub));
  const std::vector<Way> ways = CheckWays(client, sub, m, subject, reply, header);
  CheckOrder(sub, m, subject);
  NoteReply(m, ways, reply);
  CheckHome(client, m, ways, subject);
  ++statistics_.deliveries;
  if (ways.front().path.size() > 1) ++statistics_.forwarded;
  if (ways.front().account != ways.front().path.front()) ++statistics_.imported;
  if (sub.queue.empty()) return;
  std::set<uint32_t> places;
  for (const Way& way : MayWays(m).all) {
    for (const std::unique_ptr<Subscription>& member : subs_) {
      if (member->queue == sub.queue && clients_[member->client]->account == way.account) places.insert(way.place);
    }
  }
  if (++m.groups[sub.queue] > places.size())
    Fail(absl::StrFormat("queue group %s got it more often than at %d places: %s", sub.queue, places.size(), Name(m)));
}

// ---- requests ------------------------------------------------------------------------------------------------------

bool AccountsOracle::MayHear(const Subscription& sub, const Message& m, const Ways& ways) const {
  if (sub.sent > m.confirmed || (sub.end_confirmed != 0 && sub.end_confirmed < m.sent)) return false;
  const Client& client = *clients_[sub.client];
  return std::any_of(ways.all.begin(), ways.all.end(), [&](const Way& way) {
    if (way.account != client.account && !client.account.empty()) return false;
    return way.subject == kReplySubject || SubjectMatches(way.subject, sub.filter);
  });
}

void AccountsOracle::OnNoResponders(Client& client, std::string_view sid, std::string_view reply) {
  const auto at = by_request_.find(reply);
  if (at == by_request_.end()) {
    if (!reply.starts_with("_INBOX.")) Fail("a 503 for no request: " + std::string(reply));
    return;  // of a reply that wants a reply
  }
  Message& m = *messages_[at->second];
  if (m.publisher != client.index) Fail("a 503 for another client's request: " + Name(m));
  const auto sub = client.subs.find(sid);
  if (sub == client.subs.end() || !SubjectMatches(reply, sub->second->filter))
    Fail("a 503 on the wrong subscription: " + Name(m));
  if (++m.no_responders > 1) Fail("a second 503: " + Name(m));
  ++statistics_.no_responders;
}

// Its publisher has its PONG.
void AccountsOracle::CheckRequest(Message& m) {
  if (m.reply.empty() || !clients_[m.publisher]->no_responders) return;
  const auto may = [&](const std::unique_ptr<Subscription>& sub) { return MayHear(*sub, m, m.must); };
  // A mapping may drop it, and then nobody is told.
  if (m.no_responders == 0 && m.must.certain && std::none_of(subs_.begin(), subs_.end(), may))
    Fail("no 503 although nobody is interested: " + Name(m));
  const auto must = [&](const std::unique_ptr<Subscription>& sub) { return Due(*sub, m).value_or(0) > 0; };
  if (m.no_responders > 0) {
    const auto at = std::find_if(subs_.begin(), subs_.end(), must);
    if (at != subs_.end()) Fail("a 503 although there is " + Name(**at) + ": " + Name(m));
  }
}

// ---- the whole -----------------------------------------------------------------------------------------------------

void AccountsOracle::OnQuiet() {
  for (const std::unique_ptr<Client>& client : clients_) {
    if (client->gone != 0 || !client->socket->broker_closed) continue;
    OnClosing(*client, client->socket->shutdown_stamp);
    client->gone = kernel_.Stamp();
    for (const auto& [sid, sub] : client->subs) sub->end_confirmed = client->gone;
  }
}

const AccountsOracle::Subscription* AccountsOracle::InboxOf(const ReplyRecord& record) const {
  const Message& request = *messages_[record.request];
  const Client& client = *clients_[request.publisher];
  for (const auto& [sid, sub] : client.subs) {
    if (!SubjectMatches(request.reply, sub->filter) || !sub->queue.empty()) continue;
    if (sub->confirmed != 0 && sub->confirmed < request.sent && sub->end_sent == 0) return sub;
  }
  return nullptr;
}

// What a responder has answered reaches who has asked.
void AccountsOracle::CheckReplies(const ReplyRecord& record) {
  const Message& request = *messages_[record.request];
  const Subscription* const inbox = InboxOf(record);
  if (inbox == nullptr || clients_[request.publisher]->closing != 0 || record.ways.empty()) return;
  if (request.through != kNone || request.version == kUnsure || !request.must.certain) return;
  const auto same = [&](const Way& way) { return way.path == record.ways[0].path; };
  if (!std::all_of(record.ways.begin(), record.ways.end(), same)) return;
  const bool one = std::any_of(record.ways.begin(), record.ways.end(), [](const Way& way) { return way.singleton; });
  size_t due = 0;
  size_t home = 0;
  for (const uint32_t index : record.replies) {
    const Message& reply = *messages_[index];
    if (clients_[reply.publisher]->account != record.ways[0].path.front()) continue;
    if (InForce(request.sent, kernel_.stamp).second != request.version) return;
    if (inbox->got.contains(index)) ++home;
    if (reply.confirmed != 0) ++due;
  }
  if (one) due = std::min<size_t>(due, 1);
  if (home < due)
    Fail(absl::StrFormat("%d of %d replies to %s have come home of %s", home, due, record.subject, Name(request)));
  statistics_.due += due;
}

void AccountsOracle::CheckGroups(Message& m) {
  if (m.version == kUnsure || !m.must.certain) return;
  std::map<std::string, std::set<uint32_t>> must;
  std::set<std::string> excused;
  for (const std::unique_ptr<Subscription>& sub : subs_) {
    if (sub->queue.empty()) continue;
    Subscription plain = *sub;
    plain.queue.clear();
    if (!MayHear(plain, m, m.must)) continue;
    const std::string& account = clients_[sub->client]->account;
    if (Due(plain, m).value_or(0) == 0) {
      // The group may have chosen one that was leaving, and nobody has read it.
      if (sub->end_sent != 0) excused.insert(sub->queue);
      continue;
    }
    for (const Way& way : m.must.all) {
      if (way.account == account && SubjectMatches(way.subject, sub->filter)) must[sub->queue].insert(way.place);
    }
  }
  for (const auto& [queue, places] : must) {
    if (excused.contains(queue)) continue;
    if (m.groups[queue] < places.size())
      Fail(absl::StrFormat("queue group %s got it %d times, not at %d places: %s", queue, m.groups[queue],
                           places.size(), Name(m)));
  }
}

void AccountsOracle::CheckEnd() {
  for (const std::unique_ptr<Client>& client : clients_) {
    if (client->closing != 0) continue;
    CheckDue(*client, UINT64_MAX);
    if (newest().AccountOf(client->user) != client->account)
      Fail(absl::StrFormat("client %d (%s) is still in account %s", client->index, client->user, client->account));
  }
  for (const std::unique_ptr<Message>& m : messages_) CheckGroups(*m);
  for (const ReplyRecord& record : replies_) CheckReplies(record);
}

std::string AccountsOracle::SomeReplySubject(Random& random) const {
  return replies_.empty() ? "" : replies_[random.Below(replies_.size())].subject;
}

}  // namespace millrace::sim
