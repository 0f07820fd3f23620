// SPDX-License-Identifier: Apache-2.0
// SimClient: one scripted client connection. It writes what the seed tells it, reads at its own pace, and shows the
// oracle both.
// Owner:  the simulating thread.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/sim/oracle.h"
#include "tests/sim/sim_io.h"

namespace millrace::sim {

// What a run's clients are like and what they do, drawn from the seed.
struct ClientMix {
  uint32_t publish_percent = 45;
  uint32_t subscribe_percent = 15;
  uint32_t unsubscribe_percent = 8;
  uint32_t ping_percent = 18;
  uint32_t request_percent = 8;
  uint32_t end_percent = 2;
  uint32_t pause_percent = 4;   // stops reading for a while
  uint32_t queue_percent = 35;  // of subscriptions
  uint32_t wide_percent = 5;    // of subscriptions: `>`
  uint32_t large_percent = 8;   // of publishes: over 2 KiB
  uint32_t huge_percent = 1;    // ... and about 100 KiB
  uint32_t burst_percent = 10;  // of publishes: many in a row
  uint32_t think_percent = 15;  // waits after an operation
  uint32_t slow_readers_percent = 20;
  uint32_t protocol_errors_percent = 1;
  Nanos pause_max{std::chrono::milliseconds(50)};
  bool hash_auth = false;
  uint32_t subs_max = 12;          // per client
  uint32_t inflight_max = 200000;  // bytes a client writes ahead
  bool flood = false;              // bursts are long, and most messages as large as travels inside a record
  bool generous = true;            // nobody is closed for being slow
  bool literal_first = false;      // filters begin with a word: others publish subjects that are no concern of theirs
};

class SimClient {
 public:
  enum class Ending : uint8_t { kGraceful, kReset, kHalf };

  // `probe`: a well-behaved one, with headers and no_responders.
  SimClient(SimKernel& kernel, Oracle& oracle, const ClientMix& mix, std::shared_ptr<Socket> socket,
            bool probe = false);

  // Something to do now, apart from a new operation.
  bool CanMove() const;
  bool MayOperate() const {
    return state_ == State::kOpen && !finishing_ && kernel_.now >= next_operation_ && out_.size() < mix_.inflight_max;
  }
  // Moves bytes either way.
  void Move();
  // Begins one operation of the mix.
  void Operate();
  Nanos NextEvent() const;

  void Ping();
  void End(Ending how);
  // Reads fast and begins nothing more.
  void Finish() {
    finishing_ = true;
    paused_until_ = Nanos{0};
    read_bytes_max_ = 1 << 20;
  }
  // For the end of a run: asks each of `subjects` and expects no responders.
  void Probe(const std::vector<std::string>& subjects);

  bool open() const { return state_ == State::kOpen; }
  bool closed() const { return state_ == State::kClosed; }
  bool waits() const { return state_ != State::kClosed && !replies_.empty(); }
  // The broker has cause to close it, and will.
  bool must_end() const { return close_expected_; }
  bool pinged() const { return pinged_; }
  bool unread() const { return !socket_->to_client.empty(); }
  bool unwritten() const { return !out_.empty() || !socket_->to_broker.empty(); }
  bool ended_by_broker() const { return ended_by_broker_; }
  // It half-closed, and the broker closed without the replies to what it had written.
  bool half_close_cut() const { return half_close_cut_; }
  ClientRecord& record() { return *record_; }
  const ClientRecord& record() const { return *record_; }
  std::string Describe() const;

 private:
  enum class State : uint8_t { kOpen, kHalfClosed, kClosed };

  void Write(std::string_view bytes, char reply);
  void Publish();
  void PublishOne(const std::string& subject, const std::string& reply, bool request);
  void Subscribe();
  void Unsubscribe();
  void Request();
  void Misbehave();
  std::string RandomSubject();
  std::string RandomFilter();
  uint32_t RandomBytes();

  void Read();
  bool ParseOne(std::string_view input, size_t* used);
  void OnReply(char kind);
  void OnError(std::string_view line);
  void OnEof();

  SimKernel& kernel_;
  Random& random_;
  Oracle& oracle_;
  const ClientMix& mix_;
  std::shared_ptr<Socket> socket_;
  ClientRecord* record_;
  State state_ = State::kOpen;
  bool finishing_ = false;
  bool fin_wanted_ = false;
  bool close_expected_ = false;  // it wrote something for which the broker closes
  bool mistaken_ = false;
  bool ended_by_broker_ = false;
  bool half_close_cut_ = false;

  bool pinged_ = false;  // by the broker
  bool verbose_ = false;
  bool responder_ = false;
  bool bad_password_ = false;
  size_t read_bytes_max_ = 1 << 20;
  Nanos paused_until_{0};
  Nanos next_operation_{0};

  std::string out_;
  std::string in_;
  std::string replies_;  // what must come, in order: K for +OK, P for PONG
  uint32_t next_sid_ = 1;
  uint32_t next_reply_ = 1;
  bool inbox_ = false;
  std::string last_subject_;
};

}  // namespace millrace::sim
