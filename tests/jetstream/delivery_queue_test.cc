// SPDX-License-Identifier: Apache-2.0
// Goal: consumers deliver when they are ready, and not while they wait for a receiver, an answer, or a stream that is
//       held; one that ends is in no queue any more.
// Method: one consumer on a stream in memory, a fake port, a store whose durability the test moves.
#include "broker/jetstream/consumer/delivery_queue.h"

#include <gtest/gtest.h>

#include "tests/jetstream/fake_consumer_host.h"
#include "tests/jetstream/volatile_store.h"

namespace millrace {
namespace {

class QueueHost : public FakeConsumerHost {
 public:
  void MarkReady(Consumer* consumer) override {
    if (queue == nullptr) return FakeConsumerHost::MarkReady(consumer);
    queue->MarkReady(consumer);
  }
  DeliveryQueue* queue = nullptr;
};

class DeliveryQueueTest : public ::testing::Test, private HoldListener {
 protected:
  DeliveryQueueTest() {
    ConsumerConfig config;
    config.durable_name = "C";
    config.ack_policy = AckPolicy::kExplicit;
    config.deliver_subject = "d";
    host_.fake.interest.insert("d");
    host_.Make(config);
    host_.fake.turn = nullptr;
    host_.queue = &queue_;
    queue_.WatchInterest(host_.consumer.get());
  }
  // What a turn delivers.
  std::string Turn() {
    queue_.LookAtInterest();
    queue_.Deliver();
    queue_.Invariant();
    return host_.Take();
  }
  void Ack() {
    AckSubject ack;
    ASSERT_TRUE(ParseAckSubject(host_.LastReply(), &ack));
    host_.consumer->OnAck(ack, {}, {});
  }
  Lsn Stage() { return store_.UpdateConsumer(0, {}); }
  void OnHeld(uint64_t uid) override { held_ = uid; }
  void OnReleased(uint64_t uid, uint64_t visible_seq) override { held_ = 0; }

  QueueHost host_;
  VolatileStore store_;
  StreamWork work_{[this] { return host_.fake.Now(); }, *this};
  DeliveryQueue queue_{host_.fake, store_, work_};
  uint64_t held_ = 0;
};

TEST_F(DeliveryQueueTest, WhoIsReadyDeliversOnce) {
  host_.Store("a", "1");
  EXPECT_FALSE(queue_.idle());
  EXPECT_EQ(Turn(), "d a 1 [1 1 1 0]");
  EXPECT_TRUE(queue_.idle());
  EXPECT_EQ(Turn(), "");
}

TEST_F(DeliveryQueueTest, ASlowReceiverIsWaitedForWithoutTurns) {
  host_.fake.congested_after = 1;
  host_.fake.relieved = false;
  host_.Store("a", "1");
  host_.Store("a", "2");
  EXPECT_EQ(Turn(), "d a 1 [1 1 1 1]");
  EXPECT_TRUE(queue_.idle());
  Ack();
  queue_.MarkReady(host_.consumer.get());
  EXPECT_TRUE(queue_.idle());
  EXPECT_EQ(Turn(), "");
  host_.fake.relieved = true;
  host_.fake.congested_after = 0;
  EXPECT_EQ(Turn(), "d a 2 [1 2 2 0]");
}

TEST_F(DeliveryQueueTest, NothingIsDeliveredBeforeTheLastAnswerHasLeft) {
  Stage();
  queue_.DeliverWhenAnswered(host_.consumer.get());
  Stage();
  queue_.DeliverWhenAnswered(host_.consumer.get());
  host_.Store("a", "1");
  EXPECT_EQ(Turn(), "");
  queue_.ReleaseAnswered(store_.staged() - 1);
  EXPECT_EQ(Turn(), "");
  queue_.ReleaseAnswered(store_.staged());
  EXPECT_EQ(Turn(), "d a 1 [1 1 1 0]");
}

TEST_F(DeliveryQueueTest, WhileATaskHoldsTheStreamItsConsumersWait) {
  const uint64_t uid = host_.stream->uid();
  bool go_on = false;
  work_.tasks().BeginTurn();
  work_.RunLong(uid, [&] { work_.tasks().WaitUntil([&go_on] { return go_on; }); });
  EXPECT_EQ(held_, uid);
  host_.Store("a", "1");
  queue_.DeleteLater(host_.consumer.get());
  std::vector<Consumer*> removed;
  const auto remove = [&removed](Consumer* consumer) { removed.push_back(consumer); };
  EXPECT_EQ(Turn(), "");
  queue_.RunDeletions(remove);
  EXPECT_TRUE(removed.empty());
  EXPECT_FALSE(queue_.idle());
  go_on = true;
  work_.Run();
  EXPECT_EQ(held_, 0u);
  EXPECT_EQ(Turn(), "d a 1 [1 1 1 0]");
  queue_.RunDeletions(remove);
  EXPECT_EQ(removed, std::vector<Consumer*>{host_.consumer.get()});
}

TEST_F(DeliveryQueueTest, OneThatEndsHasLeftEveryQueue) {
  host_.Store("a", "1");
  queue_.DeliverWhenAnswered(host_.consumer.get());
  queue_.DeleteLater(host_.consumer.get());
  EXPECT_FALSE(queue_.idle());
  host_.consumer.reset();
  EXPECT_TRUE(queue_.idle());
  ++host_.fake.epoch;
  EXPECT_EQ(Turn(), "");
  queue_.ReleaseAnswered(store_.staged());
  queue_.RunDeletions([](Consumer*) { ADD_FAILURE(); });
}

}  // namespace
}  // namespace millrace
