// SPDX-License-Identifier: Apache-2.0
// S2: the framed stream format of Snappy and its extension S2, as backups of nats-server use it.
// Owner:  caller (pure).
// Format: chunks of a kind (1 byte), a length (3 bytes) and content: 0xff stream identifier, 0x00 a compressed block
//         and 0x01 a plain one, both behind the masked CRC-32C of what they hold; 0x80 to 0xfe are skipped. Blocks are
//         Snappy's, and a copy without an offset repeats the last one (S2).
// Writes: Snappy blocks of 64 KiB; every S2 reader takes them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace millrace {

// The decoded block, appended; false: it is damaged, or more than `bytes_max`.
bool DecodeS2Block(std::string_view block, size_t bytes_max, std::string* out);

class S2Writer {
 public:
  // What is complete goes to *out; the rest waits for more, or for Flush.
  void Write(std::string_view bytes, std::string* out);
  void Flush(std::string* out);

 private:
  void WriteBlock(std::string_view block, std::string* out);

  bool started_ = false;
  std::string pending_;
};

class S2Reader {
 public:
  // Appends what `bytes`, any piece of the stream, completes. An error is final.
  absl::Status Read(std::string_view bytes, std::string* out);
  bool at_chunk_end() const { return partial_.empty(); }

 private:
  absl::Status ReadChunk(uint8_t kind, std::string_view content, std::string* out);

  bool started_ = false;
  std::string partial_;  // of a chunk, its head included
};

uint32_t Crc32c(std::string_view bytes);

}  // namespace millrace
