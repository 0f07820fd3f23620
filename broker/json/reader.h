// SPDX-License-Identifier: Apache-2.0
// Go JSON: the grammar and the errors of Go's encoding/json, for texts that clients see in error 10025.
// Owner:  caller (pure).  Bounds: nesting of 10000, kept on the heap; time linear in the text.
// Use:    ScanGoJson first; GoJsonCursor walks what was found well formed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace millrace {

struct GoJsonScan {
  enum class Kind : uint8_t { kValue, kBlank, kSyntaxError, kTruncated };
  Kind kind = Kind::kBlank;
  size_t begin = 0;   // of the value
  size_t end = 0;     // behind the value, or behind the byte that is wrong
  std::string error;  // of kSyntaxError
};

// The value at `at` and blanks before it. A value may be followed by anything, as a stream of values is.
GoJsonScan ScanGoJson(std::string_view text, size_t at);

// What json.Unmarshal says of the bytes behind a value; empty when there are only blanks.
std::string CheckNothingFollows(std::string_view text, size_t at);

enum class GoJsonKind : uint8_t { kNull, kBool, kNumber, kString, kArray, kObject };

// Walks one well-formed value and keeps the first error, as Go's decoder does. A hard error (of a type's own reader)
// ends the walk at once and wins over one that was saved.
class GoJsonCursor {
 public:
  GoJsonCursor(std::string_view text, size_t at) : text_(text), at_(at) {}

  GoJsonKind Peek();         // of the value that comes
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

// Keys match in any case, with the two letters beyond ASCII that fold into it.
bool GoFoldEquals(std::string_view key, std::string_view field);

}  // namespace millrace
