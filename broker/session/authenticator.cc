// SPDX-License-Identifier: Apache-2.0
#include "broker/session/authenticator.h"

#include <crypt.h>

#include <algorithm>
#include <optional>

#include "broker/account/nkey.h"

namespace millrace {
namespace {

// Time depends on the length of what the client sent only.
bool SameSecret(std::string_view expected, std::string_view secret) {
  unsigned char difference = expected.size() == secret.size() ? 0 : 1;
  for (size_t i = 0; i < secret.size(); ++i) {
    const char other = i < expected.size() ? expected[i] : '\0';
    difference = static_cast<unsigned char>(difference | (secret[i] ^ other));
  }
  return difference == 0;
}

}  // namespace

Authenticator::Authenticator(const Options& options, const AccountTable& accounts)
    : required_(options.AuthRequired()),
      user_(options.username),
      password_(options.password),
      token_(options.authorization) {
  for (const User& user : options.users) AddUser(user, accounts);
  for (const User& user : options.account_users) AddUser(user, accounts);
  if (!options.no_auth_user.empty()) no_auth_user_ = Find(options.no_auth_user);
  if (options.OnlySystemUsers()) {
    auto anybody = std::make_unique<KnownUser>();
    anybody->account = accounts.global().id;
    no_auth_user_ = anybody.get();
    users_.push_back(std::move(anybody));
    hides_no_auth_user_ = true;
  }
}

void Authenticator::AddUser(const User& user, const AccountTable& accounts) {
  auto known = std::make_unique<KnownUser>();
  known->is_nkey = !user.nkey.empty();
  known->name = known->is_nkey ? user.nkey : user.user;
  nonce_required_ |= known->is_nkey;
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
  by_name_[known->name] = known.get();
  users_.push_back(std::move(known));
}

const KnownUser* Authenticator::Find(std::string_view user) const {
  const auto it = by_name_.find(std::string(user));
  return it == by_name_.end() ? nullptr : it->second;
}

bool Authenticator::IsHash(std::string_view password) {
  return password.size() == 60 && password.substr(0, 2) == "$2" && password[3] == '$';
}

bool Authenticator::CheckHash(const std::string& hash, const std::string& secret) {
  // libcrypt knows $2a$ $2b$ $2x$ $2y$. A secret with a NUL byte would be cut there: refuse it.
  if (secret.find('\0') != std::string::npos) return false;
  auto data = std::make_unique<crypt_data>();
  const char* computed = crypt_r(secret.c_str(), hash.c_str(), data.get());
  return computed != nullptr && SameSecret(hash, computed);
}

Authenticator::Decision Authenticator::Compare(std::string_view expected, std::string_view secret,
                                               const KnownUser* user) const {
  if (IsHash(expected)) return Decision{Verdict::kCheckHash, user, expected, std::string(secret)};
  return Decision{SameSecret(expected, secret) ? Verdict::kAllow : Verdict::kDeny, user, {}, {}};
}

Authenticator::Decision Authenticator::Decide(const ConnectOptions& connect, ConnectionType type,
                                              std::string_view nonce) const {
  if (!required_) return Decision{Verdict::kAllow, nullptr, {}, {}};
  const Credentials& said = connect.credentials();
  if (!users_.empty()) {
    const bool bare =
        said.nkey.empty() && said.user.empty() && said.pass.empty() && said.auth_token.empty();
    const bool by_nkey = !said.nkey.empty();
    const KnownUser* user =
        bare && no_auth_user_ != nullptr ? no_auth_user_ : Find(by_nkey ? said.nkey : said.user);
    if (user == nullptr) return {};
    if (user->restricted_types && (user->allowed_types & type) == 0) return {};
    if (user == no_auth_user_ && bare) return Decision{Verdict::kAllow, user, {}, {}};
    if (user->is_nkey != by_nkey) return {};
    if (!by_nkey) return Compare(user->password, said.pass, user);
    const std::optional<NkeyBytes> key = DecodeNkey(NkeyPrefix::kUser, user->name);
    const bool signed_ok = key.has_value() && !nonce.empty() && VerifyNkeySignature(*key, nonce, said.sig);
    return Decision{signed_ok ? Verdict::kAllow : Verdict::kDeny, user, {}, {}};
  }
  if (!token_.empty()) return Compare(token_, said.auth_token, nullptr);
  if (user_.empty() || user_ != said.user) return {};
  return Compare(password_, said.pass, nullptr);
}

}  // namespace millrace
