// SPDX-License-Identifier: Apache-2.0
// Connection: one socket and the speaker that speaks through it.
// Owner:  shard.
// States  (event -> next):
//   kOpen      speaker closes, peer has sent its last byte -> kFlushing; reset, write error, slow consumer -> kEnding
//   kFlushing  outbox empty, or the flush deadline -> kEnding
//   kEnding    last completion of recv and send -> kEnded (the shard frees it at the end of the turn)
// Layers  (byte_layer.h) may lie between socket and speaker: then the speaker begins when they are ready, takes what
//         they have opened, and what it says is sealed by them at the flush.
// Reading pauses for several reasons (PauseReason); input that had already arrived waits in carry_.
// Bounds: carry_ holds one command's beginning, what one turn had received before a pause took effect, or, while a
//         barrier or the end of a turn holds input back, a buffer more than kPausedBytesMax.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "broker/io/io.h"
#include "broker/io/timer_wheel.h"
#include "broker/mesh/mesh.h"
#include "broker/net/byte_layer.h"
#include "broker/net/listener.h"
#include "broker/route/outlet.h"
#include "broker/speaker.h"
#include "proto/base/shard_checker.h"

namespace millrace {

class Connection;

// What a connection asks of its shard.
class ConnectionHost {
 public:
  virtual ~ConnectionHost() = default;
  // The speaker is about to close: what monitoring shows of a closed connection is taken now.
  virtual void OnClosing(Connection* connection) = 0;
  virtual void OnEnded(Connection* connection) = 0;
  // What it is sent piles up: it did not take it in time.
  virtual void OnSlow(Connection* connection) = 0;
  virtual void OnBarrier(Connection* connection) = 0;
  virtual void OnStalled(Connection* connection) = 0;
  // Its input made mail for other shards pile up above the bound.
  virtual void OnCongested(Connection* connection) = 0;
  // Later, in the next turn at the earliest: go on with what it has, or receive again once buffers are back.
  virtual void OnRearm(Connection* connection) = 0;
  // Has a question of its speaker answered (OnAnswer); after those of others of its source, because its peer sends
  // nothing more and has probably gone; or not any more: it is closing.
  virtual void OnQuestion(Connection* connection, Question question) = 0;
  virtual void OnPostponed(Connection* connection) = 0;
  virtual void OnWithdrawn(Connection* connection) = 0;
  virtual uint64_t Random() = 0;
};

struct ConnectionLimits {
  Nanos ping_interval{0};
  Nanos auth_timeout{0};
  Nanos write_deadline{0};
  bool slow_may_stay = false;  // past a write deadline, as long as something leaves (write_timeout: retry)
};

struct ConnectionShared {
  Io& io;
  TimerWheel& timers;
  ChunkPool& chunks;
  Outlet& outlet;
  const MeshPort& mesh;  // where what input causes may pile up
  const Nanos& now;         // of this turn
  const int64_t& wall_ns;   // of this turn
  ConnectionLimits limits;  // replaced by a reload
  uint64_t send_bytes_max = 1 << 20;  // in this turn
  uint32_t small_buffer_bytes = 4096;
  uint64_t quiet_bytes_max = 0;  // a send up to this size may be reported with the next wake-up only
  Nanos quiet_heard_at = Nanos::min() / 2;  // the turn in which one that has never filled its buffers said something
  std::string opened = {};  // what layers made of the bytes that are being taken
};

class Connection final : public SpeakerHost {
 public:
  enum class PauseReason : uint8_t { kAnswer = 1, kStall = 2, kCongestion = 4, kBarrier = 8, kTurn = 16 };

  Connection(ConnectionShared& shared, ConnectionHost& host, int fd, ConnectionId id);
  ~Connection() override;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Before anything else. The speaker, which is made for this connection as its host and for receiver(), greets; then
  // reading starts. `refused`: it says that there are too many connections, and closes. `layers`: nullptr when bytes
  // are what they are.
  void Start(std::unique_ptr<Speaker> speaker, bool refused, std::unique_ptr<ByteLayers> layers = nullptr);
  // Ends it because there are too many connections, and says so.
  void Refuse() { speaker_->Refuse(); }
  // End of the turn: one send if there is something to send and none is in flight.
  void Flush();
  // Without another word (slow consumer, shutdown).
  void End(ClosedReason reason);
  // What is in the outbox still leaves.
  void EndAfterFlush(ClosedReason reason) { Close(reason); }

  void Pause(PauseReason reason);
  void Resume(PauseReason reason);
  bool paused_for(PauseReason reason) const { return (paused_ & static_cast<uint8_t>(reason)) != 0; }
  void Rearm();
  void OnAnswer(Finding finding);

  Speaker& speaker() { return *speaker_; }
  const Speaker& speaker() const { return *speaker_; }
  Receiver& receiver() { return receiver_; }
  const Receiver& receiver() const { return receiver_; }
  ConnectionId id() const { return receiver_.id; }
  bool open() const { return state_ == State::kOpen; }
  ClosedReason closed_reason() const { return reason_; }
  int64_t start_wall_ns() const { return start_wall_ns_; }
  PeerName peer() const { return PeerOf(fd_); }

  // Aborts unless what is armed, counted and pending fits the state; between two events. Takes no longer with more of
  // anything.
  void Invariant() const;

  Nanos stalled_until{0};  // of PauseReason::kStall

 private:
  enum class State : uint8_t { kOpen, kFlushing, kEnding, kEnded };

  // SpeakerHost.
  void Close(ClosedReason reason) override;
  void Ask(Question question) override;
  void OnConnected() override;
  void AwaitBarrier() override;
  void AwaitAnswer() override;
  void OnAnswered() override { Resume(PauseReason::kAnswer); }

  // The speaker begins, and ends.
  void Begin();
  void CloseSpeaker();
  // Bytes of the socket.
  void TakeRaw(std::string_view bytes);
  // What goes to the socket.
  Outbox& wire() { return layers_ == nullptr ? receiver_.outbox : layers_->wire(); }
  void Seal();

  void OnRecv(const IoResult& result);
  void OnPeerEnd();
  void OnSent(const IoResult& result);
  void OnTimer();
  bool MayTakeLonger();
  void Arm();
  void Take(std::string_view bytes);
  bool TakeCarried(std::string_view* bytes);
  void Yield();
  void SetState(State state);
  void EndIfIdle();
  void Schedule();

  // Invariant, on the right thread, where an event finds us or leaves us; nothing with NDEBUG.
  void CheckEntry() const;

  [[no_unique_address]] ShardChecker shard_checker_;
  ConnectionShared& shared_;
  ConnectionHost& host_;
  const int fd_;
  State state_ = State::kOpen;
  ClosedReason reason_ = ClosedReason::kClientClosed;
  uint8_t paused_ = 0;
  bool peer_ended_ = false;  // nothing more will come
  bool begun_ = false;       // the speaker has greeted
  bool refused_ = false;
  bool asking_ = false;      // the speaker's question is being answered
  RecvSize recv_size_ = RecvSize::kSmall;
  uint8_t full_buffers_ = 0;
  bool socket_full_ = false;  // a quiet send did not fit: the next one waits for room
  Completion recv_;
  Completion send_;
  Receiver receiver_;
  std::string carry_;

  TimerNode timer_;
  Nanos ping_at_ = Nanos::max();   // Nanos::max(): none, as the next two
  Nanos auth_at_ = Nanos::max();   // or when layers are late
  Nanos write_at_ = Nanos::max();  // deadline of the send in flight, or of the flush before closing
  uint64_t confirmed_bytes_ = 0;   // at the last deadline that was put off
  const int64_t start_wall_ns_;
  std::unique_ptr<Speaker> speaker_;  // since Start
  std::unique_ptr<ByteLayers> layers_;
};

}  // namespace millrace
