// SPDX-License-Identifier: Apache-2.0
// ConnectOptions: what a client said in CONNECT (spec 01-core, CONNECT keys).
// Owner:  shard (a session's member). A second CONNECT changes only the keys that it carries, as in the peer.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "broker/account/secret.h"

namespace millrace {

// Who the client says it is. Most say nothing, so it takes memory only when it is needed.
struct Credentials {
  std::string nkey;
  std::string user;
  std::string account;
  Secret jwt;
  Secret sig;
  Secret auth_token;
  Secret pass;
  bool token_said = false;  // whatever has become of it since
};

// Credentials that are there or not; copies them.
class CredentialsBox {
 public:
  CredentialsBox() = default;
  CredentialsBox(const CredentialsBox& other) { *this = other; }
  CredentialsBox& operator=(const CredentialsBox& other) {
    box_ = other.box_ == nullptr ? nullptr : std::make_unique<Credentials>(*other.box_);
    return *this;
  }
  // Empty ones when there are none.
  const Credentials& get() const;
  Credentials& Own() {
    if (box_ == nullptr) box_ = std::make_unique<Credentials>();
    return *box_;
  }

 private:
  std::unique_ptr<Credentials> box_;
};

struct ConnectOptions {
  bool verbose = true;
  bool pedantic = true;
  bool echo = true;
  bool tls_required = false;
  bool headers = false;
  bool no_responders = false;
  bool new_account = false;
  int64_t protocol = 0;
  std::string name;
  std::string lang;
  std::string version;
  CredentialsBox own_credentials;

  const Credentials& credentials() const { return own_credentials.get(); }
};

// Applies the JSON text of a CONNECT. False when it is not what the peer's decoder takes (broken JSON, a wrong type).
bool ParseConnect(std::string_view json, ConnectOptions* options);

// A CONNECT as the log shows it: made of what is read of it, in its order, so that no way to write a secret gets there;
// what nobody reads is left out (F-37).
std::string ConnectForLog(std::string_view json);

// True when INFO's arguments are JSON that the peer would take (clients may send it; it is ignored).
bool IsJsonObject(std::string_view json);

}  // namespace millrace
