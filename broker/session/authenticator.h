// SPDX-License-Identifier: Apache-2.0
// Authenticator: who may connect, and as which user (A-01..A-05, A-08, A-09), by any transport.
// Owner:  immutable after construction; read by all shards.
// Order:  the peer's: keys, users, the token, the one user; a client that says nothing is the no_auth_user.
// bcrypt takes tens of milliseconds by design: such a check is not made here but is to be asked for (Verdict::kAsk).
#pragma once

#include <cstdint>
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

// Where it has come in: some listeners have users of their own.
enum class ListenerKind : uint8_t { kClient, kWebsocket, kMqtt, kLeaf };

// What is to be judged; valid during the call.
struct Attempt {
  const Credentials* credentials = nullptr;
  ConnectionType type = kConnectionStandard;
  ListenerKind listener = ListenerKind::kClient;
  std::string_view nonce = {};  // that its signature is of
  std::string_view client_ip = {};
  int64_t now_ns = 0;  // of the wall clock
};

struct Verdict {
  enum class Kind : uint8_t { kAllow, kDeny, kAsk };

  Kind kind = Kind::kDeny;
  const KnownUser* user = nullptr;  // nullptr: nobody whom the configuration names (an open server, a token)
  bool by_default = false;          // it said nothing, and is the no_auth_user
  std::string_view hash = {};       // kAsk: what its secret is to match
  Secret secret = {};               // kAsk
  std::string_view why = {};        // kDeny: for the log; may be empty
};

class Authenticator {
 public:
  Authenticator(const Options& options, const AccountTable& accounts);
  Authenticator(const Authenticator&) = delete;
  Authenticator& operator=(const Authenticator&) = delete;

  bool required() const { return required_; }
  // The user that a client without credentials becomes, or nullptr.
  const KnownUser* no_auth_user() const { return no_auth_user_; }
  // A client may begin with another command than CONNECT. As in the peer, not to become one with a key.
  bool MayBeginSilently(ConnectionType type) const {
    return no_auth_user_ != nullptr && !no_auth_user_->is_nkey && MayUse(*no_auth_user_, type);
  }
  // INFO says that nobody needs credentials: who has none becomes no_auth_user(). The peer does not say so of its
  // own no_auth_user beside users of the system account alone.
  bool offers_no_auth() const { return no_auth_user_ != nullptr && !hides_no_auth_user_; }
  // INFO must offer a nonce for clients to sign.
  bool nonce_required() const { return !nkeys_.empty(); }

  Verdict Decide(const Attempt& attempt) const;
  // Whom these credentials name, whatever secret comes with them; nullptr: nobody in a list of users.
  const KnownUser* FindNamed(const Credentials& said) const;

 private:
  using Users = std::unordered_map<std::string, const KnownUser*>;

  void AddUser(const User& user, const AccountTable& accounts);
  static const KnownUser* Find(const Users& users, std::string_view name);
  static bool MayUse(const KnownUser& user, ConnectionType type) {
    return !user.restricted_types || (user.allowed_types & type) != 0;
  }
  Verdict DecideByKey(const KnownUser& user, const Attempt& attempt) const;

  bool required_ = false;
  std::string user_;
  std::string password_;
  std::string token_;
  std::vector<std::unique_ptr<KnownUser>> all_;
  Users users_;
  Users nkeys_;
  const KnownUser* no_auth_user_ = nullptr;
  bool hides_no_auth_user_ = false;
};

}  // namespace millrace
