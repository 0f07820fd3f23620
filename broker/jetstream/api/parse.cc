// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/api/parse.h"

#include <algorithm>
#include <charconv>
#include <concepts>

#include "absl/strings/escaping.h"
#include "absl/strings/str_format.h"
#include "broker/jetstream/api/client_fields.h"
#include "broker/jetstream/api/enums.h"
#include "broker/jetstream/api/request_fields.h"
#include "broker/json/reader.h"

namespace millrace {
namespace {

enum class UnknownFields : uint8_t { kNote, kRefuse };

template <typename T>
std::string GoTypeName() {
  return absl::StrFormat("server.%s", GoStruct<T>::kName);
}

// Reads values of one document into members. A value of the wrong type saves an error and is skipped, as in Go.
class Reader {
 public:
  Reader(JsonCursor* cursor, UnknownFields unknown) : c_(*cursor), unknown_(unknown) {}

  template <typename T>
  void Struct(T* out) {
    if (c_.Peek() == JsonKind::kNull) return c_.Skip();
    if (c_.Peek() != JsonKind::kObject) return c_.Mismatch(GoTypeName<T>());
    for (bool more = c_.Enter(); more; more = c_.Next()) {
      const std::string key = c_.ReadKey();
      const JsonCursor::Context context = c_.context();
      Member<T> member(this, key);
      member.Find(out);
      if (!member.found()) {
        c_.UnknownField(key, unknown_ == UnknownFields::kRefuse);
        c_.Skip();
      }
      if (!c_.failed()) c_.Restore(context);
    }
  }

  template <std::integral N>
  void Number(N* out, std::string_view go_type) {
    if (c_.Peek() == JsonKind::kNull) return c_.Skip();
    if (c_.Peek() != JsonKind::kNumber) return c_.Mismatch(go_type);
    const std::string_view raw = c_.Raw();
    N value = 0;
    const auto [end, error] = std::from_chars(raw.data(), raw.data() + raw.size(), value);
    if (error == std::errc() && end == raw.data() + raw.size()) {
      *out = value;
    } else {
      c_.SaveTypeError(absl::StrFormat("number %s", raw), go_type);
    }
  }

  void Bool(bool* out) {
    if (c_.Peek() == JsonKind::kNull) return c_.Skip();
    if (c_.Peek() != JsonKind::kBool) return c_.Mismatch("bool");
    *out = c_.Raw() == "true";
  }

  void String(std::string* out) {
    if (c_.Peek() == JsonKind::kNull) return c_.Skip();
    if (c_.Peek() != JsonKind::kString) return c_.Mismatch("string");
    *out = c_.ReadString();
  }

  void Bytes(std::string* out) {
    std::string text;
    if (c_.Peek() == JsonKind::kNull) return out->clear(), c_.Skip();
    if (c_.Peek() != JsonKind::kString) return c_.Mismatch("[]uint8");
    if (text = c_.ReadString(); !absl::Base64Unescape(text, out)) c_.SaveError("illegal base64 data at input byte 0");
  }

  // read(T*) reads one element.
  template <typename T, typename Read>
  void Array(std::vector<T>* out, std::string_view go_type, Read read) {
    if (c_.Peek() == JsonKind::kNull) return out->clear(), c_.Skip();
    if (c_.Peek() != JsonKind::kArray) return c_.Mismatch(go_type);
    out->clear();
    for (bool more = c_.Enter(); more; more = c_.Next()) read(&out->emplace_back());
  }

  template <typename T, typename Read>
  void Map(std::map<std::string, T>* out, std::string_view go_type, Read read) {
    if (c_.Peek() == JsonKind::kNull) return out->clear(), c_.Skip();
    if (c_.Peek() != JsonKind::kObject) return c_.Mismatch(go_type);
    for (bool more = c_.Enter(); more; more = c_.Next()) {
      const std::string key = c_.ReadKey();
      T value{};
      read(&value);
      (*out)[key] = std::move(value);
    }
  }

  // std::optional or Boxed.
  template <typename O>
  void Optional(O* out) {
    if (c_.Peek() == JsonKind::kNull) return out->reset(), c_.Skip();
    if (!out->has_value()) out->emplace();
    Struct(&**out);
  }

  // The types with a reader of their own: an error of theirs ends it all.
  void Time(int64_t* out) {
    const std::string_view raw = c_.Raw();
    if (raw == "null") return;
    if (raw[0] != '"') return c_.Fail("Time.UnmarshalJSON: input is not a JSON string");
    std::string error;
    const std::optional<int64_t> time_ns = ParseGoTime(raw.substr(1, raw.size() - 2), &error);
    if (!time_ns) return c_.Fail(std::move(error));
    *out = *time_ns;
  }

  void OptTime(std::optional<int64_t>* out) {
    if (c_.Peek() == JsonKind::kNull) return out->reset(), c_.Skip();
    int64_t time_ns = 0;
    Time(&time_ns);
    *out = time_ns;
  }

  template <typename E>
  void Enum(E* out) {
    std::string_view raw = c_.Raw();
    std::string lower;
    if constexpr (std::is_same_v<E, Discard>) {  // the one that takes any case
      lower = raw;
      std::transform(lower.begin(), lower.end(), lower.begin(),
                     [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    }
    constexpr auto& kTexts = EnumTexts<E>::kTexts;
    const auto* text = std::find(std::begin(kTexts), std::end(kTexts), lower.empty() ? raw : lower);
    if (text != std::end(kTexts)) {
      *out = static_cast<E>(text - std::begin(kTexts));
    } else if (!EnumAlias<E>().empty() && raw == EnumAlias<E>()) {
      *out = E{};
    } else {
      c_.Fail(UnknownEnumError<E>(raw));
    }
  }

  // The peer reads this one as a string first.
  void Enum(Compression* out) {
    constexpr std::string_view kUnknown = "unknown compression algorithm";
    switch (c_.Peek()) {
      case JsonKind::kNull:
        return c_.Fail(std::string(kUnknown));
      case JsonKind::kString:
        break;
      case JsonKind::kBool:
        return c_.Fail(c_.TypeError("bool", "string"));
      case JsonKind::kNumber:
        return c_.Fail(c_.TypeError("number", "string"));
      case JsonKind::kArray:
        return c_.Fail(c_.TypeError("array", "string"));
      case JsonKind::kObject:
        return c_.Fail(c_.TypeError("object", "string"));
    }
    const std::string text = c_.ReadString();
    if (text != "none" && text != "s2") return c_.Fail(std::string(kUnknown));
    *out = text == "s2" ? Compression::kS2 : Compression::kNone;
  }

 private:
  // Finds the member of struct T that a key names, the exact name first, and reads the value into it.
  template <typename T>
  class Member {
   public:
    Member(Reader* reader, std::string_view key) : reader_(*reader), key_(key) {}

    void Find(T* out) {
      GoStruct<T>::Fields(*this, *out);
      if (found_) return;
      fold_ = true;
      GoStruct<T>::Fields(*this, *out);
    }
    bool found() const { return found_; }

    void String(std::string_view name, std::string& value, Omit = {}) {
      if (Is(name)) reader_.String(&value);
    }
    void Bytes(std::string_view name, std::string& value, Omit = {}) {
      if (Is(name)) reader_.Bytes(&value);
    }
    void Bool(std::string_view name, bool& value, Omit = {}) {
      if (Is(name)) reader_.Bool(&value);
    }
    template <typename N>
    void Int(std::string_view name, N& value, Omit = {}) {
      if (Is(name)) reader_.Number(&value, "int");
    }
    void Int64(std::string_view name, int64_t& value, Omit = {}) {
      if (Is(name)) reader_.Number(&value, "int64");
    }
    void Int32(std::string_view name, int32_t& value, Omit = {}) {
      if (Is(name)) reader_.Number(&value, "int32");
    }
    void Uint64(std::string_view name, uint64_t& value, Omit = {}) {
      if (Is(name)) reader_.Number(&value, "uint64");
    }
    void Duration(std::string_view name, int64_t& value, Omit = {}) {
      if (Is(name)) reader_.Number(&value, "time.Duration");
    }
    void Time(std::string_view name, int64_t& value) {
      if (Is(name)) reader_.Time(&value);
    }
    void ServerTime(std::string_view name, int64_t& value) { Time(name, value); }
    void OptTime(std::string_view name, std::optional<int64_t>& value) {
      if (Is(name)) reader_.OptTime(&value);
    }
    template <typename E>
    void Enum(std::string_view name, E& value, Omit = {}) {
      if (Is(name)) reader_.Enum(&value);
    }
    template <typename S>
    void Struct(std::string_view name, S& value) {
      if (Is(name)) reader_.Struct(&value);
    }
    template <typename O>
    void OptStruct(std::string_view name, O& value) {
      if (Is(name)) reader_.Optional(&value);
    }
    template <typename S>
    void Structs(std::string_view name, std::vector<S>& value, Omit = {}) {
      if (Is(name)) reader_.Array(&value, "[]" + GoTypeName<S>(), [this](S* one) { reader_.Struct(one); });
    }
    template <typename S>
    void PointerStructs(std::string_view name, std::vector<S>& value, Omit = {}) {
      if (Is(name)) reader_.Array(&value, "[]*" + GoTypeName<S>(), [this](S* one) { reader_.Struct(one); });
    }
    void Strings(std::string_view name, std::vector<std::string>& value, Omit = {}) {
      if (Is(name)) reader_.Array(&value, "[]string", [this](std::string* one) { reader_.String(one); });
    }
    void Uints(std::string_view name, std::vector<uint64_t>& value, Omit = {}) {
      if (Is(name)) reader_.Array(&value, "[]uint64", [this](uint64_t* one) { reader_.Number(one, "uint64"); });
    }
    void Durations(std::string_view name, std::vector<int64_t>& value, Omit = {}) {
      if (!Is(name)) return;
      reader_.Array(&value, "[]time.Duration", [this](int64_t* one) { reader_.Number(one, "time.Duration"); });
    }
    void StringMap(std::string_view name, std::map<std::string, std::string>& value, Omit = {}) {
      if (Is(name)) reader_.Map(&value, "map[string]string", [this](std::string* one) { reader_.String(one); });
    }
    void Json(std::string_view, std::string&) {}  // written only
    void CountMap(std::string_view name, std::map<std::string, uint64_t>& value, Omit = {}) {
      if (!Is(name)) return;
      reader_.Map(&value, "map[string]uint64", [this](uint64_t* one) { reader_.Number(one, "uint64"); });
    }
    template <typename S>
    void StructMap(std::string_view name, std::map<std::string, S>& value, Omit = {}) {
      if (!Is(name)) return;
      reader_.Map(&value, "map[string]" + GoTypeName<S>(), [this](S* one) { reader_.Struct(one); });
    }
    template <typename S>
    void Embed(std::string_view name, S& value) {
      embedded_ = name;
      GoStruct<S>::Fields(*this, value);
      embedded_ = {};
    }

   private:
    bool Is(std::string_view name) {
      if (found_ || !(fold_ ? JsonKeyMatches(key_, name) : key_ == name)) return false;
      found_ = true;
      reader_.c_.Push(GoStruct<T>::kName, embedded_, name);
      return true;
    }

    Reader& reader_;
    std::string_view key_;
    std::string_view embedded_;
    bool fold_ = false;
    bool found_ = false;
  };

  JsonCursor& c_;
  const UnknownFields unknown_;
};

// One value at `at`. Returns the error, and adds to unknown_fields if it is not null.
template <typename T>
std::string ReadValue(std::string_view text, size_t at, UnknownFields unknown, T* out,
                      std::vector<std::string>* unknown_fields) {
  JsonCursor cursor(text, at);
  Reader(&cursor, unknown).Struct(out);
  if (unknown_fields != nullptr) {
    for (std::string& field : cursor.unknown_fields()) unknown_fields->push_back(std::move(field));
  }
  return cursor.error();
}

// All values of the text one after the other into the same struct, as the peer's loop around its decoder does.
template <typename T>
std::string ReadStream(std::string_view text, T* out, std::vector<std::string>* unknown_fields) {
  size_t at = 0;
  while (true) {
    const JsonScan scan = ScanJson(text, at);
    switch (scan.kind) {
      case JsonScan::Kind::kBlank:
        return "";
      case JsonScan::Kind::kTruncated:
        return "unexpected EOF";
      case JsonScan::Kind::kSyntaxError:
        return absl::StrFormat("%s at offset %d", scan.error, scan.end);
      case JsonScan::Kind::kValue:
        break;
    }
    if (std::string error = ReadValue(text, scan.begin, UnknownFields::kRefuse, out, unknown_fields); !error.empty())
      return error;
    at = scan.end;
  }
}

}  // namespace

template <typename T>
std::string ParseJson(std::string_view text, T* out) {
  const JsonScan scan = ScanJson(text, 0);
  if (scan.kind == JsonScan::Kind::kSyntaxError) return scan.error;
  if (scan.kind == JsonScan::Kind::kTruncated) {
    // The peer feeds a blank at the end, which a word, an escape or a number that has just begun does not take.
    const JsonScan with_blank = ScanJson(std::string(text) + ' ', 0);
    if (with_blank.kind == JsonScan::Kind::kSyntaxError) return with_blank.error;
  }
  if (scan.kind != JsonScan::Kind::kValue) return "unexpected end of JSON input";
  if (std::string error = CheckNothingFollows(text, scan.end); !error.empty()) return error;
  return ReadValue(text, scan.begin, UnknownFields::kNote, out, nullptr);
}

template <typename Request>
ParseReport ParseRequest(std::string_view text, JsonMode mode, Request* out) {
  ParseReport report;
  report.error = ReadStream(text, out, &report.unknown_fields);
  if (!report.error.empty() && mode == JsonMode::kLenient) {
    report.warning = report.error;
    report.error = ParseJson(text, out);
  }
  return report;
}

#define MR_PARSE_REQUEST(type) \
  template ParseReport ParseRequest(std::string_view, JsonMode, type*); \
  template std::string ParseJson(std::string_view, type*);
MR_PARSE_REQUEST(StreamConfigRequest)
MR_PARSE_REQUEST(StreamNamesRequest)
MR_PARSE_REQUEST(StreamListRequest)
MR_PARSE_REQUEST(StreamInfoRequest)
MR_PARSE_REQUEST(StreamPurgeRequest)
MR_PARSE_REQUEST(MessageGetRequest)
MR_PARSE_REQUEST(MessageDeleteRequest)
MR_PARSE_REQUEST(StreamSnapshotRequest)
MR_PARSE_REQUEST(StreamRestoreRequest)
MR_PARSE_REQUEST(ConsumerCreateRequest)
MR_PARSE_REQUEST(ConsumerListRequest)
MR_PARSE_REQUEST(ConsumerNextRequest)
MR_PARSE_REQUEST(ConsumerPauseRequest)
MR_PARSE_REQUEST(ConsumerUnpinRequest)
MR_PARSE_REQUEST(ConsumerResetRequest)
MR_PARSE_REQUEST(LeaderStepdownRequest)
MR_PARSE_REQUEST(PeerRequest)
MR_PARSE_REQUEST(MetaServerRequest)
MR_PARSE_REQUEST(MetaRescueRequest)
MR_PARSE_REQUEST(StreamMoveRequest)
#undef MR_PARSE_REQUEST
template std::string ParseJson(std::string_view, StreamConfig*);
template std::string ParseJson(std::string_view, ConsumerConfig*);
template std::string ParseJson(std::string_view, StreamSource*);
template std::string ParseJson(std::string_view, StreamState*);
template std::string ParseJson(std::string_view, StreamInfo*);
template std::string ParseJson(std::string_view, ConsumerInfo*);
template std::string ParseJson(std::string_view, AccountInfo*);
template std::string ParseJson(std::string_view, PubAck*);
template std::string ParseJson(std::string_view, ApiMessage*);
template std::string ParseJson(std::string_view, ApiError*);
template std::string ParseJson(std::string_view, NakOptions*);
template std::string ParseJson(std::string_view, AdvisoryClient*);

bool IsJsonObjectOrArray(std::string_view body) {
  const size_t first = body.find_first_not_of(" \t\n\r");
  return first != std::string_view::npos && (body[first] == '{' || body[first] == '[');
}

bool IsEmptyRequest(std::string_view body) {
  if (body.empty()) return true;
  const JsonScan scan = ScanJson(body, 0);
  if (scan.kind != JsonScan::Kind::kValue || !CheckNothingFollows(body, scan.end).empty()) return false;
  JsonCursor cursor(body, scan.begin);
  return cursor.Peek() == JsonKind::kObject && !cursor.Enter();
}

namespace {

// Blanks as bytes.TrimSpace takes them (of ASCII).
std::string_view TrimSpace(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\n\v\f\r";
  const size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

}  // namespace

std::string ParseNextRequest(std::string_view body, ConsumerNextRequest* out) {
  body = TrimSpace(body);
  out->batch = 1;
  if (body.empty()) return "";
  if (body[0] == '{') {
    out->batch = 0;
    out->has_priority_group = true;
    std::string error = ParseJson(body, out);
    if (!error.empty()) return error;
    const auto twice = static_cast<int64_t>(static_cast<uint64_t>(out->idle_heartbeat_ns) * 2);  // may wrap, as there
    if (out->idle_heartbeat_ns > 0 && twice > out->expires_ns) return "heartbeat value too large";
    return "";
  }
  if (body[0] == '+') body.remove_prefix(1);  // strconv.Atoi takes it; a second sign fails below
  int64_t batch = 0;
  const auto [end, error] = std::from_chars(body.data(), body.data() + body.size(), batch);
  if (error == std::errc() && end == body.data() + body.size()) out->batch = batch;
  return "";
}

std::string ParseNakDelay(std::string_view text, int64_t* delay_ns) {
  text = TrimSpace(text);
  if (!text.empty() && text[0] == '{') {
    NakOptions options;
    std::string error = ParseJson(text, &options);
    *delay_ns = options.delay_ns;
    return error;
  }
  std::string error;
  if (const std::optional<int64_t> delay = ParseGoDuration(text, &error)) *delay_ns = *delay;
  return error;
}

}  // namespace millrace
