// SPDX-License-Identifier: Apache-2.0
// DeliveryQueue: which consumers of a shard have something to do: deliver, hear that they were answered, look at
//         interest, go.
// Owner:  shard; part of the engine. Consumers stand in it by their DeliveryPlaces.
// A turn: consumers that are ready deliver, a bounded number of messages each and together; one whose receiver is above
//         its high-water mark waits until that has drained, one whose next message is on the disk until something was
//         loaded, and one whose stream is held (StreamWork) until it is released.
#pragma once

#include <utility>

#include "broker/jetstream/base/list.h"
#include "broker/jetstream/base/port.h"
#include "broker/jetstream/base/stream_work.h"
#include "broker/jetstream/consumer/consumer.h"
#include "store/shard/shard_store.h"

namespace millrace {

class DeliveryQueue {
 public:
  DeliveryQueue(JetStreamPort& port, ShardStore& store, StreamWork& work)
      : port_(port), store_(store), work_(work) {}
  DeliveryQueue(const DeliveryQueue&) = delete;
  DeliveryQueue& operator=(const DeliveryQueue&) = delete;

  // Idempotent. One that waits for its receiver goes on waiting: acknowledgements mark it ready all the time.
  void MarkReady(Consumer* consumer);
  void WatchInterest(Consumer* consumer) { interested_.PushBack(&consumer->places().interest); }
  // An answer about it has been queued, to leave when what is staged now is durable: it delivers nothing before.
  void DeliverWhenAnswered(Consumer* consumer);
  void DeleteLater(Consumer* consumer);

  // --- the turn
  // Something was loaded.
  void WakeLoading();
  // What is staged up to here is durable, and answers that waited for it have left.
  void ReleaseAnswered(Lsn durable);
  void LookAtInterest();
  void Deliver();
  // remove(consumer) for those that are to go, each as work on its stream.
  template <class Remove>
  void RunDeletions(Remove remove) {
    List<Consumer> due;
    due.TakeAll(&to_delete_);
    while (Consumer* consumer = due.PopFront()) {
      const uint64_t uid = consumer->stream_uid();
      if (work_.MustWait(uid)) {
        to_delete_.PushBack(&consumer->places().deletion);
      } else {
        work_.RunLong(uid, [remove, consumer] { remove(consumer); });
      }
    }
  }
  // Nobody is ready.
  bool idle() const { return ready_.empty(); }

  void Invariant() const;

 private:
  bool MustWait(Consumer* consumer) const { return work_.AnyHeld() && work_.MustWait(consumer->stream_uid()); }
  void DeliverTo(Consumer* consumer);
  void PutInto(List<Consumer>* queue, DeliveryPlaces::Turn turn, Consumer* consumer);

  JetStreamPort& port_;
  ShardStore& store_;
  StreamWork& work_;
  List<Consumer> ready_;
  List<Consumer> congested_;
  List<Consumer> loading_;
  List<Consumer> unanswered_;  // in the order of their answers
  List<Consumer> interested_;
  List<Consumer> to_delete_;
  DeliverBudget budget_;  // of this turn
  uint64_t interest_epoch_ = 0;
};

}  // namespace millrace
