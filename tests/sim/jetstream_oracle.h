// SPDX-License-Identifier: Apache-2.0
// JetStreamOracle: knows what clients asked of JetStream and what they were told, over all lives of a server, and so
//                  what streams and consumers must, may and must not have. README.md has the rules.
// Owner:  the simulating thread. It outlives every SimWorld of its run.
// Method: a message says in its body which publish it was, so that each one that is seen can be checked against what
//         was written. What a client was told binds at once; what it asked for without reading an answer may have
//         happened, until a look at a whole stream after a start says whether it has (no request outlives its server).
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tests/sim/random.h"

namespace millrace::sim {

enum class Promise : uint8_t {
  kDurable,  // what was confirmed is there
  kAsync,    // after a crash: what was there at some moment since the last start
  kMemory,   // nothing survives
};

struct PublishRecord {
  uint64_t id = 0;
  size_t stream = 0;
  std::string subject;
  std::string msg_id;  // may be empty
  size_t filler = 0;   // bytes
  uint64_t connection = 0;
  uint32_t life = 0;
  uint64_t seq = 0;       // 0: not known
  bool refused = false;   // or taken for a duplicate, or lost: it is not stored, and will not be
};

class JetStreamOracle {
 public:
  struct Consumer {
    size_t stream;
    std::string name;
    std::string filter;   // empty: everything
    std::string deliver;  // empty: pull
    bool asked = false;
    bool confirmed = false;
    uint64_t version_asked = 0;
    uint64_t version_confirmed = 0;
    bool busy = false;
    bool unseen = true;   // since the last start
    uint64_t reader = 0;  // the connection that subscribes to what it pushes
    // Acknowledgements that were written, and those that were answered: in which life, and to which connection.
    std::set<uint64_t> acked;
    struct Answered {
      uint32_t life;
      uint64_t connection;
    };
    std::map<uint64_t, Answered> answered;
    std::set<uint64_t> delivered_first;  // in this life, for the first time
  };
  // A sequence of which somebody was told that it has a message.
  struct Slot {
    uint64_t publish = 0;  // 0: not known yet
    bool removal_asked = false;
    bool gone = false;  // its removal was confirmed
  };
  struct Stream {
    std::string name;
    std::string subjects;
    Promise promise;
    uint64_t max_messages;  // 0: no limit
    bool asked = false;
    bool confirmed = false;
    uint64_t version_asked = 0;  // of the configuration
    uint64_t version_confirmed = 0;
    bool busy = false;  // a change is under way, or its end is not known: no other one in this life
    std::map<uint64_t, Slot> slots;
    uint64_t purge_asked = 0;  // below it
    uint64_t purged = 0;       // the same, confirmed
    uint64_t floor = 0;        // kAsync: what was there when this life began
    bool unseen = true;        // since the last start
    std::map<uint64_t, uint64_t> present;  // seq: publish, at the last look
    std::map<std::string, uint64_t> ids;  // the sequence under which a message id was stored
  };
  struct Statistics {
    uint64_t publishes = 0, confirmed = 0, duplicates = 0, refused = 0, unanswered = 0, deliveries = 0,
             redeliveries = 0, acks = 0, answered_acks = 0, removals = 0, updates = 0, lost_async = 0, found_late = 0,
             looks = 0, lives = 0, crashes = 0, stops = 0, gets = 0, fetches = 0;
  };

  explicit JetStreamOracle(Random& random);

  std::vector<Stream>& streams() { return streams_; }
  std::vector<Consumer>& consumers() { return consumers_; }
  size_t StreamNumber(std::string_view name) const;
  size_t ConsumerNumber(std::string_view stream, std::string_view name) const;
  uint64_t NextConnection() { return ++connections_; }
  std::string StreamConfig(const Stream& stream, uint64_t version) const;
  std::string ConsumerConfig(const Consumer& consumer, uint64_t version) const;
  Statistics& statistics() { return statistics_; }
  uint32_t life() const { return life_; }

  // A server has begun, or has ended and left what is durable (`crash`), or all there was.
  void OnStart();
  void OnEnd(bool crash);

  // What clients write.
  PublishRecord& OnPublish(size_t stream, std::string subject, std::string msg_id, uint64_t connection, size_t filler);
  std::string Body(const PublishRecord& record) const;
  std::string Header(const PublishRecord& record) const;
  void OnRemovalAsked(size_t stream, uint64_t seq);
  void OnPurgeAsked(size_t stream, uint64_t below);
  void OnAckAsked(size_t consumer, uint64_t seq);

  // What clients read.
  void OnPubAck(uint64_t publish, std::string_view stream, uint64_t seq, bool duplicate);
  void OnPublishRefused(uint64_t publish);
  void OnRemoved(size_t stream, uint64_t seq);
  void OnPurged(size_t stream, uint64_t below);
  void OnAckAnswered(size_t consumer, uint64_t seq, uint64_t connection);
  void OnDelivery(size_t consumer, uint64_t seq, uint64_t deliveries, std::string_view subject, std::string_view header,
                  std::string_view body, uint64_t connection);
  // Of one message that somebody asked for. `was_gone`: when it was asked for, its removal was confirmed.
  void OnGot(size_t stream, uint64_t seq, bool was_gone, std::string_view subject, std::string_view header,
             std::string_view body);
  void OnNotGot(size_t stream, uint64_t seq);
  // A look at all of a stream, when nothing is under way.
  struct StreamLook {
    bool exists = false;
    uint64_t version = 0;
    uint64_t messages = 0;
    uint64_t first_seq = 0;
    uint64_t last_seq = 0;
    std::map<uint64_t, uint64_t> found;  // seq: publish
  };
  struct ConsumerLook {
    bool exists = false;
    uint64_t version = 0;
    uint64_t ack_floor = 0;
    uint64_t delivered = 0;
    uint64_t ack_pending = 0;
    uint64_t pending = 0;
  };
  void OnStreamLook(size_t stream, const StreamLook& look);
  void OnConsumerLook(size_t consumer, const ConsumerLook& look);
  // Every consumer has come to the end of its stream, with nothing unacknowledged.
  void CheckDrained(size_t consumer) const;

  // The publish that a body names; fails the run when its bytes are not those that were written.
  const PublishRecord& Recognise(size_t stream, std::string_view subject, std::string_view header,
                                 std::string_view body) const;
  static bool Matches(const Consumer& consumer, const PublishRecord& record) {
    return consumer.filter.empty() || consumer.filter == record.subject;
  }

 private:
  // `publish` is stored under `seq`, and somebody was told so.
  void Place(size_t stream, uint64_t seq, uint64_t publish);
  static void CheckOrder(const Stream& stream, const std::vector<PublishRecord>& publishes);
  void CheckSlots(const Stream& stream, const StreamLook& look) const;
  void Adopt(size_t stream, const StreamLook& look);
  static bool MayBeGone(const Stream& stream, uint64_t seq, uint64_t last_seq);

  std::vector<Stream> streams_;
  std::vector<Consumer> consumers_;
  std::vector<PublishRecord> publishes_;  // by id, from 1
  uint64_t connections_ = 0;
  uint32_t life_ = 0;
  Statistics statistics_;
};

}  // namespace millrace::sim
