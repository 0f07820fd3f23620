// SPDX-License-Identifier: Apache-2.0
#include "broker/json/writer.h"

#include <charconv>

#include "broker/json/go_format.h"
#include "proto/base/check.h"

namespace millrace {

void JsonWriter::NewLine() {
  if (layout_ == JsonLayout::kCompact) return;
  out_.push_back('\n');
  out_.append(static_cast<size_t>(depth_ * (layout_ == JsonLayout::kIndent2 ? 2 : 3)), ' ');
}

void JsonWriter::BeforeValue() {
  if (after_key_) {
    after_key_ = false;
    return;
  }
  if (depth_ == 0) return;  // the document itself
  if (!empty_) out_.push_back(',');
  NewLine();
  empty_ = false;
}

void JsonWriter::Open(char bracket) {
  BeforeValue();
  out_.push_back(bracket);
  ++depth_;
  empty_ = true;
}

void JsonWriter::Close(char bracket) {
  MR_DCHECK(depth_ > 0 && !after_key_);
  --depth_;
  if (!empty_) NewLine();
  out_.push_back(bracket);
  empty_ = false;
}

void JsonWriter::Key(std::string_view name) {
  MR_DCHECK(!after_key_);
  BeforeValue();
  AppendGoJsonString(name, &out_);
  out_.push_back(':');
  if (layout_ != JsonLayout::kCompact) out_.push_back(' ');
  after_key_ = true;
}

void JsonWriter::String(std::string_view value) {
  BeforeValue();
  AppendGoJsonString(value, &out_);
}

void JsonWriter::Int(int64_t value) {
  BeforeValue();
  char text[24];
  const auto end = std::to_chars(text, text + sizeof text, value);
  out_.append(text, static_cast<size_t>(end.ptr - text));
}

void JsonWriter::Uint(uint64_t value) {
  BeforeValue();
  char text[24];
  const auto end = std::to_chars(text, text + sizeof text, value);
  out_.append(text, static_cast<size_t>(end.ptr - text));
}

void JsonWriter::Float(double value) {
  BeforeValue();
  AppendGoFloat(value, &out_);
}

void JsonWriter::Bool(bool value) {
  BeforeValue();
  out_.append(value ? "true" : "false");
}

void JsonWriter::Null() {
  BeforeValue();
  out_.append("null");
}

void JsonWriter::Time(int64_t wall_ns) {
  BeforeValue();
  out_.push_back('"');
  AppendRfc3339Nano(wall_ns, &out_);
  out_.push_back('"');
}

void JsonWriter::LocalTime(int64_t wall_ns) {
  BeforeValue();
  out_.push_back('"');
  AppendRfc3339NanoLocal(wall_ns, &out_);
  out_.push_back('"');
}

void JsonWriter::Strings(const std::vector<std::string>& values) {
  BeginArray();
  for (const std::string& value : values) String(value);
  EndArray();
}

void JsonWriter::Raw(std::string_view json) {
  if (layout_ == JsonLayout::kCompact) {
    BeforeValue();
    out_.append(json);
    return;
  }
  bool in_string = false;
  bool in_value = false;  // of a string, number or word that has begun
  for (size_t at = 0; at < json.size(); ++at) {
    const char c = json[at];
    if (in_string) {
      out_.push_back(c);
      if (c == '\\' && at + 1 < json.size()) {
        out_.push_back(json[++at]);
      } else if (c == '"') {
        in_string = false;
      }
      continue;
    }
    switch (c) {
      case '{':
      case '[':
        Open(c);
        break;
      case '}':
      case ']':
        Close(c);
        in_value = false;
        break;
      case ',':
        in_value = false;
        break;
      case ':':
        out_.append(": ");
        after_key_ = true;
        in_value = false;
        break;
      default:
        if (!in_value) BeforeValue();
        in_value = true;
        in_string = c == '"';
        out_.push_back(c);
    }
  }
}

}  // namespace millrace
