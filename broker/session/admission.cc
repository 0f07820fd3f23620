// SPDX-License-Identifier: Apache-2.0
#include "broker/session/admission.h"

#include <cstdint>
#include <iterator>
#include <utility>

#include "proto/base/bytes.h"
#include "proto/base/check.h"

namespace millrace {
namespace {

// Of Credentials, in the order in which they are sealed, each behind its length. A JWT means something to servers with
// an operator only: others forget it.
constexpr Secret Credentials::* kSealed[] = {&Credentials::pass, &Credentials::auth_token, &Credentials::sig};

}  // namespace

void Admission::BeginConnect(CredentialsBox* said, Keys keys) {
  if (kept_ == nullptr) return;
  Unseal(&said->Own(), keys.sealing);
  kept_.reset();
}

Verdict Admission::Judge(const Authenticator& authenticator, Attempt attempt, CredentialsBox* said, Keys keys) {
  Credentials clear = said->get();
  const bool fresh = kept_ == nullptr;
  if (!fresh) Unseal(&clear, keys.sealing);
  attempt.credentials = &clear;
  Verdict verdict = authenticator.Decide(attempt);
  if (verdict.by_default) {
    (verdict.user->is_nkey ? clear.nkey : clear.user) = verdict.user->name;
    clear.pass = verdict.user->password;
    kept_.reset();
    Seal(clear, keys);
  } else if (fresh) {
    Seal(clear, keys);
  }
  if (fresh || verdict.by_default) {
    clear.token_said = !clear.auth_token.empty();
    const bool anything = kept_ != nullptr || !clear.jwt.empty() || !clear.nkey.empty() || !clear.user.empty();
    for (Secret Credentials::* secret : kSealed) (clear.*secret).Wipe();
    clear.jwt.Wipe();
    if (anything) said->Own() = std::move(clear);
  }
  if (verdict.kind == Verdict::Kind::kAsk && kept_ != nullptr) {
    const Fingerprint print = keys.sealing.FingerprintOf(verdict.hash, keys.entropy);
    if (kept_->proved == print) verdict.kind = Verdict::Kind::kAllow;
    if (kept_->failed == print) verdict.kind = Verdict::Kind::kDeny;
  }
  return verdict;
}

bool Admission::BeginQuestion(std::string_view hash, Keys keys) {
  if (asking_) return false;
  asking_ = true;
  if (kept_ == nullptr) kept_ = std::make_unique<Kept>();  // it said no secret: the empty one may be right
  kept_->asked = keys.sealing.FingerprintOf(hash, keys.entropy);
  return true;
}

void Admission::OnAnswer(bool fits) {
  MR_CHECK(asking_);
  asking_ = false;
  if (kept_ == nullptr || !kept_->asked.has_value()) return;
  (fits ? kept_->proved : kept_->failed) = *std::exchange(kept_->asked, std::nullopt);
}

void Admission::Seal(const Credentials& said, Keys keys) {
  size_t bytes = 0;
  for (Secret Credentials::* secret : kSealed) bytes += (said.*secret).view().size();
  if (bytes == 0) return;
  std::string clear;
  clear.reserve(bytes + sizeof(uint32_t) * std::size(kSealed));  // so that it is not copied on the way
  for (Secret Credentials::* secret : kSealed) {
    const std::string_view text = (said.*secret).view();
    const auto length = static_cast<uint32_t>(text.size());
    clear.append(reinterpret_cast<const char*>(&length), sizeof length);
    clear += text;
  }
  kept_ = std::make_unique<Kept>();
  kept_->sealed = keys.sealing.Seal(clear, keys.entropy);
  Wipe(&clear);
}

void Admission::Unseal(Credentials* said, const SealingKey& sealing) const {
  if (kept_->sealed.empty()) return;
  const Secret clear = sealing.Open(kept_->sealed);
  std::string_view rest = clear.view();
  for (Secret Credentials::* secret : kSealed) {
    MR_CHECK(rest.size() >= sizeof(uint32_t));
    const auto length = Load<uint32_t>(rest.data());
    rest.remove_prefix(sizeof length);
    MR_CHECK(rest.size() >= length);
    said->*secret = rest.substr(0, length);
    rest.remove_prefix(length);
  }
}

}  // namespace millrace
