// SPDX-License-Identifier: Apache-2.0
// Goal: a publish reaches exactly whom it should, on this shard and on others, with exactly the
//       bytes it should; queue groups
// pick evenly; slow receivers and requests nobody took are reported.
// Method: routers of one to three shards on one thread with a real mesh; a list matcher and string
//       formatting as the twin.
#include "broker/route/router.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>

#include "broker/mesh/shared_payload.h"
#include "proto/subject.h"
#include "tests/proto/seeded.h"
#include "tests/route/shards.h"

namespace millrace {
namespace {

constexpr std::string_view kHeader = "NATS/1.0\r\nA: b\r\n\r\n";

// A connection as the router sees it.
struct Client final : SubscriptionOwner {
  Client(Shards& the_shards, uint32_t shard, uint64_t cid) : shards(the_shards), receiver(the_shards[shard].chunks) {
    receiver.id = ConnectionId{shard, 0, cid};
    receiver.owner = this;
    receiver.headers = true;
  }
  ~Client() override {
    for (Subscription* sub : subs) shard().interest.Remove(sub);
    shard().interest.FreeRemoved();
  }
  Shards::Shard& shard() { return shards[receiver.id.shard]; }

  Subscription* Subscribe(std::string_view filter, std::string_view sid, std::string_view queue = {},
                          AccountId account = kGlobalAccount) {
    Subscription* sub = Subscription::Create(account, &receiver, nullptr, filter, queue, sid);
    shard().interest.Insert(sub);
    subs.push_back(sub);
    return sub;
  }
  void Unsubscribe(Subscription* sub) {
    std::erase(subs, sub);
    shard().interest.Remove(sub);
  }
  Router::Outcome Publish(Message message) {
    message.origin = &receiver;
    message.origin_id = receiver.id;
    return shard().router.Publish(message, *shard().interest.Match(message.account, message.subject).result);
  }
  Router::Outcome Publish(std::string_view subject, std::string_view payload) {
    Message message{.account = kGlobalAccount};
    message.subject = subject;
    message.payload = payload;
    return Publish(message);
  }
  std::string Take() { return TakeBytes(&receiver.outbox); }

  void OnAutoUnsubscribed(Subscription* sub) override {
    std::erase(subs, sub);
    ++auto_unsubscribed;
  }
  std::string_view client_name() const override { return "test"; }
  AccountId account() const override { return kGlobalAccount; }
  Nanos rtt() const override { return Nanos{0}; }
  std::string RequestorJson(const RequestorDetail&) const override { return "{}"; }

  Shards& shards;
  Receiver receiver;
  std::vector<Subscription*> subs;
  int auto_unsubscribed = 0;
};

// What a subscription should get, by formatting strings.
std::string NaiveBytes(const Message& message, const Subscription& sub) {
  const bool headers = message.header_bytes > 0 && sub.receiver->headers;
  const std::string_view payload =
      headers ? message.payload : message.payload.substr(message.header_bytes);
  std::string line = headers ? "HMSG " : "MSG ";
  line.append(message.subject).append(" ").append(sub.sid());
  if (!message.reply.empty()) line.append(" ").append(message.reply);
  if (headers) line += " " + std::string(message.header_zeros, '0') + std::to_string(message.header_bytes);
  const bool stripped = message.header_bytes > 0 && !headers;
  line += " " + std::string(stripped ? 0 : message.size_zeros, '0') + std::to_string(payload.size()) + "\r\n";
  return line.append(payload).append("\r\n");
}

// ---- the twin ------------------------------------------------------------------------------------------------------

class World {
 public:
  World(uint32_t shards, uint64_t seed) : random_(seed), shards_(shards, {}, 16) {
    for (uint64_t i = 0; i < 9; ++i) {
      clients_.emplace_back(shards_, static_cast<uint32_t>(i % shards), 100 + i);
      clients_.back().receiver.echo = i % 4 != 3;
      clients_.back().receiver.headers = i % 3 != 2;
    }
  }

  void Step() {
    Client& client = clients_[random_.Below(clients_.size())];
    const uint64_t draw = random_.Below(10);
    if (draw < 2 && client.subs.size() < 8) {
      client.Subscribe(Subject(true), std::to_string(++sids_), random_.OneIn(2) ? "" : random_.OneIn(2) ? "q1" : "q2",
                       Account());
      shards_.Settle();
    } else if (draw == 2 && !client.subs.empty()) {
      client.Unsubscribe(client.subs[random_.Below(client.subs.size())]);
      shards_.Settle();
    } else {
      Publish(&client);
    }
  }
  uint64_t deliveries() const { return deliveries_; }

 private:
  AccountId Account() { return static_cast<AccountId>(random_.Below(2)); }
  std::string Subject(bool filter) {
    static constexpr std::string_view kFilters[] = {"a", "a.b", "a.*", "*.b", "a.>", ">", "*", "c.d.e", "c.*.e", "b"};
    static constexpr std::string_view kSubjects[] = {"a", "b", "a.b", "a.c", "c.d.e", "c.d"};
    return std::string(filter ? kFilters[random_.Below(std::size(kFilters))]
                              : kSubjects[random_.Below(std::size(kSubjects))]);
  }

  void Publish(Client* publisher) {
    Message message{.account = kGlobalAccount};
    message.account = Account();
    const std::string subject = Subject(false);
    const std::string reply = random_.OneIn(3) ? "_INBOX.1" : "";
    std::string payload = random_.OneIn(3) ? std::string(kHeader) : "";
    message.header_bytes = static_cast<uint32_t>(payload.size());
    message.header_zeros = static_cast<uint8_t>(message.header_bytes > 0 && random_.OneIn(5) ? random_.Below(5) : 0);
    message.size_zeros = static_cast<uint8_t>(random_.OneIn(5) ? random_.Below(4) : 0);
    const uint64_t size_class = random_.Below(30);
    payload += std::string(random_.Below(size_class == 0 ? 80'000 : size_class < 4 ? 5000 : 100), 'x');
    payload += std::to_string(++numbers_);
    message.subject = subject;
    message.reply = reply;
    message.payload = payload;
    message.origin = &publisher->receiver;

    // Everyone by the list; the deliveries of plain subscriptions and the choices of each group.
    std::map<Client*, std::vector<std::string>> due;
    std::map<std::string, std::vector<std::pair<Client*, std::string>>> choices;
    for (Client& client : clients_) {
      if (&client == publisher && !client.receiver.echo) continue;
      for (const Subscription* sub : client.subs) {
        if (sub->account != message.account || !SubjectMatches(subject, sub->subject())) continue;
        const std::string bytes = NaiveBytes(message, *sub);
        if (sub->queue().empty()) {
          due[&client].push_back(bytes);
        } else {
          choices[std::string(sub->queue())].emplace_back(&client, bytes);
        }
      }
    }
    const Router::Outcome outcome = publisher->Publish(message);
    shards_.Settle();
    // One member of each group: find it in what arrived.
    std::map<Client*, std::string> got;
    for (Client& client : clients_) got[&client] = client.Take();
    if (due.empty() && choices.empty()) {
      // Our own echo is off, but a member of another shard may have been asked.
      for (const auto& [client, bytes] : got) ASSERT_EQ(bytes, "");
    } else {
      ASSERT_TRUE(outcome.delivered);
    }
    for (Client& client : clients_) {
      std::string& bytes = got[&client];
      for (const std::string& expected : due[&client]) {
        const size_t at = bytes.find(expected);
        ASSERT_NE(at, std::string::npos) << "missing " << Escaped(expected.substr(0, 100));
        bytes.erase(at, expected.size());
        ++deliveries_;
      }
    }
    for (const auto& [queue, members] : choices) {
      int picked = 0;
      for (const auto& [client, expected] : members) {
        std::string& bytes = got[client];
        if (const size_t at = bytes.find(expected); at != std::string::npos) {
          bytes.erase(at, expected.size());
          ++picked;
        }
      }
      ASSERT_EQ(picked, 1) << queue << " of " << members.size();
      ++deliveries_;
    }
    for (const auto& [client, bytes] : got) ASSERT_EQ(bytes, "") << "one too many";
  }

  SeededRandom random_;
  Shards shards_;
  std::deque<Client> clients_;
  uint64_t sids_ = 0;
  uint64_t numbers_ = 0;
  uint64_t deliveries_ = 0;
};

TEST(Router, DeliversAsAListWould) {
  for (const uint32_t shards : {1u, 2u, 3u}) {
    World world(shards, shards);
    const size_t steps = Rounds(50'000);
    for (size_t step = 0; step < steps; ++step) {
      world.Step();
      if (HasFatalFailure()) FAIL() << shards << " shards, step " << step;
    }
    EXPECT_GT(world.deliveries(), steps);
  }
}

// ---- queue groups --------------------------------------------------------------------------------------------------

TEST(Router, AGroupsPickIsEvenOverItsMembersOnAllShards) {
  constexpr uint32_t kMembers[3] = {3, 2, 1};
  Shards shards(3);
  std::deque<Client> members;
  for (uint32_t shard = 0; shard < 3; ++shard) {
    for (uint32_t i = 0; i < kMembers[shard]; ++i) {
      members.emplace_back(shards, shard, members.size() + 1);
      members.back().Subscribe(i % 2 == 0 ? "load.*" : "load.x", "1", "q");  // one pick over both filters
    }
  }
  shards.Settle();
  const size_t rounds = Rounds(20'000);
  for (uint32_t from = 0; from < 3; ++from) {
    Client publisher(shards, from, 99);
    for (size_t i = 0; i < rounds; ++i) {
      publisher.Publish("load.x", "");
      if (i % 100 == 0) shards.Settle();
    }
    shards.Settle();
    const double expected = static_cast<double>(rounds) / static_cast<double>(members.size());
    double chi_square = 0;
    size_t total = 0;
    for (Client& member : members) {
      const std::string bytes = member.Take();
      const size_t got = static_cast<size_t>(std::count(bytes.begin(), bytes.end(), 'M'));
      total += got;
      chi_square += (static_cast<double>(got) - expected) * (static_cast<double>(got) - expected) / expected;
    }
    EXPECT_EQ(total, rounds);
    EXPECT_LT(chi_square, 30.9) << "5 degrees of freedom: one in 100,000; published on shard " << from;
  }
}

TEST(Router, APickThatFindsNobodyIsMadeOnceMore) {
  Shards shards(3);
  Client publisher(shards, 0, 1);
  Client gone(shards, 1, 2);
  Client stays(shards, 2, 3);
  Subscription* sub = gone.Subscribe("x", "1", "q");
  shards.Settle();
  stays.Subscribe("x", "1", "q");
  shards.Finish(2);
  shards.Drain(1);  // shard 1 hears of the new member; shard 0 does not know it yet
  gone.Unsubscribe(sub);
  ASSERT_TRUE(publisher.Publish("x", std::string(5000, 'f')).delivered);  // by reference
  shards.Finish(0);
  shards.Settle();
  EXPECT_EQ(gone.Take(), "");
  EXPECT_TRUE(stays.Take() == "MSG x 1 5000\r\n" + std::string(5000, 'f') + "\r\n");
}

TEST(Router, ManyGroupsWithLongNamesReachAnotherShard) {
  Shards shards(2, {}, 64, 1 << 16);
  Client publisher(shards, 0, 1);
  Client subscriber(shards, 1, 2);
  for (int i = 0; i < 100; ++i)
    subscriber.Subscribe("x", std::to_string(i), std::string(3000, 'q') + std::to_string(i));
  subscriber.Subscribe("x", "plain");
  shards.Settle();
  publisher.Publish("x", "hello");
  publisher.Publish("x", std::string(3000, 'y'));
  shards.Settle();
  const std::string bytes = subscriber.Take();
  for (int i = 0; i < 100; ++i) {
    EXPECT_NE(bytes.find("MSG x " + std::to_string(i) + " 5\r\nhello\r\n"), std::string::npos) << i;
    EXPECT_NE(bytes.find("MSG x " + std::to_string(i) + " 3000\r\n"), std::string::npos) << i;
  }
  EXPECT_EQ(bytes.find("MSG x plain 5\r\n"), bytes.rfind("MSG x plain 5\r\n")) << "plain subscriptions get it once";
  EXPECT_NE(bytes.find("MSG x plain 5\r\n"), std::string::npos);
}

// ---- single rules --------------------------------------------------------------------------------------------------

TEST(Router, EncodesEveryCombination) {
  struct Case {
    std::string_view name;
    bool takes_headers;
    uint32_t header_bytes;
    uint8_t header_zeros;
    uint8_t size_zeros;
    std::string_view reply;
    std::string_view payload;
    std::string_view expected;
  };
  const Case cases[] = {
      {"plain", true, 0, 0, 0, "", "hi", "MSG s 7 2\r\nhi\r\n"},
      {"empty", true, 0, 0, 0, "", "", "MSG s 7 0\r\n\r\n"},
      {"reply", true, 0, 0, 0, "r.1", "hi", "MSG s 7 r.1 2\r\nhi\r\n"},
      {"headers", true, 12, 0, 0, "", "NATS/1.0\r\n\r\nhi", "HMSG s 7 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"},
      {"headers and reply", true, 12, 0, 0, "r", "NATS/1.0\r\n\r\nhi", "HMSG s 7 r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"},
      {"headers only", true, 12, 0, 0, "", "NATS/1.0\r\n\r\n", "HMSG s 7 12 12\r\nNATS/1.0\r\n\r\n\r\n"},
      {"stripped", false, 12, 0, 0, "", "NATS/1.0\r\n\r\nhi", "MSG s 7 2\r\nhi\r\n"},
      {"stripped to nothing", false, 12, 0, 0, "r", "NATS/1.0\r\n\r\n", "MSG s 7 r 0\r\n\r\n"},
      {"zeros as written", true, 0, 0, 3, "", "hi", "MSG s 7 0002\r\nhi\r\n"},
      {"zeros in both sizes", true, 12, 1, 2, "", "NATS/1.0\r\n\r\nhi", "HMSG s 7 012 0014\r\nNATS/1.0\r\n\r\nhi\r\n"},
      {"zeros are stripped with the headers", false, 12, 1, 2, "", "NATS/1.0\r\n\r\nhi", "MSG s 7 2\r\nhi\r\n"},
  };
  for (const uint32_t subscriber_shard : {0u, 1u}) {
    for (const Case& c : cases) {
      Shards shards(2);
      Client publisher(shards, 0, 1);
      Client subscriber(shards, subscriber_shard, 2);
      subscriber.receiver.headers = c.takes_headers;
      subscriber.Subscribe("s", "7");
      shards.Settle();
      Message message{.account = kGlobalAccount};
      message.subject = "s";
      message.reply = c.reply;
      message.payload = c.payload;
      message.header_bytes = c.header_bytes;
      message.header_zeros = c.header_zeros;
      message.size_zeros = c.size_zeros;
      publisher.Publish(message);
      shards.Settle();
      EXPECT_EQ(Escaped(subscriber.Take()), Escaped(c.expected)) << c.name << " on shard " << subscriber_shard;
    }
  }
}

TEST(Router, PayloadsOfEverySizeArriveByCopyAndByReference) {
  for (const size_t bytes : {size_t{0}, size_t{1}, size_t{2047}, size_t{2048}, size_t{2049}, size_t{16'000},
                             size_t{16'384}, size_t{65'536}, size_t{1'000'000}}) {
    Shards shards(3);
    Client publisher(shards, 0, 1);
    std::deque<Client> subscribers;
    for (uint32_t shard = 0; shard < 3; ++shard) {
      for (int i = 0; i < 2; ++i) subscribers.emplace_back(shards, shard, 10 + shard).Subscribe("x", "1");
    }
    shards.Settle();
    std::string payload(bytes, '\0');
    for (size_t i = 0; i < bytes; ++i) payload[i] = static_cast<char>(i * 31);
    publisher.Publish("x", payload);
    shards.Settle();
    for (Client& subscriber : subscribers) {
      EXPECT_TRUE(subscriber.Take() == "MSG x 1 " + std::to_string(bytes) + "\r\n" + payload + "\r\n") << bytes;
    }
  }
}

TEST(Router, ASubscriptionWithAMaximumEndsWithItsLastMessage) {
  for (const uint32_t publisher_shard : {0u, 1u}) {
    Shards shards(2);
    Client publisher(shards, publisher_shard, 1);
    Client subscriber(shards, 0, 2);
    subscriber.Subscribe("x", "1")->max = 2;
    subscriber.Subscribe("x", "2");
    shards.Settle();
    for (int i = 0; i < 4; ++i) publisher.Publish("x", std::to_string(i));  // all in one turn
    shards.Settle();
    const std::string bytes = subscriber.Take();
    EXPECT_NE(bytes.find("MSG x 1 1\r\n1\r\n"), std::string::npos);
    EXPECT_EQ(bytes.find("MSG x 1 1\r\n2\r\n"), std::string::npos);
    EXPECT_NE(bytes.find("MSG x 2 1\r\n3\r\n"), std::string::npos);
    EXPECT_EQ(subscriber.auto_unsubscribed, 1);
    EXPECT_EQ(subscriber.subs.size(), 1u);
    publisher.Publish("x", "late");
    shards.Settle();
    EXPECT_EQ(subscriber.Take(), "MSG x 2 4\r\nlate\r\n");
  }
}

TEST(Router, AGroupPassesOverItsMemberThatHadItsLastMessage) {
  Shards shards(1);
  Client publisher(shards, 0, 1);
  Client one(shards, 0, 2);
  Client two(shards, 0, 3);
  one.Subscribe("x", "1", "q")->max = 1;
  two.Subscribe("x", "1", "q")->max = 1;
  for (int i = 0; i < 3; ++i) publisher.Publish("x", std::to_string(i));
  EXPECT_EQ(one.Take().size(), std::string("MSG x 1 1\r\n0\r\n").size());
  EXPECT_EQ(two.Take().size(), std::string("MSG x 1 1\r\n0\r\n").size());
  EXPECT_FALSE(publisher.Publish("x", "").delivered);
}

TEST(Router, AClosedReceiverGetsNothingAndDoesNotCount) {
  Shards shards(1);
  Client publisher(shards, 0, 1);
  Client subscriber(shards, 0, 2);
  subscriber.Subscribe("x", "1");
  subscriber.receiver.closed = true;
  EXPECT_FALSE(publisher.Publish("x", "hi").delivered);
  EXPECT_EQ(subscriber.Take(), "");
}

TEST(Router, ASinkIsHandedTheMessage) {
  struct Counter final : Sink {
    bool Deliver(const Subscription& sub, const Message& message) override {
      seen.push_back(std::string(sub.subject()) + " " + std::string(message.subject) + " " +
                     std::string(message.payload));
      return takes;
    }
    std::vector<std::string> seen;
    bool takes = true;
  } sink;
  Shards shards(2);
  Subscription* sub = Subscription::Create(kGlobalAccount, nullptr, &sink, "x.*", "", "");
  shards[0].interest.Insert(sub);
  shards.Settle();
  for (const uint32_t shard : {0u, 1u}) {
    Client publisher(shards, shard, 1);
    EXPECT_TRUE(publisher.Publish("x.y", "hi").delivered);
    shards.Settle();
  }
  EXPECT_EQ(sink.seen, (std::vector<std::string>{"x.* x.y hi", "x.* x.y hi"}));
  EXPECT_EQ(sub->delivered, 2u);
  sink.takes = false;
  EXPECT_FALSE(Client(shards, 0, 1).Publish("x.y", "hi").delivered);
  shards[0].interest.Remove(sub);
}

// A service that answers within the delivery: to whoever subscribes to `to`.
struct Answering final : Sink {
  explicit Answering(Client& the_publisher) : publisher(the_publisher) {}
  bool Deliver(const Subscription&, const Message& message) override {
    seen.emplace_back(message.payload);
    if (seen.size() <= answers) publisher.Publish(to, "answer to " + std::string(message.payload));
    return true;
  }
  Client& publisher;
  std::string to;
  size_t answers = SIZE_MAX;
  std::vector<std::string> seen;
};

// The match that a publish walks is not the one that a publish within it walks.
TEST(Router, ASinkMayPublishFromWithin) {
  for (const bool run : {false, true}) {
    Shards shards(2);
    Client publisher(shards, 0, 1);
    Client member(shards, 0, 2);
    Client other(shards, 0, 3);
    Client elsewhere(shards, 1, 4);
    Answering sink(publisher);
    sink.to = "answers";
    Subscription* sub = Subscription::Create(kGlobalAccount, nullptr, &sink, "x.*", "", "");
    shards[0].interest.Insert(sub);
    other.Subscribe("x.y", "7");
    elsewhere.Subscribe("x.*", "8", "q");
    member.Subscribe("answers", "9", "q");
    elsewhere.Subscribe("answers", "6", "only there");
    shards.Settle();
    if (run) {
      shards[1].interest.Remove(elsewhere.subs[0]);  // runs have no groups
      elsewhere.subs.erase(elsewhere.subs.begin());
      shards.Settle();
      Message common{.account = kGlobalAccount};
      common.subject = "x.y";
      common.origin = &publisher.receiver;
      common.origin_id = publisher.receiver.id;
      ASSERT_TRUE(shards[0].router.OpenRun(common, *shards[0].interest.Match(kGlobalAccount, "x.y", true).result));
      for (int i = 0; i < 2; ++i) shards[0].router.AddToRun("x.y", "2\r\nhi\r\n", 2, 0);
      shards[0].router.FlushRun();
    } else {
      for (int i = 0; i < 2; ++i) publisher.Publish("x.y", "hi");
    }
    shards.Settle();
    EXPECT_EQ(sink.seen, (std::vector<std::string>{"hi", "hi"}));
    EXPECT_EQ(other.Take(), "MSG x.y 7 2\r\nhi\r\nMSG x.y 7 2\r\nhi\r\n");
    const std::string answer = "12\r\nanswer to hi\r\n";
    EXPECT_EQ(member.Take(), "MSG answers 9 " + answer + "MSG answers 9 " + answer);
    const std::string there = elsewhere.Take();
    const auto count = [&there](std::string_view what) {
      size_t found = 0;
      for (size_t at = there.find(what); at != std::string::npos; at = there.find(what, at + 1)) ++found;
      return found;
    };
    EXPECT_EQ(count("MSG answers 6 " + answer), 2u);
    EXPECT_EQ(count("MSG x.y 8 2\r\nhi\r\n"), run ? 0u : 2u);
    EXPECT_EQ(shards[0].router.depth(), 0u);
    shards[0].interest.Remove(sub);
  }
}

TEST(Router, PublishesWithinPublishesAreBounded) {
  Shards shards(1);
  Client publisher(shards, 0, 1);
  Answering sink(publisher);
  sink.to = "x";
  Subscription* sub = Subscription::Create(kGlobalAccount, nullptr, &sink, "x", "", "");
  shards[0].interest.Insert(sub);
  sink.answers = Router::kPublishDepthMax - 1;
  publisher.Publish("x", "hi");
  EXPECT_EQ(sink.seen.size(), Router::kPublishDepthMax);
  sink.answers = SIZE_MAX;
  EXPECT_DEATH(publisher.Publish("x", "hi"), "kPublishDepthMax");
  shards[0].interest.Remove(sub);
}

TEST(Router, ASinkMayGetItsMessagesBehindThePublish) {
  Shards shards(1);
  Client publisher(shards, 0, 1);
  Client reader(shards, 0, 2);
  reader.Subscribe("x", "7");
  Answering sink(publisher);
  sink.answers = 0;
  Subscription* subs[2];
  for (Subscription*& sub : subs) {
    sub = Subscription::Create(kGlobalAccount, nullptr, &sink, "x", "", "");
    shards[0].interest.Insert(sub);
  }
  std::string payload = "first";
  Message message{.account = kGlobalAccount};
  message.subject = "x";
  message.payload = payload;
  message.sinks_later = true;
  EXPECT_TRUE(publisher.Publish(message).delivered);
  payload.assign("gone!");
  EXPECT_EQ(reader.Take(), "MSG x 7 5\r\nfirst\r\n");
  EXPECT_TRUE(sink.seen.empty());
  EXPECT_EQ(shards[0].router.kept(), 2u);
  shards[0].interest.Remove(subs[1]);  // it gets nothing any more
  EXPECT_TRUE(shards[0].router.DeliverKept());
  EXPECT_EQ(sink.seen, (std::vector<std::string>{"first"}));
  EXPECT_FALSE(shards[0].router.DeliverKept());
  shards[0].interest.Remove(subs[0]);
}

TEST(Router, AMessageMayGoToTheSubscribersOfAnotherSubject) {
  Shards shards(2);
  for (const uint32_t shard : {0u, 1u}) {
    Client subscriber(shards, shard, 2);
    subscriber.Subscribe("inbox.7", "1");
    shards.Settle();
    Message message{.account = kGlobalAccount};
    message.subject = "orders.new";
    message.deliver_to = "inbox.7";
    message.reply = "ack";
    message.payload = "hi";
    Router& router = shards[0].router;
    const MatchResult& match = *shards[0].interest.Match(kGlobalAccount, message.deliver_to).result;
    EXPECT_TRUE(router.Publish(message, match).delivered);
    shards.Settle();
    EXPECT_EQ(subscriber.Take(), "MSG orders.new 1 ack 2\r\nhi\r\n") << shard;
  }
}

TEST(Router, HooksMayRefuseADelivery) {
  struct Hooks final : DeliveryHooks {
    bool MayDeliver(const Subscription&, const Message& message) override { return message.subject != "x.no"; }
    void OnDelivered(const Subscription&, const Message&) override { ++delivered; }
    int delivered = 0;
  } hooks;
  Shards shards(1);
  Client publisher(shards, 0, 1);
  Client subscriber(shards, 0, 2);
  subscriber.receiver.hooks = &hooks;
  Subscription* sub = subscriber.Subscribe("x.*", "1");
  EXPECT_FALSE(publisher.Publish("x.no", "").delivered);
  EXPECT_TRUE(publisher.Publish("x.yes", "").delivered);
  EXPECT_EQ(hooks.delivered, 1);
  EXPECT_EQ(sub->delivered, 1u) << "a refused delivery does not count";
  EXPECT_EQ(subscriber.Take(), "MSG x.yes 1 0\r\n\r\n");
}

TEST(Router, CountsWhatWentOut) {
  Shards shards(1);
  Client publisher(shards, 0, 1);
  Client subscriber(shards, 0, 2);
  subscriber.receiver.headers = false;
  subscriber.Subscribe("x", "1");
  Message message{.account = kGlobalAccount};
  message.subject = "x";
  message.payload = "NATS/1.0\r\n\r\nhello";
  message.header_bytes = 12;
  publisher.Publish(message);
  EXPECT_EQ(subscriber.receiver.out_messages, 1u);
  EXPECT_EQ(subscriber.receiver.out_bytes, 5u);
  EXPECT_EQ(shards[0].counters.out_messages.Get(), 1u);
  EXPECT_EQ(shards[0].counters.out_bytes.Get(), 5u);
}

// ---- backpressure --------------------------------------------------------------------------------------------------

RouterLimits SmallLimits() {
  RouterLimits limits;
  limits.pending_bytes_max = 100'000;
  limits.high_water_bytes = 20'000;
  return limits;
}

// ---- runs ----------------------------------------------------------------------------------------------------------

// Two worlds with the same subscriptions: what one publishes one by one, the other collects in runs. Every client gets
// the same bytes.
TEST(Router, ARunDeliversWhatSinglePublishesWould) {
  uint64_t collected = 0;
  for (uint64_t seed = 0; seed < Rounds(600); ++seed) {
    SeededRandom random(seed);
    const auto shard_count = static_cast<uint32_t>(1 + random.Below(3));
    Shards worlds[2] = {Shards(shard_count), Shards(shard_count)};
    std::deque<Client> clients[2];
    for (uint64_t i = 0; i < 6; ++i) {
      const bool echo = !random.OneIn(4);
      const bool headers = random.OneIn(2);
      for (int w = 0; w < 2; ++w) {
        clients[w].emplace_back(worlds[w], static_cast<uint32_t>(i % shard_count), 100 + i);
        clients[w].back().receiver.echo = echo;
        clients[w].back().receiver.headers = headers;
      }
    }
    static constexpr std::string_view kFilters[] = {"a.*", ">", "*.*", "a", "a", "a.b", "*"};
    // Subjects of one match: all of those when every filter takes them alike.
    static constexpr std::string_view kAlike[] = {"a.b", "a.c", "a.dd", "a.b", "a.0123456789012345678901234567890123"};
    const bool mixed = random.OneIn(3);
    for (uint64_t i = random.Below(8); i > 0; --i) {
      const uint64_t who = random.Below(6);
      const std::string_view filter = kFilters[random.Below(mixed ? 3 : std::size(kFilters))];
      const std::string sid = random.OneIn(20) ? std::string(300, '7') : std::to_string(i);
      const uint64_t max = random.OneIn(5) ? 1 + random.Below(6) : 0;
      for (int w = 0; w < 2; ++w) clients[w][who].Subscribe(filter, sid)->max = max;
    }
    for (int w = 0; w < 2; ++w) worlds[w].Settle();
    std::deque<std::string> payloads;  // views of them are kept by the run
    std::string subject;
    const MatchResult* match = nullptr;
    uint64_t epoch = 0;
    Client& one = clients[0][random.Below(6)];
    Client& many = clients[1][one.receiver.id.cid - 100];
    Router& router = many.shard().router;
    for (uint64_t i = random.Below(300); i > 0; --i) {
      const bool other = random.OneIn(20);
      if (match == nullptr || other || epoch != many.shard().interest.epoch()) {  // as a session does
        router.FlushRun();
        if (subject.empty() || other) subject = random.OneIn(2) ? "a" : "a.b";
        match = many.shard().interest.Match(kGlobalAccount, subject, true).result;
        epoch = many.shard().interest.epoch();
      }
      Message message{.account = kGlobalAccount};
      message.subject = mixed && subject == "a.b" ? kAlike[random.Below(std::size(kAlike))] : subject;
      message.header_bytes = random.OneIn(6) ? static_cast<uint32_t>(kHeader.size()) : 0;
      message.size_zeros = random.OneIn(40) ? 2 : 0;
      std::string& text = payloads.emplace_back(message.header_bytes > 0 ? kHeader : "");
      text.append(random.Below(random.OneIn(100) ? 40'000 : 60), 'x').append(std::to_string(i));
      const size_t bytes = text.size();
      const std::string sizes =
          (message.header_bytes > 0 ? std::to_string(message.header_bytes) + " " : "") + std::to_string(bytes) + "\r\n";
      text.insert(0, sizes).append("\r\n");
      const std::string_view tail = text;
      message.payload = tail.substr(sizes.size(), bytes);
      one.Publish(message);
      message.origin = &many.receiver;
      message.origin_id = many.receiver.id;
      if (message.size_zeros == 0 && router.OpenRun(message, *match)) {
        router.AddToRun(message.subject, tail, bytes, message.header_bytes);
        ++collected;
      } else {
        router.FlushRun();
        if (message.size_zeros == 0) message.tail = tail;
        router.Publish(message, *match);
      }
    }
    router.FlushRun();
    for (int w = 0; w < 2; ++w) worlds[w].Settle();
    for (uint64_t i = 0; i < 6; ++i) {
      ASSERT_EQ(clients[0][i].Take(), clients[1][i].Take()) << "seed " << seed << " client " << i;
      ASSERT_EQ(clients[0][i].receiver.out_messages, clients[1][i].receiver.out_messages);
      ASSERT_EQ(clients[0][i].receiver.out_bytes, clients[1][i].receiver.out_bytes);
      ASSERT_EQ(clients[0][i].auto_unsubscribed, clients[1][i].auto_unsubscribed);
    }
    for (uint32_t shard = 0; shard < shard_count; ++shard) {
      ASSERT_EQ(worlds[0][shard].counters.out_messages.Get(), worlds[1][shard].counters.out_messages.Get());
      ASSERT_EQ(worlds[0][shard].counters.out_bytes.Get(), worlds[1][shard].counters.out_bytes.Get());
    }
  }
  EXPECT_GT(collected, 1000u);
}

TEST(Router, WhoSubscribedTwiceSeesThePublishersOrder) {
  Shards shards(1);
  Client client(shards, 0, 1);
  client.Subscribe("a", "1");
  client.Subscribe("*", "2");
  const MatchResult* match = shards[0].interest.Match(kGlobalAccount, "a", true).result;
  Message message{.account = kGlobalAccount};
  message.subject = "a";
  message.payload = "x";
  EXPECT_FALSE(shards[0].router.OpenRun(message, *match));
}

TEST(Router, AReceiverAboveTheHighWaterMarkAsksItsProducerToPause) {
  Shards shards(2, SmallLimits());
  Client publisher(shards, 0, 1);
  Client subscriber(shards, 0, 2);
  subscriber.Subscribe("x", "1");
  shards.Settle();
  publisher.Publish("x", std::string(15'000, 'x'));
  EXPECT_FALSE(publisher.receiver.stall_requested);
  publisher.Publish("x", std::string(15'000, 'x'));
  EXPECT_TRUE(publisher.receiver.stall_requested);
  EXPECT_EQ(publisher.receiver.stalled_by, subscriber.receiver.id);
  EXPECT_EQ(subscriber.receiver.stalls, 1u);
  EXPECT_FALSE(subscriber.receiver.slow);

  Client remote(shards, 1, 3);
  for (int i = 0; i < 3; ++i) remote.Publish("x", "more");
  shards.Settle();
  EXPECT_EQ(shards[1].stalls, (std::vector<ConnectionId>{remote.receiver.id})) << "one notice a turn";
}

TEST(Router, WhoDidNotCatchUpWhileProducersPausedIsNotPausedForAgain) {
  Shards shards(1, SmallLimits());
  Client publisher(shards, 0, 1);
  Client subscriber(shards, 0, 2);
  subscriber.Subscribe("x", "1");
  subscriber.receiver.hopeless = 1;
  for (int i = 0; i < 7; ++i) publisher.Publish("x", std::string(10'000, 'x'));
  EXPECT_FALSE(publisher.receiver.stall_requested);
  publisher.Publish("x", std::string(10'000, 'x'));
  EXPECT_TRUE(publisher.receiver.stall_requested) << "three quarters of what would close it";
  publisher.receiver.stall_requested = false;
  subscriber.receiver.hopeless = Receiver::kPausesInVain + 1;
  publisher.Publish("x", std::string(10'000, 'x'));
  EXPECT_FALSE(publisher.receiver.stall_requested) << "it has had its chances";
  subscriber.Take();
}

TEST(Router, ThreeQuartersOfWhatWouldCloseItAreCountedToTheByte) {
  constexpr uint64_t kThreeQuarters = 75'000;
  for (const uint64_t pending : {kThreeQuarters - 1, kThreeQuarters, kThreeQuarters + 1}) {
    Shards shards(1, SmallLimits());
    Client publisher(shards, 0, 1);
    Client subscriber(shards, 0, 2);
    subscriber.Subscribe("x", "1");
    publisher.Publish("x", "a message");
    const uint64_t message = subscriber.receiver.outbox.pending_bytes();
    subscriber.receiver.outbox.Append(std::string(pending - 2 * message, 'x'));
    subscriber.receiver.hopeless = 1;
    publisher.Publish("x", "a message");
    ASSERT_EQ(subscriber.receiver.outbox.pending_bytes(), pending);
    EXPECT_EQ(publisher.receiver.stall_requested, pending >= kThreeQuarters) << pending;
    subscriber.Take();
  }
}

TEST(Router, ATurnIsSpentAfterSoManyDeliveries) {
  RouterLimits limits;
  limits.turn_deliveries = 6;
  Shards shards(1, limits);
  Client publisher(shards, 0, 1);
  Client one(shards, 0, 2);
  Client two(shards, 0, 3);
  one.Subscribe("x", "1");
  two.Subscribe("x", "1");
  Router& router = shards[0].router;
  EXPECT_FALSE(router.outlet().TurnSpent());
  router.outlet().BeginTurn();
  for (int i = 0; i < 2; ++i) publisher.Publish("x", "");
  EXPECT_FALSE(router.outlet().TurnSpent());
  publisher.Publish("x", "");
  EXPECT_TRUE(router.outlet().TurnSpent());
  router.outlet().BeginTurn();
  EXPECT_FALSE(router.outlet().TurnSpent());
  one.Take();
  two.Take();
}

TEST(Router, AProducerIsNotPausedForItself) {
  Shards shards(1, SmallLimits());
  Client client(shards, 0, 1);
  client.Subscribe("x", "1");
  client.Publish("x", std::string(30'000, 'x'));
  EXPECT_FALSE(client.receiver.stall_requested);
}

TEST(Router, AReceiverOverItsLimitIsReportedOnceAndGetsNoMore) {
  Shards shards(1, SmallLimits());
  Client publisher(shards, 0, 1);
  Client subscriber(shards, 0, 2);
  subscriber.Subscribe("x", "1");
  for (int i = 0; i < 20; ++i) publisher.Publish("x", std::string(10'000, 'x'));
  EXPECT_EQ(shards[0].router.outlet().TakeSlow(), (std::vector<Receiver*>{&subscriber.receiver}));
  EXPECT_TRUE(shards[0].router.outlet().TakeSlow().empty());
  EXPECT_LT(subscriber.receiver.outbox.pending_bytes(), 120'000u);
  EXPECT_FALSE(publisher.Publish("x", "").delivered);
  subscriber.Take();
}

TEST(Router, WhereProducersDoNotPauseABacklogLosesMessagesBeforeItIsSlow) {
  RouterLimits limits = SmallLimits();
  limits.producers_pause = false;
  Shards shards(1, limits);
  Client publisher(shards, 0, 1);
  Client subscriber(shards, 0, 2);
  subscriber.Subscribe("x", "1");
  for (int i = 0; i < 200; ++i) publisher.Publish("x", std::string(1000, 'x'));
  EXPECT_TRUE(shards[0].router.outlet().TakeSlow().empty());
  EXPECT_FALSE(publisher.receiver.stall_requested);
  EXPECT_LE(subscriber.receiver.outbox.pending_bytes(), 77'000u);
  EXPECT_GE(subscriber.receiver.outbox.pending_bytes(), 75'000u);
}

TEST(Router, MailThatPilesUpIsCongestion) {
  Shards shards(2, {}, 64, 1 << 16);
  Client publisher(shards, 0, 1);
  Client subscriber(shards, 1, 2);
  subscriber.Subscribe("x", "1");
  shards.Settle();
  int sent = 0;
  for (; !shards[0].router.Congested() && sent < 10'000; ++sent) publisher.Publish("x", std::string(1000, 'x'));
  EXPECT_GT(sent, 1000);
  EXPECT_LT(sent, 2000);
  shards.Settle();
  EXPECT_FALSE(shards[0].router.Congested());
  const std::string bytes = subscriber.Take();
  EXPECT_EQ(std::count(bytes.begin(), bytes.end(), 'M'), sent);
}

// ---- requests that nobody took -------------------------------------------------------------------------------------

class NoResponders : public testing::Test {
 protected:
  Router::Outcome Request(std::string_view subject) {
    Message message{.account = kGlobalAccount};
    message.subject = subject;
    message.reply = "_INBOX.r";
    message.report_undelivered = true;
    return requester.Publish(message);
  }
  Shards shards{3};
  Client requester{shards, 0, 1};
};

TEST_F(NoResponders, WithoutInterestThePublisherKnowsAtOnce) {
  const Router::Outcome outcome = Request("x");
  EXPECT_FALSE(outcome.delivered);
  EXPECT_EQ(outcome.sent_to, 0u);
}

TEST_F(NoResponders, TheOneShardThatFoundNobodySaysSo) {
  Client gone(shards, 1, 2);
  Subscription* sub = gone.Subscribe("x", "1");
  shards.Settle();
  gone.Unsubscribe(sub);
  const Router::Outcome outcome = Request("x");  // before the news has come
  EXPECT_TRUE(outcome.delivered);
  EXPECT_EQ(outcome.sent_to, ShardSet{1} << 1);
  shards.Settle();
  ASSERT_EQ(shards[0].undelivered.size(), 1u);
  EXPECT_EQ(shards[0].undelivered[0].origin, requester.receiver.id);
  EXPECT_EQ(shards[0].undelivered[0].subject, "x");
  EXPECT_EQ(shards[0].undelivered[0].reply, "_INBOX.r");
}

TEST_F(NoResponders, WithTwoShardsNobodyIsSure) {
  Client one(shards, 1, 2);
  Client two(shards, 2, 3);
  Subscription* a = one.Subscribe("x", "1");
  Subscription* b = two.Subscribe("x", "1");
  shards.Settle();
  one.Unsubscribe(a);
  two.Unsubscribe(b);
  EXPECT_TRUE(Request("x").delivered);
  shards.Settle();
  EXPECT_TRUE(shards[0].undelivered.empty());
}

TEST_F(NoResponders, AMessageThatIsNoRequestIsNotReported) {
  Client gone(shards, 1, 2);
  Subscription* sub = gone.Subscribe("x", "1");
  shards.Settle();
  gone.Unsubscribe(sub);
  requester.Publish("x", "");
  shards.Settle();
  EXPECT_TRUE(shards[0].undelivered.empty());
}

TEST_F(NoResponders, ASecondPickThatComesHomeAndFindsNobodyIsReportedHere) {
  Client gone(shards, 1, 2);
  Client also_gone(shards, 0, 3);
  Subscription* sub = gone.Subscribe("x", "1", "q");
  shards.Settle();
  ASSERT_TRUE(Request("x").delivered);
  Subscription* here = also_gone.Subscribe("x", "1", "q");  // the first pick fell on shard 1 before this came
  shards.Finish(0);
  gone.Unsubscribe(sub);
  also_gone.Unsubscribe(here);
  shards.Drain(1);  // the request, then the news of the member that has gone meanwhile
  shards.Settle();
  EXPECT_EQ(shards[0].undelivered.size() + shards[0].router.TakeUndelivered().size(), 1u);
  EXPECT_EQ(also_gone.Take() + gone.Take(), "");
}

// mail_inline_bytes_max: a payload up to it is copied into the ring, a larger one goes by reference.
TEST(Router, WhatIsLargerThanTheInlineLimitTravelsInAFrame) {
  RouterLimits limits;
  limits.inline_payload_bytes_max = 10;
  Shards shards(2, limits);
  Client subscriber(shards, 1, 1);
  subscriber.Subscribe("a", "1");
  shards.Settle();
  Client publisher(shards, 0, 2);
  publisher.Publish("a", std::string(10, 'x'));
  publisher.Publish("a", std::string(11, 'x'));
  shards.Finish(0);
  std::vector<bool> by_reference;
  shards[1].mesh.Drain([&by_reference](uint32_t, const MailHeader& header, const char* body) {
    if (header.kind != MailKind::kMessage) return;
    MessageMail mail;
    std::memcpy(&mail, body, sizeof mail);
    by_reference.push_back((mail.flags & kByReference) != 0);
    if (!by_reference.back()) return;
    SharedPayload* shared = nullptr;
    std::memcpy(&shared, body + sizeof mail, sizeof shared);
    SharedPayload::Release(shared);
  });
  EXPECT_EQ(by_reference, (std::vector<bool>{false, true}));
}

}  // namespace
}  // namespace millrace
