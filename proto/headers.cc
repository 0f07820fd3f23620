// SPDX-License-Identifier: Apache-2.0
#include "proto/headers.h"

namespace millrace {
namespace {

constexpr size_t kNone = std::string_view::npos;
constexpr std::string_view kLineEnd = "\r\n";

// Index of the line `key:` in block, or kNone. The first line is the version and never a field.
size_t FindField(std::string_view block, std::string_view key) {
  if (key.empty()) return kNone;
  for (size_t at = block.find(key); at != kNone; at = block.find(key, at + 1)) {
    const size_t colon = at + key.size();
    if (colon >= block.size()) return kNone;
    if (at >= 2 && block[at - 1] == '\n' && block[at - 2] == '\r' && block[colon] == ':') return at;
  }
  return kNone;
}

size_t LineEnd(std::string_view block, size_t at) {
  const size_t end = block.find(kLineEnd, at);
  return end == kNone ? block.size() : end;
}

void DropIfEmpty(std::string* block) {
  if (block->size() <= kHeaderLine.size() + kLineEnd.size()) block->clear();
}

// Takes out every line behind the first for which doomed(line) holds.
template <typename F>
void RemoveLines(std::string* block, F&& doomed) {
  size_t at = block->find(kLineEnd);
  if (at == kNone) return;
  at += 2;
  bool changed = false;
  while (at < block->size()) {
    const size_t end = block->find(kLineEnd, at);
    if (end == kNone || end == at) break;
    if (doomed(std::string_view(*block).substr(at, end - at))) {
      block->erase(at, end + 2 - at);
      changed = true;
    } else {
      at = end + 2;
    }
  }
  if (changed) DropIfEmpty(block);
}

void AppendValue(std::string* out, std::string_view value) {
  for (const char c : value) out->push_back(c == '\r' || c == '\n' ? ' ' : c);
}

}  // namespace

std::optional<std::string_view> FindHeader(std::string_view block, std::string_view key) {
  const size_t at = FindField(block, key);
  if (at == kNone) return std::nullopt;
  size_t value = at + key.size() + 1;
  while (value < block.size() && block[value] == ' ') ++value;
  return block.substr(value, LineEnd(block, value) - value);
}

size_t HeaderVersionBytes(std::string_view block) {
  if (!block.starts_with(kHeaderVersion)) return 0;
  const size_t end = block.find(kLineEnd);
  return end == kNone ? 0 : end + 2;
}

std::optional<HeaderStatus> FindHeaderStatus(std::string_view block) {
  const size_t version_bytes = HeaderVersionBytes(block);
  if (version_bytes == 0) return std::nullopt;
  std::string_view line =
      block.substr(kHeaderVersion.size(), version_bytes - 2 - kHeaderVersion.size());
  const size_t begin = line.find_first_not_of(' ');
  if (begin == 0 || begin == kNone) return std::nullopt;
  line.remove_prefix(begin);
  HeaderStatus status;
  size_t digits = 0;
  while (digits < line.size() && digits < 9 && line[digits] >= '0' && line[digits] <= '9') {
    status.code = status.code * 10 + (line[digits] - '0');
    ++digits;
  }
  if (digits == 0) return std::nullopt;
  status.text = line.substr(digits);
  while (!status.text.empty() && status.text.front() == ' ') status.text.remove_prefix(1);
  return status;
}

bool IsWellFormedHeader(std::string_view block) {
  size_t at = HeaderVersionBytes(block);
  if (at == 0) return false;
  const char behind_version = block[kHeaderVersion.size()];
  if (behind_version != ' ' && behind_version != '\r') return false;
  while (at < block.size()) {
    const size_t end = block.find(kLineEnd, at);
    if (end == kNone) return false;
    if (end == at) return end + 2 == block.size();
    const std::string_view line = block.substr(at, end - at);
    const size_t colon = line.find(':');
    if (colon == 0 || colon == kNone) return false;
    for (const char c : line.substr(0, colon)) {
      if (c <= ' ' || c > '~') return false;
    }
    for (const char c : line.substr(colon)) {
      if (c == '\r' || c == '\n') return false;
    }
    at = end + 2;
  }
  return false;
}

void AddHeader(std::string* block, std::string_view key, std::string_view value) {
  if (block->empty()) {
    block->append(kHeaderLine);
  } else if (block->ends_with(kLineEnd)) {
    block->resize(block->size() - kLineEnd.size());  // the empty line goes back behind the new field
  }
  block->append(key).append(": ");
  AppendValue(block, value);
  block->append(kLineEnd).append(kLineEnd);
}

void SetHeader(std::string* block, std::string_view key, std::string_view value) {
  const size_t at = FindField(*block, key);
  if (at == kNone) {
    AddHeader(block, key, value);
    return;
  }
  size_t begin = at + key.size() + 1;
  if (begin < block->size() && (*block)[begin] == ' ') ++begin;  // one blank is kept
  std::string clean;
  AppendValue(&clean, value);
  block->replace(begin, LineEnd(*block, begin) - begin, clean);
}

void RemoveHeader(std::string* block, std::string_view key) {
  RemoveLines(block, [key](std::string_view line) {
    return line.size() > key.size() && line.starts_with(key) && line[key.size()] == ':';
  });
}

void RemoveHeadersWithPrefix(std::string* block, std::string_view prefix) {
  RemoveLines(block, [prefix](std::string_view line) { return line.starts_with(prefix); });
}

void RemoveHeaderStatus(std::string* block) {
  const size_t version_bytes = HeaderVersionBytes(*block);
  if (version_bytes <= kHeaderLine.size()) return;
  block->erase(kHeaderVersion.size(), version_bytes - kHeaderLine.size());
  DropIfEmpty(block);
}

}  // namespace millrace
