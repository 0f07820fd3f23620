// SPDX-License-Identifier: Apache-2.0
#include "broker/config/language/parser.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "broker/config/language/lexer.h"
#include "broker/config/language/text.h"
#include "proto/base/status.h"

namespace millrace::config {
namespace {

// A variable whose name starts so is a bcrypt hash that nobody quoted: "$2a$10$...".
constexpr std::string_view kBcryptStart = "2a$";
constexpr char kEnvironmentKey[] = "pk";

template <typename... Args>
absl::Status Error(const absl::FormatSpec<Args...>& format, const Args&... args) {
  return absl::InvalidArgumentError(absl::StrFormat(format, args...));
}

struct Shared {
  Document document;
  absl::flat_hash_set<std::string> open_variables;  // being looked up in the environment
  size_t values = 0;
  int include_depth = 0;
};

size_t CountValues(const Value& value) {
  size_t count = 1;
  if (const Map* map = value.AsMap()) {
    for (const auto& [key, child] : *map) count += CountValues(child);
  } else if (const Array* array = value.AsArray()) {
    for (const Value& child : *array) count += CountValues(child);
  }
  return count;
}

// Values out of the environment stand where the variable is used.
void MoveTo(const Position& at, Value* value) {
  value->at = at;
  if (Map* map = std::get_if<Map>(&value->data)) {
    for (auto& [key, child] : *map) MoveTo(at, &child);
  } else if (Array* array = std::get_if<Array>(&value->data)) {
    for (Value& child : *array) MoveTo(at, &child);
  }
}

std::string DirectoryOf(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

std::string Join(const std::string& directory, const std::string& path) {
  return std::filesystem::path(directory + "/" + path).lexically_normal().string();
}

// "12", "-5k", "8MB". An unknown suffix ("1kk") sets nothing: not an error to the peer either.
absl::StatusOr<std::optional<int64_t>> ReadInteger(const std::string& text) {
  size_t digits = 0;
  while (digits < text.size() &&
         (text[digits] == '-' || (text[digits] >= '0' && text[digits] <= '9'))) {
    ++digits;
  }
  int64_t number = 0;
  const auto result = std::from_chars(text.data(), text.data() + digits, number);
  if (result.ec == std::errc::result_out_of_range) {
    return Error("integer '%s' is out of the range", text);
  }
  if (result.ec != std::errc() || result.ptr != text.data() + digits) {
    return Error("expected integer, but got '%s'", text);
  }
  const std::string suffix = Lower(text.substr(digits));
  if (suffix.empty()) return std::optional<int64_t>(number);
  const size_t power = std::string_view("kmgtpe").find(suffix[0]) + 1;
  const std::string_view rest = std::string_view(suffix).substr(1);
  uint64_t unit = 0;
  if (rest.empty()) unit = 1000;
  if (rest == "b" || rest == "i" || rest == "ib") unit = 1024;
  if (unit == 0) return std::optional<int64_t>();
  uint64_t product = static_cast<uint64_t>(number);
  for (size_t i = 0; i < power; ++i) product *= unit;  // wraps, as the peer's does
  return std::optional<int64_t>(static_cast<int64_t>(product));
}

bool IsDatetime(std::string_view text) {  // the lexer has checked the shape
  const auto number = [&](size_t at, size_t length) {
    int value = 0;
    std::from_chars(text.data() + at, text.data() + at + length, value);
    return value;
  };
  const int year = number(0, 4);
  const int month = number(5, 2);
  const int day = number(8, 2);
  static constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  if (month < 1 || month > 12 || day < 1) return false;
  const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  const int days = kDays[month - 1] + (month == 2 && leap ? 1 : 0);
  return day <= days && number(11, 2) < 24 && number(14, 2) < 60 && number(17, 2) < 60;
}

// One file, or the text of one environment variable.
class Parser {
 public:
  Parser(Shared& shared, std::string path)
      : shared_(shared), path_(std::move(path)) {
    shared_.document.files.push_back(path_);
    file_ = static_cast<uint32_t>(shared_.document.files.size() - 1);
    open_.emplace_back();
  }

  absl::StatusOr<Map> Parse(std::string_view text);

 private:
  struct Key {
    std::string name;
    Position at;
  };
  struct Open {  // a map or an array not closed yet
    bool is_array = false;
    Map map;
    Array array;
  };

  absl::Status Take(const Item& item);
  absl::Status TakeVariable(const Item& item);
  absl::Status TakeInclude(const Item& item);
  absl::Status Set(const Item& item, decltype(Value::data) data);
  absl::Status SetValue(Value value);
  absl::StatusOr<std::optional<Value>> FromEnvironment(const std::string& name);

  Shared& shared_;
  const std::string path_;
  uint32_t file_ = 0;
  uint32_t order_ = 0;
  std::vector<Open> open_;
  // Keys that wait for a value. More than one may: "a { b: }" leaves `a` waiting, as in the peer.
  std::vector<Key> keys_;
};

absl::StatusOr<Map> ParseFileInto(Shared& shared, const std::string& path) {
  MR_ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(path));
  return Parser(shared, path).Parse(text);
}

absl::StatusOr<Map> Parser::Parse(std::string_view text) {
  const std::vector<Item> items = Lex(text);
  const Item* previous = nullptr;
  for (const Item& item : items) {
    if (item.kind == ItemKind::kEnd) {
      // A last lone brace is let pass, for files that are JSON.
      if (previous != nullptr && previous->kind == ItemKind::kKey && previous->text != "}") {
        return Error("config is invalid (%s:%d:%d)", path_, item.line, item.column);
      }
      break;
    }
    previous = &item;
    MR_RETURN_IF_ERROR(Take(item));
  }
  return std::move(open_.front().map);
}

absl::Status Parser::Take(const Item& item) {
  const Position at{file_, item.line, item.column};
  switch (item.kind) {
    case ItemKind::kError:
      return Error("Parse error on line %d: '%s'", item.line, item.text);
    case ItemKind::kEnd: return absl::OkStatus();
    case ItemKind::kKey: keys_.push_back({item.text, at}); return absl::OkStatus();
    case ItemKind::kString: return Set(item, item.text);
    case ItemKind::kBool: {
      const std::string word = Lower(item.text);
      return Set(item, word == "true" || word == "yes" || word == "on");
    }
    case ItemKind::kInteger: {
      MR_ASSIGN_OR_RETURN(const std::optional<int64_t> number, ReadInteger(item.text));
      return number.has_value() ? Set(item, *number) : absl::OkStatus();
    }
    case ItemKind::kFloat: {
      double number = 0;
      const char* end = item.text.data() + item.text.size();
      if (std::from_chars(item.text.data(), end, number).ec != std::errc()) {
        return Error("float '%s' is out of the range", item.text);
      }
      return Set(item, number);
    }
    case ItemKind::kDatetime:
      if (!IsDatetime(item.text)) {
        return Error("expected Zulu formatted DateTime, but got '%s'", item.text);
      }
      return Set(item, Datetime{item.text});
    case ItemKind::kArrayStart:
    case ItemKind::kMapStart:
      open_.emplace_back();
      open_.back().is_array = item.kind == ItemKind::kArrayStart;
      return absl::OkStatus();
    case ItemKind::kArrayEnd:
    case ItemKind::kMapEnd: {
      Open closed = std::move(open_.back());
      open_.pop_back();
      if (closed.is_array) return Set(item, std::move(closed.array));
      return Set(item, std::move(closed.map));
    }
    case ItemKind::kVariable: return TakeVariable(item);
    case ItemKind::kInclude: return TakeInclude(item);
  }
  return absl::OkStatus();
}

absl::Status Parser::Set(const Item& item, decltype(Value::data) data) {
  Value value;
  value.data = std::move(data);
  value.at = {file_, item.line, item.column};
  return SetValue(std::move(value));
}

absl::Status Parser::SetValue(Value value) {
  if (++shared_.values > kValuesMax) {
    return Error("the configuration has more than %d values", kValuesMax);
  }
  if (open_.back().is_array) {
    open_.back().array.push_back(std::move(value));
    return absl::OkStatus();
  }
  if (keys_.empty()) return Error("a value without a key on line %d", value.at.line);
  Key key = std::move(keys_.back());
  keys_.pop_back();
  value.at = key.at;
  value.order = ++order_;
  open_.back().map.insert_or_assign(std::move(key.name), std::move(value));
  return absl::OkStatus();
}

absl::Status Parser::TakeVariable(const Item& item) {
  if (item.text.starts_with(kBcryptStart)) return Set(item, "$" + item.text);
  for (auto open = open_.rbegin(); open != open_.rend(); ++open) {
    const auto found = open->map.find(item.text);  // empty for arrays
    if (found == open->map.end()) continue;
    found->second.used_as_variable = true;
    Value copy = found->second;
    copy.used_as_variable = false;
    copy.at = {file_, item.line, item.column};
    shared_.values += CountValues(copy);
    return SetValue(std::move(copy));
  }
  absl::StatusOr<std::optional<Value>> value = FromEnvironment(item.text);
  if (!value.ok()) {
    return Error("variable reference for '%s' on line %d could not be parsed: %s", item.text,
                 item.line, Message(value.status()));
  }
  if (!value->has_value()) {
    return Error("variable reference for '%s' on line %d can not be found", item.text, item.line);
  }
  MoveTo({file_, item.line, item.column}, &**value);
  return SetValue(std::move(**value));
}

absl::StatusOr<std::optional<Value>> Parser::FromEnvironment(const std::string& name) {
  if (!shared_.open_variables.insert(name).second) {
    return Error("variable reference cycle for '%s'", name);
  }
  std::optional<Value> result;
  absl::Status status;
  if (const char* text = std::getenv(name.c_str())) {
    absl::StatusOr<Map> map = Parser(shared_, "")
                                  .Parse(std::string(kEnvironmentKey) + "=" + text);
    if (!map.ok()) {
      status = map.status();
    } else if (const auto found = map->find(kEnvironmentKey); found != map->end()) {
      result = std::move(found->second);
      result->used_as_variable = false;
    }
  }
  shared_.open_variables.erase(name);
  if (!status.ok()) return status;
  return result;
}

absl::Status Parser::TakeInclude(const Item& item) {
  const auto wrap = [&](std::string_view why) {
    return Error("error parsing include file '%s', %s", item.text, why);
  };
  if (shared_.include_depth >= kIncludeDepthMax) {
    return wrap("includes are nested too deep, is there a cycle?");
  }
  ++shared_.include_depth;
  absl::StatusOr<Map> map = ParseFileInto(shared_, Join(DirectoryOf(path_), item.text));
  --shared_.include_depth;
  if (!map.ok()) return wrap(Message(map.status()));
  for (const auto* entry : InFileOrder(*map)) {
    keys_.push_back({entry->first, entry->second.at});
    MR_RETURN_IF_ERROR(SetValue(entry->second));
  }
  return absl::OkStatus();
}

}  // namespace

std::string ErrnoText(int error) {
  std::array<char, 128> buffer;
  std::string text = ::strerror_r(error, buffer.data(), buffer.size());
  if (!text.empty()) text[0] = Lower(text.substr(0, 1))[0];
  return text;
}

absl::StatusOr<std::string> ReadWholeFile(const std::string& path) {
  const auto fail = [&path](const char* verb) {
    return Error("%s %s: %s", verb, path, ErrnoText(errno));
  };
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fail("open");
  std::string text;
  std::array<char, 65536> chunk;
  for (;;) {
    const ssize_t bytes = ::read(fd, chunk.data(), chunk.size());
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes < 0) {
      const absl::Status status = fail("read");
      ::close(fd);
      return status;
    }
    if (bytes == 0) break;
    text.append(chunk.data(), static_cast<size_t>(bytes));
    if (text.size() > kFileBytesMax) {
      ::close(fd);
      return Error("read %s: more than %d bytes", path, kFileBytesMax);
    }
  }
  ::close(fd);
  return text;
}

absl::StatusOr<Document> ParseFile(const std::string& path) {
  Shared shared;
  MR_ASSIGN_OR_RETURN(Map root, ParseFileInto(shared, path));
  shared.document.root = std::move(root);
  shared.document.digest = Digest(shared.document.root);
  return std::move(shared.document);
}

absl::StatusOr<Document> ParseText(std::string_view text) {
  Shared shared;
  MR_ASSIGN_OR_RETURN(Map root, Parser(shared, "").Parse(text));
  shared.document.root = std::move(root);
  shared.document.digest = Digest(shared.document.root);
  return std::move(shared.document);
}

}  // namespace millrace::config
