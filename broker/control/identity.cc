// SPDX-License-Identifier: Apache-2.0
#include "broker/control/identity.h"

#include <sys/random.h>

#include "broker/account/nkey.h"
#include "proto/base/check.h"

namespace millrace {
namespace {

std::string NewKey(NkeyPrefix prefix) {
  NkeyBytes key;
  MR_CHECK_OP(getrandom(key.data(), key.size(), 0), ==, static_cast<ssize_t>(key.size()));
  return EncodeNkey(prefix, key);
}

}  // namespace

std::string NewServerId() { return NewKey(NkeyPrefix::kServer); }
std::string NewExchangeKey() { return NewKey(NkeyPrefix::kCurve); }

}  // namespace millrace
