// SPDX-License-Identifier: Apache-2.0
// AccountsOracle: what clients of several accounts must, may and must not see while the configuration changes.
// README.md has the rules.
// Owner:  the simulating thread.
// Time:   stamps, as in oracle.h. Between the stamp at which a version was loaded and the one at which the last shard
//         has acknowledged the next, a shard may go by it: that interval is all the oracle has.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/sim/accounts_model.h"
#include "tests/sim/sim_io.h"

namespace millrace::sim {

class AccountsOracle {
 public:
  struct Subscription {
    uint32_t client = 0;
    std::string sid;
    std::string filter;
    std::string queue;
    uint64_t sent = 0;
    uint64_t confirmed = 0;
    uint64_t end_sent = 0;       // UNSUB, or the end of the connection began
    uint64_t end_confirmed = 0;  // known everywhere
    size_t looked_at = 0;        // of what was confirmed, in that order: whether it has come
    std::map<uint32_t, std::map<std::string, uint32_t, std::less<>>> got;   // by message, by subject: how often
    // By publisher; of replies also by what they were replies to and by what they are called here, since they may be
    // heard on their way as well.
    std::map<std::pair<uint32_t, std::string>, uint32_t> last_seq;
  };

  struct Client {
    uint32_t index = 0;
    std::string user;
    std::string account;  // empty: not known yet
    Socket* socket = nullptr;
    bool headers = false;
    bool no_responders = false;
    uint64_t connected = 0;  // CONNECT was written
    uint64_t closing = 0;    // since when it may be gone for the broker
    uint64_t gone = 0;       // since when it is for all shards
    uint32_t confirmed_seq = 0;
    std::vector<uint32_t> messages;
    struct Ping {
      uint64_t sent;
      size_t messages;
    };
    std::deque<Ping> pings;
    std::vector<std::pair<uint64_t, uint64_t>> rounds;  // PING written, PONG read
    std::map<std::string, Subscription*, std::less<>> subs;  // until their end is confirmed
  };

  struct Statistics {
    uint64_t messages = 0;
    uint64_t deliveries = 0;
    uint64_t imported = 0;
    uint64_t forwarded = 0;
    uint64_t replies_home = 0;
    uint64_t due = 0;  // deliveries that had to come
    uint64_t no_responders = 0;
    uint64_t refused = 0;
    uint64_t moved = 0;
    uint64_t reloads = 0;
  };

  explicit AccountsOracle(SimKernel& kernel) : kernel_(kernel) {}

  // The configuration that comes next. The first one is in force at once.
  const AccountsModel& Load(AccountsModel model);
  // The last shard has acknowledged the next one that had not been.
  void OnAcknowledged();
  const AccountsModel& newest() const { return versions_.back()->model; }
  uint64_t unacknowledged() const { return versions_.size() - acknowledged_; }

  Client* AddClient(Socket* socket, std::string user, bool headers, bool no_responders);

  // What clients write.
  uint32_t OnPublish(Client& client, const std::string& subject, const std::string& reply, uint32_t body_bytes);
  std::string Payload(uint32_t message) const;
  void OnSubscribe(Client& client, std::string sid, std::string filter, std::string queue);
  void OnUnsubscribe(Client& client, Subscription& sub);
  void OnPing(Client& client);
  void OnClosing(Client& client, uint64_t since);

  // What clients read.
  void OnAccount(Client& client, std::string account);
  void OnPong(Client& client);
  void OnMessage(Client& client, std::string_view subject, std::string_view sid, std::string_view reply,
                 std::string_view header, std::string_view payload);
  void OnNoResponders(Client& client, std::string_view sid, std::string_view reply);
  void OnTooMany(const Client& client);
  // Without a word, or with an authorization violation.
  void OnSentAway(const Client& client);

  // No shard has anything to do or in flight.
  void OnQuiet();
  // From now on everybody is sent away.
  void OnStop() { stopping_ = true; }
  // Everybody has read everything, and nobody can write any more.
  void CheckEnd();

  // Some reply subject that the broker has made up; empty: there is none yet.
  std::string SomeReplySubject(Random& random) const;
  const Statistics& statistics() const { return statistics_; }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;

  struct Version {
    AccountsModel model;
    uint64_t loaded = 0;
    uint64_t acknowledged = 0;
  };
  // What a reply subject that the broker has made up leads back to.
  struct ReplyRecord {
    std::string subject;
    uint32_t request = 0;
    std::vector<Way> ways;  // of the request, that have led to it
    std::vector<uint32_t> replies;
    std::set<uint32_t> home;  // those that its requestor's account has heard
    bool must_come = true;
  };
  struct Message {
    uint32_t index = 0;
    uint32_t publisher = 0;
    uint32_t seq = 0;  // per publisher, from 1
    std::string subject;
    std::string reply;
    uint32_t body_bytes = 0;
    uint64_t sent = 0;
    uint64_t confirmed = 0;
    uint32_t through = kNone;  // reply record that it was published to
    int no_responders = 0;
    std::map<std::string, uint32_t> groups;  // how often each has got it
    size_t version = 0;                      // kUnsure, or the only one in force from `sent` to `confirmed`
    Ways must;                               // by that one
    struct May {
      std::pair<size_t, size_t> of{1, 0};  // versions
      Ways ways;
    };
    May may;
  };
  static constexpr size_t kUnsure = SIZE_MAX;

  std::string Name(const Message& message) const;
  std::string Name(const Subscription& sub) const;
  // Those that may have been in force on some shard at some time of this interval: first and last.
  std::pair<size_t, size_t> InForce(uint64_t from, uint64_t to) const;
  std::vector<const AccountsModel*> Models(std::pair<size_t, size_t> range) const;
  Ways WaysOf(const Message& message, std::pair<size_t, size_t> range) const;
  const Ways& MayWays(Message& message);
  static bool Hears(const Way& way, const std::string& account, std::string_view subject);
  void OnConfirmed(Message& message);
  // How often it has to come; nullopt: nobody knows.
  std::optional<uint64_t> Due(const Subscription& sub, const Message& message) const;
  bool MayHear(const Subscription& sub, const Message& message, const Ways& ways) const;
  // What is read is what was written, and is called what it may be called.
  std::vector<Way> CheckWays(Client& client, Subscription& sub, Message& message, std::string_view subject,
                             std::string_view reply, std::string_view header);
  // Whether it has its place, whatever shards may have done.
  bool IsIn(const Client& client, const std::string& account) const;
  void CheckOrder(Subscription& sub, const Message& message, std::string_view subject);
  void CheckHome(Client& client, const Message& message, const std::vector<Way>& ways, std::string_view subject);
  void CheckDue(Client& client, uint64_t before);
  void NoteReply(const Message& message, const std::vector<Way>& ways, std::string_view reply);
  void CheckRequest(Message& message);
  void CheckGroups(Message& message);
  void CheckReplies(const ReplyRecord& record);
  const Subscription* InboxOf(const ReplyRecord& record) const;

  SimKernel& kernel_;
  std::vector<std::unique_ptr<Version>> versions_;
  size_t acknowledged_ = 1;  // how many of them
  std::vector<std::unique_ptr<Client>> clients_;
  std::vector<std::unique_ptr<Subscription>> subs_;
  std::vector<std::unique_ptr<Message>> messages_;
  std::vector<uint32_t> confirmed_;  // in that order
  std::vector<ReplyRecord> replies_;
  std::map<std::string, uint32_t, std::less<>> by_reply_;    // in replies_
  std::map<std::string, uint32_t, std::less<>> by_request_;  // requests, by what their publisher calls the reply
  Statistics statistics_;
  bool stopping_ = false;
};

}  // namespace millrace::sim
