// SPDX-License-Identifier: Apache-2.0
#include "broker/config/blocks/address.h"

#include "absl/strings/str_format.h"
#include "broker/config/language/text.h"

namespace millrace::config {

std::optional<Address> ReadAddress(Reading& reading, const Value& value) {
  if (value.AsInteger() != nullptr) {
    const std::optional<int> port = reading.Int(value);
    if (!port) return std::nullopt;
    return Address{"", *port};
  }
  const std::string* text = value.AsString();
  if (text == nullptr) {
    reading.Error(value, absl::StrFormat("expected port or host:port, got %s", PeerTypeName(value)));
    return std::nullopt;
  }
  const auto parts = SplitHostPort(*text);
  if (!parts) {
    reading.Error(value, "could not parse address string " + Quoted(*text));
    return std::nullopt;
  }
  const std::optional<int> port = ParseDecimal(parts->port);
  if (!port) {
    reading.Error(value, "could not parse port " + Quoted(parts->port));
    return std::nullopt;
  }
  return Address{parts->host, *port};
}

}  // namespace millrace::config
