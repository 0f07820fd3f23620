// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/archive/s2.h"

#include <nmmintrin.h>
#include <snappy-c.h>

#include <algorithm>
#include <cstring>

#include "proto/base/check.h"

namespace millrace {
namespace {

constexpr std::string_view kIdentifier("\xff\x06\x00\x00S2sTwO", 10);
constexpr std::string_view kSnappyName = "sNaPpY";
constexpr std::string_view kS2Name = "S2sTwO";
constexpr size_t kWrittenBlockBytes = 64 << 10;
constexpr size_t kBlockBytesMax = 4 << 20;  // of S2
constexpr size_t kHeadBytes = 4;
constexpr size_t kCrcBytes = 4;

enum ChunkKind : uint8_t { kCompressed = 0x00, kPlain = 0x01, kStreamIdentifier = 0xff };

uint32_t Masked(uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xa282ead8u; }

uint32_t ReadLittle(std::string_view bytes, size_t count) {
  MR_CHECK(count <= 4 && count <= bytes.size());
  uint32_t number = 0;
  for (size_t i = 0; i < count; ++i) number |= static_cast<uint32_t>(static_cast<uint8_t>(bytes[i])) << (8 * i);
  return number;
}

void AppendLittle(uint32_t number, size_t count, std::string* out) {
  for (size_t i = 0; i < count; ++i) out->push_back(static_cast<char>(number >> (8 * i)));
}

// Takes `count` bytes from the front as a number; false: there are not as many.
bool TakeNumber(std::string_view* bytes, size_t count, size_t* number) {
  if (bytes->size() < count) return false;
  *number = ReadLittle(*bytes, count);
  bytes->remove_prefix(count);
  return true;
}

// The length of a repeated copy, which has more forms than its tag.
bool TakeRepeatLength(std::string_view* bytes, size_t* length) {
  size_t more = 0;
  switch (*length) {
    case 5:
      if (!TakeNumber(bytes, 1, &more)) return false;
      *length = more + 4;
      break;
    case 6:
      if (!TakeNumber(bytes, 2, &more)) return false;
      *length = more + (1 << 8);
      break;
    case 7:
      if (!TakeNumber(bytes, 3, &more)) return false;
      *length = more + (1 << 16);
      break;
    default:
      break;
  }
  *length += 4;
  return true;
}

// One literal or copy. `begin`: where the block starts in *out.
bool TakeElement(std::string_view* bytes, size_t begin, size_t end, size_t* offset, std::string* out) {
  MR_DCHECK(!bytes->empty() && begin <= out->size() && out->size() <= end);
  const auto tag = static_cast<uint8_t>(bytes->front());
  bytes->remove_prefix(1);
  size_t length = tag >> 2;
  if ((tag & 3) == 0) {
    if (length >= 60 && !TakeNumber(bytes, length - 59, &length)) return false;
    ++length;
    if (length > bytes->size() || length > end - out->size()) return false;
    out->append(bytes->substr(0, length));
    bytes->remove_prefix(length);
    return true;
  }
  if ((tag & 3) == 1) {
    size_t low = 0;
    if (!TakeNumber(bytes, 1, &low)) return false;
    const size_t near = (static_cast<size_t>(tag & 0xe0) << 3) | low;
    length &= 7;
    if (near != 0) {
      *offset = near;
      length += 4;
    } else if (!TakeRepeatLength(bytes, &length)) {
      return false;
    }
  } else {
    ++length;
    if (!TakeNumber(bytes, (tag & 3) == 2 ? 2 : 4, offset)) return false;
  }
  const size_t have = out->size() - begin;
  if (*offset == 0 || *offset > have || length > end - out->size()) return false;
  // The copy may reach into what it makes: the bytes between repeat.
  for (size_t from = out->size() - *offset; length > 0;) {
    const size_t part = std::min(length, out->size() - from);
    const size_t to = out->size();
    MR_DCHECK(part > 0 && to + part <= end);
    out->resize(to + part);
    std::memcpy(out->data() + to, out->data() + from, part);
    from += part;
    length -= part;
  }
  return true;
}

}  // namespace

uint32_t Crc32c(std::string_view bytes) {
  uint64_t crc = 0xffffffffu;
  for (; bytes.size() >= 8; bytes.remove_prefix(8)) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data(), 8);
    crc = _mm_crc32_u64(crc, word);
  }
  for (const char c : bytes) crc = _mm_crc32_u8(static_cast<uint32_t>(crc), static_cast<uint8_t>(c));
  return ~static_cast<uint32_t>(crc);
}

bool DecodeS2Block(std::string_view block, size_t bytes_max, std::string* out) {
  uint64_t bytes = 0;
  for (int shift = 0;; shift += 7) {
    if (block.empty() || shift > 28) return false;
    const auto digit = static_cast<uint8_t>(block.front());
    block.remove_prefix(1);
    bytes |= static_cast<uint64_t>(digit & 0x7f) << shift;
    if (digit < 0x80) break;
  }
  if (bytes > bytes_max) return false;
  const size_t begin = out->size();
  const size_t end = begin + bytes;
  out->reserve(end);
  size_t offset = 0;
  while (!block.empty()) {
    if (!TakeElement(&block, begin, end, &offset, out)) return false;
  }
  return out->size() == end;
}

void S2Writer::Write(std::string_view bytes, std::string* out) {
  if (!started_) out->append(kIdentifier);
  started_ = true;
  pending_.append(bytes);
  size_t at = 0;
  for (; pending_.size() - at >= kWrittenBlockBytes; at += kWrittenBlockBytes)
    WriteBlock(std::string_view(pending_).substr(at, kWrittenBlockBytes), out);
  pending_.erase(0, at);
}

void S2Writer::Flush(std::string* out) {
  if (!pending_.empty()) WriteBlock(pending_, out);
  pending_.clear();
}

void S2Writer::WriteBlock(std::string_view block, std::string* out) {
  MR_CHECK(started_ && !block.empty() && block.size() <= kWrittenBlockBytes);
  const size_t head_at = out->size();
  out->append(kHeadBytes, '\0');
  AppendLittle(Masked(Crc32c(block)), kCrcBytes, out);
  size_t bytes = snappy_max_compressed_length(block.size());
  const size_t content_at = out->size();
  out->resize(content_at + bytes);
  const snappy_status status = snappy_compress(block.data(), block.size(), out->data() + content_at, &bytes);
  const bool compressed = status == SNAPPY_OK && bytes < block.size();
  out->resize(content_at + (compressed ? bytes : 0));
  if (!compressed) out->append(block);
  std::string head(1, static_cast<char>(compressed ? kCompressed : kPlain));
  AppendLittle(static_cast<uint32_t>(out->size() - head_at - kHeadBytes), 3, &head);
  MR_CHECK_OP(head.size(), ==, kHeadBytes);
  out->replace(head_at, kHeadBytes, head);
}

absl::Status S2Reader::Read(std::string_view bytes, std::string* out) {
  partial_.append(bytes);
  std::string_view rest = partial_;
  while (rest.size() >= kHeadBytes) {
    const auto kind = static_cast<uint8_t>(rest.front());
    const size_t length = ReadLittle(rest.substr(1), 3);
    if (!started_ && kind != kStreamIdentifier) return absl::DataLossError("s2: corrupt input");
    if (rest.size() < kHeadBytes + length) break;
    if (absl::Status status = ReadChunk(kind, rest.substr(kHeadBytes, length), out); !status.ok()) return status;
    rest.remove_prefix(kHeadBytes + length);
  }
  MR_DCHECK(rest.size() <= partial_.size());
  partial_.erase(0, partial_.size() - rest.size());
  return absl::OkStatus();
}

absl::Status S2Reader::ReadChunk(uint8_t kind, std::string_view content, std::string* out) {
  if (kind == kStreamIdentifier) {
    if (content != kS2Name && content != kSnappyName) return absl::DataLossError("s2: corrupt input");
    started_ = true;
    return absl::OkStatus();
  }
  if (kind >= 0x80) return absl::OkStatus();
  if (kind > kPlain) return absl::UnimplementedError("s2: unsupported input");
  if (content.size() < kCrcBytes) return absl::DataLossError("s2: corrupt input");
  const uint32_t crc = ReadLittle(content, kCrcBytes);
  content.remove_prefix(kCrcBytes);
  const size_t before = out->size();
  if (kind == kPlain) {
    if (content.size() > kBlockBytesMax) return absl::DataLossError("s2: corrupt input");
    out->append(content);
  } else if (!DecodeS2Block(content, kBlockBytesMax, out)) {
    return absl::DataLossError("s2: corrupt input");
  }
  if (Masked(Crc32c(std::string_view(*out).substr(before))) != crc) return absl::DataLossError("s2: crc mismatch");
  return absl::OkStatus();
}

}  // namespace millrace
