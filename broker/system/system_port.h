// SPDX-License-Identifier: Apache-2.0
// SystemPort: how a shard says something as the server: events and answers, into any account.
// Owner:  shard.
// Use:    if (port.HasInterest(account, subject)) port.Post({account, subject, {}, Json(port.NextServer())});
//         Post is fine from inside of a delivery, too: what is posted leaves with Flush, in the turn's phase for parts.
// Order:  as posted; "seq" rises with it on one shard, and is never the same on two.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "broker/mesh/shared_sequence.h"
#include "broker/route/route_port.h"
#include "broker/system/server_object.h"

namespace millrace {

class SystemPort {
 public:
  struct Notice {
    AccountId account = kNoAccount;
    std::string subject = {};
    std::string reply = {};
    std::string payload = {};  // header block, if any, and body
    uint32_t header_bytes = 0;
  };

  // `wall_ns`: of the turn. `sequence` is of all shards.
  SystemPort(Router& router, const int64_t& wall_ns, SharedSequence& sequence);
  SystemPort(const SystemPort&) = delete;
  SystemPort& operator=(const SystemPort&) = delete;

  void set_server(ServerObject server) { server_ = std::move(server); }

  // The value of "server" in what is said next.
  std::string NextServer() { return server_.Json(sequence_.Next(), wall_ns_); }

  bool HasInterest(AccountId account, std::string_view subject) { return route_.HasInterest(account, subject); }
  void Post(Notice notice) { posted_.push_back(std::move(notice)); }
  bool HasPosted() const { return !posted_.empty(); }
  // In a phase of the turn of its own. False: nothing had been posted.
  bool Flush();

  RoutePort& route() { return route_; }

 private:
  RoutePort route_;
  const int64_t& wall_ns_;
  SharedSequence& sequence_;
  ServerObject server_;
  std::vector<Notice> posted_;
};

}  // namespace millrace
