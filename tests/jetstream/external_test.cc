// SPDX-License-Identifier: Apache-2.0
// Goal:   a mirror or source of another account's stream copies it whole and in order, whatever gets lost on the way,
//         and goes on where it was.
// Method: two accounts in one engine, and between them what imports are: a bridge that the test can break.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>

#include "broker/jetstream/api/stream_identity.h"
#include "tests/jetstream/requests.h"

namespace millrace {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr AccountId kOrigin = 2;
constexpr AccountId kReader = 3;

// What comes to a prefix in one account goes on in the other, under another one; replies come back. What is listened to
// beyond is shown by interest of exactly that: a consumer wants to see it.
class Bridge final : public Sink {
 public:
  enum class All : uint8_t { kNo, kYes };
  Bridge(EngineHarness& js, AccountId from, const std::string& prefix, AccountId to, const std::string& other,
         All all = All::kYes)
      : js_(js), prefix_(prefix), to_(to), other_(other), from_(from) {
    if (all == All::kYes) subscription_ = js.port().Subscribe(from, prefix + ".>", this);
    replies_ = js.port().Subscribe(to, "_R_." + prefix + ".>", this);
  }
  ~Bridge() override {
    if (subscription_ != nullptr) js_.port().Unsubscribe(subscription_);
    for (Subscription* shown : shown_) js_.port().Unsubscribe(shown);
    js_.port().Unsubscribe(replies_);
  }
  bool Deliver(const Subscription& subscription, const Message& message) override {
    const bool back = &subscription == replies_;
    ++(back ? answers : seen);
    if (lose && lose(message)) return true;
    Letter letter;
    const std::string to(message.deliver_to.empty() ? message.subject : message.deliver_to);
    if (back) {
      letter.account = from_;
      letter.deliver_to = back_[to];
    } else {
      letter.account = to_;
      letter.deliver_to = other_ + to.substr(prefix_.size());
      // Subjects of acknowledgements stay what they are.
      letter.reply = message.reply;
      if (!message.reply.empty() && !message.reply.starts_with("$JS.")) {
        letter.reply = "_R_." + prefix_ + "." + std::to_string(back_.size());
        back_[letter.reply] = message.reply;
      }
    }
    if (!message.deliver_to.empty() && message.subject != message.deliver_to) letter.subject = message.subject;
    letter.payload = message.payload;
    letter.header_bytes = message.header_bytes;
    letters_.push_back(std::move(letter));
    return true;
  }
  void Show(const std::string& subject) { shown_.push_back(js_.port().Subscribe(from_, subject, this)); }
  bool Pump() {
    const bool any = !letters_.empty();
    for (; !letters_.empty(); letters_.pop_front()) {
      const Letter& letter = letters_.front();
      if (asked) asked(letter.payload);
      js_.port().Publish({.account = letter.account,
                          .deliver_to = letter.deliver_to,
                          .subject = letter.subject,
                          .reply = letter.reply,
                          .payload = letter.payload,
                          .header_bytes = letter.header_bytes});
    }
    return any;
  }

  std::function<bool(const Message&)> lose;
  std::function<void(const std::string& payload)> asked;
  int seen = 0;
  int answers = 0;

 private:
  struct Letter {
    AccountId account;
    std::string deliver_to, subject, reply, payload;
    uint32_t header_bytes;
  };
  EngineHarness& js_;
  const std::string prefix_;
  const AccountId to_;
  const std::string other_;
  const AccountId from_;
  Subscription* subscription_ = nullptr;
  std::vector<Subscription*> shown_;
  Subscription* replies_;
  std::map<std::string, std::string> back_;
  std::deque<Letter> letters_;
};

class External : public ::testing::Test {
 protected:
  External() {
    JetStreamEngineOptions options;
    for (const auto& [id, name] : {std::pair(kOrigin, "ORIGIN"), std::pair(kReader, "READER")})
      options.accounts.push_back({{.id = id, .name = name, .jetstream = UnlimitedJetStream()}});
    EngineHarness::Setting setting;
    setting.on_turn = [this] {
      bool any = false;
      for (const std::unique_ptr<Bridge>* bridge : {&api_, &flow_, &deliveries_}) any |= *bridge && (*bridge)->Pump();
      return any;
    };
    js_ = std::make_unique<EngineHarness>(options, setting);
    js_->account = kOrigin;
    CreateStream(*js_, "O", R"(,"subjects":["o.>"])");
  }
  ~External() override { Disconnect(); }
  void Connect() {
    api_ = std::make_unique<Bridge>(*js_, kReader, "origin.api", kOrigin, "$JS.API");
    flow_ = std::make_unique<Bridge>(*js_, kReader, "$JS.FC", kOrigin, "$JS.FC");
    deliveries_ = std::make_unique<Bridge>(*js_, kOrigin, "from.origin", kReader, "from.origin", Bridge::All::kNo);
    api_->asked = [this](const std::string& payload) {
      constexpr std::string_view kKey = "\"deliver_subject\":\"";
      const size_t at = payload.find(kKey);
      if (at == std::string::npos || !payload.starts_with("NATS/1.0\r\nNats-Required-")) return;
      const size_t begin = at + kKey.size();
      deliveries_->Show(payload.substr(begin, payload.find('"', begin) - begin));
    };
  }
  void Disconnect() {
    api_.reset();
    flow_.reset();
    deliveries_.reset();
  }
  void Fill(int from, int to, size_t bytes = 10) {
    js_->account = kOrigin;
    for (int i = from; i <= to; ++i) js_->Request("o." + std::to_string(i % 3), Body(i, bytes));
  }
  static std::string Body(int i, size_t bytes) {
    std::string body = std::to_string(i);
    body.resize(std::max(bytes, body.size()), '.');
    return body;
  }
  std::string Make(const std::string& name, const std::string& more) {
    js_->account = kReader;
    return CreateStream(*js_, name, "," + more);
  }
  uint64_t Messages(std::string_view name) {
    js_->account = kReader;
    return StateOf(*js_, name).messages;
  }
  // Of the stream O.
  std::string Identity() {
    const AccountId before = std::exchange(js_->account, kOrigin);
    const std::string identity = StreamIdentity(js_->FindStream("O")->created_ns());
    js_->account = before;
    return identity;
  }
  void Wait(int seconds) {
    for (int i = 0; i < seconds; ++i) js_->Advance(std::chrono::seconds(1));
  }

  static constexpr const char* kExternal = R"("external":{"api":"origin.api","deliver":"from.origin"})";
  std::unique_ptr<EngineHarness> js_;
  std::unique_ptr<Bridge> api_, flow_, deliveries_;
};

TEST_F(External, AMirrorIsTheSame) {
  Connect();
  Fill(1, 50);
  js_->account = kOrigin;
  js_->Request("$JS.API.STREAM.MSG.DELETE.O", R"({"seq":7})");
  Make("M", std::string(R"("mirror":{"name":"O",)") + kExternal + "}");
  js_->Settle();
  EXPECT_EQ(Messages("M"), 49u);
  EXPECT_EQ(StateOf(*js_, "M").last_seq, 50u);
  for (int seq = 1; seq <= 50; ++seq) {
    js_->account = kOrigin;
    const Kept there = At(*js_, "O", static_cast<uint64_t>(seq));
    js_->account = kReader;
    EXPECT_EQ(At(*js_, "M", static_cast<uint64_t>(seq)), there) << seq;
  }
  Fill(51, 60);
  js_->Settle();
  EXPECT_EQ(Messages("M"), 59u);
  EXPECT_THAT(js_->Request("$JS.API.STREAM.INFO.M", ""),
              AllOf(HasSubstr(R"("mirror":{"name":"O",)"), HasSubstr(R"("lag":0)"),
                    HasSubstr(R"("external":{"api":"origin.api","deliver":"from.origin"})")));
  // The consumer that it reads by is nobody's business.
  js_->account = kOrigin;
  EXPECT_THAT(js_->Request("$JS.API.CONSUMER.NAMES.O", ""), HasSubstr(R"("total":0)"));
}

TEST_F(External, FlowIsControlled) {
  Connect();
  Fill(1, 300, 10'000);
  Make("M", std::string(R"("mirror":{"name":"O",)") + kExternal + "}");
  js_->Settle();
  EXPECT_EQ(Messages("M"), 300u);
  EXPECT_GT(flow_->seen, 0) << "questions were answered";
}

TEST_F(External, SourcesHaveFiltersAndStarts) {
  Connect();
  Fill(1, 30);
  Make("F", std::string(R"("sources":[{"name":"O","filter_subject":"o.1",)") + kExternal + "}]");
  Make("S", std::string(R"("sources":[{"name":"O","opt_start_seq":21,)") + kExternal + "}]");
  Make("T", std::string(R"("sources":[{"name":"O","subject_transforms":[{"src":"o.2","dest":"x.y"}],)") + kExternal +
                "}]");
  js_->Settle();
  EXPECT_EQ(Messages("F"), 10u);
  EXPECT_EQ(Messages("S"), 10u);
  EXPECT_EQ(Messages("T"), 10u);
  EXPECT_EQ(At(*js_, "S", 1).body, Body(21, 10));
  EXPECT_EQ(At(*js_, "T", 1).subject, "x.y");
  EXPECT_THAT(At(*js_, "F", 2).header, HasSubstr("Nats-Stream-Source: O:"));
  EXPECT_THAT(At(*js_, "F", 2).header, HasSubstr(" 4 o.1 > o.1 " + Identity() + "\r\n"));
}

TEST_F(External, WhatIsLostIsAskedForAgain) {
  Connect();
  Fill(1, 5);
  Make("M", std::string(R"("mirror":{"name":"O",)") + kExternal + "}");
  js_->Settle();
  ASSERT_EQ(Messages("M"), 5u);
  // One in the middle: the next shows it.
  int count = 0;
  deliveries_->lose = [&](const Message& message) { return !message.payload.starts_with("NATS") && ++count == 2; };
  Fill(6, 10);
  Wait(1);
  EXPECT_EQ(Messages("M"), 10u);
  // The last one: only a heartbeat does.
  deliveries_->lose = [](const Message& message) { return !message.payload.starts_with("NATS"); };
  Fill(11, 11);
  EXPECT_EQ(Messages("M"), 10u);
  deliveries_->lose = nullptr;
  Wait(3);
  EXPECT_EQ(Messages("M"), 11u);
  // Everything: silence is noticed.
  deliveries_->lose = [](const Message&) { return true; };
  Fill(12, 20);
  Wait(5);
  deliveries_->lose = nullptr;
  Wait(20);
  EXPECT_EQ(Messages("M"), 20u);
}

TEST_F(External, ItGoesOnWhereItWas) {
  Fill(1, 10);
  Make("M", std::string(R"("mirror":{"name":"O",)") + kExternal + "}");
  Make("S", std::string(R"("sources":[{"name":"O",)") + kExternal + "}]");
  js_->Settle();
  EXPECT_EQ(Messages("M"), 0u) << "nobody answers";
  EXPECT_THAT(js_->Request("$JS.API.STREAM.INFO.M", ""), HasSubstr(R"("active":-1)"));
  Connect();
  Wait(5);
  EXPECT_EQ(Messages("M"), 10u);
  EXPECT_EQ(Messages("S"), 10u);
  Disconnect();
  Fill(11, 20);
  Wait(30);
  EXPECT_EQ(Messages("M"), 10u);
  Connect();
  Wait(30);
  EXPECT_EQ(Messages("M"), 20u);
  EXPECT_EQ(Messages("S"), 20u) << "each once";
  // An update of what is sourced keeps the place, too.
  js_->account = kReader;
  js_->Request("$JS.API.STREAM.UPDATE.S", std::string(R"({"name":"S","subjects":["s"],"sources":[{"name":"O",)") +
                                              kExternal + "}]}");
  js_->Request("$JS.API.STREAM.UPDATE.S", std::string(R"({"name":"S","sources":[{"name":"O",)") + kExternal +
                                              R"(},{"name":"OTHER"}]})");
  Wait(5);
  EXPECT_EQ(Messages("S"), 20u);
}

TEST_F(External, ErrorsAreShown) {
  Connect();
  Make("M", std::string(R"("mirror":{"name":"NONE",)") + kExternal + "}");
  js_->Settle();
  js_->account = kReader;
  EXPECT_THAT(js_->Request("$JS.API.STREAM.INFO.M", ""),
              HasSubstr(R"("error":{"code":404,"err_code":10059,"description":"stream not found"})"));
  js_->account = kOrigin;
  CreateStream(*js_, "NONE", R"(,"subjects":["n"])");
  js_->Request("n", "x");
  Wait(3);
  EXPECT_EQ(Messages("M"), 1u);
  EXPECT_THAT(js_->Request("$JS.API.STREAM.INFO.M", ""), testing::Not(HasSubstr("error")));
}

TEST_F(External, ItEndsWithItsStream) {
  Connect();
  Fill(1, 3);
  Make("M", std::string(R"("mirror":{"name":"O",)") + kExternal + "}");
  js_->Settle();
  js_->account = kReader;
  js_->Request("$JS.API.STREAM.DELETE.M", "");
  const int before = api_->seen;
  deliveries_.reset();
  Fill(4, 6);
  Wait(30);
  EXPECT_EQ(api_->seen, before) << "nobody asks any more";
}

TEST_F(External, AnotherStreamOfTheNameIsReadFromItsBeginning) {
  Connect();
  Fill(1, 10);
  Make("S", std::string(R"("sources":[{"name":"O",)") + kExternal + "}]");
  js_->Settle();
  ASSERT_EQ(Messages("S"), 10u);
  const std::string before = Identity();
  js_->account = kOrigin;
  js_->Request("$JS.API.STREAM.DELETE.O", "");
  Wait(1);
  js_->account = kOrigin;
  CreateStream(*js_, "O", R"(,"subjects":["o.>"])");
  Fill(11, 13);
  Wait(30);
  EXPECT_EQ(Messages("S"), 13u);
  EXPECT_THAT(At(*js_, "S", 10).header, HasSubstr(" 10 > > o.1 " + before + "\r\n"));
  EXPECT_THAT(At(*js_, "S", 11).header, HasSubstr(" 1 > > o.2 " + Identity() + "\r\n"));
}

TEST_F(External, WhoReadsForAStreamHearsWhichItIs) {
  js_->account = kOrigin;
  const std::string ask = R"({"stream_name":"O","config":{"deliver_subject":"x","direct":true,"ack_policy":"none"}})";
  const std::string block = StreamIdentityBlock(Identity());
  EXPECT_THAT(js_->Request("$JS.API.CONSUMER.CREATE.O", ask), testing::StartsWith(block));
  EXPECT_THAT(js_->Request("$JS.API.CONSUMER.CREATE.O", ask, block), testing::StartsWith(block));
  EXPECT_THAT(js_->Request("$JS.API.CONSUMER.CREATE.O", ask, StreamIdentityBlock("OTHER")),
              HasSubstr(R"("err_code":10225,"description":"consumer's stream identity does not match: )" + Identity()));
  const std::string own = R"({"stream_name":"O","config":{"name":"C","ack_policy":"none"}})";
  EXPECT_THAT(js_->Request("$JS.API.CONSUMER.CREATE.O.C", own, StreamIdentityBlock("OTHER")),
              testing::StartsWith("{")) << "a client's own consumer";
  EXPECT_THAT(js_->Request("$JS.API.CONSUMER.RESET.O.C", "", StreamIdentityBlock("")), testing::StartsWith(block));
  EXPECT_THAT(js_->Request("$JS.API.CONSUMER.RESET.O.C", ""), testing::StartsWith("{"));
}

TEST_F(External, AConsumerThatIsNamedIsReadAndConfirmed) {
  Connect();
  deliveries_->Show("from.origin.named");
  Fill(1, 300, 10'000);
  const auto make = [this](const std::string& name, const std::string& more) {
    js_->account = kOrigin;
    return js_->Request("$JS.API.CONSUMER.CREATE.O." + name,
                        R"({"stream_name":"O","config":{"durable_name":")" + name + R"(","name":")" + name +
                            R"(","deliver_subject":"from.origin.named",)" + more + "}}");
  };
  EXPECT_THAT(make("D", R"("ack_policy":"flow_control","flow_control":true,"idle_heartbeat":1000000000,)"
                        R"("max_ack_pending":1000)"),
              HasSubstr(R"("name":"D")"));
  const std::string named = R"("consumer":{"name":"D","deliver_subject":"from.origin.named"},)";
  Make("M", R"("mirror":{"name":"O",)" + named + kExternal + "}");
  js_->Settle();
  Wait(3);
  EXPECT_EQ(Messages("M"), 300u);
  EXPECT_EQ(At(*js_, "M", 300).body, Body(300, 10'000));
  js_->account = kOrigin;
  EXPECT_THAT(js_->Request("$JS.API.CONSUMER.INFO.O.D", ""),
              AllOf(HasSubstr(R"("num_pending":0)"), testing::Not(HasSubstr(R"("ack_floor":{"consumer_seq":0)"))));
  Fill(301, 310);
  js_->Settle();
  EXPECT_EQ(Messages("M"), 310u);
}

TEST_F(External, AConsumerThatIsNamedConfirmsByFlow) {
  Connect();
  Fill(1, 3);
  js_->account = kOrigin;
  js_->Request("$JS.API.CONSUMER.CREATE.O.D",
               R"({"stream_name":"O","config":{"durable_name":"D","name":"D","deliver_subject":"from.origin.named"}})");
  const std::string named = R"("consumer":{"name":"D","deliver_subject":"from.origin.named"},)";
  Make("M", R"("mirror":{"name":"O",)" + named + kExternal + "}");
  js_->Settle();
  EXPECT_EQ(Messages("M"), 0u);
  EXPECT_THAT(js_->Request("$JS.API.STREAM.INFO.M", ""), HasSubstr("stream mirror consumer requires flow control"));
}

}  // namespace
}  // namespace millrace
