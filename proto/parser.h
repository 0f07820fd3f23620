// SPDX-License-Identifier: Apache-2.0
// Parser: turns one client's byte stream into commands, one at a time.
// Owner:  caller (pure).  Input: any split of the stream.  Output: views into the caller's buffer while it stays.
// Limits: ParserLimits.  Errors: Status::kError + error(), found at the byte at which the peer finds them.
// Format: proto/README.md.  Proof: parser_test.cc cuts every sample at every byte and runs a naive twin beside it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "proto/command.h"
#include "proto/errors.h"
#include "proto/hash.h"
#include "proto/limits.h"

namespace millrace {

class Parser {
 public:
  enum class Status : uint8_t { kCommand, kNeedMore, kError };

  explicit Parser(const ParserLimits& limits = {}) : limits_(limits) {}

  // Reads one command from the start of input.
  //   kCommand   *command holds it, consumed() says how many bytes it took; the caller advances by that.
  //   kNeedMore  input ends inside the command. Call again with the same bytes and more behind them, wherever they lie
  //              now. bytes_needed() says how long input has to be, once that is known.
  //   kError     the connection is over. error() says why, consumed() at which byte.
  // Only the fields that belong to command->verb are written (command.h), except args, which is set for all.
  // A call costs time in proportion to the new bytes: what was scanned for a line's end is not scanned again.
  Status Next(std::string_view input, Command* command);

  // The commonest command by far: another PUB like the one before. Takes it if input starts with the bytes of
  // `beginning` ("PUB subject ", the start of a command that Next returned with a tail and no reply, under the same
  // limits), goes on with a plain size and CRLF, and holds all of the payload. Returns the bytes it took; its tail is
  // what lies behind the beginning. 0 decides nothing: ask Next.
  struct RepeatedSize {  // the size in the command before, which the next one most often repeats
    uint64_t text = 1;   // "128 CR LF" as a little-endian number; in the beginning what no text can be under mask 0
    uint64_t mask = 0;
    size_t text_bytes = 0;
    size_t payload_bytes = 0;
  };
  size_t NextRepeated(std::string_view input, std::string_view beginning, RepeatedSize* size) const;

  // After kCommand: bytes of input it took. After kError: index of the offending byte. After kNeedMore: 0.
  size_t consumed() const { return consumed_; }

  // After kNeedMore: total bytes from the start of input that the command takes, when its control line is complete
  // (PUB and HPUB); otherwise 0. Waiting for all of them is allowed. Asking again at one byte less finds a missing CR
  // a byte earlier, as the peer does.
  size_t bytes_needed() const { return bytes_needed_; }

  ProtocolError error() const { return error_; }

  const ParserLimits& limits() const { return limits_; }
  // Takes effect with the next call of Next, also for a command that is half there.
  void set_limits(const ParserLimits& limits) { limits_ = limits; }

  // Forgets what it knows of a half received command: call before giving Next bytes of another stream.
  void Reset() { scanned_ = 0; }

 private:
  struct PubLine {
    std::string_view args;
    std::string_view subject;
    std::string_view reply;
    uint32_t header_bytes;
    uint32_t payload_bytes;
    uint8_t header_zeros;
    uint8_t size_zeros;
    size_t line_bytes;  // from the start of input up to and including LF
    size_t tail_at;     // Command::tail; 0 when there is none
  };

  bool ReadRepeatedSize(uint64_t word, size_t beginning_bytes, RepeatedSize* size) const;
  bool ScanShortPub(std::string_view input, Command* command);
  template <bool kHasHeader>
  bool ScanPubLine(std::string_view input, PubLine* line) const;
  Status NextSlow(std::string_view input, Command* command);
  Status OnLine(Verb verb, std::string_view args, size_t line_bytes, std::string_view input,
                Command* command);
  Status OnPubLine(bool has_header, std::string_view args, size_t line_bytes, std::string_view input,
                   Command* command);
  Status FinishPub(bool has_header, const PubLine& line, std::string_view input, Command* command);
  Status NeedMore(size_t scanned, size_t bytes_needed);
  Status Fail(ProtocolError error, size_t at);
  Status Done(size_t bytes);

  ParserLimits limits_;
  size_t scanned_ = 0;  // bytes of the command under way that are known to hold no end of its line
  size_t consumed_ = 0;
  size_t bytes_needed_ = 0;
  ProtocolError error_ = ProtocolError::kNone;
};

inline size_t Parser::NextRepeated(std::string_view input, std::string_view beginning, RepeatedSize* size) const {
  const char* const text = input.data() + beginning.size();
  if (input.size() < beginning.size() + sizeof(uint64_t) || scanned_ != 0 || !SameBytes(input.data(), beginning))
    return 0;
  const uint64_t word = LoadBytes8(text);
  if ((word & size->mask) != size->text && !ReadRepeatedSize(word, beginning.size(), size)) return 0;
  const size_t payload_end = beginning.size() + size->text_bytes + size->payload_bytes;
  if (input.size() < payload_end + 2 || input[payload_end] != '\r' || input[payload_end + 1] != '\n') return 0;
  return payload_end + 2;
}

}  // namespace millrace
