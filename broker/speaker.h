// SPDX-License-Identifier: Apache-2.0
// Speaker: what a connection carries: one end of a protocol, as session/ is that of NATS clients. Bytes in, effects on
//          router and outbox out; it knows no socket. A kind of peer is a speaker of its own; the shard makes it, and
//          shard and connection know no more of it than this.
// Owner:  shard; a connection owns it, and calls nothing of it after Close but its destructor and what is const.
// Rights: of its host it calls Close, Ask, AwaitAnswer, OnConnected and AwaitBarrier from inside of any call here but
//         the constructor. Whoever calls looks whether the connection is still open afterwards.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "broker/account/account_totals.h"
#include "broker/closed_reason.h"
#include "broker/monitor/snapshot.h"
#include "broker/question.h"
#include "broker/route/trace.h"

namespace millrace {

// Which speaker a connection gets: each listening socket has its kind.
enum class SpeakerKind : uint32_t { kClient, kMonitor };

// What a speaker asks of the connection that carries it.
class SpeakerHost {
 public:
  virtual ~SpeakerHost() = default;
  // Sends what the outbox holds, then closes. The speaker takes no more input.
  virtual void Close(ClosedReason reason) = 0;
  // Input waits until the question that is being answered has been, and no other asked by then; or, without one, until
  // OnAnswered, which is called from outside of any call into the speaker.
  virtual void AwaitAnswer() = 0;
  virtual void OnAnswered() = 0;
  // Has this found out elsewhere; Speaker::OnAnswer brings what was found. One at a time.
  virtual void Ask(Question question) = 0;
  // The peer has said who it is: no authentication timeout any more; the first keep-alive is due soon.
  virtual void OnConnected() = 0;
  // What is to be sent next waits for other shards: call CheckBarrier each turn until it returns true, then go on with
  // the input.
  virtual void AwaitBarrier() = 0;
};

class Speaker {
 public:
  enum class Progress : uint8_t { kNeedMore, kPaused, kClosed, kYield };

  virtual ~Speaker() = default;

  // Greets.
  virtual void Start() = 0;
  // In place of all else after Start: says that there are too many connections, and closes.
  virtual void Refuse() = 0;
  // Runs what is complete at the front of *input and takes it off. On kNeedMore what is left is the beginning of
  // something, and bytes_needed() tells its length where known.
  virtual Progress Consume(std::string_view* input) = 0;
  virtual size_t bytes_needed() const = 0;
  // The authentication timeout runs.
  virtual bool expects_connect() const = 0;

  // Answers to what it has asked for, of its host or by a message of its own.
  virtual void OnAnswer(Finding finding) = 0;
  virtual void OnTraceReport(TraceReport&& report) = 0;
  virtual void OnUndelivered(std::string_view subject, std::string_view reply) = 0;

  virtual void OnKeepAliveTimer() = 0;
  virtual void OnAuthTimeout() = 0;

  // After AwaitBarrier. True: what waited has been sent, and input may go on.
  virtual bool CheckBarrier() = 0;
  // Before the shard sleeps: wakes it when what is waited for has been consumed.
  virtual void RequestBarrierWake() = 0;

  // A reload, or lame duck mode: the configuration is another. `recheck_user`: its users, too (G-62). `announce`: peers
  // that understand it are told what the server says of itself now.
  virtual void OnConfigChanged(bool recheck_user, bool announce) = 0;

  // For the system account: who its client is and what it may, in JSON (E-11); empty: nobody in particular.
  virtual std::string UserInfoJson() const { return {}; }
  // Tells its client to go elsewhere, as in lame duck mode. False: that one would not understand, or is not there yet.
  virtual bool AnnounceLameDuck() { return false; }
  // For monitoring: all but what the connection itself knows.
  virtual void Describe(ConnInfo* info, bool with_subs) const = 0;
  virtual AccountId account() const = 0;
  // Adds what it has counted to its account's; connections and subscriptions only of one that is `open`.
  virtual void AddTotals(AccountTally* tally, bool open) const = 0;
  // As lines in the log begin: "127.0.0.1:4222 - cid:5".
  virtual const std::string& label() const = 0;

  // Aborts unless what it holds fits its state; between two calls. May read all of it: for tests and the simulation.
  virtual void Invariant() const = 0;

  // Takes back all that it has elsewhere. Called once, when the connection closes.
  virtual void Close(ClosedReason reason) = 0;
};

}  // namespace millrace
