// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/archive/archive.h"

#include "proto/base/check.h"

namespace millrace {
namespace {

constexpr uint64_t kNameBytesMax = 1 << 20;
constexpr uint64_t kEntryBytesMax = 128 << 20;  // a message, or a consumer with a million pending ones

void AppendUvarint(uint64_t number, std::string* out) {
  for (; number >= 0x80; number >>= 7) out->push_back(static_cast<char>(number | 0x80));
  out->push_back(static_cast<char>(number));
}

uint64_t ZigZag(int64_t number) { return (static_cast<uint64_t>(number) << 1) ^ static_cast<uint64_t>(number >> 63); }

// Takes numbers from the front until one is cut or none.
class NumberReader {
 public:
  explicit NumberReader(std::string_view bytes) : bytes_(bytes) {}
  uint64_t Take() {
    uint64_t number = 0;
    for (int shift = 0; shift < 70; shift += 7) {
      if (at_ == bytes_.size()) {
        cut_ = true;
        return 0;
      }
      const auto digit = static_cast<uint8_t>(bytes_[at_++]);
      if (shift == 63 && digit > 1) break;
      number |= static_cast<uint64_t>(digit & 0x7f) << shift;
      if (digit < 0x80) return number;
    }
    invalid_ = true;
    return 0;
  }
  bool cut() const { return cut_; }
  bool invalid() const { return invalid_; }
  size_t at() const { return at_; }

 private:
  std::string_view bytes_;
  size_t at_ = 0;
  bool cut_ = false;
  bool invalid_ = false;
};

}  // namespace

void AppendArchiveEntry(const ArchiveEntry& entry, std::string* out) {
  MR_DCHECK(entry.name.size() <= kNameBytesMax);  // else nobody reads it back
  AppendUvarint(entry.name.size(), out);
  AppendUvarint(ZigZag(entry.time_ns), out);
  AppendUvarint(entry.seq, out);
  AppendUvarint(entry.header.size(), out);
  AppendUvarint(entry.body.size(), out);
  out->append(entry.name).append(entry.header).append(entry.body);
}

void ArchiveReader::Add(std::string_view bytes) {
  MR_DCHECK(at_ <= bytes_.size());
  bytes_.erase(0, at_);
  at_ = 0;
  bytes_.append(bytes);
}

ArchiveReader::Next ArchiveReader::Read(ArchiveEntry* entry) {
  std::string_view rest = std::string_view(bytes_).substr(at_);
  if (!seen_magic_) {
    if (rest.size() < kArchiveMagic.size()) return Next::kNeedMore;
    if (!rest.starts_with(kArchiveMagic)) return Next::kInvalid;
    seen_magic_ = true;
    at_ += kArchiveMagic.size();
    rest.remove_prefix(kArchiveMagic.size());
  }
  NumberReader numbers(rest);
  const uint64_t name_bytes = numbers.Take();
  const uint64_t time = numbers.Take();
  const uint64_t seq = numbers.Take();
  const uint64_t header_bytes = numbers.Take();
  const uint64_t body_bytes = numbers.Take();
  if (numbers.invalid()) return Next::kInvalid;
  if (numbers.cut()) return Next::kNeedMore;
  if (name_bytes > kNameBytesMax || header_bytes > kEntryBytesMax || body_bytes > kEntryBytesMax) return Next::kInvalid;
  rest.remove_prefix(numbers.at());
  if (rest.size() < name_bytes + header_bytes + body_bytes) return Next::kNeedMore;
  entry->name = rest.substr(0, name_bytes);
  entry->time_ns = static_cast<int64_t>(time >> 1) ^ -static_cast<int64_t>(time & 1);
  entry->seq = seq;
  entry->header = rest.substr(name_bytes, header_bytes);
  entry->body = rest.substr(name_bytes + header_bytes, body_bytes);
  MR_DCHECK(at_ + numbers.at() + name_bytes + header_bytes + body_bytes <= bytes_.size());
  at_ += numbers.at() + name_bytes + header_bytes + body_bytes;
  return Next::kEntry;
}

}  // namespace millrace
