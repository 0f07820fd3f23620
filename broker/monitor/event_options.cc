// SPDX-License-Identifier: Apache-2.0
#include "broker/monitor/event_options.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "broker/json/reader.h"
#include "proto/base/check.h"

namespace millrace {
namespace {

constexpr std::string_view kFilterGoName = "EventFilterOptions";
constexpr EventOption kFilter[] = {
    {"server_name", "string", [](EventOptions* o) -> EventOptionPlace { return &o->filter.server_name; }},
    {"cluster", "string", [](EventOptions* o) -> EventOptionPlace { return &o->filter.cluster; }},
    {"host", "string", [](EventOptions* o) -> EventOptionPlace { return &o->filter.host; }},
    {"exact_match", "bool", [](EventOptions* o) -> EventOptionPlace { return &o->filter.exact_match; }},
    {"tags", "[]string", [](EventOptions* o) -> EventOptionPlace { return &o->filter.tags; }},
    {"domain", "string", [](EventOptions* o) -> EventOptionPlace { return &o->filter.domain; }},
};

absl::Status Refused(const std::string& error) { return absl::InvalidArgumentError(error); }

// Puts the value that comes into its place, or notes that it has none there. null leaves everything as it is.
class Putter {
 public:
  Putter(JsonCursor* cursor, std::string_view go_type) : cursor_(*cursor), go_type_(go_type) {}

  void operator()(bool* place) const {
    if (cursor_.Peek() != JsonKind::kBool) return cursor_.Mismatch(go_type_);
    *place = cursor_.Raw() == "true";
  }
  void operator()(std::string* place) const {
    if (cursor_.Peek() != JsonKind::kString) return cursor_.Mismatch(go_type_);
    *place = cursor_.ReadString();
  }
  void operator()(int64_t* place) const { PutNumber(place); }
  void operator()(uint64_t* place) const { PutNumber(place); }
  void operator()(std::vector<std::string>* place) const {
    if (cursor_.Peek() != JsonKind::kArray) return cursor_.Mismatch(go_type_);
    place->clear();
    for (bool more = cursor_.Enter(); more; more = cursor_.Next()) {
      std::string& text = place->emplace_back();
      if (cursor_.Peek() == JsonKind::kNull) {
        cursor_.Skip();
      } else if (cursor_.Peek() == JsonKind::kString) {
        text = cursor_.ReadString();
      } else {
        cursor_.Mismatch("string");
      }
    }
  }

 private:
  template <class Number>
  void PutNumber(Number* place) const {
    if (cursor_.Peek() != JsonKind::kNumber) return cursor_.Mismatch(go_type_);
    const std::string_view raw = cursor_.Raw();
    Number value = 0;
    const auto [end, error] = std::from_chars(raw.data(), raw.data() + raw.size(), value);
    if (error != std::errc() || end != raw.data() + raw.size()) {
      return cursor_.SaveTypeError("number " + std::string(raw), go_type_);
    }
    *place = value;
  }

  JsonCursor& cursor_;
  const std::string_view go_type_;
};

// nullptr: there is none of this name. Exactly this name goes before one that folds to it.
const EventOption* Find(std::span<const EventOption> options, std::string_view key) {
  const auto is_same = [key](const EventOption& option) { return option.name == key; };
  auto found = std::find_if(options.begin(), options.end(), is_same);
  if (found == options.end()) {
    found = std::find_if(options.begin(), options.end(),
                         [key](const EventOption& option) { return JsonKeyMatches(key, option.name); });
  }
  return found == options.end() ? nullptr : &*found;
}

bool Contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

}  // namespace

bool IsMeant(const EventFilter& filter, const EventServer& server) {
  const auto fits = [exact = filter.exact_match](std::string_view text, std::string_view wanted) {
    return wanted.empty() || (exact ? text == wanted : Contains(text, wanted));
  };
  if (!fits(server.name, filter.server_name) || !fits(server.host, filter.host) ||
      !fits(server.cluster, filter.cluster)) {
    return false;
  }
  // Those of a server are in lower case.
  const auto has = [&server](const std::string& wanted) {
    std::string tag(wanted);
    std::transform(tag.begin(), tag.end(), tag.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    return std::find(server.tags.begin(), server.tags.end(), tag) != server.tags.end();
  };
  if (!std::all_of(filter.tags.begin(), filter.tags.end(), has)) return false;
  return filter.domain.empty() || filter.domain == server.domain;
}

absl::Status ReadEventOptions(std::string_view json, const EventOptionTable& table, EventOptions* options) {
  MR_CHECK(!json.empty());
  const JsonScan scan = ScanJson(json, 0);
  if (scan.kind == JsonScan::Kind::kSyntaxError) return Refused(scan.error);
  if (scan.kind != JsonScan::Kind::kValue) return Refused("unexpected end of JSON input");
  if (const std::string error = CheckNothingFollows(json, scan.end); !error.empty()) return Refused(error);
  JsonCursor cursor(json, scan.begin);
  if (cursor.Peek() == JsonKind::kNull) return absl::OkStatus();
  if (cursor.Peek() != JsonKind::kObject) {
    cursor.Mismatch("server." + std::string(table.go_name));
    return Refused(cursor.error());
  }
  for (bool more = cursor.Enter(); more; more = cursor.Next()) {
    const std::string key = cursor.ReadKey();
    std::string_view embedded = table.page_go_name;
    const EventOption* option = Find(table.page, key);
    if (option == nullptr && table.has_filter) {
      option = Find(kFilter, key);
      embedded = table.go_name == kFilterGoName ? "" : kFilterGoName;
    }
    if (option == nullptr || cursor.Peek() == JsonKind::kNull) {
      cursor.Skip();
      continue;
    }
    const JsonCursor::Context context = cursor.context();
    cursor.Push(table.go_name, embedded, option->name);
    std::visit(Putter(&cursor, option->go_type), option->place(options));
    cursor.Restore(context);
  }
  return cursor.error().empty() ? absl::OkStatus() : Refused(cursor.error());
}

}  // namespace millrace
