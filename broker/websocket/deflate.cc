// SPDX-License-Identifier: Apache-2.0
#include "broker/websocket/deflate.h"

#include <algorithm>

#include "proto/base/check.h"

namespace millrace {
namespace {

constexpr int kLevel = 1, kRawWindowBits = -15, kMemoryLevel = 8;  // negative: without zlib's own head and checksum
constexpr size_t kFlushTailBytes = 4;                              // of kDeflateTail, what Z_SYNC_FLUSH writes
constexpr uint64_t kMaxPayloadDefault = 1024 * 1024, kMaxPayloadMultiple = 8, kKeptBytesMax = 64 * 1024 * 1024;
constexpr size_t kInputBytesMax = 1u << 30;  // zlib counts in 32 bits

void SetInput(z_stream* stream, std::string_view in) {
  MR_CHECK_OP(in.size(), <=, kInputBytesMax);
  // zlib does not write through next_in; it has no const for old compilers' sake.
  stream->next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
  stream->avail_in = static_cast<uInt>(in.size());
}

}  // namespace

uint64_t CompressedBytesMax(uint64_t max_payload) {
  if (max_payload == 0) max_payload = kMaxPayloadDefault;
  return max_payload > kKeptBytesMax / kMaxPayloadMultiple ? kKeptBytesMax : max_payload * kMaxPayloadMultiple;
}

Deflater::Deflater() {
  MR_CHECK(deflateInit2(&stream_, kLevel, Z_DEFLATED, kRawWindowBits, kMemoryLevel, Z_DEFAULT_STRATEGY) == Z_OK);
}

Deflater::~Deflater() { deflateEnd(&stream_); }

void Deflater::Run(int flush, std::string* out) {
  std::array<char, 16 * 1024> slice;
  do {
    stream_.next_out = reinterpret_cast<Bytef*>(slice.data());
    stream_.avail_out = static_cast<uInt>(slice.size());
    const int result = deflate(&stream_, flush);
    MR_CHECK(result == Z_OK || result == Z_BUF_ERROR);  // Z_BUF_ERROR: there was nothing left to say
    out->append(slice.data(), slice.size() - stream_.avail_out);
  } while (stream_.avail_out == 0);
  MR_CHECK(stream_.avail_in == 0);
}

void Deflater::Append(std::string_view plain, std::string* out) {
  SetInput(&stream_, plain);
  Run(Z_NO_FLUSH, out);
}

void Deflater::End(std::string* out) {
  SetInput(&stream_, {});
  Run(Z_SYNC_FLUSH, out);
  MR_CHECK(std::string_view(*out).ends_with(kDeflateTail.substr(0, kFlushTailBytes)));
  out->resize(out->size() - kFlushTailBytes);
  MR_CHECK(deflateReset(&stream_) == Z_OK);
}

Inflater::Inflater() { MR_CHECK(inflateInit2(&stream_, kRawWindowBits) == Z_OK); }

Inflater::~Inflater() { inflateEnd(&stream_); }

Inflater::Step Inflater::Run(std::string_view in, uint64_t* plain_bytes_left, std::string* out) {
  SetInput(&stream_, in);
  for (;;) {
    stream_.next_out = reinterpret_cast<Bytef*>(slice_.data());
    stream_.avail_out = static_cast<uInt>(slice_.size());
    const int result = inflate(&stream_, Z_NO_FLUSH);
    MR_CHECK(result != Z_MEM_ERROR && result != Z_STREAM_ERROR);
    const size_t bytes = slice_.size() - stream_.avail_out;
    out->append(slice_.data(), static_cast<size_t>(std::min<uint64_t>(bytes, *plain_bytes_left)));
    if (bytes > *plain_bytes_left) return Step::kTooLarge;
    *plain_bytes_left -= bytes;
    if (result == Z_STREAM_END) return Step::kEnd;
    if (result == Z_DATA_ERROR || result == Z_NEED_DICT) return Step::kBroken;
    // A full slice may have left something behind in zlib's window.
    if (stream_.avail_in == 0 && stream_.avail_out != 0) return Step::kMore;
  }
}

InflateStatus Inflater::Inflate(std::string_view compressed, uint64_t plain_bytes_max, std::string* out) {
  MR_CHECK(inflateReset(&stream_) == Z_OK);
  Step step = Run(compressed, &plain_bytes_max, out);
  if (step == Step::kMore) step = Run(kDeflateTail, &plain_bytes_max, out);
  switch (step) {
    case Step::kEnd:
      return InflateStatus::kDone;
    case Step::kTooLarge:
      return InflateStatus::kTooLarge;
    case Step::kMore:
    case Step::kBroken:
      break;
  }
  return InflateStatus::kBroken;
}

}  // namespace millrace
