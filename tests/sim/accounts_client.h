// SPDX-License-Identifier: Apache-2.0
// AccountsClient: one scripted client of some account: it subscribes, publishes, asks and answers as the seed tells it,
// and shows the oracle what it wrote and read.
// Owner:  the simulating thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "tests/sim/accounts_oracle.h"
#include "tests/sim/sim_io.h"

namespace millrace::sim {

class AccountsClient {
 public:
  AccountsClient(SimKernel& kernel, AccountsOracle& oracle, std::shared_ptr<Socket> socket, std::string user);

  bool CanMove() const;
  bool MayOperate() const;
  void Move();
  void Operate();
  Nanos NextEvent() const;
  void Ping();
  void End();
  // Begins nothing more and reads fast.
  void Finish();

  bool open() const { return state_ == State::kOpen; }
  bool closed() const { return state_ == State::kClosed; }
  // It is closed for the broker as well.
  bool gone() const { return socket_->broker_closed; }
  // Everything is written, and answered.
  bool idle() const { return closed() || (open() && pings_out_ == 0 && out_.empty() && socket_->to_broker.empty()); }
  bool unread() const { return !socket_->to_client.empty(); }
  bool waits() const { return state_ != State::kClosed && pings_out_ > 0; }
  const AccountsOracle::Client& record() const { return *record_; }
  std::string Describe() const;

 private:
  // kComing: it does not know its account yet.
  enum class State : uint8_t { kComing, kOpen, kClosed };

  void Write(std::string_view bytes);
  void Publish(const std::string& subject, const std::string& reply);
  void PublishSome();
  void Request();
  void Subscribe();
  void Unsubscribe();
  void Spoof();
  std::string Inbox();
  void Read();
  bool ParseOne(std::string_view input, size_t* used);
  bool ParseMessage(std::string_view input, size_t line_bytes, size_t* used);
  void OnError(std::string_view line);
  void OnEof();

  SimKernel& kernel_;
  Random& random_;
  AccountsOracle& oracle_;
  std::shared_ptr<Socket> socket_;
  AccountsOracle::Client* record_;
  State state_ = State::kComing;
  uint32_t answers_left_;
  bool finishing_ = false;
  bool told_why_ = false;  // -ERR has come
  uint32_t pings_out_ = 0;
  size_t read_bytes_max_ = 1 << 20;
  Nanos paused_until_{0};
  Nanos next_operation_{0};
  std::string out_;
  std::string in_;
  uint32_t next_sid_ = 1;
  uint32_t next_reply_ = 1;
  bool inbox_ = false;
};

}  // namespace millrace::sim
