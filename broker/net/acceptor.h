// SPDX-License-Identifier: Apache-2.0
// Acceptor: takes the connections of one listening socket, whose kind says what will speak on them.
// Owner:  shard.  Closes the socket when it has stopped.
// States: accepting -> (failed: a pause of kAcceptRetryDelay) -> accepting; Stop -> OnAcceptorEnded, at once or
//         with the last completion. The host may destroy it then, but not from inside of that call.
#pragma once

#include "broker/io/io.h"
#include "broker/io/timer_wheel.h"
#include "broker/log/log.h"
#include "broker/speaker.h"

namespace millrace {

class Acceptor;

class AcceptorHost {
 public:
  virtual ~AcceptorHost() = default;
  // The host closes `fd`. Not called after Acceptor::Stop.
  virtual void OnAccepted(SpeakerKind kind, int fd) = 0;
  virtual void OnAcceptorEnded(Acceptor* acceptor) = 0;
};

class Acceptor {
 public:
  // `now`: of the turn.
  Acceptor(Io& io, TimerWheel& timers, LogPort& log, const Nanos& now, AcceptorHost& host, SpeakerKind kind, int fd);
  ~Acceptor();
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;

  void Start() { Rearm(); }
  void Stop();
  bool ended() const { return fd_ < 0; }

 private:
  void Rearm();
  void OnAccept(const IoResult& result);
  void End();

  Io& io_;
  TimerWheel& timers_;
  LogPort& log_;
  const Nanos& now_;
  AcceptorHost& host_;
  const SpeakerKind kind_;
  int fd_;
  bool stopping_ = false;
  Completion accept_;
  TimerNode retry_;
};

}  // namespace millrace
