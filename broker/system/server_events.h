// SPDX-License-Identifier: Apache-2.0
// ServerEvents: what a shard tells of its own accord, in the system account: clients that come, go and are refused
//               (E-02, E-06), how many an account has (E-03), and the end of the server (E-05).
// Owner:  shard. It knows clients by facts, and nothing of sessions.
// Use:    from inside of a delivery, too: what is told leaves with SystemPort::Flush, and is made only when somebody
//         listens.
// States: telling -> silent after Shutdown: that is the last that is heard of a server.
// Counts: what is told of an account takes figures of all shards. So a change of a count is only noted here, for the
//         control thread to gather them, and told when they have come (system/beats/).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/account/account_table.h"
#include "broker/system/client_object.h"
#include "broker/system/system_port.h"

namespace millrace {

// Of a client, for the event that is being told; the views are valid during the call.
struct ClientFacts {
  AccountId account = kNoAccount;
  ClientObject about = {};  // its account is the one above
  uint64_t in_messages = 0;
  uint64_t in_bytes = 0;
  uint64_t out_messages = 0;
  uint64_t out_bytes = 0;
};

// An account has so many connections now.
struct AccountConnections {
  AccountId account = kNoAccount;
  int64_t connections = 0;
  std::string reply = {};  // for whom has asked; empty: everybody hears of it
};

class ServerEvents {
 public:
  // `wall_ns`: of the turn. `accounts` outlives it, or set_accounts comes in time.
  ServerEvents(SystemPort& port, Router& router, const int64_t& wall_ns, std::string server_id,
               const AccountTable& accounts);
  ServerEvents(const ServerEvents&) = delete;
  ServerEvents& operator=(const ServerEvents&) = delete;

  // It has been admitted to its account: after a CONNECT, and again when a reload has looked at it anew.
  void OnConnect(const ClientFacts& client);
  void OnDisconnect(const ClientFacts& client, std::string_view reason);
  // It is closed for what it may not be; the system account hears of it.
  void OnAuthError(const ClientFacts& client, std::string_view reason);
  // What it said of itself did not convince; its account, mostly that of nobody, hears of it.
  void OnRefused(const ClientFacts& client, std::string_view reason);

  // One more or less of this account, or it is time to say it again.
  void OnConnections(AccountId account, int64_t connections);
  // What has been noted since the last call.
  std::vector<AccountConnections> TakeNoted() { return std::exchange(noted_, {}); }
  bool HasNoted() const { return !noted_.empty(); }
  // `stat`: what was gathered, a JSON object.
  void TellConnections(const AccountConnections& now, std::string_view stat);
  // Somebody hears the statistics of the server.
  bool WantsStatistics();

  // Replaced by a reload.
  void set_accounts(const AccountTable& accounts) { accounts_ = &accounts; }
  const AccountTable& accounts() const { return *accounts_; }

  // Told in place, by one shard for all: whoever listens is about to be closed.
  void LameDuck();
  void Shutdown();
  // Others tell of the end.
  void FallSilent() { silent_ = true; }

 private:
  // The connections of one account are told under two subjects; the second is that of old.
  std::string ConnectionsSubject(AccountId account) const;
  std::string OldConnectionsSubject(AccountId account) const;
  std::string NewId();
  // What all events begin with: their type, an id and the time.
  void WriteHead(std::string_view type, std::string_view id, JsonWriter* out);
  bool Wanted(AccountId account, std::string_view subject) { return !silent_ && port_.HasInterest(account, subject); }
  void TellOfEnd(AccountId account, std::string subject, const ClientFacts& client, std::string_view reason);
  void TellAtOnce(std::string subject);

  SystemPort& port_;
  Router& router_;
  const int64_t& wall_ns_;
  const std::string server_id_;
  const AccountTable* accounts_;
  std::vector<AccountConnections> noted_;
  bool silent_ = false;
};

}  // namespace millrace
