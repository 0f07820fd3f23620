// SPDX-License-Identifier: Apache-2.0
// ClientObject: a client as the server tells others of it: in its events, and with requests in `Nats-Request-Info`.
// Owner:  caller (pure); the views are valid during the call.
// Format: the members of the peer's ClientInfo that a client of this server can have, in its order; what is empty or 0
//         is left out.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "broker/json/writer.h"

namespace millrace {

struct ClientObject {
  int64_t start_ns = 0;
  std::string_view host = {};
  uint64_t id = 0;
  std::string_view account = {};
  std::string_view service = {};  // the account that has passed its request on
  std::string_view user = {};
  std::string_view name = {};
  std::string_view lang = {};
  std::string_view version = {};
  int64_t rtt_ns = 0;
  std::string_view server = {};
  int64_t stop_ns = 0;
  std::string_view name_tag = {};
  bool with_kind = true;

  void Write(JsonWriter* out) const;
};

}  // namespace millrace
