// SPDX-License-Identifier: Apache-2.0
// SystemBeats: what the server tells of its own accord that takes figures of all shards: its statistics (E-04), and the
//              connections of accounts (E-03).
// Owner:  shard 0's. The control thread gathers the figures; what it has gathered of an account comes back here.
// States: as ShardPart says; it serves in lame duck mode. A stop does not wait for figures.
// Source: spec E-03, E-04.  Proof: beats_test.cc, tests/interop/system_events.py.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "broker/admin.h"
#include "broker/mesh/shared_count.h"
#include "broker/part.h"
#include "broker/system/beats/account_beats.h"
#include "broker/system/beats/server_beat.h"
#include "broker/system/server_events.h"

namespace millrace {

// Beside those that mail.h knows of, which have messages of their own.
inline constexpr PartId kBeatsPart{3};

// control -> shard 0: of each change, in their order.
struct AccountStats final : PartMail {
  struct Stat {
    AccountConnections change;
    std::string json;  // an object with what is to be told of it
  };
  std::vector<Stat> stats;
};

class SystemBeats final : public ShardPart {
 public:
  // `connections`: of accounts, by id.
  SystemBeats(PartHost host, ServerEvents& events, SharedCounts& connections);

  // ShardPart.
  PartId id() const override { return kBeatsPart; }
  bool RunTurn() override;
  Nanos NextTick() const override;
  void OnMail(std::unique_ptr<PartMail> mail) override;
  void OnStall() override {}
  void Describe(const PartQuestion&, PartAnswer*, std::function<void()> done) override { done(); }
  bool ServesLameDuck() const override { return true; }
  void StartStop() override { stopping_ = true; }
  bool StepStop() override { return stopping_; }
  std::string StopWaitsFor() const override { return "heartbeats"; }

 private:
  void FindAccounts();

  const PartHost host_;
  ServerEvents& events_;
  SharedCounts& connections_;
  ServerBeat server_beat_;
  AccountBeats account_beats_;
  Nanos next_search_;  // for accounts whose changes nobody wanted to hear of
  bool stopping_ = false;
};

}  // namespace millrace
