// SPDX-License-Identifier: Apache-2.0
#include "broker/net/connection.h"

#include <algorithm>
#include <cerrno>
#include <utility>


namespace millrace {
namespace {

constexpr Nanos kFirstPingDelay = std::chrono::seconds(2);
constexpr uint32_t kSendParts = 32;
constexpr size_t kPausedBytesMax = 1 << 20;
constexpr size_t kAskingBytesMax = 4096;
// A connection that fills so many small buffers in a row reads into large ones from then on.
constexpr uint8_t kFullBuffersToGrow = 2;

// Up to a fifth more, so that the keep-alives of a crowd do not fall together.
Nanos Jittered(Nanos delay, uint64_t random) {
  const auto fifth = static_cast<uint64_t>(delay.count() / 5);
  return delay + Nanos{fifth == 0 ? 0 : static_cast<int64_t>(random % fifth)};
}

}  // namespace

Connection::Connection(ConnectionShared& shared, ConnectionHost& host, int fd, ConnectionId id)
    : shared_(shared),
      host_(host),
      fd_(fd),
      receiver_(shared.chunks),
      start_wall_ns_(shared.wall_ns) {
  receiver_.id = id;
  MR_CHECK(fd >= 0 && id.cid != 0);
  recv_.Bind<&Connection::OnRecv>(this);
  send_.Bind<&Connection::OnSent>(this);
  timer_.Bind<&Connection::OnTimer>(this);
}

Connection::~Connection() {
  MR_CHECK(state_ == State::kEnded && !recv_.busy() && !send_.busy());
  shared_.timers.Cancel(&timer_);
}

void Connection::Start(std::unique_ptr<Speaker> speaker, bool refused, std::unique_ptr<ByteLayers> layers) {
  MR_CHECK(speaker_ == nullptr);
  speaker_ = std::move(speaker);
  layers_ = std::move(layers);
  refused_ = refused;
  CheckEntry();
  TuneSocket(fd_);
  if (layers_ != nullptr) layers_->Start();
  if (layers_ == nullptr || layers_->ready()) {
    Begin();
    if (state_ != State::kOpen) return;
  } else {
    auth_at_ = After(shared_.now, layers_->open_timeout());
    shared_.outlet.Touch(&receiver_);
  }
  Schedule();
  Arm();
}

void Connection::Begin() {
  MR_CHECK(!begun_);
  begun_ = true;
  auth_at_ = Nanos::max();
  speaker_->Start();
  if (refused_) return speaker_->Refuse();
  ping_at_ = After(shared_.now, shared_.limits.ping_interval);
  if (speaker_->expects_connect()) auth_at_ = After(shared_.now, shared_.limits.auth_timeout);
}

// ---- reading -------------------------------------------------------------------------------------------------------

void Connection::Arm() {
  if (state_ == State::kOpen && paused_ == 0 && !recv_.busy() && !peer_ended_) shared_.io.Recv(fd_, recv_size_, &recv_);
}

void Connection::Rearm() {
  CheckEntry();
  if (paused_for(PauseReason::kTurn)) return Resume(PauseReason::kTurn);
  Arm();
}

// The turn has delivered enough. Receiving goes on, into carry_, up to a bound.
void Connection::Yield() {
  MR_DCHECK(!paused_for(PauseReason::kTurn));  // it would be listed twice
  paused_ = static_cast<uint8_t>(paused_ | static_cast<uint8_t>(PauseReason::kTurn));
  host_.OnRearm(this);
}

void Connection::OnRecv(const IoResult& result) {
  MR_DCHECK(shard_checker_.Here() && !peer_ended_);
  MR_DCHECK(result.value <= 0 || result.bytes.size() == static_cast<size_t>(result.value));
  if (state_ != State::kOpen) return EndIfIdle();
  CheckEntry();
  if (result.value > 0) {
    if (layers_ == nullptr) [[likely]] {
      Take(result.bytes);
    } else {
      TakeRaw(result.bytes);
    }
    if (state_ != State::kOpen) return EndIfIdle();
    if (recv_size_ == RecvSize::kSmall) {
      shared_.quiet_heard_at = shared_.now;
      full_buffers_ =
          result.bytes.size() >= shared_.small_buffer_bytes ? static_cast<uint8_t>(full_buffers_ + 1) : uint8_t{0};
      if (full_buffers_ >= kFullBuffersToGrow) {
        recv_size_ = RecvSize::kLarge;
        if (result.more) shared_.io.Cancel(&recv_);
      }
    }
    if (!result.more) host_.OnRearm(this);
    return;
  }
  if (result.more) return;
  if (result.error() == ENOBUFS || result.error() == ECANCELED || result.error() == EINTR) return host_.OnRearm(this);
  if (result.ok()) return OnPeerEnd();
  End(ClosedReason::kReadError);  // also one that was reset, as at the peer
}

// The peer has sent its last byte. What it sent before still counts, also what waits in carry_; and it may still read.
void Connection::OnPeerEnd() {
  MR_DCHECK(!recv_.busy());
  peer_ended_ = true;
  if (paused_ == 0) return Close(ClosedReason::kClientClosed);
  if (asking_) host_.OnPostponed(this);
}

// The beginning of a command is in carry_: completes it from *bytes. False when input or session has ended.
bool Connection::TakeCarried(std::string_view* bytes) {
  while (!carry_.empty()) {
    const size_t needed = speaker_->bytes_needed();
    size_t take = bytes->size();
    if (needed > carry_.size()) {
      take = std::min(take, needed - carry_.size());
    } else if (const size_t end = bytes->find('\n'); end != std::string_view::npos) {
      take = end + 1;
    }
    carry_.append(*bytes, 0, take);
    bytes->remove_prefix(take);
    if (carry_.size() < needed) return false;
    std::string_view input = carry_;
    const Speaker::Progress progress = speaker_->Consume(&input);
    if (progress == Speaker::Progress::kClosed) return false;
    MR_DCHECK(input.size() <= carry_.size());
    carry_.erase(0, carry_.size() - input.size());
    if (progress == Speaker::Progress::kPaused) return false;
    if (progress == Speaker::Progress::kYield) {
      Yield();
      return false;
    }
    if (!carry_.empty() && bytes->empty()) return false;
  }
  // One large message should not leave its block behind.
  if (carry_.capacity() > 65536) carry_ = std::string();
  return true;
}

void Connection::TakeRaw(std::string_view bytes) {
  shared_.opened.clear();
  const std::optional<ClosedReason> over = layers_->Open(bytes, &shared_.opened);
  shared_.outlet.Touch(&receiver_);
  if (!begun_ && !over && layers_->ready()) {
    Begin();
    if (state_ == State::kOpen) Schedule();
  }
  if (!shared_.opened.empty() && state_ == State::kOpen) {
    MR_CHECK(begun_);  // a layer opens nothing before it is ready
    Take(shared_.opened);
  }
  if (shared_.opened.capacity() > kPausedBytesMax) shared_.opened = std::string();
  if (over) Close(*over);
}

void Connection::Take(std::string_view bytes) {
  MR_DCHECK(state_ == State::kOpen);
  const uint64_t overflowed = shared_.mesh.overflowed();
  if (paused_ == 0 && TakeCarried(&bytes)) {
    const Speaker::Progress progress = speaker_->Consume(&bytes);
    if (progress == Speaker::Progress::kClosed) return;
    if (!bytes.empty() && progress == Speaker::Progress::kNeedMore) carry_.reserve(speaker_->bytes_needed());
    if (progress == Speaker::Progress::kYield && !bytes.empty()) Yield();
  }
  if (state_ != State::kOpen) return;
  carry_.append(bytes);
  const size_t carry_max = paused_for(PauseReason::kAnswer) ? kAskingBytesMax : kPausedBytesMax;
  if (paused_ != 0 && carry_.size() > carry_max) shared_.io.Cancel(&recv_);
  if (receiver_.stall_requested) {
    receiver_.stall_requested = false;
    host_.OnStalled(this);
  }
  if (shared_.mesh.overflowed() != overflowed && shared_.mesh.AnyOverflowAbove(kOverflowPauseBytes)) [[unlikely]]
    host_.OnCongested(this);
}

void Connection::Pause(PauseReason reason) {
  MR_DCHECK(!paused_for(reason));  // whoever pauses it resumes it, once
  paused_ = static_cast<uint8_t>(paused_ | static_cast<uint8_t>(reason));
  shared_.io.Cancel(&recv_);
}

void Connection::Resume(PauseReason reason) {
  CheckEntry();
  const bool was_paused = paused_ != 0;
  paused_ = static_cast<uint8_t>(paused_ & ~static_cast<uint8_t>(reason));
  if (!was_paused || paused_ != 0 || state_ != State::kOpen) return;
  if (!carry_.empty()) {
    const std::string waiting = std::exchange(carry_, {});
    Take(waiting);
  }
  if (peer_ended_ && paused_ == 0) return Close(ClosedReason::kClientClosed);
  Arm();
}

void Connection::Ask(Question question) {
  MR_CHECK(!std::exchange(asking_, true));
  host_.OnQuestion(this, std::move(question));
}

// A barrier is short and input rarely follows a PING: receiving goes on, into carry_, up to a bound.
void Connection::AwaitBarrier() {
  MR_DCHECK(!paused_for(PauseReason::kBarrier));
  paused_ = static_cast<uint8_t>(paused_ | static_cast<uint8_t>(PauseReason::kBarrier));
  host_.OnBarrier(this);
}

// Receiving goes on, so that the peer's end is heard of; a little only, from one who may have no right to be here.
void Connection::AwaitAnswer() {
  MR_DCHECK(!paused_for(PauseReason::kAnswer));
  paused_ = static_cast<uint8_t>(paused_ | static_cast<uint8_t>(PauseReason::kAnswer));
}

void Connection::OnAnswer(Finding finding) {
  CheckEntry();
  if (state_ != State::kOpen) return;
  MR_CHECK(std::exchange(asking_, false));
  speaker_->OnAnswer(finding);
  if (!asking_ && paused_for(PauseReason::kAnswer)) Resume(PauseReason::kAnswer);
}

// ---- writing -------------------------------------------------------------------------------------------------------

void Connection::Flush() {
  MR_DCHECK(shard_checker_.Here());
  if (send_.busy() || state_ >= State::kEnding) return;
  if (layers_ != nullptr) [[unlikely]]
    Seal();
  iovec parts[kSendParts];
  const uint32_t count = wire().Gather(parts, kSendParts, shared_.send_bytes_max);
  if (count == 0) {
    if (state_ == State::kFlushing) End(reason_);
    return;
  }
  // One small part that is all there is: nothing waits for its result, which may come with the next wake-up. It cannot
  // block, so it has no deadline.
  const uint64_t pending = wire().pending_bytes();
  if (count == 1 && parts[0].iov_len == pending && pending <= shared_.quiet_bytes_max && !socket_full_ &&
      state_ == State::kOpen) {
    return shared_.io.SendQuietly(fd_, parts, count, &send_);
  }
  shared_.io.Send(fd_, parts, count, &send_);
  write_at_ = After(shared_.now, shared_.limits.write_deadline);
  if (!timer_.armed() || write_at_ < timer_.due()) Schedule();
  CheckEntry();
}

void Connection::Seal() {
  layers_->Seal(&receiver_.outbox, shared_.send_bytes_max);
  if (state_ == State::kFlushing && receiver_.outbox.empty()) layers_->End(reason_);
}

void Connection::OnSent(const IoResult& result) {
  MR_DCHECK(shard_checker_.Here());
  write_at_ = Nanos::max();
  if (state_ >= State::kEnding) return EndIfIdle();
  const bool full = result.error() == EAGAIN || result.error() == EINTR;
  if (!result.ok() && !full) return End(ClosedReason::kWriteError);
  Outbox& out = wire();
  if (!full) out.Sent(static_cast<uint64_t>(result.value));
  const uint64_t caught_up_bytes = shared_.outlet.limits().high_water_bytes / 2;
  if (receiver_.outbox.pending_bytes() < caught_up_bytes) receiver_.hopeless = 0;
  socket_full_ = !out.empty();
  const bool more = socket_full_ || (layers_ != nullptr && !receiver_.outbox.empty());
  if (more || state_ == State::kFlushing) shared_.outlet.Touch(&receiver_);
  CheckEntry();
}

// ---- timers --------------------------------------------------------------------------------------------------------

void Connection::OnConnected() {
  auth_at_ = Nanos::max();
  const Nanos delay = std::min(kFirstPingDelay, shared_.limits.ping_interval);
  ping_at_ = shared_.now + Jittered(delay, host_.Random());
  Schedule();
}

void Connection::Schedule() {
  const Nanos next = std::min({ping_at_, auth_at_, write_at_});
  if (next == Nanos::max()) return shared_.timers.Cancel(&timer_);
  shared_.timers.Arm(&timer_, next);
}

// With write_timeout: retry a slow consumer stays as long as it takes something until each deadline.
bool Connection::MayTakeLonger() {
  if (state_ != State::kOpen || speaker_->expects_connect()) return false;
  if (!shared_.limits.slow_may_stay) return false;
  const uint64_t before = std::exchange(confirmed_bytes_, ConfirmedBytes(fd_));
  return confirmed_bytes_ > before;
}

void Connection::OnTimer() {
  MR_DCHECK(shard_checker_.Here() && state_ < State::kEnding);
  const Nanos now = shared_.now;
  if (write_at_ <= now) {
    if (state_ == State::kOpen) host_.OnSlow(this);
    if (MayTakeLonger()) {
      write_at_ = After(now, shared_.limits.write_deadline);
      return Schedule();
    }
    return End(state_ == State::kFlushing ? reason_ : ClosedReason::kSlowConsumerWriteDeadline);
  }
  if (state_ == State::kOpen && auth_at_ <= now) {
    auth_at_ = Nanos::max();
    if (!begun_) return End(layers_->late_reason());
    speaker_->OnAuthTimeout();
  }
  if (state_ == State::kOpen && ping_at_ <= now) {
    ping_at_ = After(now, shared_.limits.ping_interval);
    speaker_->OnKeepAliveTimer();
  }
  if (state_ < State::kEnding) Schedule();
  CheckEntry();
}

// ---- ending --------------------------------------------------------------------------------------------------------

void Connection::CheckEntry() const {
  MR_DCHECK(shard_checker_.Here());
  if constexpr (kDebugChecks) Invariant();
}

void Connection::Invariant() const {
  const Outbox& outbox = layers_ == nullptr ? receiver_.outbox : layers_->wire();
  constexpr auto kReasons = static_cast<uint8_t>(PauseReason::kTurn) * 2 - 1;
  MR_CHECK((paused_ & ~kReasons) == 0);
  MR_CHECK(receiver_.closed == (state_ != State::kOpen));  // the router delivers to open ones only
  MR_CHECK(begun_ || carry_.empty());
  MR_CHECK(!peer_ended_ || !recv_.busy());
  MR_CHECK(recv_size_ == RecvSize::kLarge || full_buffers_ < kFullBuffersToGrow);
  // What is being sent stays in the outbox until it has left.
  MR_CHECK(!send_.busy() || !outbox.empty());
  MR_CHECK(!socket_full_ || !outbox.empty());
  MR_CHECK(write_at_ == Nanos::max() || send_.busy());
  switch (state_) {
    case State::kFlushing:
      MR_CHECK(ping_at_ == Nanos::max() && auth_at_ == Nanos::max());
      MR_CHECK(send_.busy() || receiver_.dirty);  // or nothing would end it
      [[fallthrough]];
    case State::kOpen: {
      const Nanos due = std::min({ping_at_, auth_at_, write_at_});
      MR_CHECK(due == Nanos::max() || timer_.armed());
      if (due != Nanos::max()) MR_CHECK(timer_.due() <= std::max(due, shared_.now) + std::chrono::milliseconds(1));
      return;
    }
    case State::kEnding:
      MR_CHECK(!timer_.armed());
      MR_CHECK(recv_.busy() || send_.busy());  // or it would stay for ever
      return;
    case State::kEnded:
      MR_CHECK(!timer_.armed() && !recv_.busy() && !send_.busy());
      return;
  }
}

void Connection::SetState(State state) {
  MR_CHECK(static_cast<uint8_t>(state) > static_cast<uint8_t>(state_));
  state_ = state;
}

void Connection::Close(ClosedReason reason) {
  if (state_ != State::kOpen) return;
  reason_ = reason;
  SetState(State::kFlushing);
  CloseSpeaker();
  ping_at_ = auth_at_ = Nanos::max();
  shared_.io.Cancel(&recv_);
  shared_.outlet.Touch(&receiver_);  // Flush ends the connection when nothing is left to send
}

void Connection::CloseSpeaker() {
  host_.OnClosing(this);
  speaker_->Close(reason_);
  if (std::exchange(asking_, false)) host_.OnWithdrawn(this);
}

void Connection::End(ClosedReason reason) {
  MR_DCHECK(shard_checker_.Here());
  if (state_ >= State::kEnding) return;
  if (state_ == State::kOpen) {
    reason_ = reason;
    CloseSpeaker();
  }
  SetState(State::kEnding);
  shared_.timers.Cancel(&timer_);
  shared_.io.Shutdown(fd_);
  EndIfIdle();
}

void Connection::EndIfIdle() {
  if (state_ != State::kEnding || recv_.busy() || send_.busy()) return;
  SetState(State::kEnded);
  shared_.io.Close(fd_);
  host_.OnEnded(this);
}

}  // namespace millrace
