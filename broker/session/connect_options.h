// SPDX-License-Identifier: Apache-2.0
// ConnectOptions: what a client said in CONNECT (spec 01-core, CONNECT keys).
// Owner:  shard (a session's member). A second CONNECT changes only the keys that it carries, as in the peer.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace millrace {

// Who the client says it is. Most say nothing, so it takes memory only when it is needed.
struct Credentials {
  std::string nkey;
  std::string jwt;
  std::string sig;
  std::string auth_token;
  std::string user;
  std::string pass;
  std::string account;
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

// True when INFO's arguments are JSON that the peer would take (clients may send it; it is ignored).
bool IsJsonObject(std::string_view json);

}  // namespace millrace
