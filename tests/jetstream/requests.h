// SPDX-License-Identifier: Apache-2.0
// What tests of streams ask again and again.
// Owner:  caller (the test).
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "tests/jetstream/engine_harness.h"

namespace millrace {

inline std::string CreateStream(EngineHarness& js, const std::string& name, const std::string& more) {
  return js.Request("$JS.API.STREAM.CREATE." + name, "{\"name\":\"" + name + "\"" + more + "}");
}

inline std::string Headers(std::initializer_list<std::pair<std::string_view, std::string_view>> fields) {
  std::string block = "NATS/1.0\r\n";
  for (const auto& [key, value] : fields) block += std::string(key) + ": " + std::string(value) + "\r\n";
  return block + "\r\n";
}

inline const StreamLogState& StateOf(EngineHarness& js, std::string_view stream) {
  return js.FindStream(stream)->log().state();
}

struct Kept {
  std::string subject;
  std::string header;
  std::string body;
  bool operator==(const Kept&) const = default;
};

// The message with this sequence; empty when there is none.
inline Kept At(EngineHarness& js, std::string_view stream, uint64_t seq) {
  StoredMessage message;
  if (js.FindStream(stream)->log().Load(seq, &message) != LoadStatus::kFound) return {};
  return Kept{std::string(message.subject), std::string(message.header()), std::string(message.body())};
}

}  // namespace millrace
