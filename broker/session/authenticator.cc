// SPDX-License-Identifier: Apache-2.0
#include "broker/session/authenticator.h"

#include <utility>

#include "broker/account/nkey.h"
#include "broker/config/blocks/secrets.h"
#include "proto/base/check.h"

namespace millrace {
namespace {

Verdict Allow(const KnownUser* user) { return {.kind = Verdict::Kind::kAllow, .user = user}; }
Verdict Deny(std::string_view why = {}) { return {.kind = Verdict::Kind::kDeny, .why = why}; }

// `user`: whose secret it is; nullptr: nobody's in a list.
Verdict Compare(std::string_view expected, const Secret& said, const KnownUser* user) {
  if (config::IsBcrypt(expected)) {
    return {.kind = Verdict::Kind::kAsk, .user = user, .hash = expected, .secret = said};
  }
  return SameSecret(expected, said.view()) ? Allow(user) : Deny();
}

}  // namespace

Authenticator::Authenticator(const Options& options, const AccountTable& accounts)
    : required_(options.AuthRequired()),
      user_(options.username),
      password_(options.password),
      token_(options.authorization) {
  for (const User& user : options.users) AddUser(user, accounts);
  for (const User& user : options.account_users) AddUser(user, accounts);
  if (options.OnlySystemUsers()) {
    auto anybody = std::make_unique<KnownUser>();
    anybody->account = accounts.global().id;
    no_auth_user_ = anybody.get();
    all_.push_back(std::move(anybody));
    hides_no_auth_user_ = true;
  }
  if (options.no_auth_user.empty()) return;
  no_auth_user_ = Find(nkeys_, options.no_auth_user);
  if (no_auth_user_ == nullptr) no_auth_user_ = Find(users_, options.no_auth_user);
}

void Authenticator::AddUser(const User& user, const AccountTable& accounts) {
  auto known = std::make_unique<KnownUser>();
  known->is_nkey = !user.nkey.empty();
  known->name = known->is_nkey ? user.nkey : user.user;
  known->password = user.password;
  const Account* account = user.account.empty() ? &accounts.global() : accounts.Find(user.account);
  MR_CHECK(account != nullptr);  // the configuration has refused it already
  known->account = account->id;
  known->permissions = user.permissions;
  if (known->permissions) known->fingerprint = FingerprintOf(*known->permissions);
  if (user.allowed_connection_types.has_value()) {
    known->restricted_types = true;
    known->allowed_types = *user.allowed_connection_types;
  }
  (known->is_nkey ? nkeys_ : users_)[known->name] = known.get();
  all_.push_back(std::move(known));
}

const KnownUser* Authenticator::Find(const Users& users, std::string_view name) {
  const auto it = users.find(std::string(name));
  return it == users.end() ? nullptr : it->second;
}

const KnownUser* Authenticator::FindNamed(const Credentials& said) const {
  return said.nkey.empty() ? Find(users_, said.user) : Find(nkeys_, said.nkey);
}

Verdict Authenticator::Decide(const Attempt& attempt) const {
  if (!required_) return Allow(nullptr);
  const Credentials& said = *attempt.credentials;
  const bool silent = said.user.empty() && said.pass.empty() && said.auth_token.empty();
  // A key counts only where some user has one.
  if (!nkeys_.empty()) {
    const bool by_default = silent && said.nkey.empty() && no_auth_user_ != nullptr && no_auth_user_->is_nkey;
    if (by_default || !said.nkey.empty()) {
      const KnownUser* user = by_default ? no_auth_user_ : Find(nkeys_, said.nkey);
      if (user == nullptr || !MayUse(*user, attempt.type)) return Deny();
      Verdict verdict = DecideByKey(*user, attempt);
      verdict.by_default = by_default;
      return verdict;
    }
  }
  if (!users_.empty() || hides_no_auth_user_) {
    const bool by_default = silent && no_auth_user_ != nullptr && !no_auth_user_->is_nkey;
    if (by_default || !said.user.empty()) {
      const KnownUser* user = by_default ? no_auth_user_ : Find(users_, said.user);
      if (user == nullptr || !MayUse(*user, attempt.type)) return Deny();
      if (!by_default) return Compare(user->password, said.pass, user);
      // The peer has it say the stored text as its password, which is no hash's own secret.
      Verdict verdict = config::IsBcrypt(user->password) ? Deny() : Allow(user);
      verdict.user = user;
      verdict.by_default = true;
      return verdict;
    }
  }
  if (!token_.empty()) return Compare(token_, said.auth_token, nullptr);
  if (user_.empty() || !SameSecret(user_, said.user)) return Deny();
  return Compare(password_, said.pass, nullptr);
}

Verdict Authenticator::DecideByKey(const KnownUser& user, const Attempt& attempt) const {
  if (&user == no_auth_user_) return Allow(&user);  // who proves nothing could have said nothing
  if (attempt.credentials->sig.empty()) return Deny("Signature missing");
  const std::optional<NkeyBytes> key = DecodeNkey(NkeyPrefix::kUser, user.name);
  const bool signed_by_it = key.has_value() && !attempt.nonce.empty() &&
                            VerifyNkeySignature(*key, attempt.nonce, attempt.credentials->sig.view());
  return signed_by_it ? Allow(&user) : Deny("Signature not verified");
}

}  // namespace millrace
