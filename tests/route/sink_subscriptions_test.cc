// SPDX-License-Identifier: Apache-2.0
// Goal:   a sink hears what its account imports, under the names that this has there, as long as it is imported.
// Method: accounts as a configuration states them, a router, and a sink that writes down what it gets.
#include "broker/route/sink_subscriptions.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "broker/account/account_table.h"
#include "broker/route/router.h"
#include "tests/route/shards.h"

namespace millrace {
namespace {

class Notes final : public Sink {
 public:
  bool Deliver(const Subscription& subscription, const Message& message) override {
    got.push_back(std::string(subscription.subject()) + " " + std::to_string(message.account) + " " +
                  std::string(message.subject) + " " + std::string(message.deliver_to));
    return true;
  }
  std::vector<std::string> Take() { return std::exchange(got, {}); }
  std::vector<std::string> got;
};

class Imports : public ::testing::Test {
 protected:
  Imports() : shards_(1), table_(Specs({}), "", nullptr) {
    exporter_ = table_.Find("E")->id;
    importer_ = table_.Find("I")->id;
    Adopt({});
  }
  static std::vector<AccountSpec> Specs(std::vector<StreamImport> imports) {
    return {{.name = "E", .stream_exports = {{.subject = "e.>"}}}, {.name = "I", .stream_imports = std::move(imports)}};
  }
  void Adopt(std::vector<StreamImport> imports) {
    const std::vector<AccountSpec> specs = Specs(std::move(imports));
    auto views = std::make_unique<AccountViews>(specs, table_, views_.get());
    shards_[0].router.set_stream_imports(views->stream_imports());
    subscriptions_.Adopt(*views);
    views_ = std::move(views);
  }
  bool Publish(AccountId account, std::string_view subject, std::string_view deliver_to = "", bool later = false) {
    Message message{.account = account};
    message.subject = subject;
    message.deliver_to = deliver_to;
    message.sinks_later = later;
    const std::string_view matched = deliver_to.empty() ? subject : deliver_to;
    Router& router = shards_[0].router;
    return router.Publish(message, *router.interest().Match(account, matched).result).delivered;
  }
  std::string Heard(std::string_view filter, std::string_view subject, std::string_view deliver_to = "") const {
    return std::string(filter) + " " + std::to_string(importer_) + " " + std::string(subject) + " " +
           std::string(deliver_to);
  }
  void TearDown() override { shards_[0].interest.FreeRemoved(); }

  Shards shards_;
  SinkSubscriptions subscriptions_{shards_[0].interest};
  const AccountTable table_;
  std::unique_ptr<AccountViews> views_;
  AccountId exporter_ = kNoAccount;
  AccountId importer_ = kNoAccount;
  Notes notes_;
};

using Texts = std::vector<std::string>;

TEST_F(Imports, ASinkHearsThemUnderItsOwnNames) {
  Adopt({{.account = "E", .subject = "e.>", .to = "i.>"}});
  Subscription* subscription = subscriptions_.Subscribe(importer_, "i.*", &notes_);
  EXPECT_EQ(subscriptions_.shadows(), 1u);
  EXPECT_TRUE(Publish(exporter_, "e.1"));
  EXPECT_FALSE(Publish(exporter_, "e.1.2")) << "its filter has two tokens";
  EXPECT_FALSE(Publish(exporter_, "f.1"));
  EXPECT_TRUE(Publish(importer_, "i.2"));
  EXPECT_EQ(notes_.Take(), (Texts{Heard("i.*", "i.1"), Heard("i.*", "i.2")}));
  subscriptions_.Unsubscribe(subscription);
  EXPECT_EQ(subscriptions_.shadows(), 0u);
  EXPECT_FALSE(Publish(exporter_, "e.1"));
}

TEST_F(Imports, AConsumersDeliveryKeepsTheSubjectOfItsMessage) {
  Adopt({{.account = "E", .subject = "e.>"}});
  Subscription* subscription = subscriptions_.Subscribe(importer_, "e.1", &notes_);
  for (const bool later : {false, true}) {
    EXPECT_TRUE(Publish(exporter_, "stored", "e.1", later));
    shards_[0].router.DeliverKept();
    EXPECT_EQ(notes_.Take(), (Texts{Heard("e.1", "stored")})) << later;
  }
  subscriptions_.Unsubscribe(subscription);
}

TEST_F(Imports, TheyComeAndGoWithAConfiguration) {
  Subscription* one = subscriptions_.Subscribe(importer_, "e.1", &notes_);
  Subscription* two = subscriptions_.Subscribe(importer_, "e.2", &notes_);
  Subscription* other = subscriptions_.Subscribe(exporter_, "x", &notes_);
  EXPECT_FALSE(Publish(exporter_, "e.1"));
  Adopt({{.account = "E", .subject = "e.1"}});
  EXPECT_TRUE(Publish(exporter_, "e.1"));
  EXPECT_FALSE(Publish(exporter_, "e.2"));
  EXPECT_EQ(notes_.Take(), (Texts{Heard("e.1", "e.1")}));
  Adopt({{.account = "E", .subject = "e.2"}});
  EXPECT_FALSE(Publish(exporter_, "e.1"));
  EXPECT_TRUE(Publish(exporter_, "e.2"));
  EXPECT_EQ(notes_.Take(), (Texts{Heard("e.2", "e.2")}));
  Adopt({{.account = "E", .subject = "e.2"}});
  EXPECT_TRUE(Publish(exporter_, "e.2")) << "the same imports";
  Adopt({});
  EXPECT_EQ(subscriptions_.shadows(), 0u);
  EXPECT_FALSE(Publish(exporter_, "e.2"));
  for (Subscription* subscription : {one, two, other}) subscriptions_.Unsubscribe(subscription);
  EXPECT_EQ(subscriptions_.size(), 0u);
}

TEST_F(Imports, ATraceTellsThatItIsTakenIntoTheAccount) {
  for (const bool allowed : {false, true}) {
    Adopt({{.account = "E", .subject = "e.1", .allow_trace = allowed}});
    Subscription* subscription = subscriptions_.Subscribe(importer_, "e.1", &notes_);
    for (const bool only : {false, true}) {
      MessageTrace trace{.only = only};
      Message message{.account = exporter_};
      message.subject = "e.1";
      message.trace = &trace;
      Router& router = shards_[0].router;
      EXPECT_TRUE(router.Publish(message, *router.interest().Match(exporter_, "e.1").result).delivered || allowed);
      ASSERT_FALSE(trace.events.empty());
      EXPECT_EQ(trace.events[0].kind, TraceEvent::Kind::kStreamExport);
      EXPECT_EQ(trace.events[0].account, importer_);
      EXPECT_EQ(trace.events[0].to, "e.1");
      EXPECT_EQ(notes_.Take().size(), only ? 0u : 1u);
    }
    subscriptions_.Unsubscribe(subscription);
  }
}

// As a stream does that rests.
TEST_F(Imports, AnotherSinkMayTakeItsPlace) {
  Adopt({{.account = "E", .subject = "e.1"}});
  Subscription* subscription = subscriptions_.Subscribe(importer_, "e.1", &notes_);
  Notes next;
  subscription->sink = &next;
  EXPECT_TRUE(Publish(exporter_, "e.1"));
  EXPECT_EQ(notes_.Take(), Texts{});
  EXPECT_EQ(next.Take(), (Texts{Heard("e.1", "e.1")}));
  subscriptions_.Unsubscribe(subscription);
}

}  // namespace
}  // namespace millrace
