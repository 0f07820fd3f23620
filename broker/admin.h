// SPDX-License-Identifier: Apache-2.0
// Admin: the parcels between the control thread and the shards: what is not a message, an interest or a socket.
// Owner:  two shards: a parcel belongs to the sender until it is mailed and to the receiver from then on.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "broker/log/log.h"
#include "broker/mesh/mail.h"
#include "broker/monitor/part_answer.h"
#include "broker/monitor/snapshot.h"
#include "broker/part.h"
#include "broker/service/latency.h"
#include "broker/closed_reason.h"
#include "broker/session/loaded_config.h"
#include "broker/speaker.h"
#include "broker/system/server_events.h"

namespace millrace {

enum class Parcel::Type : uint8_t {
  kLogBatch,   // shard -> control
  kQuestion,   // shard -> control, and back as kFound
  kPostponed,  // shard -> control: its connection's peer sends nothing more
  kWithdrawn,  // shard -> control: its connection is gone
  kFound,
  kConfigChange,   // control -> shard, and back as kConfigApplied
  kConfigApplied,
  kPartMail,      // control -> part of a shard
  kAskedClient,   // shard -> shard, and back as kToldClient
  kToldClient,
  kSystemRequest,  // shard 0 -> control
  kQuery,          // control -> shard, and back as kAnswer
  kAnswer,
  kAccountChanges,  // shard -> control
  kBusy,           // shard -> control
  kReady,          // shard 0 -> control: it serves what it has found on disk
  kListen,         // control -> shard 0
  kStopAccepting,  // control -> shard 0, and back when all listeners are closed
  kCloseSome,      // control -> shard: lame duck mode, or a reload that lowered max_connections
  kStopParts,      // control -> shard: lame duck mode; and back when nothing is left of its parts
  kStop,           // control -> shard 0 -> the others; each -> control when all that was its own has ended
  kExit,           // control -> shard, when all shards have said so
  kStopReport,     // control -> shard, and back with what its stop waits for
};

struct LogBatch final : Parcel {
  explicit LogBatch(std::vector<LogLine>&& batch) : Parcel(Type::kLogBatch), lines(std::move(batch)) {}
  std::vector<LogLine> lines;
};

// What a speaker asks; see question.h.
struct AskedQuestion final : Parcel {
  AskedQuestion(ConnectionId who, Question what) : Parcel(Type::kQuestion), id(who), question(std::move(what)) {}
  const ConnectionId id;
  Question question;
};

struct Postponed final : Parcel {
  explicit Postponed(ConnectionId who) : Parcel(Type::kPostponed), id(who) {}
  const ConnectionId id;
};

struct Withdrawn final : Parcel {
  explicit Withdrawn(ConnectionId who) : Parcel(Type::kWithdrawn), id(who) {}
  const ConnectionId id;
};

struct Found final : Parcel {
  Found(ConnectionId who, Finding what) : Parcel(Type::kFound), id(who), finding(what) {}
  const ConnectionId id;
  const Finding finding;
};

struct ConfigChange final : Parcel {
  ConfigChange(const LoadedConfig* next, bool recheck, bool info)
      : Parcel(Type::kConfigChange), config(next), recheck_users(recheck), announce_info(info) {}
  const LoadedConfig* const config;
  const bool recheck_users;  // authorization changed
  const bool announce_info;  // clients that understand it get INFO again
};

// The shard looks at no earlier config any more.
struct ConfigApplied final : Parcel {
  explicit ConfigApplied(const LoadedConfig* applied) : Parcel(Type::kConfigApplied), config(applied) {}
  const LoadedConfig* const config;
};

// For a part that the shard does not have (any more) it is for nobody.
struct PartParcel final : Parcel {
  PartParcel(PartId part, std::unique_ptr<PartMail> content)
      : Parcel(Type::kPartMail), to(part), mail(std::move(content)) {}
  const PartId to;
  std::unique_ptr<PartMail> mail;
};

// A shard measures a request that a connection of another one has answered, and asks who that is.
struct AskedClient final : Parcel {
  AskedClient(ConnectionId about, uint32_t shard, uint64_t asked)
      : Parcel(Type::kAskedClient), id(about), from(shard), question(asked) {}
  const ConnectionId id;
  const uint32_t from;
  const uint64_t question;
};

struct ToldClient final : Parcel {
  ToldClient(uint64_t asked, LatencyClient who)
      : Parcel(Type::kToldClient), question(asked), client(std::move(who)) {}
  const uint64_t question;
  LatencyClient client;
};

// A request to a service of the system account, as it has come.
struct SystemRequest final : Parcel {
  SystemRequest() : Parcel(Type::kSystemRequest) {}
  std::string subject;
  std::string reply;
  std::string header;  // block
  std::string payload;
  uint64_t cid = 0;    // the requestor's, where a client is that
};

// What one connection, of whatever shard, is to say or to do.
struct ConnectionOrder {
  enum class Kind : uint8_t { kNone, kUserInfo, kKick, kLameDuck };
  Kind kind = Kind::kNone;
  uint64_t cid = 0;
};
struct ConnectionReply {
  bool found = false;
  bool did = false;      // kLameDuck: it was told
  std::string said = {};  // kUserInfo: JSON
};

// What monitoring asks of a shard.
struct Query final : Parcel {
  Query(uint64_t request_id, PartQuestion asked, ConnectionOrder to = {})
      : Parcel(Type::kQuery), request(request_id), question(asked), order(to) {}
  const uint64_t request;
  const PartQuestion question;  // `needs`: those that a shard or its parts can answer
  const ConnectionOrder order;
};

struct Answer final : Parcel {
  explicit Answer(uint64_t request_id) : Parcel(Type::kAnswer), request(request_id) {}
  const uint64_t request;
  std::vector<ConnInfo> open;
  std::vector<ConnInfo> closed;
  std::vector<SubInfo> subs;
  SublistStats sublist;
  AccountTally accounts;
  PartAnswer parts;
  ConnectionReply connection;
};

// More or fewer connections of accounts, of which the system account is to be told.
struct AccountChanges final : Parcel {
  explicit AccountChanges(std::vector<AccountConnections> noted)
      : Parcel(Type::kAccountChanges), changes(std::move(noted)) {}
  const std::vector<AccountConnections> changes;
};

// How many more shards have much to do: 1 when this one begins to, -1 when it is quiet again, 0 when its start is over.
struct Busy final : Parcel {
  explicit Busy(int shards) : Parcel(Type::kBusy), more(shards) {}
  const int more;
};

struct Ready final : Parcel {
  Ready() : Parcel(Type::kReady) {}
};

// The shard closes the socket when it accepts no more.
struct ListenOn final : Parcel {
  ListenOn(SpeakerKind speakers, int listener) : Parcel(Type::kListen), kind(speakers), fd(listener) {}
  const SpeakerKind kind;
  const int fd;
};

struct StopAccepting final : Parcel {
  StopAccepting() : Parcel(Type::kStopAccepting) {}
};

struct CloseSome final : Parcel {
  CloseSome(uint64_t n, ClosedReason why) : Parcel(Type::kCloseSome), count(n), reason(why) {}
  const uint64_t count;
  const ClosedReason reason;  // kServerShutdown or kMaxConnectionsExceeded
};

struct StopParts final : Parcel {
  StopParts() : Parcel(Type::kStopParts) {}
};

struct Stop final : Parcel {
  Stop() : Parcel(Type::kStop) {}
};

struct Exit final : Parcel {
  Exit() : Parcel(Type::kExit) {}
};

struct StopReport final : Parcel {
  explicit StopReport(std::string what = {}) : Parcel(Type::kStopReport), waits_for(std::move(what)) {}
  const std::string waits_for;
};

}  // namespace millrace
