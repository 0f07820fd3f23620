// SPDX-License-Identifier: Apache-2.0
// Info: the INFO line that a client gets first, and again when something changes (C-02, C-18, C-39).
// Owner:  caller (pure); ServerInfo is immutable once the listener is open.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace millrace {

struct ServerInfo {
  std::string server_id;
  std::string server_name;
  std::string git_commit;
  std::string host;
  int port = 0;
  bool headers = true;
  bool auth_required = false;
  int64_t max_payload = 0;
  bool jetstream = false;
  std::string ip;
  std::string domain;  // of JetStream
  std::string xkey;
  std::vector<std::string> connect_urls;
  bool lame_duck = false;
};

// What differs from client to client.
struct ClientInfo {
  uint64_t client_id = 0;
  std::string client_ip;
  std::string nonce;
  bool auth_required = false;
  bool connect_info = false;   // the INFO that follows the first PONG
  std::string remote_account;  // then
  bool account_is_system = false;
  int64_t max_payload = -1;    // of its account, where that is less than the server's; below 0: no limit
};

// "INFO {...} \r\n", keys in the peer's order.
std::string InfoLine(const ServerInfo& server, const ClientInfo& client);

}  // namespace millrace
