// SPDX-License-Identifier: Apache-2.0
// JsonReader: reads one JSON object as the peer's decoder does, for what clients send in CONNECT and INFO.
// Owner:  caller (pure).  Grammar: strict RFC 8259, but as in Go bytes that are not UTF-8 and lone surrogates become
//         U+FFFD, and a number may be of any size.  Bounds: nesting depth kJsonDepthMax; time linear in the text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace millrace {

inline constexpr int kJsonDepthMax = 1000;

struct JsonValue {
  enum class Kind : uint8_t { kNull, kBool, kNumber, kString, kArray, kObject };
  Kind kind = Kind::kNull;
  bool boolean = false;
  std::string_view raw;  // the value's text
  std::string string;    // kString, unescaped

  // The number, if it is written as an integer that fits.
  bool AsInteger(int64_t* value) const;
};

class JsonMemberVisitor {
 public:
  virtual ~JsonMemberVisitor() = default;
  virtual void OnMember(const std::string& key, const JsonValue& value) = 0;
};

enum class JsonStatus : uint8_t { kObject, kNull, kOther, kInvalid };

// Checks the whole text; for an object calls visitor->OnMember for its own members, in order (visitor may be nullptr).
// Members seen before an error have been reported.
JsonStatus ReadJsonObject(std::string_view text, JsonMemberVisitor* visitor);

}  // namespace millrace
