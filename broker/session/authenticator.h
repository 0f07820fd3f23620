// SPDX-License-Identifier: Apache-2.0
// Authenticator: who may connect, and as which user (A-01..A-05, A-08, A-09).
// Owner:  immutable after construction; read by all shards.
// bcrypt takes tens of milliseconds by design: such a check is not made here but asked for (Decision::kCheckHash) and
// done on the control thread with CheckHash.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "broker/account/account_table.h"
#include "broker/config/options.h"
#include "broker/session/connect_options.h"
#include "broker/session/permissions.h"

namespace millrace {

// A user whom the configuration names.
struct KnownUser {
  std::string name;
  std::string password;
  bool is_nkey = false;  // name is a public user key
  AccountId account = kNoAccount;
  std::optional<Permissions> permissions;  // none: everything is allowed
  std::string fingerprint;                 // of the permissions (PermissionSets)
  bool restricted_types = false;
  ConnectionTypes allowed_types = 0;
};

class Authenticator {
 public:
  enum class Verdict : uint8_t { kAllow, kDeny, kCheckHash };
  struct Decision {
    Verdict verdict = Verdict::kDeny;
    const KnownUser* user = nullptr;  // nullptr with kAllow: nobody whom the configuration names (open server, token)
    std::string_view hash;               // kCheckHash: what the client's secret must match
    std::string secret;
  };

  Authenticator(const Options& options, const AccountTable& accounts);
  Authenticator(const Authenticator&) = delete;
  Authenticator& operator=(const Authenticator&) = delete;

  bool required() const { return required_; }
  // The user that a client without credentials becomes, or nullptr.
  const KnownUser* no_auth_user() const { return no_auth_user_; }
  // INFO says that nobody needs credentials: who has none becomes no_auth_user(). The peer does not say so of its
  // own no_auth_user beside users of the system account alone.
  bool offers_no_auth() const { return no_auth_user_ != nullptr && !hides_no_auth_user_; }
  // INFO must offer a nonce for clients to sign.
  bool nonce_required() const { return nonce_required_; }
  Decision Decide(const ConnectOptions& connect, ConnectionType type, std::string_view nonce) const;
  const KnownUser* Find(std::string_view user) const;

  static bool IsHash(std::string_view password);
  // Tens of milliseconds of CPU.
  static bool CheckHash(const std::string& hash, const std::string& secret);

 private:
  void AddUser(const User& user, const AccountTable& accounts);
  Decision Compare(std::string_view expected, std::string_view secret, const KnownUser* user) const;

  bool required_ = false;
  bool nonce_required_ = false;
  std::string user_;
  std::string password_;
  std::string token_;
  std::vector<std::unique_ptr<KnownUser>> users_;
  std::unordered_map<std::string, const KnownUser*> by_name_;
  const KnownUser* no_auth_user_ = nullptr;
  bool hides_no_auth_user_ = false;
};

}  // namespace millrace
