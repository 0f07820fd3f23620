// SPDX-License-Identifier: Apache-2.0
// Deflater, Inflater: permessage-deflate (RFC 7692) without context takeover: each message is compressed by itself.
// Owner:  shard, one of each for all its connections: between messages they hold nothing.
// Bounds: 256 KB a Deflater, 44 KB an Inflater and its slice. What a message inflates to is at most what the caller
//         allows; beyond it nothing is inflated.
// Errors: InflateStatus. A lack of memory ends the program, as everywhere.
#pragma once

#include <zlib.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace millrace {

// Output below this is sent as it is.
inline constexpr size_t kCompressedFromBytes = 65;
// What ends a message's blocks and is not sent (RFC 7692, 7.2.1), and behind it the empty block that says so.
inline constexpr std::string_view kDeflateTail("\x00\x00\xff\xff\x01\x00\x00\xff\xff", 9);

// How much of a compressed message, kDeflateTail counted, may be kept for its last fragment.
uint64_t CompressedBytesMax(uint64_t max_payload);

class Deflater {
 public:
  Deflater();
  ~Deflater();
  Deflater(const Deflater&) = delete;
  Deflater& operator=(const Deflater&) = delete;

  // A message in pieces: what is ready so far goes to *out.
  void Append(std::string_view plain, std::string* out);
  // The message is whole, and *out has the rest of it. `out` is the same for the whole message.
  void End(std::string* out);

 private:
  void Run(int flush, std::string* out);

  z_stream stream_ = {};
};

enum class InflateStatus : uint8_t { kDone, kTooLarge, kBroken };

class Inflater {
 public:
  Inflater();
  ~Inflater();
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  // Appends a whole message, `plain_bytes_max` of it at most; with kTooLarge just that much, with kBroken what came
  // before the fault.
  InflateStatus Inflate(std::string_view compressed, uint64_t plain_bytes_max, std::string* out);

 private:
  // kMore: `in` is used up.
  enum class Step : uint8_t { kMore, kEnd, kTooLarge, kBroken };
  Step Run(std::string_view in, uint64_t* plain_bytes_left, std::string* out);

  z_stream stream_ = {};
  std::array<char, 32 * 1024> slice_;
};

}  // namespace millrace
