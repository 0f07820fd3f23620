// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/archive/block_file.h"

#include <cstring>

#include "broker/jetstream/archive/s2.h"
#include "proto/base/check.h"

namespace millrace {
namespace {

constexpr uint32_t kHasHeader = uint32_t{1} << 31;
constexpr uint64_t kErased = uint64_t{1} << 63;
constexpr uint64_t kTombstone = uint64_t{1} << 62;
constexpr size_t kHeadBytes = 22;
constexpr size_t kChecksumBytes = 8;
constexpr std::string_view kCompressed("cmp\x01", 4);
constexpr char kConsumerMagic = 22;
constexpr uint64_t kPendingMax = 1 << 24;

// The machine is little-endian, as the files are.
template <typename N>
N ReadAt(std::string_view bytes, size_t at) {
  MR_CHECK(at + sizeof(N) <= bytes.size());
  N number;
  std::memcpy(&number, bytes.data() + at, sizeof number);
  return number;
}

// One record from the front. False: it is damaged.
bool TakeRecord(std::string_view* file, BlockRecord* record) {
  if (file->size() < kHeadBytes + kChecksumBytes) return false;
  const auto length = ReadAt<uint32_t>(*file, 0);
  const auto seq = ReadAt<uint64_t>(*file, 4);
  const size_t bytes = length & ~kHasHeader;
  const size_t subject_bytes = ReadAt<uint16_t>(*file, 20);
  const size_t header_field = (length & kHasHeader) != 0 ? sizeof(uint32_t) : 0;
  if (bytes > file->size() || bytes < kHeadBytes + subject_bytes + header_field + kChecksumBytes) return false;
  std::string_view content = file->substr(kHeadBytes, bytes - kHeadBytes - kChecksumBytes);
  record->kind = (seq & kTombstone) != 0 ? BlockRecord::Kind::kTombstone
                 : (seq & kErased) != 0  ? BlockRecord::Kind::kErased
                                         : BlockRecord::Kind::kMessage;
  record->seq = seq & ~(kErased | kTombstone);
  record->time_ns = ReadAt<int64_t>(*file, 12);
  record->subject = content.substr(0, subject_bytes);
  content.remove_prefix(subject_bytes);
  record->header = {};
  if (header_field != 0) {
    const size_t header_bytes = ReadAt<uint32_t>(content, 0);
    content.remove_prefix(header_field);
    if (header_bytes > content.size()) return false;
    record->header = content.substr(0, header_bytes);
    content.remove_prefix(header_bytes);
  }
  record->body = content;
  MR_DCHECK(bytes > 0);  // the loop ends
  file->remove_prefix(bytes);
  return true;
}

class VarintReader {
 public:
  explicit VarintReader(std::string_view bytes) : bytes_(bytes) {}
  uint64_t Number() {
    uint64_t number = 0;
    for (int shift = 0; shift < 64 && !bytes_.empty(); shift += 7) {
      const auto digit = static_cast<uint8_t>(bytes_.front());
      bytes_.remove_prefix(1);
      number |= static_cast<uint64_t>(digit & 0x7f) << shift;
      if (digit < 0x80) return number;
    }
    ok_ = false;
    return 0;
  }
  int64_t Signed() {
    const uint64_t number = Number();
    return static_cast<int64_t>(number >> 1) ^ -static_cast<int64_t>(number & 1);
  }
  bool ok() const { return ok_; }

 private:
  std::string_view bytes_;
  bool ok_ = true;
};

}  // namespace

bool ReadBlockFile(std::string_view file, const std::function<bool(const BlockRecord&)>& visit) {
  std::string plain;
  if (file.starts_with(kCompressed)) {
    file.remove_prefix(kCompressed.size());
    while (!file.empty() && static_cast<uint8_t>(file.front()) >= 0x80) file.remove_prefix(1);
    if (file.size() < 1 + kChecksumBytes) return false;
    file.remove_prefix(1);  // the last digit of the plain length
    S2Reader s2;
    if (!s2.Read(file.substr(0, file.size() - kChecksumBytes), &plain).ok() || !s2.at_chunk_end()) return false;
    plain.append(file.substr(file.size() - kChecksumBytes));
    file = plain;
  }
  BlockRecord record;
  while (!file.empty()) {
    if (!TakeRecord(&file, &record) || !visit(record)) return false;
  }
  return true;
}

// magic, version, floor (consumer, stream), delivered (consumer, stream), number of pending, if any the base of times
// in seconds, for each the differences of sequences to the floor and of the time to the base; number of redelivered,
// for each difference and count.
bool ReadConsumerFile(std::string_view file, ConsumerSnapshot* snapshot) {
  if (file.size() < 2 || file[0] != kConsumerMagic || (file[1] != 1 && file[1] != 2)) return false;
  const bool old = file[1] == 1;
  constexpr int64_t kSecondNs = 1'000'000'000;
  VarintReader reader(file.substr(2));
  snapshot->floor_consumer = reader.Number();
  snapshot->floor_stream = reader.Number();
  snapshot->delivered_consumer = reader.Number();
  snapshot->delivered_stream = reader.Number();
  if (old) {  // the next to deliver, counted from the floor
    if (snapshot->floor_consumer > 1) snapshot->delivered_consumer += snapshot->floor_consumer - 1;
    if (snapshot->floor_stream > 1) snapshot->delivered_stream += snapshot->floor_stream - 1;
  }
  const uint64_t pending = reader.Number();
  if (pending > kPendingMax) return false;
  const int64_t base_s = pending > 0 ? reader.Signed() : 0;
  for (uint64_t i = 0; i < pending && reader.ok(); ++i) {
    ConsumerSnapshot::Pending one;
    const uint64_t seq = reader.Number() + snapshot->floor_stream;
    if (!old) one.consumer_seq = reader.Number() + snapshot->floor_consumer;
    const int64_t since_s = reader.Signed();
    const int64_t time_s = old ? base_s + since_s : base_s - since_s;
    if (seq == 0 || time_s < 0 || time_s > INT64_MAX / kSecondNs) return false;
    one.time_ns = time_s * kSecondNs;
    snapshot->pending[seq] = one;
  }
  const uint64_t redelivered = reader.Number();
  if (redelivered > kPendingMax) return false;
  for (uint64_t i = 0; i < redelivered && reader.ok(); ++i) {
    const uint64_t seq = reader.Number();
    const uint64_t count = reader.Number();
    if (seq > 0 && count > 0) snapshot->redelivered[seq + snapshot->floor_stream] = count;
  }
  return reader.ok();
}

}  // namespace millrace
