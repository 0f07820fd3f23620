// SPDX-License-Identifier: Apache-2.0
// Admission: how a client's right to be here is found out, and found out again when the configuration changes, by what
//            it has said once: its secrets lie sealed meanwhile.
// Owner:  shard (a session's member).
// States: idle <-> asking: one question at most is being answered elsewhere. What it finds counts for the hash and for
//         the secret that it was about: after a CONNECT or a reload meanwhile whoever waits for it judges again.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "broker/account/secret.h"
#include "broker/session/authenticator.h"
#include "broker/session/connect_options.h"

namespace millrace {

class Admission {
 public:
  struct Keys {
    SealingKey& sealing;
    const SealingKey::Entropy& entropy;
  };

  // A CONNECT is about to be read into `said`: what it leaves out stays as it has been said. Nothing is proved by then.
  void BeginConnect(CredentialsBox* said, Keys keys);
  // Judges `said`, which loses its secrets, and gets the names of the user whom it becomes for having said nothing.
  Verdict Judge(const Authenticator& authenticator, Attempt attempt, CredentialsBox* said, Keys keys);

  // It was kAsk: true: the question about `hash` is to be put now; false: judge again when OnAnswer has come.
  bool BeginQuestion(std::string_view hash, Keys keys);
  void OnAnswer(bool fits);
  bool asking() const { return asking_; }

 private:
  using Fingerprint = SealingKey::Fingerprint;
  // Of those who have said a secret.
  struct Kept {
    std::string sealed;
    std::optional<Fingerprint> asked;   // of the hash that the question is about; none: its answer is void
    std::optional<Fingerprint> proved;  // of the hash that the secret fits
    std::optional<Fingerprint> failed;  // or does not
  };

  void Unseal(Credentials* said, const SealingKey& sealing) const;
  void Seal(const Credentials& said, Keys keys);

  bool asking_ = false;
  std::unique_ptr<Kept> kept_;
};

}  // namespace millrace
