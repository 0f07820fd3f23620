// SPDX-License-Identifier: Apache-2.0
#include "broker/net/acceptor.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_format.h"

namespace millrace {
namespace {

constexpr Nanos kAcceptRetryDelay = std::chrono::milliseconds(100);

}  // namespace

Acceptor::Acceptor(Io& io, TimerWheel& timers, LogPort& log, const Nanos& now, AcceptorHost& host, SpeakerKind kind,
                   int fd)
    : io_(io), timers_(timers), log_(log), now_(now), host_(host), kind_(kind), fd_(fd) {
  MR_CHECK(fd >= 0);
  accept_.Bind<&Acceptor::OnAccept>(this);
  retry_.Bind<&Acceptor::Rearm>(this);
}

Acceptor::~Acceptor() {
  MR_CHECK(!accept_.busy());
  timers_.Cancel(&retry_);
}

void Acceptor::Rearm() {
  MR_DCHECK(!stopping_ && !accept_.busy());
  io_.Accept(fd_, &accept_);
}

void Acceptor::OnAccept(const IoResult& result) {
  if (result.ok()) {
    if (stopping_) {
      io_.Close(result.value);
    } else {
      host_.OnAccepted(kind_, result.value);
    }
  }
  if (result.more) return;
  if (stopping_) return End();
  if (!result.ok()) {
    log_.ErrorLimited(
        absl::StrFormat("Temporary Client Accept Error (%s), sleeping 100ms", std::strerror(result.error())));
  }
  timers_.Arm(&retry_, now_ + (result.ok() ? Nanos{0} : kAcceptRetryDelay));
}

void Acceptor::Stop() {
  if (std::exchange(stopping_, true)) return;
  if (accept_.busy()) return io_.Cancel(&accept_);
  End();
}

void Acceptor::End() {
  timers_.Cancel(&retry_);
  io_.Close(std::exchange(fd_, -1));
  host_.OnAcceptorEnded(this);
}

}  // namespace millrace
