// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/archive/consumer_snapshot.h"

#include <charconv>

#include "absl/strings/str_format.h"
#include "broker/jetstream/api/parse.h"
#include "broker/jetstream/api/print.h"
#include "broker/json/reader.h"

namespace millrace {
namespace {

std::string Position(uint64_t consumer, uint64_t stream) {
  return absl::StrFormat("{\"consumer_seq\":%d,\"stream_seq\":%d}", consumer, stream);
}

template <typename N>
bool ReadNumber(std::string_view text, N* number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number);
  return error == std::errc() && end == text.data() + text.size();
}

// Calls visit(key) for each member of the object; it consumes the value. False: no object, or visit says so.
template <typename F>
bool ForEachMember(JsonCursor* cursor, F&& visit) {
  if (cursor->Peek() == JsonKind::kNull) {
    cursor->Skip();
    return true;
  }
  if (cursor->Peek() != JsonKind::kObject) return false;
  for (bool more = cursor->Enter(); more; more = cursor->Next()) {
    const std::string key = cursor->ReadKey();
    if (!visit(key)) return false;
  }
  return true;
}

bool ReadPosition(JsonCursor* cursor, uint64_t* consumer, uint64_t* stream) {
  return ForEachMember(cursor, [&](const std::string& key) {
    const std::string_view value = cursor->Raw();
    if (key == "consumer_seq") return ReadNumber(value, consumer);
    return key != "stream_seq" || ReadNumber(value, stream);
  });
}

bool ReadState(JsonCursor* cursor, ConsumerSnapshot* snapshot) {
  return ForEachMember(cursor, [&](const std::string& key) {
    if (key == "delivered") return ReadPosition(cursor, &snapshot->delivered_consumer, &snapshot->delivered_stream);
    if (key == "ack_floor") return ReadPosition(cursor, &snapshot->floor_consumer, &snapshot->floor_stream);
    if (key == "pending") {
      return ForEachMember(cursor, [&](const std::string& name) {
        uint64_t seq = 0;
        ConsumerSnapshot::Pending pending;
        const bool good = ReadNumber(name, &seq) && ForEachMember(cursor, [&](const std::string& member) {
          const std::string_view value = cursor->Raw();
          if (member == "Sequence") return ReadNumber(value, &pending.consumer_seq);
          return member != "Timestamp" || ReadNumber(value, &pending.time_ns);
        });
        if (good) snapshot->pending[seq] = pending;
        return good;
      });
    }
    if (key == "redelivered") {
      return ForEachMember(cursor, [&](const std::string& name) {
        uint64_t seq = 0;
        return ReadNumber(name, &seq) && ReadNumber(cursor->Raw(), &snapshot->redelivered[seq]);
      });
    }
    cursor->Skip();
    return true;
  });
}

}  // namespace

std::string PrintConsumerSnapshot(const ConsumerSnapshot& s) {
  std::string text = "{\"config\":" + PrintJson(s.config) + ",\"state\":{\"delivered\":" +
                     Position(s.delivered_consumer, s.delivered_stream) +
                     ",\"ack_floor\":" + Position(s.floor_consumer, s.floor_stream);
  if (!s.pending.empty()) {
    text += ",\"pending\":{";
    for (const auto& [seq, pending] : s.pending) {
      if (text.back() != '{') text += ',';
      text += absl::StrFormat("\"%d\":{\"Sequence\":%d,\"Timestamp\":%d}", seq, pending.consumer_seq, pending.time_ns);
    }
    text += '}';
  }
  if (!s.redelivered.empty()) {
    text += ",\"redelivered\":{";
    for (const auto& [seq, count] : s.redelivered) {
      if (text.back() != '{') text += ',';
      text += absl::StrFormat("\"%d\":%d", seq, count);
    }
    text += '}';
  }
  return text + "}}";
}

std::string ParseConsumerSnapshot(std::string_view json, ConsumerSnapshot* snapshot) {
  const JsonScan scan = ScanJson(json, 0);
  if (scan.kind != JsonScan::Kind::kValue) return "unexpected end of JSON input";
  JsonCursor cursor(json, scan.begin);
  bool has_config = false;
  bool has_state = false;
  std::string error;
  const bool good = ForEachMember(&cursor, [&](const std::string& key) {
    if (key == "config") {
      has_config = true;
      error = ParseJson(cursor.Raw(), &snapshot->config);
      return error.empty();
    }
    if (key == "state") {
      has_state = true;
      return ReadState(&cursor, snapshot);
    }
    cursor.Skip();
    return true;
  });
  if (!error.empty()) return error;
  if (!good) return "a value of a wrong kind";
  if (!has_config) return "is missing config";
  return has_state ? "" : "is missing state";
}

}  // namespace millrace
