// SPDX-License-Identifier: Apache-2.0
// JetStreamPart: JetStream as a part of its shard: the engine with its way out, its pages, and the store it lives on.
// Owner:  shard.
#pragma once

#include <memory>
#include <string>

#include "broker/jetstream/engine/jetstream.h"
#include "broker/jetstream/engine/pages.h"
#include "broker/jetstream/engine/router_port.h"
#include "broker/jetstream/engine/store_home.h"
#include "broker/part.h"

namespace millrace {

// A reload.
struct JetStreamChange final : PartMail {
  explicit JetStreamChange(JetStreamEngineOptions next) : options(std::move(next)) {}
  const JetStreamEngineOptions options;
};

class JetStreamPart final : public ShardPart {
 public:
  // Serves what the store at `home` (which outlives the shard) has found on disk.
  JetStreamPart(PartHost host, StoreHome& home, const JetStreamEngineOptions& options);
  ~JetStreamPart() override;

  PartId id() const override { return PartId::kJetStream; }
  bool RunTurn() override { return engine_ != nullptr && engine_->RunTurn(); }
  Nanos NextTick() const override { return engine_ == nullptr ? Nanos::max() : engine_->NextTick(); }
  void OnMail(std::unique_ptr<PartMail> mail) override;
  void OnStall() override { port_.OnRemoteStall(); }
  void Describe(const PartQuestion& question, PartAnswer* answer, std::function<void()> done) override;
  void StartStop() override;
  bool StepStop() override;
  std::string StopWaitsFor() const override;
  // Of the engine, as long as there is one; between turns.
  void Invariant() const {
    if (engine_ != nullptr) engine_->Invariant();
  }

 private:
  StoreHome& home_;
  RouterPort port_;
  std::unique_ptr<JetStream> engine_;  // nullptr: it has stopped, and the store is being closed
  std::unique_ptr<JetStreamPages> pages_;  // with it
};

}  // namespace millrace
