// SPDX-License-Identifier: Apache-2.0
// SystemServices: where requests to the system account arrive (shard 0), and from where their answers leave.
// Owner:  shard 0's. The control thread (control/system_desk.h) does what is asked, and mails the answer.
// States: as ShardPart says; it serves in lame duck mode. A stop does not wait for answers.
// Source: spec E-08 to E-15.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "broker/admin.h"
#include "broker/part.h"
#include "broker/system/system_port.h"

namespace millrace {

// Beside those that mail.h knows of, which have messages of their own.
inline constexpr PartId kSystemPart{2};

// control -> shard 0: is published in the system account.
struct SystemReply final : PartMail {
  explicit SystemReply(SystemPort::Notice what) : notice(std::move(what)) {}
  SystemPort::Notice notice;
};

class SystemServices final : public ShardPart, public Sink {
 public:
  struct Options {
    AccountId account = kNoAccount;  // the system account
    std::string server_id = {};
    // Last tokens of $SYS.REQ.SERVER.PING.<name> and $SYS.REQ.SERVER.<id>.<name>; of the latter alone; and of
    // $SYS.REQ.ACCOUNT.<account>.<name>.
    std::vector<std::string_view> server_names = {};
    std::vector<std::string_view> own_names = {};
    std::vector<std::string_view> account_names = {};
  };

  SystemServices(PartHost host, SystemPort& port, const Options& options);
  ~SystemServices() override;

  // ShardPart.
  PartId id() const override { return kSystemPart; }
  bool RunTurn() override { return false; }
  Nanos NextTick() const override { return Nanos::max(); }
  void OnMail(std::unique_ptr<PartMail> mail) override;
  void OnStall() override {}
  void Describe(const PartQuestion&, PartAnswer*, std::function<void()> done) override { done(); }
  bool ServesLameDuck() const override { return true; }
  void StartStop() override;
  bool StepStop() override { return subscriptions_.empty(); }
  std::string StopWaitsFor() const override { return "the services of the system account"; }

 private:
  void Listen(AccountId account, std::string_view subject);
  // Sink: a request.
  bool Deliver(const Subscription& subscription, const Message& message) override;

  MeshPort& mesh_;
  SystemPort& port_;
  std::vector<Subscription*> subscriptions_;
};

}  // namespace millrace
