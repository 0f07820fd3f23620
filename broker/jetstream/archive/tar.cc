// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/archive/tar.h"

#include <algorithm>
#include <charconv>

#include "proto/base/check.h"

namespace millrace {
namespace {

constexpr size_t kBlockBytes = 512;
constexpr uint64_t kFileBytesMax = 128 << 20;

// A field of octal digits that ends with a blank or a zero. False: something else.
bool ReadOctal(std::string_view field, uint64_t* number) {
  while (!field.empty() && field.front() == ' ') field.remove_prefix(1);
  const size_t end = std::min(field.find_first_of(std::string_view(" \0", 2)), field.size());
  const auto [at, error] = std::from_chars(field.data(), field.data() + end, *number, 8);
  return error == std::errc() && at == field.data() + end;
}

std::string_view ReadText(std::string_view field) { return field.substr(0, std::min(field.find('\0'), field.size())); }

bool ChecksumFits(std::string_view header) {
  MR_CHECK_OP(header.size(), ==, kBlockBytes);
  uint64_t expected = 0;
  if (!ReadOctal(header.substr(148, 8), &expected)) return false;
  uint64_t sum = 0;
  for (size_t i = 0; i < kBlockBytes; ++i) sum += i >= 148 && i < 156 ? ' ' : static_cast<uint8_t>(header[i]);
  return sum == expected;
}

// The path of "<length> <key>=<value>\n" records.
std::string_view FindPath(std::string_view records) {
  constexpr std::string_view kKey = " path=";
  const size_t key = records.find(kKey);
  if (key == std::string_view::npos) return {};
  const size_t begin = key + kKey.size();
  return records.substr(begin, std::min(records.find('\n', begin), records.size()) - begin);
}

}  // namespace

void TarReader::Add(std::string_view bytes) {
  MR_DCHECK(at_ <= bytes_.size());
  bytes_.erase(0, at_);
  at_ = 0;
  bytes_.append(bytes);
}

TarReader::Next TarReader::Read(TarFile* file) {
  while (true) {
    const std::string_view rest = std::string_view(bytes_).substr(at_);
    if (rest.size() < kBlockBytes) return Next::kNeedMore;
    const std::string_view header = rest.substr(0, kBlockBytes);
    if (header.find_first_not_of('\0') == std::string_view::npos) return Next::kEnd;
    uint64_t size = 0;
    if (!ChecksumFits(header) || !ReadOctal(header.substr(124, 12), &size) || size > kFileBytesMax)
      return Next::kInvalid;
    const size_t padded = (size + kBlockBytes - 1) / kBlockBytes * kBlockBytes;
    if (rest.size() < kBlockBytes + padded) return Next::kNeedMore;
    at_ += kBlockBytes + padded;
    const std::string_view content = rest.substr(kBlockBytes, size);
    const char kind = header[156];
    if (kind == 'x') {
      path_ = FindPath(content);
      continue;
    }
    if (kind == 'g') continue;
    if (kind != '0' && kind != '\0') return Next::kInvalid;
    const std::string_view prefix = ReadText(header.substr(345, 155));
    file->name = path_;
    path_.clear();
    if (file->name.empty()) {
      file->name = prefix.empty() ? "" : std::string(prefix) + "/";
      file->name += ReadText(header.substr(0, 100));
    }
    file->content = content;
    return Next::kFile;
  }
}

}  // namespace millrace
