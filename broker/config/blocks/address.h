// SPDX-License-Identifier: Apache-2.0
// Address: the value of `listen` and its kind, "host:port" or a port alone.
// Owner:  caller (pure).
#pragma once

#include <optional>
#include <string>

#include "broker/config/table/reading.h"

namespace millrace::config {

struct Address {
  std::string host;  // may be empty
  int port = 0;
};

std::optional<Address> ReadAddress(Reading& reading, const Value& value);

}  // namespace millrace::config
