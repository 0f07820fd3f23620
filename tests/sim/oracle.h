// SPDX-License-Identifier: Apache-2.0
// Oracle: knows what every simulated client asked for and what each of them must, may and must not see. README.md has
// the rules.
// Owner:  the simulating thread.
// Time:   stamps count events of the whole run. A client's request has happened at some moment between the stamp at
//         which it was written and the stamp at which a PONG behind it was read; that interval is all the oracle has.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/sim/sim_io.h"

namespace millrace::sim {

struct MessageRecord {
  uint32_t index = 0;
  uint32_t publisher = 0;
  uint32_t seq = 0;    // per publisher, from 1
  uint64_t order = 0;  // among everything its publisher wrote
  std::string subject;
  std::string reply;
  uint32_t body_bytes = 0;
  std::string header;  // the whole block, or empty
  uint64_t sent = 0;
  uint64_t confirmed = 0;
  bool request = false;   // expects 503 when nobody is interested
  int no_responders = 0;  // how often 503 came
  std::vector<std::string> queues_served;
};

struct SubscriptionRecord {
  uint32_t client = 0;
  std::string sid;
  std::string filter;
  std::string queue;
  uint64_t order = 0;
  uint64_t sent = 0;
  uint64_t confirmed = 0;
  uint64_t end_sent = 0;       // UNSUB, with or without max; or the end of the connection began
  uint64_t end_order = 0;      // of UNSUB without max, or of the read that reached max
  uint64_t end_confirmed = 0;  // known everywhere
  uint64_t max = 0;
  uint64_t max_order = 0;
  bool max_known = false;
  bool unsubscribed = false;  // UNSUB without max was written
  bool ended = false;         // nothing may come any more
  uint64_t count = 0;
  std::map<uint32_t, uint32_t> last_seq;              // by publisher
  std::map<uint32_t, std::deque<uint32_t>> expected;  // by publisher: messages that must come, in order
};

struct ClientRecord {
  uint32_t index = 0;
  bool echo = true;
  bool headers = false;
  bool no_responders = false;
  Socket* socket = nullptr;
  uint64_t order = 0;           // commands written so far
  uint64_t closing = 0;         // since when it may be gone for the broker
  uint64_t closed_known = 0;    // since when its interest is known to be gone everywhere
  bool hasty = false;           // its input has ended, or must end: held replies leave early and confirm nothing
  bool all_must_count = false;  // it ended its connection in good order: everything it wrote takes effect
  uint32_t seq = 0;
  uint32_t confirmed_seq = 0;
  uint64_t last_ping_sent = 0;  // stamp of the newest PING that was answered
  std::vector<uint32_t> messages;
  std::map<uint32_t, uint32_t> last_seq;
  std::vector<SubscriptionRecord*> subs;  // not ended
  struct Ping {
    uint64_t sent;
    uint64_t order;
    uint32_t seq;
  };
  std::deque<Ping> pings;
};

struct OracleStatistics {
  uint64_t messages = 0;
  uint64_t deliveries = 0;
  uint64_t queue_deliveries = 0;
  uint64_t no_responders = 0;
  uint64_t second_pick_reorders = 0;  // a queue message came after a younger one of the same publisher
  uint64_t second_pick_late = 0;      // ... or after the PONG that should have covered it
};

// What the broker itself knows, beside what it has written by now.
struct BrokerFacts {
  // On every shard.
  std::function<bool(const SubscriptionRecord& sub)> knows;
  // How much this subscription has been given, read or not.
  std::function<uint64_t(const SubscriptionRecord& sub)> delivered;
};

class Oracle {
 public:
  explicit Oracle(SimKernel& kernel);

  // To be asked when a client reads a PONG; for runs in which the broker closes nobody.
  void set_facts(BrokerFacts facts) { facts_ = std::move(facts); }

  ClientRecord* AddClient(Socket* socket, bool echo, bool headers, bool no_responders);

  // What clients write. OnPublish makes the message; Payload gives its bytes, header block first.
  MessageRecord& OnPublish(ClientRecord& client, std::string subject, std::string reply, uint32_t body_bytes,
                           bool header, bool request);
  std::string Payload(const MessageRecord& message) const;
  SubscriptionRecord& OnSubscribe(ClientRecord& client, std::string sid, std::string filter, std::string queue);
  void OnUnsubscribe(ClientRecord& client, SubscriptionRecord& sub, uint64_t max);
  void OnPing(ClientRecord& client);
  // The connection is about to end, or may have: from now on nothing is certain for it.
  void OnClosing(ClientRecord& client, uint64_t since);
  void OnHasty(ClientRecord& client) { client.hasty = true; }

  // What clients read.
  void OnPong(ClientRecord& client);
  void OnMessage(ClientRecord& client, std::string_view subject, std::string_view sid, std::string_view reply,
                 std::string_view header, std::string_view payload);
  void OnNoResponders(ClientRecord& client, std::string_view sid, std::string_view reply, std::string_view header);

  // It has written its last byte, and means all of them.
  void OnGoodEnd(ClientRecord& client) { client.all_must_count = true; }

  // No shard has anything to do or in flight: what is closed is known everywhere.
  void OnQuiet();
  // At the end of the run.
  void CheckRequests();
  void CheckQueues();

  const OracleStatistics& statistics() const { return statistics_; }
  static bool Matches(std::string_view subject, std::string_view filter);

 private:
  std::string Name(const MessageRecord& message) const;
  std::string Name(const SubscriptionRecord& sub) const;
  // Whether `sub` could not but have `message` delivered (or be a candidate, for a queue group).
  bool Must(const SubscriptionRecord& sub, const MessageRecord& message) const;
  bool May(const SubscriptionRecord& sub, const MessageRecord& message) const;
  bool EchoExcluded(const SubscriptionRecord& sub, const MessageRecord& message) const;
  // A member of this queue group may have been leaving while the message was under way.
  bool SecondPickPossible(const std::string& queue, const MessageRecord& message) const;
  void OnServerMessage(ClientRecord& client, SubscriptionRecord& sub, std::string_view subject);
  // One more delivery.
  void Count(ClientRecord& client, SubscriptionRecord& sub, const std::string& what);
  void CheckExpected(ClientRecord& client, const ClientRecord::Ping& ping);
  void CheckFacts(const ClientRecord& client) const;
  void CheckRequest(const MessageRecord& message, bool at_end);
  SubscriptionRecord* FindSub(ClientRecord& client, std::string_view sid);

  SimKernel& kernel_;
  std::string pattern_;
  std::vector<std::unique_ptr<ClientRecord>> clients_;
  std::vector<std::unique_ptr<MessageRecord>> messages_;
  std::vector<std::unique_ptr<SubscriptionRecord>> subs_;
  std::vector<SubscriptionRecord*> live_;                  // not ended, of connections that are not known to be closed
  std::map<std::string, uint32_t, std::less<>> by_reply_;  // requests
  OracleStatistics statistics_;
  BrokerFacts facts_;
};

}  // namespace millrace::sim
