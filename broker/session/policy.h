// SPDX-License-Identifier: Apache-2.0
// Policy: everything a session needs to know of the configuration, made once per load.
// Owner:  immutable; the server keeps every version alive until it exits (reloads are rare): shards hold pointers.
#pragma once

#include "broker/config/options.h"
#include "broker/session/authenticator.h"
#include "broker/session/info.h"

namespace millrace {

struct Policy {
  explicit Policy(const Options& from) : options(from), authenticator(from) {}

  Options options;
  ServerInfo info;
  Authenticator authenticator;
};

}  // namespace millrace
