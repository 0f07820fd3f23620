// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/engine/jetstream_part.h"

#include <utility>

#include "broker/monitor/service.h"

namespace millrace {

JetStreamPart::JetStreamPart(PartHost host, StoreHome& home, const JetStreamEngineOptions& options)
    : home_(home),
      port_(std::move(host)),
      engine_(std::make_unique<JetStream>(port_, home.store(), options)),
      pages_(std::make_unique<JetStreamPages>(*engine_)) {
  engine_->Start();
}

JetStreamPart::~JetStreamPart() = default;

void JetStreamPart::OnMail(std::unique_ptr<PartMail> mail) {
  const auto* change = dynamic_cast<const JetStreamChange*>(mail.get());
  MR_CHECK(change != nullptr);
  if (engine_ != nullptr) engine_->SetOptions(change->options);
}

// With very many streams the answer takes some turns.
void JetStreamPart::Describe(const PartQuestion& question, PartAnswer* answer, std::function<void()> done) {
  if (engine_ == nullptr) return done();
  engine_->RunLong(JetStream::kNoStream, [this, question, answer, done = std::move(done)] {
    if ((question.needs & kNeedJetStreamVarz) != 0) pages_->FillVarz(&answer->jetstream.emplace());
    if ((question.needs & kNeedJsz) != 0) pages_->FillJsz(question.jsz, &answer->jsz.emplace());
    if ((question.needs & kNeedJetStreamHealth) != 0) {
      pages_->FillHealth(question.healthz, &answer->health.emplace());
    }
    done();
  });
}

// Nobody is interested in its subjects from here on, so publishers hear 503; what was taken before is stored and
// confirmed.
void JetStreamPart::StartStop() {
  if (engine_ != nullptr) engine_->StartStop();
}

bool JetStreamPart::StepStop() {
  if (engine_ != nullptr) {
    if (!engine_->stopped()) return false;
    pages_.reset();
    engine_.reset();
  }
  return home_.Close();  // false: a completion brings the next turn
}

std::string JetStreamPart::StopWaitsFor() const {
  return engine_ != nullptr ? "JetStream's last checkpoint" : "the last operations on JetStream's files";
}

}  // namespace millrace
