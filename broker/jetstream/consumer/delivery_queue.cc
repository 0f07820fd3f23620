// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/consumer/delivery_queue.h"

#include <algorithm>

#include "proto/base/check.h"

namespace millrace {
namespace {

using Turn = DeliveryPlaces::Turn;

// What one turn does at most, so that everybody else gets theirs.
constexpr int64_t kMessagesPerTurn = 4096;
constexpr int64_t kBytesPerTurn = 1 << 20;
constexpr int64_t kMessagesPerConsumer = 512;

}  // namespace

void DeliveryQueue::PutInto(List<Consumer>* queue, Turn turn, Consumer* consumer) {
  DeliveryPlaces& places = consumer->places();
  places.turn_node.Leave();
  places.turn = turn;
  queue->PushBack(&places.turn_node);
}

void DeliveryQueue::MarkReady(Consumer* consumer) {
  const Turn turn = consumer->places().turn;
  if (turn == Turn::kReady || turn == Turn::kCongested) return;
  PutInto(&ready_, Turn::kReady, consumer);
}

void DeliveryQueue::DeliverWhenAnswered(Consumer* consumer) {
  DeliveryPlaces& places = consumer->places();
  MR_DCHECK(unanswered_.empty() || unanswered_.front()->places().answer_lsn <= store_.staged());
  if (places.answer.linked()) {
    places.answer.Leave();
  } else {
    consumer->AwaitAnswer();
  }
  places.answer_lsn = store_.staged();
  unanswered_.PushBack(&places.answer);
}

void DeliveryQueue::DeleteLater(Consumer* consumer) {
  MR_CHECK(!consumer->places().deletion.linked());
  to_delete_.PushBack(&consumer->places().deletion);
}

void DeliveryQueue::WakeLoading() {
  loading_.ForEach([this](Consumer* consumer) { PutInto(&ready_, Turn::kReady, consumer); });
}

void DeliveryQueue::ReleaseAnswered(Lsn durable) {
  while (!unanswered_.empty() && unanswered_.front()->places().answer_lsn <= durable)
    unanswered_.PopFront()->OnAnswered();
}

void DeliveryQueue::LookAtInterest() {
  if (interest_epoch_ == port_.InterestEpoch()) return;
  interest_epoch_ = port_.InterestEpoch();
  interested_.ForEach([](Consumer* consumer) { consumer->CheckInterest(); });
}

void DeliveryQueue::Deliver() {
  congested_.ForEach([this](Consumer* consumer) {
    if (port_.Relieved(consumer->places().congested_by)) PutInto(&ready_, Turn::kReady, consumer);
  });
  budget_ = DeliverBudget{kMessagesPerTurn, kBytesPerTurn};
  List<Consumer> round;
  round.TakeAll(&ready_);
  while (Consumer* consumer = round.PopFront()) {
    consumer->places().turn = Turn::kNone;
    if (budget_.empty() || MustWait(consumer)) {
      MarkReady(consumer);
    } else if (consumer->log().IsLarge()) {
      work_.RunLong(consumer->stream_uid(), [this, consumer] { DeliverTo(consumer); });
    } else {
      DeliverTo(consumer);
    }
  }
}

void DeliveryQueue::DeliverTo(Consumer* consumer) {
  MR_DCHECK(!MustWait(consumer));
  const DeliverBudget before{std::min(budget_.messages, kMessagesPerConsumer), budget_.bytes};
  DeliverBudget share = before;
  const DeliverStatus status = consumer->Deliver(&share);
  MR_DCHECK(share.messages <= before.messages && share.bytes <= before.bytes);
  budget_.messages -= before.messages - share.messages;
  budget_.bytes -= before.bytes - share.bytes;
  switch (status) {
    case DeliverStatus::kIdle:
      break;
    case DeliverStatus::kMore:
      MarkReady(consumer);
      break;
    case DeliverStatus::kCongested:
      consumer->places().congested_by = port_.congested_by();
      PutInto(&congested_, Turn::kCongested, consumer);
      break;
    case DeliverStatus::kLoading:
      PutInto(&loading_, Turn::kLoading, consumer);
      break;
  }
}

void DeliveryQueue::Invariant() const {
  const auto check = [](const List<Consumer>& queue, Turn turn) {
    queue.ForEach([turn](Consumer* consumer) {
      MR_CHECK(consumer->places().turn == turn && consumer->places().turn_node.linked());
    });
  };
  check(ready_, Turn::kReady);
  check(congested_, Turn::kCongested);
  check(loading_, Turn::kLoading);
  Lsn last = 0;
  unanswered_.ForEach([&last](Consumer* consumer) {
    MR_CHECK_OP(consumer->places().answer_lsn, >=, last);
    last = consumer->places().answer_lsn;
  });
}

}  // namespace millrace
