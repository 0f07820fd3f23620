// SPDX-License-Identifier: Apache-2.0
// JSON reader: the grammar, the leniency and the error texts of Go's encoding/json, of all JSON that clients send.
// Owner:  caller (pure).  Bounds: nesting of 10000, kept on the heap; time linear in the text.
// Grammar: strict RFC 8259, but bytes that are not UTF-8 and lone surrogates become U+FFFD, and a number may be of any
//         size.
// Use:    ScanJson first; JsonCursor walks what was found well formed and keeps errors of types (JetStream's API and
//         snapshots); JsonMembers does both for a flat object of which nobody sees an error's text (CONNECT, counters).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace millrace {

struct JsonScan {
  enum class Kind : uint8_t { kValue, kBlank, kSyntaxError, kTruncated };
  Kind kind = Kind::kBlank;
  size_t begin = 0;   // of the value
  size_t end = 0;     // behind the value, or behind the byte that is wrong
  std::string error;  // of kSyntaxError
};

// The value at `at` and blanks before it. A value may be followed by anything, as a stream of values is.
JsonScan ScanJson(std::string_view text, size_t at);

// What json.Unmarshal says of the bytes behind a value; empty when there are only blanks.
std::string CheckNothingFollows(std::string_view text, size_t at);

enum class JsonKind : uint8_t { kNull, kBool, kNumber, kString, kArray, kObject };

// Walks one well-formed value and keeps the first error, as Go's decoder does. A hard error (of a type's own reader)
// ends the walk at once and wins over one that was saved.
class JsonCursor {
 public:
  JsonCursor(std::string_view text, size_t at) : text_(text), at_(at) {}

  JsonKind Peek();         // of the value that comes
  std::string_view Raw();    // consumes the value
  void Skip() { Raw(); }
  std::string ReadString();  // consumes a string, unescaped as Go does it

  // for (bool more = c.Enter(); more; more = c.Next()): members of an array or object; in an object ReadKey is first.
  bool Enter();
  bool Next();
  std::string ReadKey();

  // The path for errors. Struct is the Go name of the struct whose member is read.
  struct Context {
    std::string_view struct_name;
    size_t path_size = 0;
  };
  Context context() const { return {struct_name_, path_.size()}; }
  void Push(std::string_view struct_name, std::string_view embedded, std::string_view field);
  void Restore(const Context& context);

  void SaveError(std::string error);
  void SaveTypeError(std::string_view value, std::string_view go_type) { SaveError(TypeError(value, go_type)); }
  // Of the value that comes, which is skipped.
  void Mismatch(std::string_view go_type);
  void Fail(std::string error);  // hard
  std::string TypeError(std::string_view value, std::string_view go_type) const;

  bool failed() const { return failed_; }
  const std::string& error() const { return error_; }

  // Unknown fields: an error that is saved, or only noted.
  void UnknownField(const std::string& key, bool refuse);
  std::vector<std::string>& unknown_fields() { return unknown_fields_; }

 private:
  void SkipBlanks();

  std::string_view text_;
  size_t at_;
  std::string_view struct_name_;
  std::vector<std::string_view> path_;
  bool failed_ = false;
  std::string error_;
  std::vector<std::string> unknown_fields_;
};

struct JsonValue {
  JsonKind kind = JsonKind::kNull;
  bool boolean = false;
  std::string_view raw;  // the value's text
  std::string string;    // kString, unescaped

  // The number, if it is written as an integer that fits.
  bool AsInteger(int64_t* value) const;
};

enum class JsonStatus : uint8_t { kObject, kNull, kOther, kInvalid };

// The members of one object, in order. The whole text is checked first: of one that is not valid there are none.
//   JsonMembers members(text);
//   while (members.Next()) Use(members.key(), members.value());
// text outlives it; key and value are valid until the next Next.
class JsonMembers {
 public:
  explicit JsonMembers(std::string_view text);

  JsonStatus status() const { return status_; }
  // What Go decodes into a struct or a map: null is one without members.
  bool IsObjectOrNull() const { return status_ == JsonStatus::kObject || status_ == JsonStatus::kNull; }

  bool Next();
  const std::string& key() const { return key_; }
  const JsonValue& value() const { return value_; }

 private:
  enum class At : uint8_t { kBegin, kMember, kEnd };

  JsonCursor cursor_;
  JsonStatus status_ = JsonStatus::kInvalid;
  At at_ = At::kEnd;
  std::string key_;
  JsonValue value_;
};

// Whether Go takes the key for the field: in any case, with the two letters beyond ASCII that fold into it.
bool JsonKeyMatches(std::string_view key, std::string_view field);

}  // namespace millrace
