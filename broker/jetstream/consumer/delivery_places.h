// SPDX-License-Identifier: Apache-2.0
// DeliveryPlaces: where one consumer stands in the queues of its shard (delivery_queue.h). It is a member of the
//         consumer, so no queue knows one that is gone.
// Owner:  shard.
#pragma once

#include <cstdint>

#include "broker/jetstream/base/list.h"
#include "broker/mesh/mail.h"
#include "store/journal.h"

namespace millrace {

class Consumer;

struct DeliveryPlaces {
  enum class Turn : uint8_t {
    kNone,
    kReady,      // delivers in this turn's JetStream phase
    kCongested,  // waits for the receiver `congested_by`
    kLoading,    // waits for the disk
  };
  using Node = List<Consumer>::Node;

  explicit DeliveryPlaces(Consumer* consumer)
      : turn_node(consumer), interest(consumer), answer(consumer), deletion(consumer) {}
  void Leave() {
    for (Node* node : {&turn_node, &interest, &answer, &deletion}) node->Leave();
    turn = Turn::kNone;
  }

  Turn turn = Turn::kNone;
  Node turn_node;
  Node interest;  // looks whether somebody listens when interest has changed
  Node answer;    // delivers nothing before its answer has left
  Node deletion;
  Lsn answer_lsn = 0;
  ConnectionId congested_by;
};

}  // namespace millrace
