// SPDX-License-Identifier: Apache-2.0
// SystemDesk: does what requests to the system account ask for: shows the pages of the monitoring port, in JSON of one
//             line with who says it, and what acts on the server: reload, and what becomes of single connections.
// Owner:  control thread. Requests come from shard 0, where answers go (system/services/system_services.h).
// Errors: as the peer answers them, to the byte: 400 for options that cannot be read, 500 for what was not to be had.
// Bounds: a request holds what its page needs until it has been answered, within one round of mail.
// Source: spec E-08 to E-15.  Proof: system_desk_test.cc, tests/interop/system_services.py.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "broker/control/page_queries.h"
#include "broker/log/log.h"
#include "broker/mesh/mesh.h"
#include "broker/mesh/shared_sequence.h"
#include "broker/monitor/event_options.h"
#include "broker/monitor/system_pages.h"
#include "broker/system/services/system_services.h"

namespace millrace {

class SystemDesk {
 public:
  struct Host {
    PageQueries::View view;
    std::function<absl::Status()> reload;  // an error has the peer's text
    std::function<const std::map<std::string, uint64_t>&()> http_req_stats;
    std::function<void(AccountId account, std::string reply)> tell_connections;
  };

  SystemDesk(Mesh& mesh, PageQueries& queries, Logger& log, SharedSequence& notices, Host host)
      : mesh_(mesh), queries_(queries), log_(log), notices_(notices), host_(std::move(host)) {}

  // What shard 0 is to listen to.
  static SystemServices::Options ServicesOf(AccountId system, const std::string& server_id);

  void OnRequest(const SystemRequest& request);

 private:
  enum class Compression : uint8_t { kNone, kSnappy, kUnsupported };
  struct Client {  // to whom the answer goes
    std::string reply;
    Compression compression = Compression::kNone;
  };

  void OnServerRequest(std::string_view name, const SystemRequest& request);
  void OnPage(const SystemPage& page, std::string_view account, const SystemRequest& request);
  void OnStatsz(const SystemRequest& request);
  void OnIdz(const SystemRequest& request);
  void OnUserInfo(const SystemRequest& request);
  void OnReload(const SystemRequest& request);
  void OnConnectionOrder(ConnectionOrder::Kind kind, const SystemRequest& request);
  void OnSubscribers(const SystemRequest& request);
  void OnNumSubs(const SystemRequest& request);
  void OnConnections(std::string_view account, const SystemRequest& request);
  // Of subscriptions of the account, whose names, filters and groups are asked about.
  struct Counted {
    std::string account;
    std::string subject;
    std::string queue;
    bool any_queue = true;
    bool only_if_used = false;  // an account without connections is not spoken of
  };
  void CountSubs(Counted counted, const std::string& reply);

  // Reads the options of a request. False: it is not for this server, or has been answered with what is wrong with it.
  bool Read(const EventOptionTable& table, const SystemRequest& request, EventOptions* options);
  std::string ServerJson();
  void Refuse(const std::string& reply, int code, std::string text, bool null_data = false);
  void Send(const Client& client, std::string payload);

  Mesh& mesh_;
  PageQueries& queries_;
  Logger& log_;
  SharedSequence& notices_;
  const Host host_;
};

}  // namespace millrace
